//! transform: raw in, rows out. Pages of a run go into the generations that it builds; changes (deliveries
//! and pages of incremental runs) go into the change log and then into the active generations.
//!
//! Owns applying and counting. Owns no mapping rule (`normalize`) and no merge rule (`Entities`).
//!
//! Always holds: a message can be handled any number of times, in any order with others. A page's counts
//! and its mark that it is applied are one transaction, conditional on the mark being absent, so that a
//! redelivery changes no count (P7). The run is settled when fetching is over and every page is applied,
//! whichever comes last.

pub mod apply;
mod change;
mod delivery;
mod hold;
mod page;

use std::sync::Arc;

use super::error::StageError;
use super::ledger;
use super::systems::Systems;
use crate::domain::run::RecordCounts;
use crate::domain::{Counts, Message, Run, RunState, SourceId};
use crate::metrics::{self, Meter};
use crate::mutants::{self, Mutant};
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::{BlobReader, BlobWriter, Clock, EntityWriter, Ledger, QueueSender};

pub struct Transform {
    pub ledger: Arc<dyn Ledger>,
    pub entities: Arc<dyn EntityWriter>,
    pub blobs: Arc<dyn BlobReader>,
    /// Where the events of a delivery go.
    pub raws: Arc<dyn BlobWriter>,
    pub queue: Arc<dyn QueueSender>,
    pub systems: Arc<Systems>,
    pub clock: Arc<dyn Clock>,
    pub meter: Arc<dyn Meter>,
}

impl Transform {
    /// Handles one message of the transform queue.
    pub async fn handle(&self, message: Message) -> Result<(), StageError> {
        match message {
            Message::Page { run, source, stream, slot } => self.page(&run, &source, &stream, slot).await,
            Message::Delivery { config, source, raw, trace, arrival } => {
                self.delivery(&config, &source, &raw, trace, arrival).await
            }
            Message::Replay { config: _, source, raw } => self.replay(&source, &raw).await,
            _ => Err(StageError::Impossible("this message belongs to another stage".into())),
        }
    }

    /// Tells the meter what became of records and rows.
    fn count(&self, source: &SourceId, counts: &Counts) {
        let (meter, source) = (self.meter.as_ref(), source.name.as_str());
        let RecordCounts { fetched: _, mapped, filtered, rejected } = counts.records;
        for (fate, n) in [("mapped", mapped), ("filtered", filtered), ("rejected", rejected)] {
            meter.count(&metrics::RECORDS, &[source, fate], n);
        }
        for (entity, rows) in &counts.entities {
            for (fate, n) in rows.named().into_iter().filter(|(fate, _)| *fate != "mapped") {
                meter.count(&metrics::ROWS, &[entity.as_str(), fate], n);
            }
        }
    }
}

/// Sends the run to be settled if fetching is over and every page is applied.
pub async fn settle_if_sealed(ledger: &dyn Ledger, queue: &dyn QueueSender, run: &Run) -> Result<(), StageError> {
    let (RunState::Fetched, Some(pages)) = (&run.state, run.pages) else { return Ok(()) };
    let early = u64::from(mutants::on(Mutant::SealedEarly));
    if ledger::pages_done(ledger, &run.id).await? + early >= pages {
        send_all(queue, vec![Outgoing::now(Message::Settle { run: run.id.clone() })]).await?;
    }
    Ok(())
}
