//! Random changes from seeds: an adapter does what the model does, and order never matters (P5).
//!
//! The world of the changes is small on purpose, so that records fight over rows, orders tie (in every
//! component, too), deletes arrive early and rows change hands.

use std::collections::BTreeSet;

use teal::domain::{Effect, Fence, Key, Millis, Order, RecordChange, Row};
use teal::ports::entities::{Gate, GenerationSpec, Merged, Writer};
use teal::ports::{EntityAdmin, EntityWriter};

use super::fixtures::*;
use super::{EntitiesHarness, EntityStore};
use crate::memory::MemoryEntities;
use crate::seed::Seed;

const SEEDS: u32 = 40;
const CALLS: usize = 25;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owners {
    MakeAnyRow,
    AreTheKey,
}

fn number(seed: &mut Seed, end: usize) -> i64 {
    i64::try_from(seed.below(end)).unwrap()
}

fn random_change(seed: &mut Seed, owners: Owners) -> RecordChange {
    let owner = number(seed, 4);
    let stated = Millis(FLOOR - 2 + number(seed, 9));
    let provider = (seed.below(3) > 0).then(|| number(seed, 3) - 1);
    if seed.once_in(4) {
        return RecordChange::new(Key::int(owner), Effect::Delete { provider, stated });
    }
    let mut rows: Vec<Row> = Vec::new();
    let candidates = if owners == Owners::AreTheKey { vec![owner] } else { (0..6).collect() };
    for id in candidates {
        if seed.once_in(2) {
            rows.push(row(id, ["Ada", "Bo"][seed.below(2)]));
        }
    }
    let complete = !seed.once_in(4);
    let content = owner.cast_unsigned() << 1 | u64::from(complete);
    let own = rows.iter().fold(content, |hash, row| Seed(hash ^ row.hash().0).number());
    // Now and then equal for unequal content: what must not decide is who came first.
    let hash = if seed.once_in(3) { 0 } else { own };
    let order = Order { provider, stated, hash };
    RecordChange::new(Key::int(owner), Effect::Upsert { order, rows, complete })
}

/// Some changes, none of which states the same row twice.
fn random_page(seed: &mut Seed, owners: Owners) -> Vec<RecordChange> {
    let mut seen = BTreeSet::new();
    let count = seed.below(6);
    let page = (0..count).map(|_| random_change(seed, owners));
    page.filter(|change| match &change.effect {
        Effect::Upsert { order, .. } => seen.insert((change.owner.clone(), *order)),
        Effect::Delete { .. } => true,
    })
    .collect()
}

fn rows_in(page: &[RecordChange]) -> u64 {
    let rows = page.iter().map(|change| match &change.effect {
        Effect::Upsert { rows, .. } => rows.len() as u64,
        Effect::Delete { .. } => 0,
    });
    rows.sum()
}

fn counted(merged: &Merged) -> u64 {
    merged.new + merged.changed + merged.unchanged + merged.superseded + merged.duplicate
}

async fn follow(store: &dyn EntityStore, owners: Owners) {
    let model = MemoryEntities::default();
    for number in 1..=SEEDS {
        let mut seed = Seed(u64::from(number));
        let id = generation(number);
        let (gate, writer) =
            if number % 2 == 0 { (Gate::Building, Writer::Build(Fence(1))) } else { (Gate::Open, Writer::Live) };
        let spec = GenerationSpec { owner_is_key: owners == Owners::AreTheKey, ..spec(number, gate) };
        model.create(spec.clone()).await.unwrap();
        store.create(spec).await.unwrap();
        let mut calls: Vec<(String, Vec<RecordChange>)> = Vec::new();
        for call in 0..CALLS {
            let again = !calls.is_empty() && seed.once_in(4);
            let (slot, page) = if again {
                calls[seed.below(calls.len())].clone()
            } else {
                (format!("slot {}", seed.below(5)), random_page(&mut seed, owners))
            };
            let before = head(store, &id).await;
            let expected = model.merge(&id, writer, &slot, &page).await.unwrap();
            let found = store.merge(&id, writer, &slot, &page).await.unwrap();
            let context = format!("seed {number}, call {call}, '{slot}': {page:#?}");
            assert_eq!(found, expected, "{context}");
            assert_eq!(counted(&found), rows_in(&page), "{context}");
            let (head, model_head) = (head(store, &id).await, head(&model, &id).await);
            assert_eq!((head.rows, head.sum), (model_head.rows, model_head.sum), "{context}");
            let differs = (before.rows, before.sum) != (head.rows, head.sum);
            let growth = head.sequence - before.sequence;
            assert!(growth == 1 || (growth == 0 && !differs), "the sequence grew by {growth}: {context}");
            calls.push((slot, page));
        }
        assert_eq!(all(store, &id).await, all(&model, &id).await, "seed {number}");
        assert_head_is_true(store, &id).await;
    }
}

pub async fn entities_follow_the_model(harness: &dyn EntitiesHarness) {
    follow(&*harness.fresh().await, Owners::MakeAnyRow).await;
}

pub async fn entities_follow_the_model_where_the_owner_is_the_key(harness: &dyn EntitiesHarness) {
    follow(&*harness.fresh().await, Owners::AreTheKey).await;
}

pub async fn any_order_gives_the_same_rows(harness: &dyn EntitiesHarness) {
    const WAYS: u32 = 4;
    let store = harness.fresh().await;
    for number in 1..=SEEDS {
        let mut seed = Seed(u64::from(number) << 32);
        let owners = if number % 3 == 0 { Owners::AreTheKey } else { Owners::MakeAnyRow };
        let changes: Vec<RecordChange> = (0..20).map(|_| random_change(&mut seed, owners)).collect();
        let mut first = None;
        for way in 0..WAYS {
            let id = generation(number * WAYS + way);
            let spec =
                GenerationSpec { owner_is_key: owners == Owners::AreTheKey, ..spec(number * WAYS + way, Gate::Open) };
            store.create(spec).await.unwrap();
            let mut changes = changes.clone();
            if way > 0 {
                let repeats: Vec<_> = (0..6).map(|_| changes[seed.below(changes.len())].clone()).collect();
                changes.extend(repeats);
                seed.shuffle(&mut changes);
            }
            let mut rest = &changes[..];
            while !rest.is_empty() {
                let (batch, later) = rest.split_at(if way == 0 { 1 } else { 1 + seed.below(rest.len()) });
                let slot = format!("slot {}", seed.below(3));
                store.merge(&id, Writer::Live, &slot, batch).await.unwrap();
                rest = later;
            }
            let head = head(&*store, &id).await;
            let outcome = (all(&*store, &id).await, head.rows, head.sum);
            assert_head_is_true(&*store, &id).await;
            match &first {
                None => first = Some(outcome),
                Some(first) => assert_eq!(outcome, *first, "seed {number}, way {way}: {changes:#?}"),
            }
        }
    }
}
