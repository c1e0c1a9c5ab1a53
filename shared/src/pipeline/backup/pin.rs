//! The moment that a backup shows, written down: the order in which it is read is what makes it one.

use std::collections::{BTreeMap, BTreeSet};

use super::copy::At;
use super::manifest::{BackupManifest, Kind, SourceState, StreamState};
use super::shelf;
use super::{Backups, Last, Progress, last_key};
use crate::domain::{
    ConfigHash, Generation, Millis, Mode, Pointer, Run, RunId, RunState, SourceId, StreamName, newest_listed,
};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, Stored, StreamProgress};
use crate::pipeline::{changelog, lease};
use crate::ports::Precondition;

/// Times that a pin is taken anew because the pointer moved meanwhile.
const TRIES: usize = 5;

impl Backups {
    /// `None` when there is nothing to back up, or for an increment nothing new.
    pub(super) async fn pin(&self, kind: Kind, tries: u32) -> Result<Option<Progress>, StageError> {
        for _ in 0..TRIES {
            let shown = ledger::stored_pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
            let pinned = self.pin_under(kind, tries, &shown.value).await?;
            let now = ledger::stored_pointer(self.ledger.as_ref()).await?;
            if now.is_some_and(|now| now.revision == shown.revision) {
                return Ok(pinned);
            }
        }
        Err(StageError::Busy("versions are being switched all the time; back up later".into()))
    }

    async fn pin_under(&self, kind: Kind, tries: u32, shown: &Pointer) -> Result<Option<Progress>, StageError> {
        let loaded = self.systems.current().await?;
        let generations = self.systems.generations_now(shown.generation_ids()).await?;
        let ids: BTreeSet<&SourceId> = generations.iter().map(|generation| &generation.source).collect();
        let mut sources = Vec::new();
        for id in ids {
            sources.push(self.source(id, &generations).await?);
        }
        let late = self.late(&sources).await?;
        for source in &mut sources {
            source.log[1] = changelog::end(self.ledger.as_ref(), &source.source).await?;
        }
        let at = self.clock.now();
        if sources.iter().all(|source| source.listing.is_none() && source.log[1] == 0) {
            return Ok(None);
        }
        let mut manifest = BackupManifest {
            format: BackupManifest::FORMAT,
            id: String::new(),
            kind,
            system: loaded.system.name.clone(),
            at,
            version: shown.version,
            config: loaded.system.hash.clone(),
            generations,
            sources,
            entities: BTreeMap::new(),
            previous: None,
            parts: Vec::new(),
        };
        if kind == Kind::Increment {
            match self.base(&manifest).await? {
                Some((last, base)) => {
                    for (source, before) in manifest.sources.iter_mut().zip(&base.sources) {
                        source.log[0] = before.log[1];
                    }
                    if late.is_empty() && says_the_same(&manifest, &base) {
                        let checked = Last { any: at, ..last.value.clone() };
                        let write = ledger::put(last_key(), &checked, ledger::unchanged(Some(&last)));
                        self.ledger.transact(vec![write]).await?;
                        return Ok(None);
                    }
                    manifest.previous = Some(last.value.link);
                }
                None => manifest.kind = Kind::Full,
            }
        }
        manifest.id = self.new_id(manifest.kind);
        Ok(Some(Progress { manifest, parts: 0, at: At::Configs, late, began_at: None, tries }))
    }

    /// Everything of a source but where its log ends, which is read last. Cursors are read here, before it.
    async fn source(&self, id: &SourceId, generations: &[Generation]) -> Result<SourceState, StageError> {
        let key = ledger::cursor_key(id, &StreamName::new(""));
        let cursors: Vec<(String, serde_json::Value)> =
            ledger::read_all(self.ledger.as_ref(), &key.part, &key.sort).await?;
        let mut streams: BTreeMap<StreamName, StreamState> = cursors
            .into_iter()
            .map(|(sort, cursor)| {
                (StreamName::new(&sort[key.sort.len()..]), StreamState { pages: 0, cursor: Some(cursor) })
            })
            .collect();
        let newest = newest_listed(generations, id);
        if let Some(listing) = newest.and_then(|newest| newest.listing.as_ref()) {
            for (stream, pages) in self.streams_of(listing, id).await? {
                streams.entry(stream).or_default().pages = pages;
            }
        }
        let since = generations.iter().filter(|generation| generation.source == *id).map(|g| g.since).min();
        Ok(SourceState {
            source: id.clone(),
            listing: newest.and_then(|newest| newest.listing.clone()),
            floor: newest.map_or(Millis(0), |newest| newest.floor),
            log: [since.unwrap_or(0), 0],
            streams,
        })
    }

    async fn streams_of(&self, run: &RunId, source: &SourceId) -> Result<Vec<(StreamName, u64)>, StageError> {
        let key = ledger::stream_key(run, source, &StreamName::new(""));
        let streams: Vec<(String, StreamProgress)> =
            ledger::read_all(self.ledger.as_ref(), &key.part, &key.sort).await?;
        let named = streams.into_iter().map(|(sort, stream)| (StreamName::new(&sort[key.sort.len()..]), stream.slots));
        Ok(named.collect())
    }

    /// The pages behind cursors that may not be in the log yet. Of each source the run that had its lease last: one
    /// before it has ended, and all its pages are in the log.
    async fn late(&self, sources: &[SourceState]) -> Result<Vec<(SourceId, RunId, StreamName, u64)>, StageError> {
        let mut late = Vec::new();
        for SourceState { source, .. } in sources {
            let Some(lease) = lease::read(self.ledger.as_ref(), &ledger::lease_key(source)).await? else { continue };
            let run: Option<Stored<Run>> = ledger::run(self.ledger.as_ref(), &RunId::new(&lease.value.holder)).await?;
            let Some(run) = run.map(|run| run.value) else { continue };
            if run.mode == Mode::Incremental && run.state != RunState::Ended {
                let streams = self.streams_of(&run.id, source).await?;
                let pages = streams.into_iter().filter(|(_, slots)| *slots > 0);
                late.extend(pages.map(|(stream, slots)| (source.clone(), run.id.clone(), stream, slots)));
            }
        }
        Ok(late)
    }

    /// The last backup, if an increment of this can stand on it: it is there, and has the listings that readers see.
    async fn base(&self, now: &BackupManifest) -> Result<Option<(Stored<Last>, BackupManifest)>, StageError> {
        let Some(last) = self.last().await? else { return Ok(None) };
        let Ok(base) = shelf::manifest(self.blobs.as_ref(), &last.value.link).await? else { return Ok(None) };
        let same = base.sources.len() == now.sources.len()
            && base.sources.iter().zip(&now.sources).all(|(before, now)| {
                before.source == now.source
                    && before.listing == now.listing
                    && before.floor == now.floor
                    && before.log[1] >= now.log[0]
                    && before.log[1] <= now.log[1]
            });
        Ok(same.then_some((last, base)))
    }

    /// Notes that a backup was made.
    pub(super) async fn made(&self, manifest: &BackupManifest) -> Result<crate::ports::Write, StageError> {
        let (link, _) = manifest.encode();
        let last = self.last().await?;
        let full = match (manifest.kind, &last) {
            (Kind::Increment, Some(last)) => last.value.full,
            _ => manifest.at,
        };
        let last = Last { link, full, any: manifest.at, tidy: false };
        Ok(ledger::put(last_key(), &last, Precondition::None))
    }
}

fn says_the_same(now: &BackupManifest, base: &BackupManifest) -> bool {
    let cursors = |manifest: &BackupManifest| -> Vec<_> {
        let streams = manifest.sources.iter().flat_map(|source| source.streams.values());
        streams.map(|stream| stream.cursor.clone()).collect()
    };
    let configs = |manifest: &BackupManifest| -> BTreeSet<ConfigHash> { manifest.configs() };
    now.sources.iter().all(|source| source.log[0] == source.log[1])
        && now.generations == base.generations
        && configs(now) == configs(base)
        && cursors(now) == cursors(base)
}
