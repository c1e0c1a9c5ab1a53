//! What webhooks need from time to time: errands that were lost, leases, gaps, and letting old records go.

use super::Upkeep;
use crate::config::Webhook;
use crate::domain::message::Keep;
use crate::domain::{Message, SourceId};
use crate::pipeline::error::StageError;
use crate::pipeline::gaps::Gaps;
use crate::pipeline::{channels, errand, inbox, ledger};
use crate::ports::queue::{Outgoing, send_all};

/// Records let go in one round, of each source.
const SLICE: usize = 200;

impl Upkeep {
    /// The part of a round that is about webhooks. `alone`: the host has just started, maybe after an outage.
    pub async fn look_after_webhooks(&self, alone: bool) -> Result<(), StageError> {
        let loaded = self.systems.current().await?;
        let hooks = loaded.system.sources.values().filter_map(|source| Some((source, source.webhook.as_ref()?)));
        for (declared, hook) in hooks {
            let source = SourceId::new(declared.name.as_str());
            let (ledger, queue, now) = (self.ledger.as_ref(), self.queue.as_ref(), self.clock.now());
            errand::wake(ledger, queue, &source, now).await?;
            let due = self.due(&source, hook, alone).await?;
            let messages = due.into_iter().map(|what| Message::Keep { source: source.clone(), what });
            send_all(queue, messages.map(Outgoing::now).collect()).await?;
            let old = now.minus(hook.after.keep);
            inbox::let_go(ledger, self.blob_admin.as_ref(), &source, old, SLICE).await?;
        }
        Ok(())
    }

    async fn due(&self, source: &SourceId, hook: &Webhook, alone: bool) -> Result<Vec<Keep>, StageError> {
        let (ledger, now) = (self.ledger.as_ref(), self.clock.now());
        let mut due = Vec::new();
        if let Some(lease) = &hook.after.lease
            && channels::read(ledger, source).await?.is_due(lease, now)
        {
            due.push(Keep::Lease);
        }
        if let Some(gaps) = &hook.after.gaps {
            let seen: Option<ledger::Stored<Gaps>> = ledger::read(ledger, &ledger::gaps_key(source)).await?;
            if alone || seen.is_none_or(|seen| now.since(seen.value.at) >= gaps.every) {
                due.push(Keep::Gaps);
            }
        }
        Ok(due)
    }
}
