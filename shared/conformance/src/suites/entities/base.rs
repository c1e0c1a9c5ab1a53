//! Counting against the generation that readers have now: what a rebuild will change for them.

use teal::domain::{Fence, RecordChange};
use teal::ports::entities::{Gate, GenerationSpec, Merged, Writer};

use super::fixtures::*;
use super::{EntitiesHarness, EntityStore};

/// Generation 1 is read and has rows 1 and 2, and had row 9; generation 2 builds on it.
async fn rebuilding(store: &dyn EntityStore) {
    open(store).await;
    live(store, "s0", &[upsert(1, stated(110), &[row(1, "Ada")]), upsert(2, stated(110), &[row(2, "Bo")])]).await;
    live(store, "s0", &[upsert(9, stated(110), &[row(9, "gone")]), delete(9, 120)]).await;
    store.create(GenerationSpec { base: Some(generation(1)), ..spec(2, Gate::Building) }).await.unwrap();
}

async fn build(store: &dyn EntityStore, slot: &str, changes: &[RecordChange]) -> Merged {
    store.merge(&generation(2), Writer::Build(Fence(1)), slot, changes).await.unwrap()
}

pub async fn a_building_row_is_counted_against_the_base(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    rebuilding(&*store).await;
    let page = [
        upsert(1, stated(210), &[row(1, "Ada")]),
        upsert(2, stated(210), &[row(2, "Bob")]),
        upsert(3, stated(210), &[row(3, "Cy")]),
        upsert(9, stated(210), &[row(9, "gone")]),
    ];
    let expected = Merged { new: 2, changed: 1, unchanged: 1, ..NOTHING };
    assert_eq!(build(&*store, "s1", &page).await, expected, "a row that the base hides is new");
    assert_eq!(build(&*store, "s1", &page).await, expected, "and a redelivery changes no count");
    assert_head_is_true(&*store, &generation(2)).await;
    assert_eq!(head(&*store, &generation(2)).await.sequence, 1, "unchanged for readers, yet a row of this generation");
}

pub async fn what_the_generation_has_itself_counts_before_the_base(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    rebuilding(&*store).await;
    assert_eq!(build(&*store, "s1", &[upsert(1, stated(210), &[row(1, "Eve")])]).await, CHANGED);
    assert_eq!(build(&*store, "s2", &[upsert(1, stated(220), &[row(1, "Eve")])]).await, UNCHANGED);
    assert_eq!(build(&*store, "s3", &[upsert(1, stated(230), &[row(1, "Ada")])]).await, CHANGED);
}

pub async fn the_base_counts_only_while_building(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    rebuilding(&*store).await;
    store.set_gates(&[generation(2)], Gate::Closed, Fence(1)).await.unwrap();
    assert_eq!(build(&*store, "s1", &[upsert(1, stated(210), &[row(1, "Ada")])]).await, NEW);
}

pub async fn a_base_that_is_gone_counts_as_empty(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    rebuilding(&*store).await;
    store.drop_slice(&generation(1), 1).await.unwrap();
    assert_eq!(build(&*store, "s1", &[upsert(1, stated(210), &[row(1, "Ada")])]).await, NEW);
}
