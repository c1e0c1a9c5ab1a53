//! The entities ports over a table per generation.
//!
//! Owns the way from a port's call to a job of the writer or a reader. What each job does is in the file
//! of its name. A merge is prepared on the caller's thread (keys, hashes and values as SQLite wants them),
//! because all merges share one writer.

mod create;
mod drop;
mod gates;
mod merge;
mod plan;
mod prepare;
mod read;
mod stored;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use teal::domain::{Effect, Fence, GenerationId, Key, Millis, RecordChange, Row, RowHash};
use teal::ports::entities::{Dangling, Dropped, Gate, GenerationSpec, Head, ListQuery, Merged, Writer};
use teal::ports::{EntitiesError, EntityAdmin, EntityReader, EntityWriter};

pub use self::plan::Plans;
use super::TealDb;
use crate::sqlite::Trouble;

type Outcome<T> = Result<T, Trouble<EntitiesError>>;

impl From<EntitiesError> for Trouble<EntitiesError> {
    fn from(error: EntitiesError) -> Self {
        Self::Known(error)
    }
}

#[async_trait]
impl EntityAdmin for TealDb {
    async fn create(&self, spec: GenerationSpec) -> Result<(), EntitiesError> {
        self.file.write(&spec.id.to_string(), move |db| create::create(db, &spec)).await
    }

    async fn set_gates(&self, ids: &[GenerationId], gate: Gate, fence: Fence) -> Result<(), EntitiesError> {
        let ids = ids.to_vec();
        self.file.write("gates", move |db| gates::set(db, &ids, gate, fence)).await
    }

    async fn confirm(&self, ids: &[GenerationId], until: Millis, fence: Fence) -> Result<(), EntitiesError> {
        let ids = ids.to_vec();
        self.file.write("gates", move |db| gates::confirm(db, &ids, until, fence)).await
    }

    async fn drop_slice(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError> {
        let (id, plans) = (id.clone(), Arc::clone(&self.plans));
        self.file.write(&id.to_string(), move |db| drop::slice(db, &plans, &id, limit)).await
    }

    async fn generations(&self) -> Result<Vec<GenerationId>, EntitiesError> {
        self.file.read("generations", stored::all).await
    }
}

#[async_trait]
impl EntityWriter for TealDb {
    async fn merge(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        let plan = self.read(id, |_, plan, _| Ok(plan)).await?;
        let changes = prepare::changes(&plan, changes)?;
        let slot = prepare::slot(slot);
        self.file.write(&id.to_string(), move |db| merge::merge(db, &plan, writer, slot, changes)).await
    }

    async fn holds(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError> {
        let mut rows = Vec::new();
        for change in changes {
            let Effect::Upsert { rows: made, complete: true, .. } = &change.effect else { return Ok(false) };
            let owner = change.owner.encode();
            rows.extend(made.iter().map(|row| (row.key.encode(), owner.clone(), row.hash())));
        }
        self.read(id, move |db, plan, _| read::holds(db, &plan, &rows)).await
    }
}

#[async_trait]
impl EntityReader for TealDb {
    async fn head(&self, id: &GenerationId) -> Result<Head, EntitiesError> {
        self.read(id, |_, plan, stored| Ok(stored.head(&plan.schema))).await
    }

    async fn get(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError> {
        let key = key.clone();
        self.read(id, move |db, plan, _| read::get(db, &plan, key)).await
    }

    async fn list(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError> {
        let query = query.clone();
        self.read(id, move |db, plan, _| read::list(db, &plan, &query)).await
    }

    async fn hashes(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError> {
        let after = after.cloned();
        self.read(id, move |db, plan, _| read::hashes(db, &plan, after.as_ref(), limit)).await
    }

    async fn dangling(
        &self,
        id: &GenerationId,
        field: &str,
        to: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Dangling, EntitiesError> {
        let (field, to, after, plans) = (field.to_owned(), to.clone(), after.cloned(), Arc::clone(&self.plans));
        self.read(id, move |db, plan, _| {
            let (target, _) = plans.find(db, &to)?;
            read::dangling(db, &plan, &field, &target, after.as_ref(), limit)
        })
        .await
    }
}

impl TealDb {
    /// Reads of one generation, on one snapshot.
    async fn read<T: Send + 'static>(
        &self,
        id: &GenerationId,
        read: impl FnOnce(&Connection, Arc<plan::Plan>, stored::Stored) -> Outcome<T> + Send + 'static,
    ) -> Result<T, EntitiesError> {
        let (id, plans) = (id.clone(), Arc::clone(&self.plans));
        self.file
            .read(&id.to_string(), move |db| {
                let (plan, stored) = plans.find(db, &id)?;
                read(db, plan, stored)
            })
            .await
    }
}
