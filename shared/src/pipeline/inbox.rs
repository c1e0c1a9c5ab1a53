//! The inbox: what became of each delivery, and which ids are done with.
//!
//! Owns both kinds of items, reading them and letting them go. Owns no bytes: those are in the raw object.
//!
//! Always holds: an id is known only once its delivery is done with, in the transaction that records it; so whatever
//! failed or was cut off is no reason to call another one a duplicate. Records are listed newest first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::changelog;
use super::error::StageError;
use super::ledger::{self, Stored};
use crate::domain::raw::RawFrom;
use crate::domain::run::RowCounts;
use crate::domain::{EntityName, Millis, Mode, Raw, RawKey, SourceId, Version};
use crate::ports::ledger::{ItemKey, Ledger, LedgerReader, Write};
use crate::ports::{BlobAdmin, Precondition};

/// The delivery that an id is done with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub raw: RawKey,
    pub received: Millis,
    /// What readers saw at the least when it was gone through: entities that were declared since lack it.
    pub shown: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    Applied,
    /// Something of it could not be mapped; the rejects say what.
    Rejected,
    /// Its id was done with already.
    Duplicate,
    /// Its events are deliveries of their own.
    Split,
    /// It is tried again, or lies in the dead letters.
    Failed,
}

impl Fate {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::Split => "split",
            Self::Failed => "failed",
        }
    }
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    pub raw: RawKey,
    pub received: Millis,
    pub fate: Fate,
    pub handled: Millis,
    /// The delivery that it repeats, and whether the bytes differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<RawKey>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub differs: bool,
    /// The delivery that it is one event of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<RawKey>,
    /// How often it came again.
    #[serde(default)]
    pub again: u32,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Events that became deliveries.
    #[serde(default)]
    pub events: usize,
    #[serde(default)]
    pub syncs: Vec<Mode>,
    /// What was to be asked for because of it.
    #[serde(default)]
    pub errands: Vec<String>,
    #[serde(default)]
    pub rejects: usize,
    #[serde(default)]
    pub rows: BTreeMap<EntityName, RowCounts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl Entry {
    #[must_use]
    pub fn new(key: &RawKey, raw: &Raw, handled: Millis) -> Self {
        let (id, received, of) = match &raw.head.from {
            RawFrom::Delivery { id, received, of, .. } => (id.clone(), *received, of.clone()),
            RawFrom::Object { id, .. } => (id.clone(), raw.head.stated, None),
            RawFrom::Page { .. } | RawFrom::Rows { .. } => (key.0.clone(), raw.head.stated, None),
        };
        Self {
            id,
            raw: key.clone(),
            received,
            fate: Fate::Applied,
            handled,
            repeats: None,
            differs: false,
            of,
            again: 0,
            why: None,
            events: 0,
            syncs: Vec::new(),
            errands: Vec::new(),
            rejects: 0,
            rows: BTreeMap::new(),
            trace: None,
        }
    }

    #[must_use]
    pub fn key(&self, source: &SourceId) -> ItemKey {
        ItemKey::new(ledger::inbox_part(source), format!("{}#{}", moment(self.received), name(&self.raw)))
    }

    #[must_use]
    pub fn write(&self, source: &SourceId) -> Write {
        ledger::put(self.key(source), self, Precondition::None)
    }
}

/// The last part of a delivery's raw key: what people call it by.
#[must_use]
pub fn name(raw: &RawKey) -> &str {
    raw.0.rsplit('/').next().unwrap_or_default()
}

/// Sorts the newest first.
fn moment(at: Millis) -> String {
    format!("{:015}", 999_999_999_999_999 - at.0.clamp(0, 999_999_999_999_999))
}

pub async fn known(
    ledger: &dyn LedgerReader,
    source: &SourceId,
    id: &str,
) -> Result<Option<Stored<Known>>, StageError> {
    Ok(ledger::read(ledger, &ledger::dedupe_key(source, id)).await?)
}

/// Which deliveries are wanted; all that is given must match.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub since: Option<Millis>,
    pub until: Option<Millis>,
    pub fate: Option<Fate>,
}

/// Records of a source from the newest on, at most `limit`, after the one whose sort is `after`.
pub async fn list(
    ledger: &dyn LedgerReader,
    source: &SourceId,
    wanted: &Wanted,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Entry)>, StageError> {
    let part = ledger::inbox_part(source);
    // Nothing sorts between a moment and what follows its '#'.
    let until = wanted.until.map(moment);
    let mut after = after.map(str::to_owned).max(until);
    let mut found = Vec::new();
    while found.len() < limit {
        let items = ledger.list(&part, "", after.as_deref(), limit.min(ledger::PAGE)).await?;
        let Some(last) = items.last() else { break };
        after = Some(last.key.sort.clone());
        for item in items {
            let entry: Entry = ledger::understand(&item.key, &item.value)?;
            if wanted.since.is_some_and(|since| entry.received < since) {
                return Ok(found);
            }
            if wanted.fate.is_none_or(|fate| entry.fate == fate) && found.len() < limit {
                found.push((item.key.sort, entry));
            }
        }
    }
    Ok(found)
}

/// Lets at most `slice` records go that are older than `time`, with their ids; a raw object that is in no log with them.
/// Says how many there were.
pub async fn let_go(
    ledger: &dyn Ledger,
    blobs: &dyn BlobAdmin,
    source: &SourceId,
    time: Millis,
    slice: usize,
) -> Result<usize, StageError> {
    let old = Wanted { until: Some(time), ..Wanted::default() };
    let old = list(ledger, source, &old, None, slice).await?;
    for (_, entry) in &old {
        let mut writes = vec![Write::Delete { key: entry.key(source), when: Precondition::None }];
        match known(ledger, source, &entry.id).await? {
            Some(known) if known.value.raw == entry.raw && known.value.received == entry.received => {
                let key = ledger::dedupe_key(source, &entry.id);
                writes.push(Write::Delete { key, when: Precondition::Matches(known.revision) });
            }
            _ => {}
        }
        let aside = matches!(entry.fate, Fate::Duplicate | Fate::Split);
        if aside && changelog::entered_at(ledger, source, &entry.raw).await?.is_none() {
            // First the object: what says that somebody looked at it keeps it from being queued again.
            blobs.delete(&entry.raw.0).await?;
            writes.push(Write::Delete { key: ledger::seen_key(source, &entry.raw), when: Precondition::None });
        }
        match ledger.transact(writes).await {
            Err(error) if !ledger::was_refused(&error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(old.len())
}
