//! Looking at rejects and sending their raw through the pipeline again.

use super::Admin;
use crate::domain::{Message, Reject};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;
use crate::ports::queue::{Outgoing, send_all};

/// Which rejects are meant; all that are given must match.
#[derive(Clone, Debug, Default)]
pub struct RejectFilter {
    /// The reject's id, as the list shows it, or the start of it.
    pub id: Option<String>,
    pub entity: Option<String>,
    pub source: Option<String>,
    pub code: Option<String>,
    pub run: Option<String>,
}

impl RejectFilter {
    fn matches(&self, id: &str, reject: &Reject) -> bool {
        let is = |wanted: &Option<String>, have: Option<&str>| wanted.as_deref().is_none_or(|w| have == Some(w));
        self.id.as_deref().is_none_or(|wanted| id.starts_with(wanted))
            && is(&self.entity, reject.entity.as_ref().map(|e| e.as_str()))
            && is(&self.source, Some(reject.source.name.as_str()))
            && is(&self.code, Some(&reject.reason.code))
            && is(&self.run, reject.run.as_ref().map(|r| r.as_str()))
    }
}

impl Admin {
    /// At most `limit` rejects with their ids, in the order of their raw.
    pub async fn rejects(&self, filter: &RejectFilter, limit: usize) -> Result<Vec<(String, Reject)>, StageError> {
        let mut out: Vec<(String, Reject)> = Vec::new();
        let mut after: Option<String> = None;
        while out.len() < limit {
            let items = self.ledger.list(ledger::REJECT, "", after.as_deref(), ledger::PAGE).await?;
            let last = items.len() < ledger::PAGE;
            after = items.last().map(|item| item.key.sort.clone());
            for item in items {
                let reject: Reject = ledger::understand(&item.key, item.value)?;
                if out.len() < limit && filter.matches(&item.key.sort, &reject) {
                    out.push((item.key.sort, reject));
                }
            }
            if last {
                break;
            }
        }
        Ok(out)
    }

    /// Sends the raw objects of the matching rejects through transform again, each once. Returns how many.
    pub async fn replay_rejects(&self, filter: &RejectFilter) -> Result<usize, StageError> {
        let loaded = self.systems.current().await?;
        let rejects = self.rejects(filter, usize::MAX).await?;
        let raws: std::collections::BTreeMap<_, _> =
            rejects.into_iter().map(|(_, reject)| (reject.raw, reject.source)).collect();
        let config = loaded.system.hash.clone();
        let messages: Vec<Outgoing> = raws
            .into_iter()
            .map(|(raw, source)| Outgoing::now(Message::Replay { config: config.clone(), source, raw }))
            .collect();
        let sent = messages.len();
        send_all(self.queue.as_ref(), messages).await?;
        Ok(sent)
    }
}
