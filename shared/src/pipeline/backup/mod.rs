//! backup: what it takes to have a system again, put together while it runs.
//!
//! Owns making backups, copying them to a second place, checking them, and letting old ones go. Owns no restoring:
//! that is a run, whose pages `poll` takes from here. Why it is done so: docs/decisions/0012-backups.md.
//!
//! Always holds: a part is stored before the ledger says so, a manifest after all its parts, so that whoever dies in
//! between leaves nothing that looks like a backup. Everything may be done twice; of two that make the same backup
//! one gives way. Memory is one part.

mod copy;
mod import;
mod manifest;
mod pin;
mod shelf;
mod tidy;

use std::sync::Arc;

pub(in crate::pipeline) use import::Line;
pub(in crate::pipeline) use manifest::Pack;
pub use manifest::{BackupManifest, Damaged, EntityState, Holds, Kind, Link, Part, SourceState, StreamState};
use serde::{Deserialize, Serialize};
pub use shelf::{Chain, Checked, Listed, Shelf};

use self::copy::At;
use super::error::StageError;
use super::ledger::{self, Stored};
use super::poll::Budget;
use super::systems::Systems;
use crate::domain::{Millis, RunId, SourceId, StreamName};
use crate::metrics::{self, Meter};
use crate::ports::{BlobError, BlobStore, Clock, EntitiesError, EntityReader, Entropy, ItemKey, Ledger, Precondition};

/// Times that a backup is begun again because raw or rows were let go while they were copied.
const TRIES: u32 = 5;

pub struct Backups {
    pub ledger: Arc<dyn Ledger>,
    pub reader: Arc<dyn EntityReader>,
    pub blobs: Arc<dyn BlobStore>,
    pub shelf: Arc<Shelf>,
    pub systems: Arc<Systems>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub meter: Arc<dyn Meter>,
}

/// A backup that is being made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Progress {
    /// Without its parts, which are items of their own.
    manifest: BackupManifest,
    parts: usize,
    at: At,
    /// Pages of incremental runs that had not ended, with how many there were.
    late: Vec<(SourceId, RunId, StreamName, u64)>,
    /// The head of the generation whose rows are being copied, as it was when that began.
    began_at: Option<u64>,
    tries: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Last {
    link: Link,
    /// When the last full one, and the last one at all, were taken or found to be needless.
    full: Millis,
    any: Millis,
    /// Whether it is copied and old ones are gone.
    tidy: bool,
}

/// What a round did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Made {
    pub made: Vec<String>,
    /// Whether the budget was spent before everything was done.
    pub continues: bool,
}

fn progress_key() -> ItemKey {
    ItemKey::new(ledger::BACKUP, "progress")
}

fn last_key() -> ItemKey {
    ItemKey::new(ledger::BACKUP, "last")
}

impl Backups {
    /// Makes what is due and goes on with what is begun. For upkeep's schedule.
    pub async fn round(&self, budget: &Budget) -> Result<Made, StageError> {
        if self.progress().await?.is_none()
            && let Some(kind) = self.due().await?
        {
            self.begin(kind).await?;
        }
        self.go_on(budget).await
    }

    /// Begins a backup now, unless one is begun already: whoever began it may have died. The next rounds make it. The
    /// id, or `None` when there is nothing to back up or nothing new since the last one.
    pub async fn begin(&self, kind: Kind) -> Result<Option<String>, StageError> {
        if let Some(progress) = self.progress().await? {
            return Ok(Some(progress.value.manifest.id));
        }
        let Some(progress) = self.pin(kind, 1).await? else { return Ok(None) };
        let id = progress.manifest.id.clone();
        self.ledger.transact(vec![ledger::put(progress_key(), &progress, Precondition::Absent)]).await?;
        Ok(Some(id))
    }

    async fn progress(&self) -> Result<Option<Stored<Progress>>, StageError> {
        Ok(ledger::read(self.ledger.as_ref(), &progress_key()).await?)
    }

    async fn last(&self) -> Result<Option<Stored<Last>>, StageError> {
        Ok(ledger::read(self.ledger.as_ref(), &last_key()).await?)
    }

    /// When the last full one, and the last one at all, were made.
    pub async fn made_at(&self) -> Result<Vec<(Kind, Millis)>, StageError> {
        let last = self.last().await?.map(|last| last.value);
        Ok(last.map_or(Vec::new(), |last| vec![(Kind::Full, last.full), (Kind::Increment, last.any)]))
    }

    /// What the schedules ask for, if anything.
    async fn due(&self) -> Result<Option<Kind>, StageError> {
        let loaded = self.systems.current().await?;
        let Some(rules) = &loaded.system.backups else { return Ok(None) };
        let Some(last) = self.last().await?.map(|last| last.value) else {
            return Ok((rules.full.is_some() || rules.increment.is_some()).then_some(Kind::Full));
        };
        let now = self.clock.now();
        let due = |schedule: &Option<crate::config::schedule::Schedule>, since| {
            schedule.as_ref().and_then(|schedule| schedule.next_after(since)).is_some_and(|next| next <= now)
        };
        Ok(if due(&rules.full, last.full) {
            Some(Kind::Full)
        } else if due(&rules.increment, last.any) {
            Some(Kind::Increment)
        } else {
            None
        })
    }

    /// Goes on with the backup that is begun, if there is one, then copies it and lets old ones go.
    pub async fn go_on(&self, budget: &Budget) -> Result<Made, StageError> {
        let mut made = Made::default();
        while let Some(progress) = self.progress().await? {
            if budget.is_spent(self.clock.now()) {
                made.continues = true;
                return Ok(made);
            }
            let id = progress.value.manifest.id.clone();
            match self.step(&progress).await {
                Ok(true) => made.made.push(id),
                Ok(false) => {}
                // Somebody else is making the same one.
                Err(StageError::Ledger(error)) if ledger::was_refused(&error) => return Ok(made),
                Err(StageError::Blob(BlobError::Missing(_)) | StageError::Entities(EntitiesError::NoGeneration(_))) => {
                    self.begin_again(&progress).await?;
                }
                Err(error) => return Err(error),
            }
        }
        made.continues = !self.tidy(budget).await?;
        Ok(made)
    }

    /// What was being copied was let go meanwhile: readers see something newer, which is pinned instead.
    async fn begin_again(&self, lost: &Stored<Progress>) -> Result<(), StageError> {
        let Progress { manifest, tries, .. } = &lost.value;
        let unchanged = ledger::unchanged(Some(lost));
        let next = if *tries < TRIES { self.pin(manifest.kind, tries + 1).await? } else { None };
        self.forget_parts(&manifest.id).await?;
        let write = match &next {
            Some(next) => ledger::put(progress_key(), next, unchanged),
            None => {
                tracing::error!(backup = manifest.id, "a backup is given up: what it copies goes missing each time");
                self.meter.count(&metrics::BACKUPS, &[manifest.kind.as_str(), "failed"], 1);
                crate::ports::Write::Delete { key: progress_key(), when: unchanged }
            }
        };
        match self.ledger.transact(vec![write]).await {
            Err(error) if !ledger::was_refused(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Ids sort by the time that they were given out.
    fn new_id(&self, kind: Kind) -> String {
        format!("{}-{:06x}-{}", digits(self.clock.now()), self.entropy.next() & 0xff_ffff, kind.as_str())
    }
}

/// A time as ids begin with it.
fn digits(at: Millis) -> String {
    at.to_string().chars().filter(char::is_ascii_digit).collect()
}
