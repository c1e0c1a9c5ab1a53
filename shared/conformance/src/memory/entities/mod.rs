//! The model of the entities port: `domain::order` read aloud.
//!
//! Owns the three roles over one map of generations. What a generation is and how it merges is in
//! `generation`; here are the doors: which writer may pass, and which generation can be read.
//!
//! Always holds: nothing is derived ahead of time. Whether a row is visible, how many are and what their
//! hashes sum to is computed from the registers whenever somebody asks.

mod generation;
mod query;

use std::collections::BTreeMap;
use std::sync::{Mutex, Weak};

use async_trait::async_trait;
use teal::domain::{Fence, GenerationId, Key, Millis, RecordChange, Row, RowHash};
use teal::ports::entities::{Dangling, Dropped, Gate, GenerationSpec, Head, ListQuery, Merged, Writer};
use teal::ports::{EntitiesError, EntityAdmin, EntityReader, EntityWriter};

use self::generation::Generation;
use super::lock;
use super::observer::{Observer, Told};

#[derive(Debug, Default)]
pub struct MemoryEntities {
    state: Mutex<State>,
    told: Told,
}

#[derive(Debug, Default)]
struct State {
    generations: BTreeMap<GenerationId, Generation>,
}

impl State {
    fn merge(
        &mut self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        let generation = self.whole(id)?;
        let gate = (generation.gate, generation.fence);
        writer.check(id, gate, generation.confirmed, changes.iter().map(RecordChange::stated))?;
        // Taken out, so that the base can be read while this one is written.
        let mut generation = self.generations.remove(id).expect("it was found a moment ago, under the same lock");
        let base = generation.base().and_then(|base| self.whole(base).ok());
        let merged = generation.merge(base, slot, changes);
        self.generations.insert(id.clone(), generation);
        Ok(merged)
    }

    /// All of them, if none has seen a newer fence.
    fn under(
        &mut self,
        ids: &[GenerationId],
        fence: Fence,
        change: impl Fn(&mut Generation),
    ) -> Result<(), EntitiesError> {
        for id in ids {
            if self.whole(id)?.fence > fence {
                return Err(EntitiesError::StaleBuilder { id: id.clone(), fence });
            }
        }
        for id in ids {
            if let Some(generation) = self.generations.get_mut(id) {
                generation.fence = fence;
                change(generation);
            }
        }
        Ok(())
    }

    /// A generation that can be read: there, and not half dropped.
    fn whole(&self, id: &GenerationId) -> Result<&Generation, EntitiesError> {
        self.generations.get(id).filter(|g| !g.dropping).ok_or_else(|| EntitiesError::NoGeneration(id.clone()))
    }
}

impl MemoryEntities {
    /// Tells the observer of every change from now on, for as long as somebody else keeps it.
    pub fn observe(&self, observer: &Weak<dyn Observer>) {
        self.told.set(observer.clone());
    }
}

#[async_trait]
impl EntityAdmin for MemoryEntities {
    async fn create(&self, spec: GenerationSpec) -> Result<(), EntitiesError> {
        let made = spec.clone();
        lock(&self.state).generations.entry(spec.id.clone()).or_insert_with(|| Generation::new(spec));
        self.told.tell(|observer| observer.created(&made));
        Ok(())
    }

    async fn set_gates(&self, ids: &[GenerationId], gate: Gate, fence: Fence) -> Result<(), EntitiesError> {
        lock(&self.state).under(ids, fence, |generation| generation.gate = gate)?;
        self.told.tell(|observer| observer.gated(ids, gate, fence));
        Ok(())
    }

    async fn confirm(&self, ids: &[GenerationId], until: Millis, fence: Fence) -> Result<(), EntitiesError> {
        lock(&self.state).under(ids, fence, |generation| generation.confirmed = generation.confirmed.max(until))
    }

    async fn drop_slice(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError> {
        self.told.tell(|observer| observer.dropped(id));
        let mut state = lock(&self.state);
        let Some(generation) = state.generations.get_mut(id) else { return Ok(Dropped::Gone) };
        generation.dropping = true;
        if generation.forget_rows(limit) {
            return Ok(Dropped::More);
        }
        state.generations.remove(id);
        Ok(Dropped::Gone)
    }

    async fn generations(&self) -> Result<Vec<GenerationId>, EntitiesError> {
        Ok(lock(&self.state).generations.keys().cloned().collect())
    }
}

#[async_trait]
impl EntityWriter for MemoryEntities {
    async fn merge(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        let merged = lock(&self.state).merge(id, writer, slot, changes)?;
        self.told.tell(|observer| observer.merged(id, writer, slot, changes));
        Ok(merged)
    }

    async fn holds(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError> {
        let state = lock(&self.state);
        let generation = state.whole(id)?;
        Ok(changes.iter().all(|change| generation.holds(change)))
    }
}

#[async_trait]
impl EntityReader for MemoryEntities {
    async fn head(&self, id: &GenerationId) -> Result<Head, EntitiesError> {
        Ok(lock(&self.state).whole(id)?.head())
    }

    async fn get(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError> {
        Ok(lock(&self.state).whole(id)?.visible_row(key).cloned())
    }

    async fn list(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError> {
        let state = lock(&self.state);
        let generation = state.whole(id)?;
        let filters = query::compile(id, generation.schema(), &query.filters)?;
        Ok(generation
            .visible_after(query.after.as_ref())
            .filter(|row| filters.iter().all(|filter| filter.holds(row)))
            .take(query.limit)
            .cloned()
            .collect())
    }

    async fn hashes(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError> {
        let state = lock(&self.state);
        let rows = state.whole(id)?.hashes_after(after).take(limit);
        Ok(rows.map(|(key, hash)| (key.clone(), hash)).collect())
    }

    async fn dangling(
        &self,
        id: &GenerationId,
        field: &str,
        to: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Dangling, EntitiesError> {
        let state = lock(&self.state);
        let (generation, target) = (state.whole(id)?, state.whole(to)?);
        let position = query::position(id, generation.schema(), field)?;
        let mut slice = Dangling::default();
        for row in generation.visible_after(after).take(limit) {
            slice.looked_at += 1;
            slice.next = Some(row.key.clone());
            let value = &row.values[position];
            let leads_somewhere = query::as_key(value).is_some_and(|key| target.visible_row(&key).is_some());
            if !value.is_null() && !leads_somewhere {
                slice.found.push((row.key.clone(), value.clone()));
            }
        }
        if slice.looked_at < limit {
            slice.next = None;
        }
        Ok(slice)
    }
}
