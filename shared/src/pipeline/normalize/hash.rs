//! The hash that decides between two states of a record that are otherwise equally new.
//!
//! Always holds: equal records have equal hashes, whatever the order of their members, because they are
//! hashed by name.

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::domain::row::first_eight;

/// First eight bytes of the SHA-256 over the record's canonical JSON: members by name, no white space.
#[must_use]
pub fn record_hash(record: &Json) -> u64 {
    let mut hasher = Sha256::new();
    serde_json::to_writer(&mut hasher, record).expect("a JSON value can be written, and a hasher takes all");
    first_eight(&hasher.finalize())
}
