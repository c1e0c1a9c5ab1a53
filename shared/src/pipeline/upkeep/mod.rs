//! upkeep: on schedule, and when a host starts. Resumes runs whose holder died, opens gates that a dead
//! mover left closed, passes on syncs that wait, queues deliveries that were lost on their way, and lets go of what nobody keeps.
//!
//! Always holds: everything here may run at any time, beside everything else, and twice. It deletes only
//! what no kept version can reach.

mod deliveries;
mod hooks;
mod retention;

use std::sync::Arc;

pub use retention::Freed;

use super::error::StageError;
use super::lease;
use super::ledger;
use super::poll::Budget;
use super::switch::Switch;
use super::systems::Systems;
use super::webhook::quarantine;
use crate::domain::{Message, RunState};
use crate::mutants::{self, Mutant};
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::{BlobAdmin, BlobReader, Clock, EntityAdmin, Ledger, QueueSender};

/// Refused deliveries looked at in one round.
const QUARANTINE_SLICE: usize = 1000;

pub struct Upkeep {
    pub ledger: Arc<dyn Ledger>,
    pub entities: Arc<dyn EntityAdmin>,
    pub blobs: Arc<dyn BlobReader>,
    pub blob_admin: Arc<dyn BlobAdmin>,
    pub queue: Arc<dyn QueueSender>,
    pub systems: Arc<Systems>,
    pub switch: Arc<Switch>,
    pub clock: Arc<dyn Clock>,
}

/// What a round of upkeep did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Upkept {
    pub resumed: Vec<String>,
    pub gates_repaired: bool,
    /// Deliveries that were stored and never queued.
    pub resent: u64,
    #[serde(flatten)]
    pub freed: Freed,
}

impl Upkeep {
    /// One round. `alone` says that no other process can be at work on this system, so that whatever looks
    /// held is held by the dead: what a host knows when it has just locked its data.
    pub async fn round(&self, alone: bool, budget: &Budget) -> Result<Upkept, StageError> {
        let gates_repaired = if alone { self.switch.repair_alone().await? } else { self.switch.repair().await? };
        let resumed = self.resume(alone).await?;
        self.switch.pass_notes_on().await?;
        let resent = self.resend_lost(alone, budget).await?;
        self.empty_quarantine().await?;
        self.look_after_webhooks(alone).await?;
        let freed = self.let_go(budget).await?;
        Ok(Upkept { resumed, gates_repaired, resent, freed })
    }

    /// Lets go of refused deliveries that are older than their day, a slice a round, from the oldest on.
    async fn empty_quarantine(&self) -> Result<(), StageError> {
        let oldest = self.clock.now().minus(quarantine::LIFE);
        for key in self.blobs.list(quarantine::PREFIX, None, QUARANTINE_SLICE).await? {
            if quarantine::received(&key).is_some_and(|received| received >= oldest) {
                break;
            }
            self.blob_admin.delete(&key).await?;
        }
        Ok(())
    }

    /// Wakes every run that has not ended and that nobody holds. Waking one that is at work changes nothing.
    async fn resume(&self, alone: bool) -> Result<Vec<String>, StageError> {
        let mut resumed = Vec::new();
        let now = self.clock.now();
        for (_, run) in ledger::read_all::<crate::domain::Run>(self.ledger.as_ref(), ledger::RUN, "").await? {
            let id = run.id.clone();
            let waits = matches!(run.state, RunState::WaitingQuota { until } if now < until);
            if run.state == RunState::Ended || (waits && !alone) {
                continue;
            }
            let key = ledger::run_lease_key(&run);
            let lease = lease::read(self.ledger.as_ref(), &key).await?;
            let held = lease.filter(|l| l.value.is_held(now) && l.value.holder == id.as_str());
            match held {
                Some(held) if alone && !waits => self.ledger.transact(vec![lease::expire(key, &held)]).await?,
                Some(_) if !alone => continue,
                _ => {}
            }
            if mutants::on(Mutant::NeverResumed) {
                continue;
            }
            let message = match run.state {
                RunState::Settling => Message::Settle { run: run.id },
                _ => Message::Continue { run: run.id },
            };
            send_all(self.queue.as_ref(), vec![Outgoing::now(message)]).await?;
            resumed.push(id.to_string());
        }
        Ok(resumed)
    }
}
