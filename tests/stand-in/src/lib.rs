//! Stand-ins for other people's APIs: deterministic data of any size, changes and faults on command, counts
//! of what was asked.
//!
//! Owns one module a source (`blue`), which knows its data and answers, `fake`, where APIs are only described, and `http`, which every source
//! shares: listening (or being asked offline), the key, the request limit, faults, counters, sending webhooks. Owns no assertion:
//! tests read the counters and judge.
//!
//! Always holds: the same seed and the same changes at the same times of the clock give the same bytes; no
//! record is held in memory, only what was changed about it.

pub mod blue;
pub mod fake;
pub mod http;

pub use blue::{Blue, BlueOptions, Event, Kind, OfflineBlue};
pub use fake::Fake;
pub use http::{Answered, Arrives, Clock, Counts, Fault, FaultRule, RetryHint, Webhook, real_clock, rfc3339};
