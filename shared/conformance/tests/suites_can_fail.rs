//! The random suites notice an adapter that is wrong: a suite that can't fail says nothing.
//!
//! Each adapter here is the model with the changes twisted on their way in, which is what forgetting one
//! rule of the contract amounts to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use teal::domain::{Effect, Fence, GenerationId, Key, Millis, RecordChange, Row, RowHash};
use teal::ports::entities::{Dangling, Dropped, Gate, GenerationSpec, Head, ListQuery, Merged, Writer};
use teal::ports::{EntitiesError, EntityAdmin, EntityReader, EntityWriter};
use teal_conformance::memory::MemoryEntities;
use teal_conformance::suites::entities::{
    EntitiesHarness, EntityStore, any_order_gives_the_same_rows, entities_follow_the_model,
};

type Twist = fn(&mut RecordChange, i64);

struct Twisted {
    model: MemoryEntities,
    twist: Twist,
    calls: AtomicI64,
}

struct Harness(Twist);

#[async_trait]
impl EntitiesHarness for Harness {
    async fn fresh(&self) -> Arc<dyn EntityStore> {
        Arc::new(Twisted { model: MemoryEntities::default(), twist: self.0, calls: AtomicI64::new(0) })
    }

    async fn again(&self) -> Arc<dyn EntityStore> {
        self.fresh().await
    }
}

#[async_trait]
impl EntityWriter for Twisted {
    async fn merge(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let mut changes = changes.to_vec();
        changes.iter_mut().for_each(|change| (self.twist)(change, call));
        self.model.merge(id, writer, slot, &changes).await
    }

    async fn holds(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError> {
        self.model.holds(id, changes).await
    }
}

#[async_trait]
impl EntityAdmin for Twisted {
    async fn create(&self, spec: GenerationSpec) -> Result<(), EntitiesError> {
        self.model.create(spec).await
    }

    async fn set_gates(&self, ids: &[GenerationId], gate: Gate, fence: Fence) -> Result<(), EntitiesError> {
        self.model.set_gates(ids, gate, fence).await
    }

    async fn confirm(&self, ids: &[GenerationId], until: Millis, fence: Fence) -> Result<(), EntitiesError> {
        self.model.confirm(ids, until, fence).await
    }

    async fn drop_slice(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError> {
        self.model.drop_slice(id, limit).await
    }

    async fn generations(&self) -> Result<Vec<GenerationId>, EntitiesError> {
        self.model.generations().await
    }
}

#[async_trait]
impl EntityReader for Twisted {
    async fn head(&self, id: &GenerationId) -> Result<Head, EntitiesError> {
        self.model.head(id).await
    }

    async fn get(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError> {
        self.model.get(id, key).await
    }

    async fn list(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError> {
        self.model.list(id, query).await
    }

    async fn hashes(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError> {
        self.model.hashes(id, after, limit).await
    }

    async fn dangling(
        &self,
        id: &GenerationId,
        field: &str,
        to: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Dangling, EntitiesError> {
        self.model.dangling(id, field, to, after, limit).await
    }
}

fn nothing(_: &mut RecordChange, _: i64) {}

fn forget_deletes(change: &mut RecordChange, _: i64) {
    if let Effect::Delete { .. } = change.effect {
        change.owner = Key::int(99);
    }
}

fn take_every_state_for_complete(change: &mut RecordChange, _: i64) {
    if let Effect::Upsert { complete, .. } = &mut change.effect {
        *complete = true;
    }
}

fn ignore_the_provider(change: &mut RecordChange, _: i64) {
    match &mut change.effect {
        Effect::Upsert { order, .. } => order.provider = None,
        Effect::Delete { provider, .. } => *provider = None,
    }
}

fn ignore_the_hash(change: &mut RecordChange, _: i64) {
    if let Effect::Upsert { order, .. } = &mut change.effect {
        order.hash = 0;
    }
}

fn go_by_arrival(change: &mut RecordChange, call: i64) {
    if let Effect::Upsert { order, .. } = &mut change.effect {
        order.provider = Some(call);
    }
}

fn keep_the_first_of_equals(change: &mut RecordChange, call: i64) {
    if let Effect::Upsert { order, .. } = &mut change.effect {
        order.hash = u64::MAX - call.cast_unsigned();
    }
}

fn forget_the_owner(change: &mut RecordChange, _: i64) {
    change.owner = Key::int(1);
}

#[tokio::test]
async fn what_is_not_twisted_passes() {
    entities_follow_the_model(&Harness(nothing)).await;
    any_order_gives_the_same_rows(&Harness(nothing)).await;
}

macro_rules! noticed {
    ($($name:ident: $suite:ident, $twist:ident;)*) => {
        $(
            #[tokio::test]
            #[should_panic(expected = "seed")]
            async fn $name() {
                $suite(&Harness($twist)).await;
            }
        )*
    };
}

noticed! {
    an_adapter_that_forgets_deletes_is_noticed: entities_follow_the_model, forget_deletes;
    an_adapter_that_takes_every_state_for_complete_is_noticed: entities_follow_the_model, take_every_state_for_complete;
    an_adapter_that_ignores_the_provider_is_noticed: entities_follow_the_model, ignore_the_provider;
    an_adapter_that_ignores_the_hash_is_noticed: entities_follow_the_model, ignore_the_hash;
    an_adapter_that_forgets_the_owner_is_noticed: entities_follow_the_model, forget_the_owner;
    an_adapter_that_goes_by_arrival_depends_on_order: any_order_gives_the_same_rows, go_by_arrival;
    an_adapter_that_keeps_the_first_of_equals_depends_on_order: any_order_gives_the_same_rows, keep_the_first_of_equals;
}
