//! What the stages need from the world. Each file holds one contract: its traits by role, its request
//! types and its errors, nothing else. Adapters live in other crates and pass one conformance suite a port.
//!
//! Always holds: a contract promises no more than the weakest backend keeps. At-least-once, unordered
//! queues; transactions of at most 100 items; conditional writes instead of locks.

pub mod blobs;
pub mod clock;
pub mod connector;
pub mod entities;
pub mod entropy;
pub mod fault;
pub mod folder;
pub mod intake;
pub mod ledger;
pub mod queue;
pub mod schedules;
pub mod secrets;
pub mod upstream;

pub use blobs::{BlobAdmin, BlobError, BlobReader, BlobStore, BlobWriter, Elsewhere};
pub use clock::Clock;
pub use connector::{Connector, ConnectorError, Connectors};
pub use entities::{EntitiesError, EntityAdmin, EntityReader, EntityWriter};
pub use entropy::Entropy;
pub use fault::Fault;
pub use intake::{Arrived, InTurn, Intake};
pub use ledger::{ItemKey, Ledger, LedgerError, LedgerReader, Precondition, Write};
pub use queue::{Outgoing, QueueSender};
pub use schedules::Schedules;
pub use secrets::{EmptySecrets, Secrets};
pub use upstream::Upstream;
