//! Who may write when, and how generations come and go.

use std::sync::Arc;

use teal::domain::{Fence, GenerationId, Millis, Schema};
use teal::ports::EntitiesError;
use teal::ports::entities::{Dropped, Gate, GenerationSpec, ListQuery, Writer};

use super::fixtures::*;
use super::{EntitiesHarness, EntityStore};

#[track_caller]
fn assert_no_generation<T: std::fmt::Debug>(result: Result<T, EntitiesError>, id: &GenerationId) {
    match result {
        Err(EntitiesError::NoGeneration(named)) => assert_eq!(named, *id),
        other => panic!("{id} should be no generation, got {other:?}"),
    }
}

#[track_caller]
fn assert_stale<T: std::fmt::Debug>(result: Result<T, EntitiesError>, id: &GenerationId, fence: Fence) {
    match result {
        Err(EntitiesError::StaleBuilder { id: named, fence: stale }) => assert_eq!((named, stale), (id.clone(), fence)),
        other => panic!("fence {fence} should be stale for {id}, got {other:?}"),
    }
}

async fn assert_unreadable(store: &dyn EntityStore, id: &GenerationId) {
    let key = row(1, "").key;
    assert_no_generation(store.head(id).await, id);
    assert_no_generation(store.get(id, &key).await, id);
    assert_no_generation(store.list(id, &ListQuery { limit: 1, ..ListQuery::default() }).await, id);
    assert_no_generation(store.hashes(id, None, 1).await, id);
    assert_no_generation(store.dangling(id, "boss", id, None, 1).await, id);
    assert_no_generation(store.merge(id, Writer::Live, "s", &[delete(1, 110)]).await, id);
    assert_no_generation(store.merge(id, Writer::Build(Fence(99)), "s", &[delete(1, 110)]).await, id);
    assert_no_generation(set_gate(store, id, Gate::Open, Fence(99)).await, id);
}

async fn set_gate(store: &dyn EntityStore, id: &GenerationId, gate: Gate, fence: Fence) -> Result<(), EntitiesError> {
    store.set_gates(std::slice::from_ref(id), gate, fence).await
}

async fn stored(store: &dyn EntityStore) -> Vec<GenerationId> {
    let mut ids = store.generations().await.unwrap();
    ids.sort();
    ids
}

pub async fn a_generation_that_is_there_stays_as_it_is(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada")])]).await;
    let before = head(&*store, &id).await;
    let mut other: Schema = (*schema()).clone();
    other.fields.truncate(3);
    let differently =
        GenerationSpec { schema: Arc::new(other), floor: Millis(500), fence: Fence(9), ..spec(1, Gate::Building) };
    store.create(differently).await.unwrap();
    assert_eq!(head(&*store, &id).await, before);
    assert_eq!(all(&*store, &id).await, [row(1, "Ada")]);
    assert_eq!(live(&*store, "s2", &[upsert(2, stated(110), &[row(2, "Bo")])]).await, NEW, "the floor is the old one");
}

pub async fn what_was_never_made_is_no_generation(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    assert_unreadable(&*store, &generation(2)).await;
    assert_no_generation(store.dangling(&id, "boss", &generation(2), None, 1).await, &generation(2));
    assert_eq!(stored(&*store).await, [id]);
}

pub async fn live_changes_need_an_open_gate(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = generation(1);
    store.create(spec(1, Gate::Building)).await.unwrap();
    let change = [upsert(1, stated(110), &[row(1, "Ada")])];
    for gate in [Gate::Building, Gate::Closed] {
        set_gate(&*store, &id, gate, Fence(1)).await.unwrap();
        match store.merge(&id, Writer::Live, "s", &change).await {
            Err(EntitiesError::GateClosed(named)) => assert_eq!(named, id),
            other => panic!("the gate is {gate:?}, got {other:?}"),
        }
    }
    set_gate(&*store, &id, Gate::Open, Fence(1)).await.unwrap();
    assert_eq!(store.merge(&id, Writer::Live, "s", &change).await.unwrap(), NEW);
}

pub async fn a_build_needs_its_gate_and_a_fence_that_is_not_older(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = generation(1);
    store.create(GenerationSpec { fence: Fence(5), ..spec(1, Gate::Building) }).await.unwrap();
    let change = |n| [upsert(n, stated(110), &[row(n, "Ada")])];
    assert_stale(store.merge(&id, Writer::Build(Fence(4)), "s", &change(1)).await, &id, Fence(4));
    assert_eq!(store.merge(&id, Writer::Build(Fence(5)), "s", &change(1)).await.unwrap(), NEW);
    assert_eq!(store.merge(&id, Writer::Build(Fence(6)), "s", &change(2)).await.unwrap(), NEW);
    set_gate(&*store, &id, Gate::Closed, Fence(7)).await.unwrap();
    assert_stale(store.merge(&id, Writer::Build(Fence(6)), "s", &change(3)).await, &id, Fence(6));
    assert_eq!(store.merge(&id, Writer::Build(Fence(7)), "s", &change(3)).await.unwrap(), NEW);
    set_gate(&*store, &id, Gate::Open, Fence(7)).await.unwrap();
    assert_stale(store.merge(&id, Writer::Build(Fence(8)), "s", &change(4)).await, &id, Fence(8));
}

pub async fn a_refused_merge_changes_nothing(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada")])]).await;
    set_gate(&*store, &id, Gate::Closed, Fence(2)).await.unwrap();
    let before = head(&*store, &id).await;
    let changes = [upsert(1, stated(120), &[row(2, "Bo")]), delete(1, 900)];
    store.merge(&id, Writer::Live, "s2", &changes).await.unwrap_err();
    store.merge(&id, Writer::Build(Fence(1)), "s2", &changes).await.unwrap_err();
    assert_eq!(head(&*store, &id).await, before);
    assert_eq!(all(&*store, &id).await, [row(1, "Ada")]);
}

pub async fn gates_are_set_together_or_not_at_all(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    for (number, fence) in [(1, 3), (2, 9), (3, 3)] {
        store.create(GenerationSpec { fence: Fence(fence), ..spec(number, Gate::Building) }).await.unwrap();
    }
    let ids: Vec<_> = (1..=3).map(generation).collect();
    assert_stale(store.set_gates(&ids, Gate::Open, Fence(5)).await, &ids[1], Fence(5));
    let with_a_stranger = [ids[0].clone(), generation(4), ids[2].clone()];
    assert_no_generation(store.set_gates(&with_a_stranger, Gate::Open, Fence(10)).await, &generation(4));
    for (id, fence) in ids.iter().zip([3, 9, 3]) {
        let head = head(&*store, id).await;
        assert_eq!((head.gate, head.fence), (Gate::Building, Fence(fence)), "{id}");
    }
    store.set_gates(&ids, Gate::Open, Fence(10)).await.unwrap();
    for id in &ids {
        let head = head(&*store, id).await;
        assert_eq!((head.gate, head.fence), (Gate::Open, Fence(10)), "{id}");
    }
    store.set_gates(&[], Gate::Closed, Fence(1)).await.unwrap();
}

pub async fn an_older_fence_sets_no_gate(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    set_gate(&*store, &id, Gate::Closed, Fence(4)).await.unwrap();
    assert_stale(set_gate(&*store, &id, Gate::Open, Fence(3)).await, &id, Fence(3));
    assert_eq!(head(&*store, &id).await.gate, Gate::Closed);
    set_gate(&*store, &id, Gate::Open, Fence(4)).await.expect("the holder of the fence may go on");
    assert_eq!(head(&*store, &id).await.gate, Gate::Open);
    assert_eq!(head(&*store, &id).await.sequence, 0, "a gate is nothing that readers see");
}

pub async fn generations_are_apart(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    store.create(GenerationSpec { floor: Millis(0), ..spec(2, Gate::Open) }).await.unwrap();
    let change = [upsert(1, stated(50), &[row(1, "Ada")])];
    assert_eq!(live(&*store, "s", &change).await, SUPERSEDED);
    assert_eq!(store.merge(&generation(2), Writer::Live, "s", &change).await.unwrap(), NEW);
    live(&*store, "s", &[delete(1, 900)]).await;
    assert!(all(&*store, &id).await.is_empty());
    assert_eq!(all(&*store, &generation(2)).await, [row(1, "Ada")]);
    let namesake = GenerationId { entity: "projects".into(), number: 1 };
    store.create(GenerationSpec { id: namesake.clone(), ..spec(1, Gate::Open) }).await.unwrap();
    assert!(all(&*store, &namesake).await.is_empty());
    assert_eq!(stored(&*store).await, [namesake, id, generation(2)]);
}

async fn filled(store: &dyn EntityStore, rows: i64) -> GenerationId {
    let id = open(store).await;
    let changes: Vec<_> = (0..rows).map(|n| upsert(n, stated(110), &[row(n, "Ada")])).collect();
    live(store, "s", &changes).await;
    id
}

pub async fn from_the_first_slice_on_a_dropped_generation_is_unreadable(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = filled(&*store, 10).await;
    assert_eq!(store.drop_slice(&id, 3).await.unwrap(), Dropped::More);
    assert_unreadable(&*store, &id).await;
    assert_eq!(stored(&*store).await, [id], "a half dropped generation is still there to be dropped");
}

pub async fn a_drop_ends_and_leaves_the_others(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = filled(&*store, 10).await;
    store.create(spec(2, Gate::Open)).await.unwrap();
    let change = [upsert(1, stated(110), &[row(1, "Bo")])];
    store.merge(&generation(2), Writer::Live, "s", &change).await.unwrap();
    let mut slices = 1;
    while store.drop_slice(&id, 3).await.unwrap() == Dropped::More {
        slices += 1;
        assert!(slices < 50, "the drop does not end");
    }
    assert!(slices >= 3, "three rows a slice, and ten rows went in {slices} slices");
    assert_unreadable(&*store, &id).await;
    assert_eq!(stored(&*store).await, [generation(2)]);
    assert_eq!(all(&*store, &generation(2)).await, [row(1, "Bo")]);
    store.create(spec(1, Gate::Open)).await.unwrap();
    assert!(all(&*store, &id).await.is_empty(), "made again, it is empty");
    assert_eq!(live(&*store, "s", &[upsert(1, stated(110), &[row(1, "Ada")])]).await, NEW);
}

pub async fn an_empty_generation_is_dropped_at_once(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    assert_eq!(store.drop_slice(&id, 100).await.unwrap(), Dropped::Gone);
    assert!(stored(&*store).await.is_empty());
    match store.drop_slice(&id, 100).await {
        Ok(Dropped::Gone) | Err(EntitiesError::NoGeneration(_)) => {}
        other => panic!("dropping what is gone changes nothing, got {other:?}"),
    }
}
