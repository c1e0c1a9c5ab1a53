//! The words of Teal as types. Pure data and pure functions; imports nothing of ours.

pub mod key;
pub mod message;
pub mod names;
pub mod order;
pub mod raw;
pub mod record;
pub mod reject;
pub mod row;
pub mod run;
pub mod schema;
pub mod secret;
pub mod time;
pub mod trace;
pub mod version;

pub use key::{Key, KeyPart};
pub use message::{Message, QueueName};
pub use names::{Account, ConfigHash, EntityName, Fence, RunId, SourceId, SourceName, StreamName};
pub use order::{Absence, Order, visible};
pub use raw::{Raw, RawKey};
pub use record::{Effect, RecordChange};
pub use reject::{Reject, RejectReason};
pub use row::{Row, RowHash, Value};
pub use run::{Counts, Mode, Outcome, Run, RunState};
pub use schema::{Field, FieldType, Schema};
pub use secret::Secret;
pub use time::Millis;
pub use trace::TraceParent;
pub use version::{Confirmed, Generation, GenerationId, Manifest, Pointer, Version, VersionState, newest_listed};
