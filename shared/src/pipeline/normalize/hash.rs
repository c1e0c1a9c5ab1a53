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
    let mut sorted = std::borrow::Cow::Borrowed(record);
    if !is_sorted(record) {
        sorted.to_mut().sort_all_objects();
    }
    let mut hasher = Sha256::new();
    serde_json::to_writer(&mut hasher, sorted.as_ref()).expect("a JSON value can be written, and a hasher takes all");
    first_eight(&hasher.finalize())
}

/// Whether all members go by name.
pub fn is_sorted(value: &Json) -> bool {
    match value {
        Json::Object(members) => members.keys().is_sorted() && members.values().all(is_sorted),
        Json::Array(items) => items.iter().all(is_sorted),
        _ => true,
    }
}
