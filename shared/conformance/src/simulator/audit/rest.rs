//! P12 and P7: nothing waits and nothing is held; each run has ended as what its pages make of it.

use serde_json::Value as Json;
use teal::domain::{Mode, Outcome, RawKey, Run, RunId, RunState, SourceId};
use teal::pipeline::lease::Lease;
use teal::pipeline::ledger::{self, Slot, StreamProgress};
use teal::ports::entities::Gate;
use teal::ports::{BlobError, EntitiesError, ItemKey};

use super::super::oracle::Promise;
use super::{Audit, Failed, sources};

/// The pages of a run, as far as they are kept.
#[derive(Default)]
struct Pages {
    slots: u64,
    done: u64,
    records: u64,
    /// Every stream was listed to its end.
    ended: bool,
    /// Some stream is known.
    known: bool,
    /// Some were let go already.
    pruned: bool,
}

impl Audit<'_> {
    pub(super) async fn nothing_waits(&self) -> Result<(), Failed> {
        let building: Option<ledger::Building> = self.item(&ledger::building_key()).await?;
        self.expect(building.is_none(), Promise::P12, || format!("{building:?} is still being built"))?;
        for run in &self.runs {
            self.expect(run.state == RunState::Ended, Promise::P12, || {
                format!("run {} is still {:?}", run.id, run.state)
            })?;
        }
        let mut leases = vec![ledger::switch_lease_key(), ItemKey::new(ledger::SYSTEM, "rebuild")];
        leases.extend(sources().map(|source| ledger::lease_key(&source)));
        for key in leases {
            let lease: Option<Lease> = self.item(&key).await?;
            self.expect(lease.as_ref().is_none_or(Lease::was_given_back), Promise::P12, || {
                format!("{}/{} was not given back: {lease:?}", key.part, key.sort)
            })?;
        }
        for source in sources() {
            let next: Option<Json> = self.item(&ledger::next_key(&source)).await?;
            self.expect(next.is_none(), Promise::P12, || format!("a sync of {source} still waits for another one"))?;
        }
        for id in self.pointer.generation_ids() {
            match self.stores.entities.head(&id).await {
                Ok(head) => self.expect(head.gate == Gate::Open, Promise::P12, || {
                    format!("{id} is what readers see, and its gate is {:?}", head.gate)
                })?,
                Err(EntitiesError::NoGeneration(_)) => {
                    return Err(self.broken(Promise::P3, format!("{id} is what readers see, and is not there")));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(super) async fn runs_are_honest(&mut self) -> Result<(), Failed> {
        for run in &self.runs {
            self.run_is_honest(run).await?;
        }
        self.seen.runs = self.runs.len();
        Ok(())
    }

    async fn run_is_honest(&self, run: &Run) -> Result<(), Failed> {
        let id = &run.id;
        let Some(outcome) = run.outcome else {
            return Err(self.broken(Promise::P7, format!("run {id} ended without an outcome")));
        };
        let counts = ledger::counts(self.stores.ledger, id).await?;
        self.expect(counts.add_up(), Promise::P7, || format!("the counts of run {id} do not add up: {counts:?}"))?;
        if run.mode == Mode::Rebuild {
            self.expect(counts.requests == 0, Promise::P13, || {
                format!("rebuild {id} made {} requests", counts.requests)
            })?;
        }
        let is_empty = counts.records.fetched == 0 && run.mode != Mode::Incremental;
        self.expect(!outcome.is_success() || (outcome == Outcome::CompleteEmpty) == is_empty, Promise::P7, || {
            format!("run {id} ended {outcome} with {} records", counts.records.fetched)
        })?;
        let mut pages = Pages { ended: true, ..Pages::default() };
        for source in &run.sources {
            self.add_pages(run, source, &mut pages).await?;
        }
        if pages.pruned || (!pages.known && counts.pages > 0) {
            return Ok(());
        }
        self.expect(counts.pages == pages.done, Promise::P7, || {
            format!("run {id} counts {} pages and applied {}", counts.pages, pages.done)
        })?;
        self.expect(counts.records.fetched == pages.records, Promise::P7, || {
            format!("run {id} counts {} records, and its pages hold {}", counts.records.fetched, pages.records)
        })?;
        if outcome.is_success() {
            self.expect(pages.ended, Promise::P7, || {
                format!("run {id} ended {outcome}, and was not listed to its end")
            })?;
            self.expect(pages.done == pages.slots, Promise::P7, || {
                format!("run {id} ended {outcome} with {} of its {} pages applied", pages.done, pages.slots)
            })?;
        }
        Ok(())
    }

    /// Pages are let go slots first, their streams last.
    async fn add_pages(&self, run: &Run, source: &SourceId, pages: &mut Pages) -> Result<(), Failed> {
        let part = ledger::run_part(&run.id);
        let streams = ledger::stream_key(&run.id, source, &"".into()).sort;
        let streams = ledger::read_all::<StreamProgress>(self.stores.ledger, &part, &streams).await?;
        let slots = ledger::read_all::<Slot>(self.stores.ledger, &part, &format!("slot#{source}#")).await?;
        if streams.is_empty() {
            // A rebuild has nothing to adopt of a source that was never listed.
            pages.pruned |= run.mode != Mode::Rebuild;
            return Ok(());
        }
        let filled = streams.iter().map(|(_, progress)| progress.slots).sum::<u64>();
        pages.known = true;
        pages.pruned |= filled != slots.len() as u64;
        pages.ended &= streams.iter().all(|(_, progress)| progress.ended);
        pages.slots += filled;
        for (sort, slot) in slots {
            let done: Option<bool> = self.item(&ItemKey::new(&part, sort.replacen("slot#", "done#", 1))).await?;
            if done.is_some() {
                pages.done += 1;
                match self.records_in(&slot.raw).await? {
                    Some(records) => pages.records += records,
                    None => pages.pruned = true,
                }
            }
        }
        Ok(())
    }

    /// How many records a stored page holds; `None` when it was let go.
    async fn records_in(&self, raw: &RawKey) -> Result<Option<u64>, Failed> {
        let bytes = match self.stores.blobs.get(&raw.0).await {
            Ok(bytes) => bytes,
            Err(BlobError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        let body: Json = serde_json::from_slice(&bytes[end..]).unwrap_or_default();
        Ok(Some(body["data"].as_array().map_or(0, |records| records.len() as u64)))
    }

    /// The raw objects of a complete listing.
    pub(super) async fn slots_of(&self, run: &RunId, source: &SourceId) -> Result<Vec<RawKey>, Failed> {
        let prefix = format!("slot#{source}#");
        let slots = ledger::read_all::<Slot>(self.stores.ledger, &ledger::run_part(run), &prefix).await?;
        Ok(slots.into_iter().map(|(_, slot)| slot.raw).collect())
    }
}
