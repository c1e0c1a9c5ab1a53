//! The fetching of a rebuild: no request at all. The slots of the listing that the active generations began
//! from become the slots of the new run, by reference; from there on it is a full run like any other (P13).

use std::collections::BTreeMap;
use std::time::Duration;

use super::start::Origin;
use super::{Budget, Poll, Polled, page};
use crate::domain::{GenerationId, Millis, Mode, Run, RunId, RunState, SourceId, StreamName, newest_listed};
use crate::mutants::{self, Mutant};
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE, Lease};
use crate::pipeline::ledger::{self, Building, Slot, Stored, StreamProgress};
use crate::pipeline::systems::Loaded;
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::{ItemKey, Precondition};

/// Slots taken over in one transaction.
const SLOTS: usize = 50;

impl Poll {
    /// Starts a rebuild of everything under the configuration in force.
    pub async fn start_rebuild(&self, switch: bool, force: bool, cause: String) -> Result<RunId, StageError> {
        let loaded = self.systems.current().await?;
        let now = self.clock.now();
        let (key, seen) = self.free_to_rebuild().await?;
        let mut origins = BTreeMap::new();
        for name in loaded.system.sources.keys() {
            let source = SourceId::new(name.as_str());
            let origin = self.origin_of(&loaded, &source).await?;
            origins.insert(source, origin);
        }
        let id = self.new_run_id();
        let numbers = ledger::read(self.ledger.as_ref(), &ledger::numbers_key()).await?;
        let (fence, [lease, _]) = lease::take(key, seen.as_ref(), numbers.as_ref(), id.to_string(), now.plus(LEASE), 0);
        let (version, build) = self.new_build(&loaded, &id, numbers.as_ref(), fence, &origins).await?;
        let sources = origins.into_keys().collect();
        let run = Run {
            fence,
            builds: Some(version),
            switch,
            force,
            cause,
            ..Run::begun(id.clone(), Mode::Rebuild, sources, loaded.system.hash.clone(), now)
        };
        let mut writes = vec![lease, ledger::put(ledger::run_key(&id), &run, Precondition::Absent)];
        writes.extend(build);
        self.ledger.transact(writes).await?;
        Ok(id)
    }

    /// The lease of rebuilds and restores as it is, if nothing is being built.
    pub(super) async fn free_to_rebuild(&self) -> Result<(ItemKey, Option<Stored<Lease>>), StageError> {
        let building: Option<Stored<Building>> = ledger::read(self.ledger.as_ref(), &ledger::building_key()).await?;
        if let Some(building) = building {
            let Building { version, run } = building.value;
            return Err(StageError::Busy(format!("{version} is being built by run {run}; wait for it to end")));
        }
        let key = ItemKey::new(ledger::SYSTEM, "rebuild");
        let seen = lease::read(self.ledger.as_ref(), &key).await?;
        if let Some(holder) = seen.as_ref().map(|seen| RunId::new(&seen.value.holder))
            && let Some(before) = ledger::run(self.ledger.as_ref(), &holder).await?
            && before.value.state != RunState::Ended
            && !mutants::on(Mutant::TwoRebuilds)
        {
            // It may have moved the pointer and died: its version is not being built any more, and it still has
            // to end, under the lease that it has.
            return Err(StageError::Busy(format!("{} {holder} has not ended; wait for it", before.value.mode)));
        }
        Ok((key, seen))
    }

    /// What the active generations of a source began from.
    async fn origin_of(&self, loaded: &Loaded, source: &SourceId) -> Result<Origin, StageError> {
        let pointer = ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
        let generations = self.systems.generations_now(pointer.generation_ids()).await?;
        let Some(newest) = newest_listed(&generations, source) else {
            return Ok(Origin { listing: None, floor: Millis(0), since: 0 });
        };
        let origin = Origin { listing: newest.listing.clone(), floor: newest.floor, since: newest.since };
        for stream in loaded.system.streams(&source.name) {
            let listing = newest.listing.as_ref().expect("generations without a listing were left out");
            let listed: Option<Stored<StreamProgress>> =
                ledger::read(self.ledger.as_ref(), &ledger::stream_key(listing, source, &stream)).await?;
            if !listed.is_some_and(|l| l.value.ended) {
                return Err(StageError::Impossible(format!(
                    "stream '{stream}' of source '{}' was never listed, so there is no raw to rebuild from; \
                     run `teal sync {} --full` instead",
                    source.name, source.name
                )));
            }
        }
        Ok(origin)
    }

    pub(super) async fn adopt(&self, run: Stored<Run>, worker: u64, budget: &Budget) -> Result<Polled, StageError> {
        for source in &run.value.sources {
            let Some(listing) = self.listing_of(&run.value, source).await? else { continue };
            for (stream, mut progress) in self.streams_of(&run.value, source).await? {
                while !progress.ended {
                    if budget.is_spent(self.clock.now()) {
                        return self.continue_later(&run.value, Duration::ZERO).await;
                    }
                    self.adopt_slots(&run.value, worker, &listing, source, (&stream, &mut progress)).await?;
                }
            }
        }
        self.fetched(run, None, Vec::new()).await
    }

    /// The run whose pages the new generations of this source are made from; `None` when the source was
    /// never listed, so that its change log is all there is.
    async fn listing_of(&self, run: &Run, source: &SourceId) -> Result<Option<RunId>, StageError> {
        let Some(version) = run.builds else { return Ok(None) };
        let loaded = self.systems.get(&run.config).await?;
        let Some(entity) = loaded.system.fed_by(&source.name).next() else { return Ok(None) };
        let generation = ledger::generation(self.ledger.as_ref(), &GenerationId::new(&entity.name, version)).await?;
        Ok(generation.and_then(|g| g.listing))
    }

    async fn adopt_slots(
        &self,
        run: &Run,
        worker: u64,
        listing: &RunId,
        source: &SourceId,
        (stream, progress): (&StreamName, &mut StreamProgress),
    ) -> Result<(), StageError> {
        let prefix = ledger::slot_prefix(source, stream);
        let after = progress.slots.checked_sub(1).map(|last| format!("{prefix}{last:08}"));
        let items = self.ledger.list(&ledger::run_part(listing), &prefix, after.as_deref(), SLOTS).await?;
        let first = progress.slots;
        let mut writes = Vec::with_capacity(items.len() + 2);
        for item in &items {
            let slot: Slot = ledger::understand(&item.key, &item.value)?;
            let key = ledger::slot_key(&run.id, source, stream, progress.slots);
            writes.push(ledger::put(key, &slot, Precondition::Absent));
            progress.slots += 1;
        }
        progress.ended = items.len() < SLOTS;
        writes.push(ledger::put(ledger::stream_key(&run.id, source, stream), progress, Precondition::None));
        let until = self.clock.now().plus(LEASE);
        writes.push(lease::renew(ledger::run_lease_key(run), run.id.as_str(), run.fence, until, worker));
        self.ledger.transact(writes).await?;
        let pages = (first..progress.slots).map(|slot| Outgoing::now(page(&run.id, source, stream, slot)));
        Ok(send_all(self.queue.as_ref(), pages.collect()).await?)
    }
}
