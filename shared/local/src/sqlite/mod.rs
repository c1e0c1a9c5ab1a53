//! What every SQLite file of Teal has in common: how it is opened, written, read, and how its errors are
//! judged. Knows no table.

pub mod fault;
pub mod open;
pub mod readers;
pub mod writer;

pub use fault::{Failure, fault};
pub use open::{Synchronous, open};
pub use readers::Readers;
pub use writer::Writer;

/// SQLite's integers are signed, and no list is longer than they count.
#[must_use]
pub fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
