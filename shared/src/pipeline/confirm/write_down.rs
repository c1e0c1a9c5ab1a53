//! Writing down in its rows what confirmed a generation.

use crate::domain::{Generation, GenerationId, Millis, Raw};
use crate::mutants::{self, Mutant};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, Slot, Stored};
use crate::pipeline::systems::Systems;
use crate::pipeline::transform::apply::{Job, apply};
use crate::ports::entities::Writer;
use crate::ports::{BlobReader, EntitiesError, EntityWriter, Ledger};

/// Pages written down before it is noted how far that is.
const PAGES: usize = 20;

pub struct WriteDown<'a> {
    pub ledger: &'a dyn Ledger,
    pub blobs: &'a dyn BlobReader,
    pub systems: &'a Systems,
    pub entities: &'a dyn EntityWriter,
    pub now: Millis,
}

impl WriteDown<'_> {
    /// Applies the pages of the listing that confirmed a generation, unless somebody has. Returns the generation as it
    /// is now known. Whoever is cut off goes on where they were; two at once do the same.
    pub async fn of(&self, id: &GenerationId, writer: impl Fn(Millis) -> Writer) -> Result<Generation, StageError> {
        loop {
            let stored: Stored<Generation> = ledger::read(self.ledger, &ledger::generation_key(id))
                .await?
                .ok_or_else(|| EntitiesError::NoGeneration(id.clone()))?;
            let mut generation = stored.value.clone();
            let (Some(listing), Some(confirmed)) = (&generation.listing, &mut generation.confirmed) else {
                return Ok(generation);
            };
            if confirmed.written || mutants::on(Mutant::ConfirmedForgotten) {
                return Ok(generation);
            }
            let (part, prefix) = (ledger::run_part(listing), format!("slot#{}#", generation.source));
            let slots = self.ledger.list(&part, &prefix, confirmed.after.as_deref(), PAGES).await?;
            for item in &slots {
                let slot: Slot = ledger::understand(&item.key, &item.value)?;
                self.page(&stored.value, &slot, writer(confirmed.until)).await?;
            }
            confirmed.written = slots.len() < PAGES;
            confirmed.after = slots.into_iter().next_back().map(|item| item.key.sort).or(confirmed.after.take());
            let write = ledger::put(ledger::generation_key(id), &generation, ledger::unchanged(Some(&stored)));
            match self.ledger.transact(vec![write]).await {
                Err(error) if !ledger::was_refused(&error) => return Err(error.into()),
                _ => {}
            }
        }
    }

    async fn page(&self, generation: &Generation, slot: &Slot, writer: Writer) -> Result<(), StageError> {
        let raw = Raw::decode(&self.blobs.get(&slot.raw.0).await?)?;
        let generations = std::slice::from_ref(generation);
        let job = Job { key: &slot.raw, raw: &raw, generations, writer, run: None, now: self.now };
        apply(self.systems, self.ledger, self.entities, job).await.map(|_| ())
    }
}
