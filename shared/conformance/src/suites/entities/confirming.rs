//! What a listing that found the same leaves: rows that are as they were, and changes that have to know of it.

use std::slice::from_ref;

use teal::domain::{Fence, Millis};
use teal::ports::EntitiesError;
use teal::ports::entities::{Gate, Merged, Writer};

use super::EntitiesHarness;
use super::fixtures::*;

#[track_caller]
fn assert_confirmed(merged: Result<Merged, EntitiesError>, until: i64) {
    match merged {
        Err(EntitiesError::Confirmed { id, until: told }) => assert_eq!((id, told), (generation(1), Millis(until))),
        other => panic!("what is older than {until} should be refused, got {other:?}"),
    }
}

pub async fn what_is_older_than_a_confirmation_needs_to_know_of_it(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada")])]).await;
    let before = head(&*store, &id).await;
    store.confirm(from_ref(&id), Millis(200), Fence(2)).await.unwrap();
    let after = head(&*store, &id).await;
    assert_eq!((after.rows, after.sum, after.sequence), (before.rows, before.sum, before.sequence));
    assert_eq!((after.gate, after.fence), (Gate::Open, Fence(2)));
    let old = [upsert(2, stated(250), &[row(2, "Bo")]), upsert(1, stated(199), &[row(1, "Cy")])];
    assert_confirmed(store.merge(&id, Writer::Live, "s2", &old).await, 200);
    assert_confirmed(store.merge(&id, Writer::Live, "s2", &[delete(1, 150)]).await, 200);
    assert_confirmed(store.merge(&id, Writer::Late(Millis(199)), "s2", &old).await, 200);
    assert_eq!(all(&*store, &id).await, [row(1, "Ada")], "what was refused changes nothing");
    assert_eq!(live(&*store, "s3", &[upsert(3, stated(200), &[row(3, "Di")])]).await, NEW);
    let merged = store.merge(&id, Writer::Late(Millis(200)), "s2", &old).await.unwrap();
    assert_eq!((merged.new, merged.changed), (1, 1));
    assert_eq!(all(&*store, &id).await, [row(1, "Cy"), row(2, "Bo"), row(3, "Di")]);
}

pub async fn a_build_need_not_know_what_confirmed(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    store.confirm(from_ref(&id), Millis(200), Fence(2)).await.unwrap();
    store.set_gates(from_ref(&id), Gate::Closed, Fence(2)).await.unwrap();
    let old = [upsert(1, stated(150), &[row(1, "Ada")])];
    assert_eq!(store.merge(&id, Writer::Build(Fence(2)), "s", &old).await.unwrap(), NEW);
    match store.merge(&id, Writer::Late(Millis(200)), "s", &old).await {
        Err(EntitiesError::GateClosed(named)) => assert_eq!(named, id),
        other => panic!("the gate is closed, got {other:?}"),
    }
}

pub async fn confirmations_only_grow(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    store.create(teal::ports::entities::GenerationSpec { fence: Fence(5), ..spec(2, Gate::Open) }).await.unwrap();
    store.confirm(from_ref(&id), Millis(300), Fence(3)).await.unwrap();
    store.confirm(from_ref(&id), Millis(200), Fence(3)).await.unwrap();
    let old = [upsert(1, stated(250), &[row(1, "Ada")])];
    assert_confirmed(store.merge(&id, Writer::Live, "s", &old).await, 300);
    for (ids, fence) in [(vec![id.clone()], 2), (vec![id.clone(), generation(2)], 4)] {
        match store.confirm(&ids, Millis(400), Fence(fence)).await {
            Err(EntitiesError::StaleBuilder { fence: stale, .. }) => assert_eq!(stale, Fence(fence)),
            other => panic!("fence {fence} is too old, got {other:?}"),
        }
    }
    assert_eq!(live(&*store, "s", &[upsert(2, stated(300), &[row(2, "Bo")])]).await, NEW, "none or all");
    let again = harness.again().await;
    assert_confirmed(again.merge(&id, Writer::Live, "s", &old).await, 300);
    store.set_gates(from_ref(&id), Gate::Open, Fence(6)).await.unwrap();
    assert_confirmed(store.merge(&id, Writer::Live, "s", &old).await, 300);
}

pub async fn a_generation_holds_what_is_visible_and_nothing_else(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let made = [upsert(1, stated(110), &[row(1, "Ada"), row(2, "Bo")]), upsert(3, stated(110), &[row(3, "Cy")])];
    live(&*store, "s1", &made).await;
    live(&*store, "s2", &[delete(3, 120)]).await;
    let holds = async |changes: &[_]| store.holds(&id, changes).await.unwrap();
    assert!(holds(&[]).await);
    assert!(holds(&made[..1]).await);
    assert!(holds(&[upsert(1, stated(500), &[row(2, "Bo"), row(1, "Ada")])]).await, "whenever it was stated");
    assert!(!holds(&made).await, "row 3 is gone");
    assert!(!holds(&[upsert(1, stated(500), &[row(1, "Ada"), row(2, "Bob")])]).await, "another value");
    assert!(!holds(&[upsert(4, stated(500), &[row(2, "Bo")])]).await, "another record's");
    assert!(!holds(&[upsert(4, stated(500), &[row(4, "Di")])]).await, "not there");
    assert!(!holds(&[incomplete(1, stated(500), &[row(1, "Ada")])]).await, "a part was rejected");
    assert!(!holds(&[delete(9, 500)]).await, "a delete is no row");
    match store.holds(&generation(7), &made).await {
        Err(EntitiesError::NoGeneration(named)) => assert_eq!(named, generation(7)),
        other => panic!("there is no generation 7, got {other:?}"),
    }
}
