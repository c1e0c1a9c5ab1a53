//! What a change does to rows, counts and the head.

use super::EntitiesHarness;
use super::fixtures::*;
use teal::domain::RecordChange;
use teal::ports::entities::{Gate, Merged, Writer};

pub async fn a_new_row_is_visible_and_counted_as_new(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let merged = live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada"), row(2, "Bo")])]).await;
    assert_eq!(merged, Merged { new: 2, ..NOTHING });
    assert_eq!(all(&*store, &id).await, [row(1, "Ada"), row(2, "Bo")]);
    assert_eq!(store.get(&id, &row(2, "").key).await.unwrap(), Some(row(2, "Bo")));
    assert_head_is_true(&*store, &id).await;
}

pub async fn a_newer_state_replaces_an_older_one(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada")])]).await;
    assert_eq!(live(&*store, "s2", &[upsert(1, stated(120), &[row(1, "Bo")])]).await, CHANGED);
    assert_eq!(all(&*store, &id).await, [row(1, "Bo")]);
    assert_head_is_true(&*store, &id).await;
}

pub async fn a_newer_state_with_the_same_values_is_unchanged(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada")])]).await;
    assert_eq!(live(&*store, "s2", &[upsert(1, stated(130), &[row(1, "Ada")])]).await, UNCHANGED);
    assert_eq!(live(&*store, "s3", &[upsert(1, stated(120), &[row(1, "Old")])]).await, SUPERSEDED);
    assert_eq!(all(&*store, &id).await, [row(1, "Ada")], "an unchanged row has the newer order all the same");
}

pub async fn an_older_state_is_superseded_and_changes_nothing(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(120), &[row(1, "Ada")])]).await;
    let before = head(&*store, &id).await;
    assert_eq!(live(&*store, "s2", &[upsert(1, stated(110), &[row(1, "Old")])]).await, SUPERSEDED);
    assert_eq!(all(&*store, &id).await, [row(1, "Ada")]);
    assert_eq!(head(&*store, &id).await, before);
}

pub async fn the_providers_order_beats_the_stated_time(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, provided(-5, 300), &[row(1, "minus five")])]).await;
    assert_eq!(live(&*store, "s2", &[upsert(1, provided(-4, 110), &[row(1, "minus four")])]).await, CHANGED);
    assert_eq!(live(&*store, "s3", &[upsert(1, provided(3, 105), &[row(1, "three")])]).await, CHANGED);
    assert_eq!(live(&*store, "s4", &[upsert(1, stated(900), &[row(1, "none")])]).await, SUPERSEDED);
    assert_eq!(live(&*store, "s5", &[upsert(1, provided(3, 106), &[row(1, "three, later")])]).await, CHANGED);
    assert_eq!(all(&*store, &id).await, [row(1, "three, later")]);
}

pub async fn the_hash_decides_between_equals(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let with_hash = |hash| teal::domain::Order { hash, ..stated(110) };
    live(&*store, "s1", &[upsert(1, with_hash(1 << 63), &[row(1, "middle")])]).await;
    assert_eq!(live(&*store, "s2", &[upsert(1, with_hash(7), &[row(1, "least")])]).await, SUPERSEDED);
    assert_eq!(live(&*store, "s3", &[upsert(1, with_hash(u64::MAX), &[row(1, "most")])]).await, CHANGED);
    assert_eq!(all(&*store, &id).await, [row(1, "most")]);
}

pub async fn what_is_new_or_changed_by_a_late_change_is_counted_as_late_too(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    open(&*store).await;
    live(&*store, "s0", &[upsert(1, stated(110), &[row(1, "Ada")]), upsert(2, stated(110), &[row(2, "Bo")])]).await;
    let late = |owner, name: &str| RecordChange { late: true, ..upsert(owner, stated(120), &[row(owner, name)]) };
    let page = [late(1, "Ada"), late(2, "Bob"), late(3, "Cy"), upsert(4, stated(120), &[row(4, "Di")])];
    let merged = live(&*store, "s1", &page).await;
    assert_eq!(merged, Merged { new: 2, changed: 1, unchanged: 1, late: 2, ..NOTHING });
}

pub async fn the_same_slot_again_is_counted_as_the_first_time(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s0", &[upsert(2, stated(105), &[row(2, "Bo")]), upsert(3, stated(105), &[row(3, "Cy")])]).await;
    live(&*store, "s0", &[upsert(4, stated(150), &[row(4, "Di")])]).await;
    let page = [
        upsert(1, stated(110), &[row(1, "Ada")]),
        upsert(2, stated(110), &[row(2, "Bob")]),
        upsert(3, stated(110), &[row(3, "Cy")]),
        upsert(4, stated(110), &[row(4, "old")]),
    ];
    let first = live(&*store, "s1", &page).await;
    assert_eq!(first, Merged { new: 1, changed: 1, unchanged: 1, superseded: 1, ..NOTHING });
    let before = head(&*store, &id).await;
    for _ in 0..2 {
        assert_eq!(live(&*store, "s1", &page).await, first, "a redelivery changes no count");
    }
    assert_eq!(head(&*store, &id).await, before);
}

pub async fn the_same_state_from_another_slot_is_a_duplicate(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let change = [upsert(1, stated(110), &[row(1, "Ada")])];
    live(&*store, "s1", &change).await;
    let before = head(&*store, &id).await;
    assert_eq!(live(&*store, "s2", &change).await, DUPLICATE);
    assert_eq!(live(&*store, "s1", &change).await, NEW, "the slot that stored it still counts it as its own");
    assert_eq!(head(&*store, &id).await, before);
}

pub async fn a_state_from_before_the_floor_leaves_no_trace(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let old = [upsert(1, stated(FLOOR - 1), &[row(1, "Ada"), row(2, "Bo")])];
    assert_eq!(live(&*store, "s1", &old).await, Merged { superseded: 2, ..NOTHING });
    assert_eq!(live(&*store, "s2", &old).await, Merged { superseded: 2, ..NOTHING }, "it was not kept");
    live(&*store, "s3", &[upsert(1, provided(1, 110), &[row(1, "Ada")])]).await;
    // Newer by the provider's order: had it left a trace, it would hide the row.
    assert_eq!(live(&*store, "s4", &[upsert(1, provided(9, FLOOR - 1), &[])]).await, NOTHING);
    assert_eq!(live(&*store, "s5", &[upsert(1, provided(9, FLOOR - 1), &[row(1, "No")])]).await, SUPERSEDED);
    assert_eq!(all(&*store, &id).await, [row(1, "Ada")]);
}

pub async fn a_state_from_the_very_floor_counts(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    open(&*store).await;
    assert_eq!(live(&*store, "s1", &[upsert(1, stated(FLOOR), &[row(1, "Ada")])]).await, NEW);
}

pub async fn a_row_that_a_newer_state_lacks_goes(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada"), row(2, "Bo")])]).await;
    live(&*store, "s2", &[upsert(7, stated(105), &[row(3, "Cy")])]).await;
    let merged = live(&*store, "s3", &[upsert(1, stated(120), &[row(2, "Bo")])]).await;
    assert_eq!(merged, Merged { unchanged: 1, deleted: 1, ..NOTHING });
    assert_eq!(all(&*store, &id).await, [row(2, "Bo"), row(3, "Cy")], "another record's row stays");
    let late = live(&*store, "s4", &[upsert(1, stated(115), &[row(1, "Ada"), row(4, "Di")])]).await;
    assert_eq!(late, Merged { superseded: 2, ..NOTHING }, "what the newest state lacks can't come in from before it");
    assert_eq!(all(&*store, &id).await, [row(2, "Bo"), row(3, "Cy")]);
    assert_head_is_true(&*store, &id).await;
}

pub async fn a_complete_state_without_rows_takes_all_of_them(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada"), row(2, "Bo")])]).await;
    assert_eq!(live(&*store, "s2", &[upsert(1, stated(120), &[])]).await, Merged { deleted: 2, ..NOTHING });
    assert!(all(&*store, &id).await.is_empty());
    assert_head_is_true(&*store, &id).await;
}

pub async fn a_state_that_is_not_complete_hides_nothing(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada"), row(2, "Bo")])]).await;
    assert_eq!(live(&*store, "s2", &[incomplete(1, stated(120), &[row(2, "Bob")])]).await, CHANGED);
    assert_eq!(live(&*store, "s3", &[incomplete(1, stated(130), &[])]).await, NOTHING);
    assert_eq!(all(&*store, &id).await, [row(1, "Ada"), row(2, "Bob")]);
}

pub async fn a_delete_takes_what_is_older_and_nothing_newer(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(1, "Ada")]), upsert(2, stated(110), &[row(2, "Bo")])]).await;
    assert_eq!(live(&*store, "s2", &[delete(1, 109)]).await, NOTHING);
    assert_eq!(live(&*store, "s2", &[delete(1, 110)]).await, NOTHING, "a delete of the same moment is not newer");
    assert_eq!(live(&*store, "s3", &[delete(1, 111)]).await, DELETED);
    assert_eq!(live(&*store, "s3", &[delete(1, 111)]).await, NOTHING, "it has gone already");
    assert_eq!(all(&*store, &id).await, [row(2, "Bo")]);
    assert_head_is_true(&*store, &id).await;
}

pub async fn a_delete_that_arrives_first_still_counts(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    assert_eq!(live(&*store, "s1", &[delete(1, 120)]).await, NOTHING);
    assert_eq!(live(&*store, "s2", &[upsert(1, stated(110), &[row(1, "Ada")])]).await, SUPERSEDED);
    assert!(all(&*store, &id).await.is_empty());
    assert_eq!(live(&*store, "s3", &[upsert(1, stated(121), &[row(1, "Ada")])]).await, NEW);
    assert_eq!(all(&*store, &id).await, [row(1, "Ada")]);
}

pub async fn a_delete_with_the_providers_order_is_compared_by_it(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, provided(7, 200), &[row(1, "Ada")])]).await;
    assert_eq!(live(&*store, "s2", &[delete_provided(1, 6, 900)]).await, NOTHING);
    assert_eq!(live(&*store, "s3", &[delete_provided(1, 8, 105)]).await, DELETED);
    assert_eq!(live(&*store, "s4", &[upsert(1, provided(7, 950), &[row(1, "Ada")])]).await, SUPERSEDED);
    assert_eq!(live(&*store, "s5", &[upsert(1, stated(950), &[row(1, "Ada")])]).await, SUPERSEDED);
    assert_eq!(live(&*store, "s6", &[upsert(1, provided(9, 101), &[row(1, "Back")])]).await, NEW);
    assert_eq!(live(&*store, "s7", &[delete(1, 102)]).await, DELETED, "a delete without one goes by the stated time");
    assert!(all(&*store, &id).await.is_empty());
}

pub async fn a_row_made_by_a_newer_record_changes_its_owner(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(5, "by one")])]).await;
    assert_eq!(live(&*store, "s2", &[upsert(2, stated(120), &[row(5, "by two")])]).await, CHANGED);
    assert_eq!(live(&*store, "s3", &[delete(1, 900)]).await, NOTHING, "the first owner has no say any more");
    assert_eq!(all(&*store, &id).await, [row(5, "by two")]);
    assert_eq!(live(&*store, "s4", &[delete(2, 900)]).await, DELETED);
    assert!(all(&*store, &id).await.is_empty());
    assert_head_is_true(&*store, &id).await;
}

pub async fn of_equal_orders_the_greater_owner_wins_whoever_came_first(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    // By key order: 9 is less than 10.
    let by = |owner, row_id| [upsert(owner, stated(110), &[row(row_id, &format!("by {owner}"))])];
    live(&*store, "s1", &by(9, 1)).await;
    assert_eq!(live(&*store, "s2", &by(10, 1)).await, CHANGED);
    live(&*store, "s3", &by(10, 2)).await;
    assert_eq!(live(&*store, "s4", &by(9, 2)).await, DUPLICATE);
    assert_eq!(all(&*store, &id).await, [row(1, "by 10"), row(2, "by 10")]);
    assert_eq!(live(&*store, "s5", &[delete(9, 900)]).await, NOTHING);
    assert_eq!(live(&*store, "s6", &[delete(10, 900)]).await, Merged { deleted: 2, ..NOTHING });
    assert_head_is_true(&*store, &id).await;
}

pub async fn of_one_owners_equal_orders_the_greater_row_hash_wins(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    // Enough of them that hashes of both signs meet, should a store keep them signed.
    for n in 1..=8 {
        let mut states = [row(n, "one"), row(n, "two"), row(n, "three")];
        states.sort_by_key(|state| state.hash().0);
        let [least, middle, greatest] = states;
        for (slot, state) in [("s1", &middle), ("s2", &least), ("s3", &greatest), ("s4", &middle)] {
            live(&*store, slot, &[incomplete(n, stated(110), std::slice::from_ref(state))]).await;
        }
        assert_eq!(store.get(&id, &greatest.key).await.unwrap(), Some(greatest));
    }
    assert_head_is_true(&*store, &id).await;
}

pub async fn a_row_taken_over_by_a_record_that_is_gone_goes(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    live(&*store, "s1", &[upsert(1, stated(110), &[row(5, "by one")]), delete(2, 900)]).await;
    let merged = live(&*store, "s2", &[upsert(2, stated(120), &[row(5, "by two")])]).await;
    assert_eq!(merged, Merged { superseded: 1, deleted: 1, ..NOTHING });
    assert!(all(&*store, &id).await.is_empty());
    assert_head_is_true(&*store, &id).await;
}

pub async fn a_row_that_went_comes_back_as_new(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let changes = [upsert(1, stated(110), &[row(1, "Ada")]), delete(1, 120), upsert(1, stated(130), &[row(1, "Ada")])];
    let merged = live(&*store, "s1", &changes).await;
    assert_eq!(merged, Merged { new: 2, deleted: 1, ..NOTHING }, "changes of one merge count one after the other");
    assert_eq!(all(&*store, &id).await, [row(1, "Ada")]);
}

pub async fn the_sequence_grows_with_what_is_visible_only(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let mut expected = head(&*store, &id).await.sequence;
    let steps = [
        (upsert(1, stated(110), &[row(1, "Ada")]), 1),
        (upsert(1, stated(110), &[row(1, "Ada")]), 0),
        (upsert(1, stated(120), &[row(1, "Ada")]), 0),
        (upsert(1, stated(130), &[row(1, "Bo"), row(2, "Cy")]), 1),
        (upsert(1, stated(105), &[row(1, "old")]), 0),
        (upsert(1, stated(FLOOR - 9), &[row(1, "older")]), 0),
        (delete(2, 500), 0),
        (delete(1, 500), 1),
        (delete(1, 501), 0),
    ];
    for (n, (change, growth)) in steps.into_iter().enumerate() {
        live(&*store, "s", &[change]).await;
        expected += growth;
        assert_eq!(head(&*store, &id).await.sequence, expected, "after step {n}");
    }
    let many: Vec<_> = (10..20).map(|n| upsert(n, stated(600), &[row(n, "many")])).collect();
    live(&*store, "s", &many).await;
    assert_eq!(head(&*store, &id).await.sequence, expected + 1, "by one a merge, whatever its size");
}

pub async fn the_head_is_true_after_every_write(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let fresh = head(&*store, &id).await;
    assert_eq!((fresh.rows, fresh.sum, fresh.gate), (0, 0, Gate::Open));
    assert_eq!(fresh.schema, schema());
    for n in 0..12 {
        live(&*store, "s", &[upsert(n % 5, stated(110 + n), &[row(n, "Ada"), row(n + 1, "Bo")])]).await;
        assert_head_is_true(&*store, &id).await;
        live(&*store, "s", &[delete(n % 3, 111 + n)]).await;
        assert_head_is_true(&*store, &id).await;
    }
}

pub async fn an_empty_merge_is_nothing(harness: &dyn EntitiesHarness) {
    let store = harness.fresh().await;
    let id = open(&*store).await;
    let before = head(&*store, &id).await;
    assert_eq!(store.merge(&id, Writer::Live, "s1", &[]).await.unwrap(), NOTHING);
    assert_eq!(head(&*store, &id).await, before);
}
