//! The fetching of a restore: pages come from a backup's parts. They become slots of this run, under keys of its
//! own; what was in the change log is entered in it again. From there on it is a full run like any other.
//!
//! Always holds: each part is checked before anything of it counts; slots and entries are counted in the transaction
//! that makes them, so that whoever goes on repeats none; a damaged backup fails the run, and readers see nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::start::next_version;
use super::{Budget, Poll, Polled, page};
use crate::config::Bundle;
use crate::domain::raw::{RawFrom, RawHead};
use crate::domain::row::first_eight;
use crate::domain::{Generation, GenerationId, Mode, Raw, RawKey, Run, RunId, SourceId, StreamName};
use crate::pipeline::backup::{BackupManifest, Chain, Holds, Kind, Pack, SourceState};
use crate::pipeline::changelog;
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE};
use crate::pipeline::ledger::{self, Slot, Stored, StreamProgress};
use crate::pipeline::systems::Loaded;
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::{LedgerError, Precondition, Write};

/// Slots or entries made in one transaction.
const AT_ONCE: usize = 30;
/// Times that entries are tried to be added while somebody else adds some.
const TRIES: usize = 20;

/// What a run restores, and how far it is: how much of the change log is entered, by source, and how many parts were
/// looked at of those that are only checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Restore {
    backup: String,
    changes: BTreeMap<String, u64>,
    checked: usize,
}

type Streams = BTreeMap<(SourceId, StreamName), StreamProgress>;

/// A run at work on its restore.
struct At<'a> {
    run: &'a Run,
    worker: u64,
    streams: Streams,
    restore: Restore,
}

impl At<'_> {
    fn progress(&mut self, source: &SourceId, stream: &StreamName) -> &mut StreamProgress {
        self.streams.entry((source.clone(), stream.clone())).or_default()
    }

    fn lease(&self, now: crate::domain::Millis) -> Write {
        let run = self.run;
        lease::renew(ledger::run_lease_key(run), run.id.as_str(), run.fence, now.plus(LEASE), self.worker)
    }
}

impl Poll {
    /// Starts restoring a backup, the newest one if none is named. Gives the run and what it restores.
    pub async fn start_restore(
        &self,
        backup: Option<&str>,
        switch: bool,
        force: bool,
        cause: String,
    ) -> Result<(RunId, String), StageError> {
        let chain = self.shelf.chain(backup).await?;
        let newest = chain.newest();
        let loaded = self.systems.current().await?;
        let pointer = ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
        let now = self.clock.now();
        let (key, seen) = self.free_to_rebuild().await?;
        self.put_configs(&chain).await?;
        let id = self.new_run_id();
        let numbers = ledger::read(self.ledger.as_ref(), &ledger::numbers_key()).await?;
        let (fence, [lease, _]) = lease::take(key, seen.as_ref(), numbers.as_ref(), id.to_string(), now.plus(LEASE), 0);
        let version = next_version(&pointer, numbers.as_ref());
        let mut own = restored(newest, &loaded, now);
        for generation in &mut own {
            generation.id.number = version.0;
            generation.listing = Some(id.clone());
            generation.since = changelog::end(self.ledger.as_ref(), &generation.source).await?;
        }
        let sources: BTreeSet<_> = own.iter().map(|generation| generation.source.clone()).collect();
        let sources = sources.into_iter().collect();
        let run = Run {
            fence,
            builds: Some(version),
            switch,
            force,
            cause,
            ..Run::begun(id.clone(), Mode::Restore, sources, loaded.system.hash.clone(), now)
        };
        // In the place where it was found, also when this goes on.
        let backup = format!("{}/{}", chain.place, newest.id);
        let restore = Restore { backup, changes: BTreeMap::new(), checked: 0 };
        let mut writes = vec![
            lease,
            ledger::put(ledger::run_key(&id), &run, Precondition::Absent),
            ledger::put(ledger::restore_key(&id), &restore, Precondition::Absent),
        ];
        writes.extend(self.build_of(&loaded, &id, numbers.as_ref(), fence, &pointer, own));
        self.ledger.transact(writes).await?;
        Ok((id, newest.id.clone()))
    }

    /// The configurations that the backup's generations follow.
    async fn put_configs(&self, chain: &Chain) -> Result<(), StageError> {
        for bundle in bundles(chain).await? {
            self.blobs.put_if_absent(&Bundle::blob_key(&bundle.hash()), bundle.encode().into()).await?;
        }
        Ok(())
    }

    pub(super) async fn restore(&self, run: Stored<Run>, worker: u64, budget: &Budget) -> Result<Polled, StageError> {
        let key = ledger::restore_key(&run.value.id);
        let restore: Stored<Restore> = ledger::read(self.ledger.as_ref(), &key)
            .await?
            .ok_or_else(|| StageError::Impossible(format!("run '{}' does not say what it restores", run.value.id)))?;
        let chain = self.shelf.chain(Some(&restore.value.backup)).await?;
        let loaded = self.systems.get(&run.value.config).await?;
        let mut at = At { run: &run.value, worker, streams: Streams::new(), restore: restore.value };
        for source in &run.value.sources {
            for (stream, progress) in self.known_streams(&run.value, source).await? {
                at.streams.insert((source.clone(), stream), progress);
            }
        }
        let rows_only = chain.newest().kind == Kind::Import;
        let mut changes: BTreeMap<String, u64> = BTreeMap::new();
        let mut tables: BTreeMap<(SourceId, StreamName), u64> = BTreeMap::new();
        for (n, part) in chain.links.iter().flat_map(|link| &link.parts).enumerate() {
            if budget.is_spent(self.clock.now()) {
                return self.continue_later(&run.value, Duration::ZERO).await;
            }
            match &part.holds {
                Holds::Configs | Holds::Rows { .. } if !rows_only => {
                    if n >= at.restore.checked {
                        chain.part(part).await?;
                        at.restore.checked = n + 1;
                        let write = ledger::put(key.clone(), &at.restore, Precondition::None);
                        self.ledger.transact(vec![write, at.lease(self.clock.now())]).await?;
                    }
                }
                Holds::Configs => {}
                Holds::Rows { entity } => {
                    let Some(entity) = loaded.system.entity(entity) else { continue };
                    let (source, stream) = (SourceId::new(entity.source.as_str()), entity.stream.clone());
                    let nth = tables.entry((source.clone(), stream.clone())).or_default();
                    let first = std::mem::replace(nth, *nth + 1);
                    if first >= at.progress(&source, &stream).slots {
                        let raw = rows(&run.value, &source, &stream, chain.part(part).await?);
                        self.restore_pages(&mut at, &source, &stream, vec![raw]).await?;
                    }
                }
                Holds::Pages { source, stream, first } => {
                    let have = at.progress(source, stream).slots;
                    if have < first + part.items {
                        let pages = Pack::read(&chain.part(part).await?)?;
                        let skip = usize::try_from(have.saturating_sub(*first)).unwrap_or(usize::MAX);
                        let pages = pages.into_iter().skip(skip).map(|(_, bytes)| bytes).collect();
                        self.restore_pages(&mut at, source, stream, pages).await?;
                    }
                }
                Holds::Changes { source } => {
                    let name = source.to_string();
                    let counted = changes.entry(name.clone()).or_default();
                    let first = std::mem::replace(counted, *counted + part.items);
                    let have = at.restore.changes.get(&name).copied().unwrap_or_default();
                    if have < first + part.items {
                        let raws = Pack::read(&chain.part(part).await?)?;
                        let skip = usize::try_from(have.saturating_sub(first)).unwrap_or(usize::MAX);
                        self.restore_changes(&mut at, source, raws.into_iter().skip(skip).collect()).await?;
                    }
                }
            }
        }
        self.end_streams(&mut at, chain.newest(), &loaded).await?;
        drop(at);
        self.fetched(run, None, Vec::new()).await
    }

    /// Puts pages into the next slots of a stream.
    async fn restore_pages(
        &self,
        at: &mut At<'_>,
        source: &SourceId,
        stream: &StreamName,
        pages: Vec<Bytes>,
    ) -> Result<(), StageError> {
        let run = &at.run.id.clone();
        for pages in pages.chunks(AT_ONCE) {
            let first = at.progress(source, stream).slots;
            let keys: Vec<(u64, RawKey)> = (first..)
                .zip(pages)
                .map(|(slot, page)| (slot, RawKey::page(source, run, stream, slot, first_eight(&Sha256::digest(page)))))
                .collect();
            let puts = keys.iter().zip(pages).map(|((_, key), page)| self.blobs.put_if_absent(&key.0, page.clone()));
            try_join_all(puts).await?;
            let mut writes: Vec<Write> = keys
                .iter()
                .map(|(slot, raw)| {
                    let slot = ledger::slot_key(run, source, stream, *slot);
                    ledger::put(slot, &Slot { raw: raw.clone() }, Precondition::Absent)
                })
                .collect();
            let mut progress = at.progress(source, stream).clone();
            progress.slots += pages.len() as u64;
            writes.push(ledger::put(ledger::stream_key(run, source, stream), &progress, Precondition::None));
            writes.push(at.lease(self.clock.now()));
            self.ledger.transact(writes).await?;
            *at.progress(source, stream) = progress;
            let messages = keys.iter().map(|(slot, _)| Outgoing::now(page(run, source, stream, *slot)));
            send_all(self.queue.as_ref(), messages.collect()).await?;
        }
        Ok(())
    }

    /// Enters raw objects in the change log, each under the key that it had.
    async fn restore_changes(
        &self,
        at: &mut At<'_>,
        source: &SourceId,
        raws: Vec<(RawKey, Bytes)>,
    ) -> Result<(), StageError> {
        for raws in raws.chunks(AT_ONCE) {
            try_join_all(raws.iter().map(|(key, bytes)| self.blobs.put_if_absent(&key.0, bytes.clone()))).await?;
            let keys: Vec<RawKey> = raws.iter().map(|(key, _)| key.clone()).collect();
            let mut restore = at.restore.clone();
            *restore.changes.entry(source.to_string()).or_default() += keys.len() as u64;
            let head = ledger::log_head_key(source);
            let mut tries = 0;
            loop {
                let now = self.clock.now();
                let mut writes = changelog::appended(self.ledger.as_ref(), source, &keys, now).await?;
                writes.push(ledger::put(ledger::restore_key(&at.run.id), &restore, Precondition::None));
                writes.push(at.lease(now));
                match self.ledger.transact(writes).await {
                    Err(LedgerError::Refused { key, .. }) if key == head && tries < TRIES => tries += 1,
                    done => break done?,
                }
            }
            at.restore = restore;
        }
        Ok(())
    }

    /// Says of every stream that it is complete, and where its next incremental run goes on.
    async fn end_streams(&self, at: &mut At<'_>, backup: &BackupManifest, loaded: &Loaded) -> Result<(), StageError> {
        let mut names: BTreeMap<(SourceId, StreamName), Option<serde_json::Value>> = BTreeMap::new();
        for source in &at.run.sources {
            names.extend(loaded.system.streams(&source.name).into_iter().map(|name| ((source.clone(), name), None)));
        }
        for SourceState { source, streams, .. } in &backup.sources {
            let cursors = streams.iter().map(|(name, s)| ((source.clone(), name.clone()), s.cursor.clone()));
            names.extend(cursors);
        }
        for ((source, stream), cursor) in names {
            let progress = StreamProgress { ended: true, cursor, ..at.progress(&source, &stream).clone() };
            let key = ledger::stream_key(&at.run.id, &source, &stream);
            let write = ledger::put(key, &progress, Precondition::None);
            self.ledger.transact(vec![write, at.lease(self.clock.now())]).await?;
        }
        Ok(())
    }
}

/// The configurations in a backup.
pub(in crate::pipeline) async fn bundles(chain: &Chain) -> Result<Vec<Bundle>, StageError> {
    let mut out = Vec::new();
    for part in chain.newest().parts.iter().filter(|part| part.holds == Holds::Configs) {
        for (key, bytes) in Pack::read(&chain.part(part).await?)? {
            out.push(Bundle::decode(&bytes).map_err(|error| {
                StageError::Impossible(format!("'{key}' in the backup is no configuration: {error}"))
            })?);
        }
    }
    Ok(out)
}

/// The generations that a restore makes, but for their numbers, their listing and where they go on in the log. An
/// entity that was declared since its source was listed gets the listing as well, as a rebuild would give it.
fn restored(backup: &BackupManifest, loaded: &Loaded, now: crate::domain::Millis) -> Vec<Generation> {
    if backup.kind == Kind::Import {
        let of = |entity: &crate::config::Entity| Generation {
            id: GenerationId { entity: entity.name.clone(), number: 0 },
            source: SourceId::new(entity.source.as_str()),
            config: loaded.system.hash.clone(),
            floor: now,
            listing: None,
            since: 0,
            confirmed: None,
        };
        return loaded.system.entities.iter().map(of).collect();
    }
    let floor =
        |source: &SourceId| backup.sources.iter().find(|state| state.source == *source).map(|state| state.floor);
    let generations = backup.generations.iter().cloned();
    let made = |g: Generation| Generation { floor: floor(&g.source).unwrap_or(g.floor), confirmed: None, ..g };
    generations.map(made).collect()
}

/// A part of rows as the raw of a page.
fn rows(run: &Run, source: &SourceId, stream: &StreamName, body: Bytes) -> Bytes {
    let head = RawHead {
        source: source.clone(),
        stated: run.started,
        from: RawFrom::Rows { stream: stream.clone() },
        headers: Vec::new(),
        sha256: format!("{:x}", Sha256::digest(&body)),
    };
    Raw { head, body }.encode()
}
