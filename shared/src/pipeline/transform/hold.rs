//! Holding back a page of a full run that says what readers have.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Transform;
use super::apply::{Job, apply};
use super::page::{Done, Page};
use crate::domain::{EntityName, Generation, GenerationId, Mode, Run};
use crate::pipeline::confirm::{self, Comparing, Held};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;

impl Transform {
    /// Compares a page of a full run with what readers see. `None` when it says something else, or nobody can tell;
    /// then pages of this run are held back no more.
    pub(super) async fn found_as_it_is(
        &self,
        run: &Run,
        page: &Page<'_>,
        job: &Job<'_>,
    ) -> Result<Option<Done>, StageError> {
        // Whoever wants a version to look at first gets one.
        if run.mode != Mode::Full || !run.switch {
            return Ok(None);
        }
        let Some(shown) = self.counterparts(job.generations).await? else { return Ok(None) };
        if confirm::are_to_be_applied(self.ledger.as_ref(), &run.id).await? {
            return Ok(None);
        }
        let found = Mutex::new(Some(BTreeMap::new()));
        let comparing = Comparing { entities: self.entities.as_ref(), shown, found };
        let applied = apply(&self.systems, self.ledger.as_ref(), &comparing, *job).await?;
        let found = comparing.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(entities) = found.filter(|_| applied.rejects.is_empty()) else {
            confirm::to_be_applied(self.ledger.as_ref(), &run.id).await?;
            return Ok(None);
        };
        let (source, stream, slot) = (page.source.clone(), page.stream.clone(), page.slot);
        let counts = applied.counts.to_counters();
        let held = Held { source, stream, slot, stated: job.raw.head.stated, entities, counts };
        Ok(Some(Done { applied, held: Some(held) }))
    }

    /// What readers see of the entities that these generations are made for, if all of it began with a listing
    /// under the same configuration.
    async fn counterparts(
        &self,
        generations: &[Generation],
    ) -> Result<Option<BTreeMap<EntityName, GenerationId>>, StageError> {
        let pointer = ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
        let ids = generations.iter().filter_map(|own| pointer.generation(&own.id.entity)).collect();
        let shown = self.systems.generations(ids).await?;
        let mut out = BTreeMap::new();
        for own in generations {
            let Some(shown) = shown.iter().find(|shown| shown.id.entity == own.id.entity) else { return Ok(None) };
            if !shown.can_be_confirmed_by(own) {
                return Ok(None);
            }
            out.insert(own.id.entity.clone(), shown.id.clone());
        }
        Ok(Some(out).filter(|out| !out.is_empty()))
    }
}
