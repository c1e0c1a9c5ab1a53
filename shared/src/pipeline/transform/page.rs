//! A page of a run. Of a full run or a rebuild it goes into the generations that the run builds; of an
//! incremental run it is a change, like a delivery.

use super::Transform;
use super::apply::{Applied, Job, apply};
use crate::domain::{Generation, Mode, Raw, RawKey, Run, RunId, RunState, SourceId, StreamName};
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE};
use crate::pipeline::ledger::{self, Slot};
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
        let Some(run) = ledger::run(self.ledger.as_ref(), id).await?.map(|r| r.value) else { return Ok(()) };
        if run.state == RunState::Ended {
            return Ok(());
        }
        let done = ledger::done_key(id, source, stream, slot);
        if self.ledger.get(&done).await?.is_none() {
            let slot: Slot = ledger::read(self.ledger.as_ref(), &ledger::slot_key(id, source, stream, slot))
                .await?
                .ok_or_else(|| StageError::Impossible(format!("run '{id}' has no page {slot} of '{stream}'")))?
                .value;
            let raw = Raw::decode(&self.blobs.get(&slot.raw.0).await?)?;
            let applied = match run.mode {
                Mode::Incremental => self.change(source, &slot.raw, &raw, Some(id)).await?,
                Mode::Full | Mode::Rebuild => match self.build(&run, source, &slot.raw, &raw).await? {
                    Some(applied) => applied,
                    // The run ended meanwhile, and its generations with it.
                    None => return Ok(()),
                },
            };
            self.keep_rejects(&applied.rejects).await?;
            self.mark_done(&run, done, applied).await?;
        }
        let run = ledger::run(self.ledger.as_ref(), id).await?.map_or(run, |r| r.value);
        super::settle_if_sealed(self.ledger.as_ref(), self.queue.as_ref(), &run).await
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
        let mut generations = ledger::generations(self.ledger.as_ref(), own).await?;
        generations.retain(|g| g.source == *source);
        Ok(generations)
    }

    /// Marks the page as applied and adds its counts, once, whatever is redelivered. Once fetching is over this
    /// prolongs the run's lease: a run that is being applied is not dead.
    async fn mark_done(&self, run: &Run, done: ItemKey, mut applied: Applied) -> Result<(), StageError> {
        applied.counts.pages = 1;
        let key = ledger::run_lease_key(run);
        let lease = match run.state {
            RunState::Fetched => lease::renew(key, run.id.as_str(), run.fence, self.clock.now().plus(LEASE), 0),
            _ => ledger::fenced(key, run.fence),
        };
        let result = self
            .ledger
            .transact(vec![
                ledger::put(done.clone(), &true, Precondition::Absent),
                Write::Add { key: ledger::counts_key(&run.id), numbers: applied.counts.to_counters() },
                lease,
            ])
            .await;
        match result {
            Err(LedgerError::Refused { key, .. }) if key == done => Ok(()),
            other => Ok(other?),
        }
    }
}
