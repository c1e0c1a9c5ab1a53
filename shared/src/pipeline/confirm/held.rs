//! Pages that say what readers have already: what is noted of them, and how they are applied after all.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::{Effect, EntityName, GenerationId, Message, Millis, RecordChange, RunId, SourceId, StreamName};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;
use crate::ports::entities::{Head, Merged, Writer};
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::{EntitiesError, EntityWriter, Ledger, LedgerReader, Precondition, QueueSender};

/// A page that was held back, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub source: SourceId,
    pub stream: StreamName,
    pub slot: u64,
    pub stated: Millis,
    pub entities: BTreeMap<EntityName, Rows>,
    /// As it was counted.
    pub counts: BTreeMap<String, i64>,
}

/// A set of rows, as the head of a generation sums it up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    pub rows: u64,
    /// Wrapping sum of their hashes.
    pub sum: u64,
}

impl Rows {
    fn plus(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, sum: self.sum.wrapping_add(other.sum) }
    }
}

/// What all held pages of a run hold together. A row that is in two of them counts twice, and so is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub pages: u64,
    /// When the last of them was stated.
    pub stated: Millis,
    pub entities: BTreeMap<EntityName, Rows>,
}

impl Sum {
    /// Whether it is all that a generation of this entity has.
    #[must_use]
    pub fn is_all_of(&self, entity: &EntityName, head: &Head) -> bool {
        self.entities.get(entity).copied().unwrap_or_default() == Rows { rows: head.rows, sum: head.sum }
    }
}

/// Adds up the held pages of a run.
pub async fn sum(ledger: &dyn LedgerReader, run: &RunId) -> Result<Sum, StageError> {
    let (mut sum, mut after) = (Sum::default(), None);
    while let Some(pages) = next(ledger, run, &mut after).await? {
        for held in pages {
            sum.pages += 1;
            sum.stated = sum.stated.max(held.stated);
            for (entity, rows) in held.entities {
                let known = sum.entities.entry(entity).or_default();
                *known = known.plus(rows);
            }
        }
    }
    Ok(sum)
}

/// Whether a run found something that readers don't have, so that its pages are applied.
pub async fn are_to_be_applied(ledger: &dyn LedgerReader, run: &RunId) -> Result<bool, StageError> {
    Ok(ledger.get(&ledger::differs_key(run)).await?.is_some())
}

/// Whether pages are still held back.
pub async fn are_left(ledger: &dyn LedgerReader, run: &RunId) -> Result<bool, StageError> {
    Ok(!ledger.list(&ledger::run_part(run), ledger::HELD, None, 1).await?.is_empty())
}

/// From now on pages of this run are applied.
pub async fn to_be_applied(ledger: &dyn Ledger, run: &RunId) -> Result<(), StageError> {
    Ok(ledger.transact(vec![ledger::put(ledger::differs_key(run), &true, Precondition::None)]).await?)
}

/// Sends those that were held back once more.
pub async fn send_again(ledger: &dyn LedgerReader, queue: &dyn QueueSender, run: &RunId) -> Result<(), StageError> {
    let mut after = None;
    while let Some(pages) = next(ledger, run, &mut after).await? {
        let page = |Held { source, stream, slot, .. }| Message::Page { run: run.clone(), source, stream, slot };
        send_all(queue, pages.into_iter().map(page).map(Outgoing::now).collect()).await?;
    }
    Ok(())
}

/// The next held pages; `None` at the end.
async fn next(
    ledger: &dyn LedgerReader,
    run: &RunId,
    after: &mut Option<String>,
) -> Result<Option<Vec<Held>>, StageError> {
    let items = ledger.list(&ledger::run_part(run), ledger::HELD, after.as_deref(), ledger::PAGE).await?;
    let Some(last) = items.last() else { return Ok(None) };
    *after = Some(last.key.sort.clone());
    Ok(Some(items.iter().map(|item| ledger::understand(&item.key, &item.value)).collect::<Result<_, _>>()?))
}

/// Writes nothing, and says what it would have written and whether readers have it.
pub struct Comparing<'a> {
    pub entities: &'a dyn EntityWriter,
    /// By entity, what readers see.
    pub shown: BTreeMap<EntityName, GenerationId>,
    /// `None` once something differs.
    pub found: Mutex<Option<BTreeMap<EntityName, Rows>>>,
}

#[async_trait]
impl EntityWriter for Comparing<'_> {
    async fn merge(
        &self,
        id: &GenerationId,
        _: Writer,
        _: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        let holds = match self.shown.get(&id.entity) {
            Some(shown) => self.holds(shown, changes).await?,
            None => false,
        };
        let mut rows = Rows::default();
        for change in changes {
            if let Effect::Upsert { rows: made, .. } = &change.effect {
                made.iter().for_each(|row| rows = rows.plus(Rows { rows: 1, sum: row.hash().0 }));
            }
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *found {
            Some(found) if holds => {
                let known = found.entry(id.entity.clone()).or_default();
                *known = known.plus(rows);
            }
            found => *found = None,
        }
        Ok(Merged { unchanged: rows.rows, ..Merged::default() })
    }

    async fn holds(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError> {
        match self.entities.holds(id, changes).await {
            // Readers have moved on.
            Err(EntitiesError::NoGeneration(_)) => Ok(false),
            held => held,
        }
    }
}
