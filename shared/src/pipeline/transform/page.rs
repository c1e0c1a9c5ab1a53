//! A page of a run. Of a full run or a rebuild it goes into the generations that the run builds; of an
//! incremental run it is a change, like a delivery. While a full run finds nothing but what readers have, its pages
//! are held back.

use super::Transform;
use super::apply::{Applied, Job, apply};
use crate::domain::{Generation, Mode, Outcome, Raw, RawKey, Run, RunId, RunState, SourceId, StreamName};
use crate::metrics;
use crate::mutants::{self, Mutant};
use crate::pipeline::confirm::{self, Held};
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE};
use crate::pipeline::ledger::{self, Slot, Stored};
use crate::ports::entities::Writer;
use crate::ports::{EntitiesError, ItemKey, LedgerError, Precondition, Write};

/// Where a page is.
pub(super) struct Page<'a> {
    pub done: ItemKey,
    pub source: &'a SourceId,
    pub stream: &'a StreamName,
    pub slot: u64,
}

impl Page<'_> {
    fn held_key(&self, run: &RunId) -> ItemKey {
        ledger::held_key(run, self.source, self.stream, self.slot)
    }
}

/// What became of a page.
#[derive(Default)]
pub(super) struct Done {
    pub applied: Applied,
    /// Set when it was held back.
    pub held: Option<Held>,
}

impl Transform {
    pub(super) async fn page(
        &self,
        id: &RunId,
        source: &SourceId,
        stream: &StreamName,
        slot: u64,
    ) -> Result<(), StageError> {
        let Some(stored) = ledger::run(self.ledger.as_ref(), id).await? else { return Ok(()) };
        let run = &stored.value;
        ledger::note(run);
        if run.state == RunState::Ended {
            return Ok(());
        }
        let page = Page { done: ledger::done_key(id, source, stream, slot), source, stream, slot };
        let is_done = self.ledger.get(&page.done).await?.is_some();
        let held = if is_done { self.to_be_applied_after_all(run, &page).await? } else { None };
        let again = held.is_some();
        if !is_done || again {
            let slot: Slot = ledger::read(self.ledger.as_ref(), &ledger::slot_key(id, source, stream, slot))
                .await?
                .ok_or_else(|| StageError::Impossible(format!("run '{id}' has no page {slot} of '{stream}'")))?
                .value;
            let (done, trouble) = match self.apply_page(run, &page, &slot.raw, !again).await {
                // The run ended meanwhile, and its generations with it.
                Ok(None) => return Ok(()),
                Ok(Some(done)) => {
                    let unreadable = done.applied.unreadable.clone();
                    (done, unreadable)
                }
                // Trying again gives the same. Left undone, it would keep the run from ever ending.
                Err(error) if error.is_final() => (Done::default(), Some(error.to_string())),
                Err(error) => return Err(error),
            };
            let trouble = trouble.map(|why| format!("page {} can't be applied: {why}", slot.raw));
            self.mark_done(&stored, &page, held, done, trouble).await?;
        }
        if again && confirm::are_left(self.ledger.as_ref(), id).await? {
            return Ok(());
        }
        let run = ledger::run(self.ledger.as_ref(), id).await?.map_or(stored.value, |r| r.value);
        super::settle_if_sealed(self.ledger.as_ref(), self.queue.as_ref(), &run).await
    }

    /// The page as it is held back, if it is and should not be any more.
    async fn to_be_applied_after_all(&self, run: &Run, page: &Page<'_>) -> Result<Option<Stored<Held>>, StageError> {
        let held = ledger::read(self.ledger.as_ref(), &page.held_key(&run.id)).await?;
        Ok(match held {
            Some(held) if confirm::are_to_be_applied(self.ledger.as_ref(), &run.id).await? => Some(held),
            _ => None,
        })
    }

    /// `None` when there is nothing left to apply it to.
    async fn apply_page(
        &self,
        run: &Run,
        page: &Page<'_>,
        key: &RawKey,
        may_hold: bool,
    ) -> Result<Option<Done>, StageError> {
        let raw = Raw::decode(&self.blobs.get(&key.0).await?)?;
        match run.mode {
            Mode::Incremental => {
                let applied = self.change(page.source, key, &raw, Some(&run.id)).await?;
                Ok(Some(Done { applied, held: None }))
            }
            Mode::Full | Mode::Rebuild | Mode::Restore => self.build(run, page, key, &raw, may_hold).await,
        }
    }

    async fn build(
        &self,
        run: &Run,
        page: &Page<'_>,
        key: &RawKey,
        raw: &Raw,
        may_hold: bool,
    ) -> Result<Option<Done>, StageError> {
        let generations = self.built_by(run, page.source).await?;
        let writer = Writer::Build(run.fence);
        let job = Job { key, raw, generations: &generations, writer, run: Some(&run.id), now: self.clock.now() };
        if may_hold && let Some(done) = self.found_as_it_is(run, page, &job).await? {
            return Ok(Some(done));
        }
        match apply(&self.systems, self.ledger.as_ref(), self.entities.as_ref(), job).await {
            Ok(applied) => Ok(Some(Done { applied, held: None })),
            Err(error @ StageError::Entities(EntitiesError::StaleBuilder { .. } | EntitiesError::NoGeneration(_))) => {
                let now = ledger::run(self.ledger.as_ref(), &run.id).await?.map(|r| r.value);
                if now.is_none_or(|now| now.state == RunState::Ended) { Ok(None) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// The generations that a run makes from this source.
    async fn built_by(&self, run: &Run, source: &SourceId) -> Result<Vec<Generation>, StageError> {
        let Some(version) = run.builds else { return Ok(Vec::new()) };
        let manifest = ledger::manifest(self.ledger.as_ref(), version).await?.ok_or(StageError::NoVersion(version))?;
        let mut own = manifest.generation_ids();
        own.retain(|id| id.number == version.0);
        let mut generations = self.systems.generations(own).await?;
        generations.retain(|g| g.source == *source);
        Ok(generations)
    }

    /// Marks the page as applied and adds its counts, once, whatever is redelivered. Once fetching is over
    /// this prolongs the run's lease: a run that is being applied is not dead. A page in trouble fails the run, which is then not complete.
    async fn mark_done(
        &self,
        stored: &Stored<Run>,
        page: &Page<'_>,
        before: Option<Stored<Held>>,
        Done { mut applied, held }: Done,
        trouble: Option<String>,
    ) -> Result<(), StageError> {
        let (run, source) = (&stored.value, page.source);
        applied.counts.pages = 1;
        if run.builds.is_some() {
            // Rows that came and went within the build; readers never had them.
            applied.counts.entities.values_mut().for_each(|rows| rows.deleted = 0);
        }
        let key = ledger::run_lease_key(run);
        let lease = match run.state {
            RunState::Fetched => lease::renew(key, run.id.as_str(), run.fence, self.clock.now().plus(LEASE), 0),
            _ => ledger::fenced(key, run.fence),
        };
        let once = if mutants::on(Mutant::CountedTwice) { Precondition::None } else { Precondition::Absent };
        let mut numbers = applied.counts.to_counters();
        let mut writes = vec![lease];
        let mark = match &before {
            None => ledger::put(page.done.clone(), &true, once),
            Some(before) => {
                before.value.counts.iter().for_each(|(name, n)| *numbers.entry(name.clone()).or_default() -= n);
                numbers.remove("pages");
                Write::Delete { key: page.held_key(&run.id), when: ledger::unchanged(Some(before)) }
            }
        };
        let marked = mark.key().clone();
        writes.extend([mark, Write::Add { key: ledger::counts_key(&run.id), numbers }]);
        writes.extend(held.map(|held| ledger::put(page.held_key(&run.id), &held, Precondition::Absent)));
        if let Some(why) = trouble.filter(|_| run.outcome.is_none()) {
            let failed = Run { outcome: Some(Outcome::Failed), reason: Some(why), ..run.clone() };
            writes.push(ledger::put(ledger::run_key(&run.id), &failed, ledger::unchanged(Some(stored))));
        }
        match self.ledger.transact(writes).await {
            Err(LedgerError::Refused { key, .. }) if key == marked => Ok(()),
            other => {
                other?;
                if before.is_some() {
                    return Ok(());
                }
                self.meter.count(&metrics::PAGES, &[source.name.as_str(), run.mode.as_str()], 1);
                self.count(source, &applied.counts);
                Ok(())
            }
        }
    }
}
