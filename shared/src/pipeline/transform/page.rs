//! A page of a run. Of a full run or a rebuild it goes into the generations that the run builds; of an
//! incremental run it is a change, like a delivery.

use super::Transform;
use super::apply::{Applied, Job, apply};
use crate::domain::{Generation, Mode, Outcome, Raw, RawKey, Run, RunId, RunState, SourceId, StreamName};
use crate::metrics;
use crate::mutants::{self, Mutant};
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE};
use crate::pipeline::ledger::{self, Slot, Stored};
use crate::ports::entities::Writer;
use crate::ports::{EntitiesError, ItemKey, LedgerError, Precondition, Write};

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
        let done = ledger::done_key(id, source, stream, slot);
        if self.ledger.get(&done).await?.is_none() {
            let slot: Slot = ledger::read(self.ledger.as_ref(), &ledger::slot_key(id, source, stream, slot))
                .await?
                .ok_or_else(|| StageError::Impossible(format!("run '{id}' has no page {slot} of '{stream}'")))?
                .value;
            let (applied, trouble) = match self.apply_page(run, source, &slot.raw).await {
                // The run ended meanwhile, and its generations with it.
                Ok(None) => return Ok(()),
                Ok(Some(applied)) => {
                    let unreadable = applied.unreadable.clone();
                    (applied, unreadable)
                }
                // Trying again gives the same. Left undone, it would keep the run from ever ending.
                Err(error) if error.is_final() => (Applied::default(), Some(error.to_string())),
                Err(error) => return Err(error),
            };
            self.keep_rejects(&applied.rejects).await?;
            let trouble = trouble.map(|why| format!("page {} can't be applied: {why}", slot.raw));
            self.mark_done(&stored, source, done, applied, trouble).await?;
        }
        let run = ledger::run(self.ledger.as_ref(), id).await?.map_or(stored.value, |r| r.value);
        super::settle_if_sealed(self.ledger.as_ref(), self.queue.as_ref(), &run).await
    }

    /// `None` when there is nothing left to apply it to.
    async fn apply_page(&self, run: &Run, source: &SourceId, key: &RawKey) -> Result<Option<Applied>, StageError> {
        let raw = Raw::decode(&self.blobs.get(&key.0).await?)?;
        match run.mode {
            Mode::Incremental => Ok(Some(self.change(source, key, &raw, Some(&run.id)).await?)),
            Mode::Full | Mode::Rebuild | Mode::Restore => self.build(run, source, key, &raw).await,
        }
    }

    async fn build(
        &self,
        run: &Run,
        source: &SourceId,
        key: &RawKey,
        raw: &Raw,
    ) -> Result<Option<Applied>, StageError> {
        let generations = self.built_by(run, source).await?;
        let writer = Writer::Build(run.fence);
        let job = Job { key, raw, generations: &generations, writer, run: Some(&run.id), now: self.clock.now() };
        match apply(&self.systems, self.entities.as_ref(), job).await {
            Ok(applied) => Ok(Some(applied)),
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
        source: &SourceId,
        done: ItemKey,
        mut applied: Applied,
        trouble: Option<String>,
    ) -> Result<(), StageError> {
        let run = &stored.value;
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
        let mut writes = vec![
            ledger::put(done.clone(), &true, once),
            Write::Add { key: ledger::counts_key(&run.id), numbers: applied.counts.to_counters() },
            lease,
        ];
        if let Some(why) = trouble.filter(|_| run.outcome.is_none()) {
            let failed = Run { outcome: Some(Outcome::Failed), reason: Some(why), ..run.clone() };
            writes.push(ledger::put(ledger::run_key(&run.id), &failed, ledger::unchanged(Some(stored))));
        }
        match self.ledger.transact(writes).await {
            Err(LedgerError::Refused { key, .. }) if key == done => Ok(()),
            other => {
                other?;
                self.meter.count(&metrics::PAGES, &[source.name.as_str(), run.mode.as_str()], 1);
                self.count(source, &applied.counts);
                Ok(())
            }
        }
    }
}
