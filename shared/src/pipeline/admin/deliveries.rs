//! Looking at deliveries, and having them gone through once more.

use super::Admin;
use crate::domain::message::Arrival;
use crate::domain::{Message, Millis, RawKey, SourceId, SourceName};
use crate::pipeline::error::StageError;
use crate::pipeline::inbox::{self, Entry, Fate, Wanted};
use crate::pipeline::{changelog, ledger};
use crate::ports::BlobReader;
use crate::ports::queue::{Outgoing, send_all};

/// Deliveries that one replay may be about, unless somebody names them.
pub const MOST_REPLAYED: usize = 10_000;
/// Stored objects that are looked through for those that wait.
const LOOKED_THROUGH: usize = 10_000;

/// Which deliveries are meant; all that are given must match.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// The id that the list shows, or the start of it.
    pub id: Option<String>,
    pub source: Option<String>,
    pub state: Option<State>,
    pub since: Option<Millis>,
    pub until: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Stored, and not gone through yet.
    Waiting,
    Fate(Fate),
}

impl State {
    pub const WORDS: [&str; 6] = ["waiting", "applied", "rejected", "duplicate", "split", "failed"];

    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Fate::Applied, Fate::Rejected, Fate::Duplicate, Fate::Split, Fate::Failed];
        let fate = all.into_iter().find(|fate| fate.as_str() == word).map(Self::Fate);
        if word == "waiting" { Some(Self::Waiting) } else { fate }
    }
}

impl DeliveryFilter {
    fn wanted(&self) -> Wanted {
        let fate = match self.state {
            Some(State::Fate(fate)) => Some(fate),
            _ => None,
        };
        Wanted { since: self.since, until: self.until, fate }
    }

    fn matches(&self, raw: &RawKey) -> bool {
        self.id.as_deref().is_none_or(|id| inbox::name(raw).starts_with(id))
    }
}

impl Admin {
    async fn hooked(&self, filter: &DeliveryFilter) -> Result<Vec<SourceId>, StageError> {
        let loaded = self.systems.current().await?;
        if let Some(source) = &filter.source {
            loaded.source(&SourceName::new(source))?;
            return Ok(vec![SourceId::new(source)]);
        }
        let hooked = loaded.system.sources.values().filter(|source| source.webhook.is_some());
        Ok(hooked.map(|source| SourceId::new(source.name.as_str())).collect())
    }

    /// At most `limit` records, the newest first, with their sources.
    pub async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<Vec<(SourceId, Entry)>, StageError> {
        let mut found = Vec::new();
        for source in self.hooked(filter).await? {
            let mut after: Option<String> = None;
            let mut of_it = Vec::new();
            while of_it.len() < limit {
                let page = limit.clamp(50, ledger::PAGE);
                let some = inbox::list(self.ledger.as_ref(), &source, &filter.wanted(), after.as_deref(), page).await?;
                let Some((last, _)) = some.last() else { break };
                after = Some(last.clone());
                of_it.extend(some.into_iter().map(|(_, entry)| entry).filter(|entry| filter.matches(&entry.raw)));
            }
            found.extend(of_it.into_iter().take(limit).map(|entry| (source.clone(), entry)));
        }
        found.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.received));
        found.truncate(limit);
        Ok(found)
    }

    /// What is stored and was not looked at yet; of a great many, some.
    pub async fn waiting(
        &self,
        blobs: &dyn BlobReader,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<Vec<(SourceId, RawKey)>, StageError> {
        let mut found = Vec::new();
        for source in self.hooked(filter).await? {
            let prefix = RawKey::delivery(&source, filter.id.as_deref().unwrap_or_default()).0;
            let mut after: Option<String> = None;
            let mut looked = 0;
            while found.len() < limit && looked < LOOKED_THROUGH {
                let keys = blobs.list(&prefix, after.as_deref(), ledger::PAGE).await?;
                let Some(last) = keys.last() else { break };
                after = Some(last.clone());
                looked += keys.len();
                for raw in keys.into_iter().map(RawKey) {
                    if found.len() < limit && !changelog::is_seen(self.ledger.as_ref(), &source, &raw).await? {
                        found.push((source.clone(), raw));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Queues deliveries to be gone through as if they had come for the first time. Returns how many.
    pub async fn replay_deliveries(
        &self,
        blobs: &dyn BlobReader,
        filter: &DeliveryFilter,
    ) -> Result<usize, StageError> {
        let raws: Vec<(SourceId, RawKey)> = match filter.state {
            Some(State::Waiting) => self.waiting(blobs, filter, MOST_REPLAYED).await?,
            _ => {
                let found = self.deliveries(filter, MOST_REPLAYED).await?;
                found.into_iter().map(|(source, entry)| (source, entry.raw)).collect()
            }
        };
        let config = self.systems.current().await?.system.hash.clone();
        let messages = raws.into_iter().map(|(source, raw)| {
            let (config, arrival) = (config.clone(), Arrival::Replayed);
            Outgoing::now(Message::Delivery { config, source, raw, trace: None, arrival })
        });
        let messages: Vec<_> = messages.collect();
        let sent = messages.len();
        send_all(self.queue.as_ref(), messages).await?;
        Ok(sent)
    }
}
