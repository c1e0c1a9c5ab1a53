//! The change log of a source: every raw object that changed it outside a complete listing, numbered.
//!
//! A generation is its complete listing plus the entries from its `since` on, under its mapping. That one
//! sentence is catch-up, rollback and rebuild: each replays entries into a generation that lacks them.
//!
//! Always holds: an entry is in the log before it is applied to any generation, each raw object once. So
//! whatever reached the active version before its gates closed is in the log when the switch reads it.

use serde::{Deserialize, Serialize};

use super::error::StageError;
use super::ledger::{self, Stored};
use crate::domain::{Millis, RawKey, SourceId};
use crate::ports::{Ledger, LedgerReader, Precondition, Write};

/// How far a sender's clock may differ from ours, and how long an entry may wait to be applied. Replays start
/// this long before the moment that they are about.
pub const CLOCK_SKEW: std::time::Duration = std::time::Duration::from_secs(900);

/// After this time an entry that is applied only now is entered again. Less than [`CLOCK_SKEW`].
const LATE: std::time::Duration = std::time::Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    at: Millis,
    /// Whether it is only known, and not in the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    aside: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    pub raw: RawKey,
    pub at: Millis,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    next: u64,
}

/// Adds a raw object unless it is there. Returns once it is durable. One that was added long ago and is only
/// now applied (redriven from the dead letters, say) gets a new number: so everything that was applied after
/// some time has an entry that is not much older than it, and a rollback need not replay the whole log.
pub async fn append(ledger: &dyn Ledger, source: &SourceId, raw: &RawKey, now: Millis) -> Result<(), StageError> {
    let key = ledger::seen_key(source, raw);
    // Every refusal means that somebody else made progress; the bound only keeps a broken store from
    // holding the caller for ever.
    for _ in 0..1000 {
        let seen: Option<Stored<Seen>> = ledger::read(ledger, &key).await?;
        if seen.as_ref().is_some_and(|s| !s.value.aside && now.since(s.value.at) < LATE) {
            return Ok(());
        }
        let head: Option<Stored<Head>> = ledger::read(ledger, &ledger::log_head_key(source)).await?;
        let number = head.as_ref().map_or(0, |h| h.value.next);
        let entry = LogEntry { raw: raw.clone(), at: now };
        let writes = vec![
            ledger::put(ledger::log_head_key(source), &Head { next: number + 1 }, ledger::unchanged(head.as_ref())),
            ledger::put(ledger::log_key(source, number), &entry, Precondition::Absent),
            ledger::put(key.clone(), &Seen { at: now, aside: false }, ledger::unchanged(seen.as_ref())),
        ];
        match ledger.transact(writes).await {
            Ok(()) => return Ok(()),
            Err(error) if ledger::was_refused(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StageError::Busy(format!("the change log of '{source}' is written by too many at once")))
}

/// The writes that add these, whether they are in the log or not, unless somebody else adds something meanwhile.
pub async fn appended(
    ledger: &dyn LedgerReader,
    source: &SourceId,
    raws: &[RawKey],
    now: Millis,
) -> Result<Vec<Write>, StageError> {
    let head: Option<Stored<Head>> = ledger::read(ledger, &ledger::log_head_key(source)).await?;
    let mut next = head.as_ref().map_or(0, |h| h.value.next);
    let mut writes = Vec::with_capacity(raws.len() * 2 + 1);
    for raw in raws {
        let entry = LogEntry { raw: raw.clone(), at: now };
        writes.push(ledger::put(ledger::log_key(source, next), &entry, Precondition::Absent));
        next += 1;
    }
    for raw in raws.iter().collect::<std::collections::BTreeSet<_>>() {
        writes.push(ledger::put(ledger::seen_key(source, raw), &Seen { at: now, aside: false }, Precondition::None));
    }
    writes.push(ledger::put(ledger::log_head_key(source), &Head { next }, ledger::unchanged(head.as_ref())));
    Ok(writes)
}

/// The write that says of a raw object that it was looked at, and is not to be in the log.
#[must_use]
pub fn put_aside(source: &SourceId, raw: &RawKey, now: Millis) -> Write {
    ledger::put(ledger::seen_key(source, raw), &Seen { at: now, aside: true }, Precondition::Absent)
}

/// Takes an entry that nobody needs any more out of everybody's reach: from then on nobody replays it, and its raw
/// object is among those that leave, unless it was entered again under a later number. Refused when somebody else
/// enters it meanwhile.
pub async fn take_out(ledger: &dyn Ledger, source: &SourceId, number: u64, entry: &LogEntry) -> Result<(), StageError> {
    let key = ledger::seen_key(source, &entry.raw);
    let seen: Option<Stored<Seen>> = ledger::read(ledger, &key).await?;
    let mut writes = vec![Write::Delete { key: ledger::log_key(source, number), when: Precondition::None }];
    if seen.as_ref().is_none_or(|s| s.value.aside || s.value.at <= entry.at) {
        // Aside, so that nobody takes it for one that was lost on its way into the log.
        writes.push(ledger::put(key, &Seen { at: entry.at, aside: true }, ledger::unchanged(seen.as_ref())));
        writes.push(ledger::put(ledger::leaving_key(source, &entry.raw), entry, Precondition::None));
    }
    Ok(ledger.transact(writes).await?)
}

/// What was taken out and is not let go of yet, at most `limit`.
pub async fn leaving(ledger: &dyn LedgerReader, source: &SourceId, limit: usize) -> Result<Vec<LogEntry>, StageError> {
    let items = ledger.list(&ledger::leaving_part(source), "", None, limit).await?;
    items.iter().map(|item| Ok(ledger::understand(&item.key, &item.value)?)).collect()
}

/// Forgets one that left: whether it `stays`, because it was entered again, or is gone with its raw.
pub async fn has_left(ledger: &dyn Ledger, source: &SourceId, raw: &RawKey, stays: bool) -> Result<(), StageError> {
    let mut keys = vec![ledger::leaving_key(source, raw)];
    keys.extend((!stays).then(|| ledger::seen_key(source, raw)));
    let forget = |key| Write::Delete { key, when: Precondition::None };
    Ok(ledger.transact(keys.into_iter().map(forget).collect()).await?)
}

/// Whether somebody looked at it: it is in the log, or was put aside.
pub async fn is_seen(ledger: &dyn LedgerReader, source: &SourceId, raw: &RawKey) -> Result<bool, StageError> {
    Ok(ledger.get(&ledger::seen_key(source, raw)).await?.is_some())
}

/// When a raw object was last entered; `None` when it is not in the log.
pub async fn entered_at(
    ledger: &dyn LedgerReader,
    source: &SourceId,
    raw: &RawKey,
) -> Result<Option<Millis>, StageError> {
    let seen: Option<Stored<Seen>> = ledger::read(ledger, &ledger::seen_key(source, raw)).await?;
    Ok(seen.filter(|s| !s.value.aside).map(|s| s.value.at))
}

/// The number that the next entry will get.
pub async fn end(ledger: &dyn LedgerReader, source: &SourceId) -> Result<u64, StageError> {
    let head: Option<Stored<Head>> = ledger::read(ledger, &ledger::log_head_key(source)).await?;
    Ok(head.map_or(0, |h| h.value.next))
}

/// Entries from number `from` on, at most `limit`, with their numbers.
pub async fn entries(
    ledger: &dyn LedgerReader,
    source: &SourceId,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, LogEntry)>, StageError> {
    let after = from.checked_sub(1).map(|n| ledger::log_key(source, n).sort);
    let items = ledger.list(&ledger::log_part(source), "", after.as_deref(), limit).await?;
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let number =
            item.key.sort.parse().map_err(|_| {
                StageError::Impossible(format!("'{}' is no number of a change log entry", item.key.sort))
            })?;
        out.push((number, ledger::understand(&item.key, &item.value)?));
    }
    Ok(out)
}

/// The number of the first entry that is not older than `time`: by halving, so that a log of any length
/// costs few reads. Entries that were pruned count as older.
pub async fn first_since(ledger: &dyn LedgerReader, source: &SourceId, time: Millis) -> Result<u64, StageError> {
    let (mut low, mut high) = (0, end(ledger, source).await?);
    while low < high {
        let middle = low + (high - low) / 2;
        let entry: Option<Stored<LogEntry>> = ledger::read(ledger, &ledger::log_key(source, middle)).await?;
        match entry {
            Some(entry) if entry.value.at >= time => high = middle,
            _ => low = middle + 1,
        }
    }
    Ok(low)
}
