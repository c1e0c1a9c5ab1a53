//! Letting go: versions beyond those that are kept, their generations, and raw that no kept version can be
//! made again from.
//!
//! Raw is kept by reachability: for each of the last `versions.raw` versions, the complete listing that its
//! generations began from, and every change-log entry since. Runs are kept as history, without their pages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Upkeep;
use crate::config::Versions;
use crate::domain::{
    EntityName, Generation, GenerationId, Manifest, Millis, Mode, Pointer, Run, RunId, RunState, SourceId, Version,
    VersionState,
};
use crate::mutants::{self, Mutant};
use crate::pipeline::changelog::{self, CLOCK_SKEW};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;
use crate::pipeline::poll::Budget;
use crate::ports::entities::Dropped;
use crate::ports::ledger::{ItemKey, MAX_WRITES, Write};
use crate::ports::{BlobError, Precondition};

/// Rows deleted at once, so that nobody waits long for the store.
const SLICE: usize = 2000;
/// No deployment takes so long.
const DEPLOYMENT: Duration = Duration::from_secs(3600);
/// Nobody who lost a run goes on for so long: a page that such a one stores belongs to nothing.
const LAST_PAGE: Duration = Duration::from_secs(3600);
/// Entries of a change log taken out at once.
const AT_ONCE: usize = 50;
/// Runs kept as history.
const RUNS: usize = 500;

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Freed {
    pub versions: Vec<Version>,
    pub generations: Vec<String>,
    pub raw: u64,
}

/// What the kept versions need of raw.
#[derive(Debug, Default)]
struct Needed {
    listings: BTreeSet<RunId>,
    /// Per source, the first change-log entry that somebody may still replay.
    since: BTreeMap<SourceId, u64>,
}

/// Whether a version that waits to be switched to would take readers back: something that it built was built
/// again since, and is active or waits as well. What another source built meanwhile does not matter to it.
fn is_overtaken(waiting: &Manifest, shown: &BTreeMap<EntityName, u32>, ready: &[Manifest]) -> bool {
    let newer = ready.iter().filter(|other| other.version > waiting.version).map(Manifest::own_generations);
    waiting.overtaken(shown).is_some() || newer.into_iter().any(|own| waiting.overtaken(&own).is_some())
}

/// Of versions, the newest first, those that are among the last so many. A full run that confirmed one counts as one:
/// else what came before would be kept, with everything since, for as long as nothing changes.
fn among_the_last<T>(many: u32, newest: impl Iterator<Item = (T, u32)>) -> impl Iterator<Item = T> {
    let counted = newest.scan(0_u32, move |before, (version, confirmed)| {
        let is_among = *before < many;
        *before = before.saturating_add(1).saturating_add(confirmed);
        is_among.then_some(version)
    });
    counted.fuse()
}

impl Upkeep {
    pub(super) async fn let_go(&self, budget: &Budget) -> Result<Freed, StageError> {
        let Some(pointer) = ledger::pointer(self.ledger.as_ref()).await? else { return Ok(Freed::default()) };
        let rules = self.systems.current().await?.system.versions.clone();
        // Before the versions: of a run that is over by now, every version is in the list that is read next.
        let mut runs = ledger::read_all::<Run>(self.ledger.as_ref(), ledger::RUN, "").await?;
        let mut manifests = ledger::manifests(self.ledger.as_ref()).await?;
        let mut freed = Freed { versions: self.retire(&mut manifests, &pointer, &rules).await?, ..Freed::default() };
        self.drop_generations(&manifests, &mut freed, budget).await?;
        let needed = self.needed(&manifests, &rules).await?;
        self.prune_log(&needed, &mut freed, budget).await?;
        if mutants::on(Mutant::RunsListedLast) {
            runs = ledger::read_all::<Run>(self.ledger.as_ref(), ledger::RUN, "").await?;
        }
        self.prune_runs(runs, &manifests, &needed, &mut freed, budget).await?;
        Ok(freed)
    }

    /// Retires versions that are neither active, nor among those kept to roll back to, nor within the grace
    /// period; drops builds that a newer version has overtaken.
    async fn retire(
        &self,
        manifests: &mut [Manifest],
        active: &Pointer,
        rules: &Versions,
    ) -> Result<Vec<Version>, StageError> {
        let now = self.clock.now();
        let mut previous: Vec<(Millis, Version)> = manifests
            .iter()
            .filter(|m| m.state == VersionState::Previous)
            .map(|m| (m.deactivated.unwrap_or_default(), m.version))
            .collect();
        previous.sort_by(|a, b| b.cmp(a));
        let shown = manifests.iter().find(|m| m.version == active.version);
        let confirmed = |version: &Version| manifests.iter().find(|m| m.version == *version).map_or(0, |m| m.confirmed);
        let newest = previous.iter().map(|(_, version)| (*version, confirmed(version)));
        let newest = shown.map(|m| (m.version, m.confirmed)).into_iter().chain(newest);
        let kept: BTreeSet<Version> = among_the_last(rules.keep, newest).collect();
        let ready: Vec<Manifest> = manifests.iter().filter(|m| m.state == VersionState::Ready).cloned().collect();
        let listed = if ready.is_empty() { BTreeMap::new() } else { self.systems.listed_by(active).await? };
        let mut gone = Vec::new();
        for manifest in manifests {
            let next = match manifest.state {
                VersionState::Previous
                    if !kept.contains(&manifest.version)
                        && manifest.deactivated.unwrap_or_default().plus(rules.grace) < now =>
                {
                    VersionState::Retired
                }
                VersionState::Ready if is_overtaken(manifest, &listed, &ready) => VersionState::Dropped,
                // A deployment that died before it moved the pointer: builds have a run.
                VersionState::Building if manifest.run.is_none() && manifest.created.plus(DEPLOYMENT) < now => {
                    VersionState::Dropped
                }
                _ => continue,
            };
            let key = ledger::version_key(manifest.version);
            let Some(seen) = ledger::read::<Manifest>(self.ledger.as_ref(), &key).await? else { continue };
            // Somebody may have gone to it and left it again.
            if seen.value != *manifest {
                continue;
            }
            manifest.state = next;
            let write = ledger::put(key, manifest, ledger::unchanged(Some(&seen)));
            match self.ledger.transact(vec![write]).await {
                Ok(()) => gone.push(manifest.version),
                Err(error) if ledger::was_refused(&error) => manifest.state = seen.value.state,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(gone)
    }

    /// Drops every stored generation that no version that can still be read names.
    async fn drop_generations(
        &self,
        manifests: &[Manifest],
        freed: &mut Freed,
        budget: &Budget,
    ) -> Result<(), StageError> {
        let named: BTreeSet<GenerationId> = manifests
            .iter()
            .filter(|m| !matches!(m.state, VersionState::Retired | VersionState::Dropped))
            .flat_map(Manifest::generation_ids)
            .collect();
        // A manifest is written before its generations are made, so one of an unknown version is newer than
        // the list we read, not an orphan.
        let known: BTreeSet<u32> = manifests.iter().map(|m| m.version.0).collect();
        for id in self.entities.generations().await? {
            if named.contains(&id) || !known.contains(&id.number) {
                continue;
            }
            while self.entities.drop_slice(&id, SLICE).await? == Dropped::More {
                if budget.is_spent(self.clock.now()) {
                    return Ok(());
                }
            }
            freed.generations.push(id.to_string());
        }
        Ok(())
    }

    async fn needed(&self, manifests: &[Manifest], rules: &Versions) -> Result<Needed, StageError> {
        let mut needed = Needed::default();
        let readable = |m: &&Manifest| !matches!(m.state, VersionState::Retired | VersionState::Dropped);
        let was_visible = |m: &&Manifest| m.activated.is_some();
        let last = manifests.iter().rev().filter(was_visible).map(|manifest| (manifest, manifest.confirmed));
        let last = among_the_last(rules.raw, last);
        // Versions share generations: each is asked for once.
        let kept = manifests.iter().filter(readable).chain(last);
        let ids: BTreeSet<GenerationId> = kept.flat_map(Manifest::generation_ids).collect();
        for generation in self.systems.generations_now(ids.into_iter().collect()).await? {
            let Generation { source, listing, since, .. } = generation;
            needed.listings.extend(listing.filter(|_| !mutants::on(Mutant::RawLetGo)));
            let first = needed.since.entry(source).or_insert(since);
            *first = since.min(*first);
        }
        // Who rolls back replays from a little before the version ceased to be active.
        for manifest in manifests.iter().filter(readable) {
            let Some(time) = manifest.deactivated else { continue };
            for (source, first) in &mut needed.since {
                let start = changelog::first_since(self.ledger.as_ref(), source, time.minus(CLOCK_SKEW)).await?;
                *first = start.min(*first);
            }
        }
        Ok(needed)
    }

    /// Lets go of entries that nobody replays any more, and of their raw. Each is taken out of the log before anything
    /// of it is deleted, and noted: whoever needs older entries from now on finds it whole or not at all, and what
    /// somebody who died began is ended here.
    async fn prune_log(&self, needed: &Needed, freed: &mut Freed, budget: &Budget) -> Result<(), StageError> {
        for (source, first) in &needed.since {
            loop {
                let left = self.let_leave(source, freed).await?;
                let entries = changelog::entries(self.ledger.as_ref(), source, 0, AT_ONCE).await?;
                let old: Vec<_> = entries.into_iter().filter(|(number, _)| number < first).collect();
                if (old.is_empty() && left < AT_ONCE) || budget.is_spent(self.clock.now()) {
                    break;
                }
                for (number, entry) in old {
                    match changelog::take_out(self.ledger.as_ref(), source, number, &entry).await {
                        // Somebody enters it again. The next round sees what became of it.
                        Err(StageError::Ledger(error)) if ledger::was_refused(&error) => {}
                        taken => taken?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Deletes what was taken out of a source's log. Says how many there were to look at.
    async fn let_leave(&self, source: &SourceId, freed: &mut Freed) -> Result<usize, StageError> {
        let leaving = changelog::leaving(self.ledger.as_ref(), source, AT_ONCE).await?;
        for entry in &leaving {
            // One that was entered again under a later number still needs its raw.
            let stays = changelog::entered_at(self.ledger.as_ref(), source, &entry.raw).await?.is_some();
            if !stays {
                self.delete_raw(&entry.raw.0, freed).await?;
            }
            changelog::has_left(self.ledger.as_ref(), source, &entry.raw, stays).await?;
        }
        Ok(leaving.len())
    }

    /// What was rejected of it goes first: without the raw there is nothing to mend and replay.
    async fn delete_raw(&self, key: &str, freed: &mut Freed) -> Result<(), StageError> {
        loop {
            let rejects = self.ledger.list(ledger::REJECT, &format!("{key}#"), None, MAX_WRITES).await?;
            if rejects.is_empty() {
                break;
            }
            let deletes = rejects.into_iter().map(|item| Write::Delete { key: item.key, when: Precondition::None });
            self.ledger.transact(deletes.collect()).await?;
        }
        match self.blob_admin.delete(key).await {
            Ok(()) | Err(BlobError::Missing(_)) => {
                freed.raw += 1;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes the pages of runs that are over and whose listing nobody needs, and forgets the oldest runs.
    async fn prune_runs(
        &self,
        runs: Vec<(String, Run)>,
        manifests: &[Manifest],
        needed: &Needed,
        freed: &mut Freed,
        budget: &Budget,
    ) -> Result<(), StageError> {
        let too_many = runs.len().saturating_sub(RUNS);
        let in_use: BTreeSet<&RunId> = manifests.iter().filter_map(|m| m.run.as_ref()).collect();
        for (index, (_, run)) in runs.into_iter().enumerate() {
            if budget.is_spent(self.clock.now()) {
                return Ok(());
            }
            if run.state != RunState::Ended || needed.listings.contains(&run.id) {
                continue;
            }
            if !run.tidied {
                self.delete_pages(&run, freed).await?;
                self.mark_tidied(&run).await?;
            }
            if index < too_many && !in_use.contains(&run.id) {
                let writes = vec![
                    Write::Delete { key: ledger::counts_key(&run.id), when: Precondition::None },
                    Write::Delete { key: ledger::settling_key(&run.id), when: Precondition::None },
                    Write::Delete { key: ledger::restore_key(&run.id), when: Precondition::None },
                    Write::Delete { key: ledger::run_key(&run.id), when: Precondition::None },
                ];
                self.ledger.transact(writes).await?;
            }
        }
        Ok(())
    }

    /// So that nobody looks for its pages again. Not before the last who may still have stored one is gone.
    async fn mark_tidied(&self, run: &Run) -> Result<(), StageError> {
        if run.ended.is_none_or(|ended| self.clock.now() < ended.plus(LAST_PAGE)) {
            return Ok(());
        }
        let key = ledger::run_key(&run.id);
        let Some(seen) = ledger::read::<Run>(self.ledger.as_ref(), &key).await? else { return Ok(()) };
        let tidied = Run { tidied: true, ..seen.value.clone() };
        match self.ledger.transact(vec![ledger::put(key, &tidied, ledger::unchanged(Some(&seen)))]).await {
            Err(error) if !ledger::was_refused(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn delete_pages(&self, run: &Run, freed: &mut Freed) -> Result<(), StageError> {
        let part = ledger::run_part(&run.id);
        for prefix in ["slot#", "done#", ledger::HELD, "differs", "stream#"] {
            loop {
                let items = self.ledger.list(&part, prefix, None, MAX_WRITES).await?;
                if items.is_empty() {
                    break;
                }
                let deletes = items.into_iter().map(|item| Write::Delete {
                    key: ItemKey::new(part.clone(), item.key.sort),
                    when: Precondition::None,
                });
                self.ledger.transact(deletes.collect()).await?;
            }
        }
        // The pages of a rebuild belong to the listing that it adopted them from.
        if run.mode == Mode::Rebuild {
            return Ok(());
        }
        for source in &run.sources {
            let prefix = format!("raw/{source}/run/{}/", run.id);
            let mut after: Option<String> = None;
            loop {
                let keys = self.blobs.list(&prefix, after.as_deref(), ledger::PAGE).await?;
                let Some(last) = keys.last() else { break };
                after = Some(last.clone());
                for key in keys {
                    // Pages of incremental runs live as long as their change-log entries.
                    let raw = crate::domain::RawKey(key);
                    if changelog::entered_at(self.ledger.as_ref(), source, &raw).await?.is_none() {
                        self.delete_raw(&raw.0, freed).await?;
                    }
                }
            }
        }
        Ok(())
    }
}
