//! Looking at rejects and sending their raw through the pipeline again.

use std::collections::BTreeSet;

use super::Admin;
use crate::domain::{ConfigHash, Message, Reject, SourceId, VersionState};
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
    /// At most `limit` rejects with their ids, in the order of their raw. Who names none of them gets those that
    /// matter: of what readers see, and of what may become that; a version that was left keeps its own for when
    /// somebody goes back to it.
    pub async fn rejects(&self, filter: &RejectFilter, limit: usize) -> Result<Vec<(String, Reject)>, StageError> {
        let named = filter.id.is_some() || filter.run.is_some();
        let matter = if named { BTreeSet::new() } else { self.mappings_that_matter().await? };
        let mut out: Vec<(String, Reject)> = Vec::new();
        let mut after: Option<String> = None;
        while out.len() < limit {
            let items = self.ledger.list(ledger::REJECT, "", after.as_deref(), ledger::PAGE).await?;
            let last = items.len() < ledger::PAGE;
            after = items.last().map(|item| item.key.sort.clone());
            for item in items {
                let reject: Reject = ledger::understand(&item.key, &item.value)?;
                let matters = named || matter.contains(&(reject.source.clone(), reject.config.clone()));
                if out.len() < limit && matters && filter.matches(&item.key.sort, &reject) {
                    out.push((item.key.sort, reject));
                }
            }
            if last {
                break;
            }
        }
        Ok(out)
    }

    /// Which mapping of which source makes what readers see, or may see next.
    async fn mappings_that_matter(&self) -> Result<BTreeSet<(SourceId, ConfigHash)>, StageError> {
        let mut matter = BTreeSet::new();
        for manifest in ledger::manifests(self.ledger.as_ref()).await? {
            if matches!(manifest.state, VersionState::Building | VersionState::Ready | VersionState::Active) {
                let generations = self.systems.generations(manifest.generation_ids()).await?;
                matter.extend(generations.into_iter().map(|generation| (generation.source, generation.config)));
            }
        }
        Ok(matter)
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
