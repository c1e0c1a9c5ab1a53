//! Deliveries that are stored and that nobody was told of.
//!
//! A webhook stores a delivery, then queues it. A process that dies in between promised nothing, but not every
//! sender comes again; so whatever is stored and not in the change log is queued here.
//!
//! Always holds: queueing one that is on its way already changes no row, but costs a message. So looking costs
//! a slice a round and rests for [`PAUSE`] once everything was looked at, and a host that has just started
//! looks at everything only if that was not done in the last [`RESTARTS`]: one that is killed again and again
//! must not multiply its queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Upkeep;
use crate::domain::message::Arrival;
use crate::domain::{Message, Millis, RawKey, SourceId};
use crate::pipeline::changelog;
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;
use crate::pipeline::poll::Budget;
use crate::ports::Precondition;
use crate::ports::queue::{Outgoing, send_all};

/// Deliveries looked at in one round.
const SLICE: usize = 200;
const PAUSE: Duration = Duration::from_secs(3600);
const RESTARTS: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sweep {
    /// Where to go on; `None` when everything was looked at.
    after: Option<String>,
    at: Millis,
}

impl Upkeep {
    /// Queues lost deliveries, and says how many.
    pub(super) async fn resend_lost(&self, alone: bool, budget: &Budget) -> Result<u64, StageError> {
        let loaded = self.systems.current().await?;
        let mut resent = 0;
        for source in loaded.system.sources.values().filter(|source| source.webhook.is_some()) {
            let id = SourceId::new(source.name.as_str());
            let key = ledger::sweep_key(&id);
            let known: Option<ledger::Stored<Sweep>> = ledger::read(self.ledger.as_ref(), &key).await?;
            let mut sweep = known.map(|known| known.value).unwrap_or_default();
            let rest = if alone { RESTARTS } else { PAUSE };
            if sweep.after.is_none() && self.clock.now().since(sweep.at) < rest {
                continue;
            }
            loop {
                let prefix = RawKey::delivery(&id, "").0;
                let keys = self.blobs.list(&prefix, sweep.after.as_deref(), SLICE).await?;
                let over = keys.len() < SLICE;
                sweep = Sweep { after: keys.last().filter(|_| !over).cloned(), at: self.clock.now() };
                for raw in keys.into_iter().map(RawKey) {
                    if !changelog::is_seen(self.ledger.as_ref(), &id, &raw).await? {
                        let (config, source) = (loaded.system.hash.clone(), id.clone());
                        let message = Message::Delivery { config, source, raw, trace: None, arrival: Arrival::First };
                        send_all(self.queue.as_ref(), vec![Outgoing::now(message)]).await?;
                        resent += 1;
                    }
                }
                self.ledger.transact(vec![ledger::put(key.clone(), &sweep, Precondition::None)]).await?;
                if over || !alone || budget.is_spent(self.clock.now()) {
                    break;
                }
            }
        }
        Ok(resent)
    }
}
