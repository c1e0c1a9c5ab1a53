//! Sync metadata: pointer, manifests, runs, slots, cursors, leases, limits, the change log. A map from
//! (part, sort) to a small JSON value; which items exist is the pipeline's business (`pipeline::ledger`).
//!
//! Always holds: a transaction happens whole or not at all, and is durable when it returns; every item has
//! a revision that grows with each write; every read is strongly consistent.
//!
//! One item has a consequence beyond the ledger: an adapter that keeps views of the active version
//! repoints them in the transaction that writes [`pointer_key`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fault::{Fault, FaultKind};

/// Most writes that one transaction may hold.
pub const MAX_WRITES: usize = 100;

/// Where the pointer is. Here, not with the other keys, because adapters must know it.
#[must_use]
pub fn pointer_key() -> ItemKey {
    ItemKey::new("system", "pointer")
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    /// Items of one part are listed together, in byte order of `sort`.
    pub part: String,
    pub sort: String,
}

impl ItemKey {
    pub fn new(part: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { part: part.into(), sort: sort.into() }
    }
}

/// A value as the JSON text that stores keep: it is made of what is written, and read as what is wanted, with nothing
/// in between. Shared with whoever keeps it: items are read far more often than written.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// # Panics
    /// For a type with keys that are no texts.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(serde_json::to_string(value).expect("ledger types have only string keys").into())
    }

    /// As a store has it, which may be no JSON at all.
    pub fn stored(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<serde_json::Value> for JsonText {
    fn from(value: serde_json::Value) -> Self {
        Self::of(&value)
    }
}

impl PartialEq<serde_json::Value> for JsonText {
    fn eq(&self, other: &serde_json::Value) -> bool {
        self.read::<serde_json::Value>().is_ok_and(|value| value == *other)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub key: ItemKey,
    pub value: JsonText,
    /// Grows with every write of the item.
    pub revision: u64,
    /// A number that the last writer chose, such as its fence; 0 when it chose none.
    pub mark: u64,
}

/// All conditional writes go through one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    None,
    Absent,
    /// The item is there and has this revision.
    Matches(u64),
    /// No item is there whose mark is greater: how a stale fence is refused.
    NoneNewer(u64),
}

impl Precondition {
    /// Whether it is met by an item of this revision and mark, or by none.
    #[must_use]
    pub fn holds(self, stored: Option<(u64, u64)>) -> bool {
        match self {
            Self::None => true,
            Self::Absent => stored.is_none(),
            Self::Matches(expected) => stored.is_some_and(|(revision, _)| revision == expected),
            Self::NoneNewer(limit) => stored.is_none_or(|(_, mark)| mark <= limit),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Put {
        key: ItemKey,
        value: JsonText,
        mark: u64,
        when: Precondition,
    },
    Delete {
        key: ItemKey,
        when: Precondition,
    },
    /// Writes nothing; the transaction happens only if the condition holds.
    Check {
        key: ItemKey,
        when: Precondition,
    },
    /// Adds to the named numbers of an item that is an object of numbers; makes it where it is missing.
    Add {
        key: ItemKey,
        numbers: BTreeMap<String, i64>,
    },
}

impl Write {
    #[must_use]
    pub fn key(&self) -> &ItemKey {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } | Self::Add { key, .. } => key,
        }
    }
}

/// Refuses, as every adapter must, a transaction that is too large or names a key twice.
pub fn check_transaction(writes: &[Write]) -> Result<(), Fault> {
    let permanent = |what| Err(Fault::new(FaultKind::Permanent, what));
    if writes.len() > MAX_WRITES {
        let len = writes.len();
        return permanent(format!("a ledger transaction holds at most {MAX_WRITES} writes, this one {len}; split it"));
    }
    let mut keys = BTreeSet::new();
    match writes.iter().map(Write::key).find(|key| !keys.insert(*key)) {
        None => Ok(()),
        Some(ItemKey { part, sort }) => {
            permanent(format!("a ledger transaction has '{part}/{sort}' twice; put both into one write"))
        }
    }
}

#[async_trait]
pub trait LedgerReader: Send + Sync {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, LedgerError>;

    /// Items of `part` whose sort starts with `prefix`, in byte order, after `after` (exclusive), at most `limit`.
    async fn list(&self, part: &str, prefix: &str, after: Option<&str>, limit: usize)
    -> Result<Vec<Item>, LedgerError>;
}

#[async_trait]
pub trait Ledger: LedgerReader {
    /// All writes or none. At most [`MAX_WRITES`], no key twice.
    async fn transact(&self, writes: Vec<Write>) -> Result<(), LedgerError>;
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The write at this position of the transaction found its precondition not met; nothing was written.
    #[error("'{}/{}' is not as expected: somebody else wrote it first", .key.part, .key.sort)]
    Refused { index: usize, key: ItemKey },
    #[error(transparent)]
    Fault(#[from] Fault),
}
