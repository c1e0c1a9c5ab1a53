//! Copying what was pinned, a part at a time: configurations, rows, pages of listings, pages that came late, the
//! change log. Then the manifest.

use serde::{Deserialize, Serialize};

use super::manifest::{EntityState, Holds, Kind, Pack, Part};
use super::{Backups, Progress, progress_key};
use crate::config::Bundle;
use crate::domain::{GenerationId, Key, RunId, SourceId, StreamName};
use crate::metrics;
use crate::pipeline::admin::export_page;
use crate::pipeline::changelog;
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, Slot, Stored};
use crate::ports::ledger::MAX_WRITES;
use crate::ports::{ItemKey, Precondition, Write};

/// About how large a part is. One raw object more at most.
const PART: usize = 4 * 1024 * 1024;
/// Rows, slots or entries read at once.
const PAGE: usize = 200;

/// What is copied next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub(super) enum At {
    Configs,
    Rows { entity: usize, after: Option<Key> },
    Pages { source: usize, stream: usize, slot: u64 },
    Late { nth: usize, slot: u64 },
    Changes { source: usize, number: u64 },
    Manifest,
    Forget,
}

/// A part and what it holds; nothing where there was nothing to copy.
type Copied = Option<(Holds, Pack)>;

impl Backups {
    /// One part, or one step on. `true` when that was the last and the backup is there.
    pub(super) async fn step(&self, stored: &Stored<Progress>) -> Result<bool, StageError> {
        let mut next = stored.value.clone();
        let copied: Copied = match stored.value.at.clone() {
            At::Configs => {
                let at = if next.manifest.kind == Kind::Increment {
                    At::Late { nth: 0, slot: 0 }
                } else {
                    At::Rows { entity: 0, after: None }
                };
                next.at = at;
                Some((Holds::Configs, self.configs(&next).await?))
            }
            At::Rows { entity, after } => self.rows(&mut next, entity, after).await?,
            At::Pages { source, stream, slot } => self.pages(&mut next, source, stream, slot).await?,
            At::Late { nth, slot } => self.late_pages(&mut next, nth, slot).await?,
            At::Changes { source, number } => self.changes(&mut next, source, number).await?,
            At::Manifest => {
                let parts: Vec<(String, Part)> =
                    ledger::read_all(self.ledger.as_ref(), &ledger::backup_part(&next.manifest.id), "").await?;
                next.manifest.parts = parts.into_iter().map(|(_, part)| part).collect();
                let (link, bytes) = next.manifest.encode();
                self.blobs.put_if_absent(&link.key(), bytes).await?;
                let made = self.made(&next.manifest).await?;
                next.at = At::Forget;
                next.manifest.parts.clear();
                let write = ledger::put(progress_key(), &next, ledger::unchanged(Some(stored)));
                self.ledger.transact(vec![made, write]).await?;
                self.meter.count(&metrics::BACKUPS, &[next.manifest.kind.as_str(), "done"], 1);
                tracing::info!(backup = next.manifest.id, parts = next.parts, "a backup was made");
                return Ok(true);
            }
            At::Forget => {
                self.forget_parts(&next.manifest.id).await?;
                let gone = Write::Delete { key: progress_key(), when: ledger::unchanged(Some(stored)) };
                self.ledger.transact(vec![gone]).await?;
                return Ok(false);
            }
        };
        let mut writes = Vec::new();
        if let Some((holds, pack)) = copied.filter(|(_, pack)| pack.items > 0) {
            writes.push(self.store(&next.manifest.id, next.parts, holds, pack).await?);
            next.parts += 1;
        }
        writes.push(ledger::put(progress_key(), &next, ledger::unchanged(Some(stored))));
        self.ledger.transact(writes).await?;
        Ok(false)
    }

    /// Stores a part, and gives the write that notes it.
    pub(super) async fn store(&self, id: &str, n: usize, holds: Holds, pack: Pack) -> Result<Write, StageError> {
        let part = Part::new(id, n, holds, pack.items, &pack.bytes);
        self.blobs.put_if_absent(&part.key, pack.bytes.into()).await?;
        let key = ItemKey::new(ledger::backup_part(id), format!("{n:06}"));
        Ok(ledger::put(key, &part, Precondition::None))
    }

    async fn configs(&self, progress: &Progress) -> Result<Pack, StageError> {
        let mut pack = Pack::default();
        for hash in progress.manifest.configs() {
            let key = Bundle::blob_key(&hash);
            pack.add(&key, &self.blobs.get(&key).await?);
        }
        Ok(pack)
    }

    async fn rows(&self, next: &mut Progress, entity: usize, mut after: Option<Key>) -> Result<Copied, StageError> {
        let Some(generation) = next.manifest.generations.get(entity) else {
            next.at = At::Pages { source: 0, stream: 0, slot: 0 };
            return Ok(None);
        };
        let id: GenerationId = generation.id.clone();
        let head = self.reader.head(&id).await?;
        let began_at = if after.is_none() { head.sequence } else { next.began_at.unwrap_or(head.sequence) };
        let mut pack = Pack::default();
        loop {
            after = export_page(self.reader.as_ref(), &id, after, PAGE, |line| {
                pack.bytes.extend_from_slice(line.as_bytes());
                pack.bytes.push(b'\n');
                pack.items += 1;
            })
            .await?;
            if after.is_none() || pack.bytes.len() >= PART {
                break;
            }
        }
        let state =
            next.manifest.entities.entry(id.entity.clone()).or_insert(EntityState { rows: 0, sum: 0, exact: false });
        state.rows += pack.items;
        if after.is_some() {
            next.began_at = Some(began_at);
            next.at = At::Rows { entity, after };
        } else {
            let head = self.reader.head(&id).await?;
            state.sum = head.sum;
            state.exact = head.sequence == began_at && head.rows == state.rows;
            next.began_at = None;
            next.at = At::Rows { entity: entity + 1, after: None };
        }
        Ok(Some((Holds::Rows { entity: id.entity }, pack)))
    }

    async fn pages(&self, next: &mut Progress, source: usize, stream: usize, slot: u64) -> Result<Copied, StageError> {
        let Some(state) = next.manifest.sources.get(source) else {
            next.at = At::Late { nth: 0, slot: 0 };
            return Ok(None);
        };
        let (Some((name, pages)), Some(listing)) = (state.streams.iter().nth(stream), &state.listing) else {
            next.at = At::Pages { source: source + 1, stream: 0, slot: 0 };
            return Ok(None);
        };
        let (name, pages) = (name.clone(), pages.pages);
        let (pack, end) = self.slots(listing, &state.source, &name, slot, pages).await?;
        let holds = Holds::Pages { source: state.source.clone(), stream: name, first: slot };
        next.at = if end < pages {
            At::Pages { source, stream, slot: end }
        } else {
            At::Pages { source, stream: stream + 1, slot: 0 }
        };
        Ok(Some((holds, pack)))
    }

    async fn late_pages(&self, next: &mut Progress, nth: usize, slot: u64) -> Result<Copied, StageError> {
        let Some((source, run, stream, pages)) = next.late.get(nth).cloned() else {
            let number = next.manifest.sources.first().map_or(0, |source| source.log[0]);
            next.at = At::Changes { source: 0, number };
            return Ok(None);
        };
        let (pack, end) = self.slots(&run, &source, &stream, slot, pages).await?;
        next.at = if end < pages { At::Late { nth, slot: end } } else { At::Late { nth: nth + 1, slot: 0 } };
        Ok(Some((Holds::Changes { source }, pack)))
    }

    /// Pages of a run from a slot on, and the slot after the last of them.
    async fn slots(
        &self,
        run: &RunId,
        source: &SourceId,
        stream: &StreamName,
        mut slot: u64,
        pages: u64,
    ) -> Result<(Pack, u64), StageError> {
        let mut pack = Pack::default();
        while slot < pages && pack.bytes.len() < PART {
            let key = ledger::slot_key(run, source, stream, slot);
            let page: Option<Stored<Slot>> = ledger::read(self.ledger.as_ref(), &key).await?;
            // Gone with the version that it belonged to.
            let missing = || crate::ports::BlobError::Missing(format!("{}/{}", key.part, key.sort));
            let page = page.ok_or_else(missing)?.value;
            pack.add(&page.raw.0, &self.blobs.get(&page.raw.0).await?);
            slot += 1;
        }
        Ok((pack, slot))
    }

    async fn changes(&self, next: &mut Progress, source: usize, mut number: u64) -> Result<Copied, StageError> {
        let Some(state) = next.manifest.sources.get(source) else {
            next.at = At::Manifest;
            return Ok(None);
        };
        let end = state.log[1];
        let mut pack = Pack::default();
        while number < end && pack.bytes.len() < PART {
            let entries = changelog::entries(self.ledger.as_ref(), &state.source, number, PAGE).await?;
            let known = entries.len();
            for (at, entry) in entries {
                if at >= end || pack.bytes.len() >= PART {
                    break;
                }
                pack.add(&entry.raw.0, &self.blobs.get(&entry.raw.0).await?);
                number = at + 1;
            }
            if known < PAGE && pack.bytes.len() < PART {
                number = end;
            }
        }
        let holds = Holds::Changes { source: state.source.clone() };
        next.at = if number < end {
            At::Changes { source, number }
        } else {
            let number = next.manifest.sources.get(source + 1).map_or(0, |source| source.log[0]);
            At::Changes { source: source + 1, number }
        };
        Ok(Some((holds, pack)))
    }

    /// Forgets what was noted of a backup's parts.
    pub(super) async fn forget_parts(&self, id: &str) -> Result<(), StageError> {
        let part = ledger::backup_part(id);
        loop {
            let items = self.ledger.list(&part, "", None, MAX_WRITES).await?;
            if items.is_empty() {
                return Ok(());
            }
            let gone = items.into_iter().map(|item| Write::Delete { key: item.key, when: Precondition::None });
            self.ledger.transact(gone.collect()).await?;
        }
    }
}
