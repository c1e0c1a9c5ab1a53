//! What does not fit into one transaction, one item or one answer.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use teal::domain::{Key, Row, Value};
use teal::ports::entities::{Compare, Filter, ListQuery, Merged, Writer};
use teal::ports::fault::FaultKind;
use teal::ports::{EntitiesError, EntityAdmin, EntityReader, EntityWriter};
use teal_aws::dynamodb::entities::DynamoEntities;
use teal_aws_tests::harness::{Account, SYSTEM};
use teal_aws_tests::talents::{generation, page, row, spec, upsert};
use teal_emulator::wire::{Answer, Wire};

async fn open(account: &Account, owner_is_key: bool) -> DynamoEntities {
    let (clients, table) = account.new_table().await;
    let entities = DynamoEntities::new(clients, table, SYSTEM);
    entities.create(spec(1, owner_is_key)).await.unwrap();
    entities
}

async fn assert_head_is_true(entities: &DynamoEntities) -> Vec<Row> {
    let rows = entities.list(&generation(1), &ListQuery { limit: 100_000, ..ListQuery::default() }).await.unwrap();
    let head = entities.head(&generation(1)).await.unwrap();
    let sum = rows.iter().fold(0u64, |sum, row| sum.wrapping_add(row.hash().0));
    assert_eq!((head.rows, head.sum), (rows.len() as u64, sum));
    rows
}

#[tokio::test]
async fn a_record_of_many_rows_comes_and_goes_whole() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let entities = open(&Account::new(emulator), false).await;
    let rows: Vec<Row> = (0..300).map(|id| row(id, "of one record")).collect();
    let merge = async |slot: &str, stated, rows: Vec<Row>| {
        entities.merge(&generation(1), Writer::Live, slot, &[upsert(1, stated, rows)]).await.unwrap()
    };
    let all_new = Merged { new: 300, ..Merged::default() };
    assert_eq!(merge("s1", 10, rows.clone()).await, all_new);
    assert_eq!(merge("s1", 10, rows.clone()).await, all_new, "a redelivery changes no count");
    assert_eq!(assert_head_is_true(&entities).await, rows);
    let fewer = merge("s2", 20, rows[..40].to_vec()).await;
    assert_eq!(fewer, Merged { unchanged: 40, deleted: 260, ..Merged::default() });
    assert_eq!(assert_head_is_true(&entities).await, rows[..40]);
    assert_eq!(merge("s3", 15, rows.clone()).await, Merged { superseded: 300, ..Merged::default() });
    assert_eq!(merge("s4", 30, Vec::new()).await, Merged { deleted: 40, ..Merged::default() });
    assert!(assert_head_is_true(&entities).await.is_empty());
}

#[tokio::test]
async fn rows_of_hundreds_of_kilobytes_are_kept_and_larger_ones_are_refused_by_name() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let entities = open(&Account::new(emulator), true).await;
    let with_name = |id, len| upsert(id, 10, vec![row(id, &"x".repeat(len))]);
    let large: Vec<_> = (0..12).map(|id| with_name(id, 380_000)).collect();
    let merged = entities.merge(&generation(1), Writer::Live, "s1", &large).await.unwrap();
    assert_eq!(merged.new, 12);
    assert_eq!(assert_head_is_true(&entities).await.len(), 12);
    match entities.merge(&generation(1), Writer::Live, "s2", &[with_name(77, 400_000)]).await {
        Err(EntitiesError::Fault(fault)) => {
            assert_eq!(fault.kind, FaultKind::Permanent);
            assert!(fault.what.contains("row 77 of talents_v1") && fault.what.contains("400"), "{fault}");
        }
        other => panic!("{other:?}"),
    }
    let long = upsert(1, 10, vec![Row { key: Key::text("k".repeat(800)), ..row(1, "long") }]);
    entities.merge(&generation(1), Writer::Live, "s3", &[long]).await.expect_err("the key is too long");
}

#[tokio::test]
async fn a_merge_that_was_cut_off_is_completed_with_the_same_counts() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let account = emulator.new_account();
    teal_aws::dynamodb::tables::create(&emulator.clients(&account), "table").await.unwrap();
    let (before, changes) = (page(0..50, 5, "before"), page(0..400, 10, "name"));
    let expected = Merged { new: 350, changed: 50, ..Merged::default() };
    for cut_after in [0, 1, 3, 6] {
        let number = 1 + u32::try_from(cut_after).unwrap();
        let transactions = Arc::new(AtomicUsize::new(0));
        let seen = transactions.clone();
        let wire = Wire::start(Some(&emulator.url), move |request, _| {
            let is_one = request.operation == "TransactWriteItems";
            if is_one && seen.fetch_add(1, Ordering::Relaxed) > cut_after {
                return Answer::Json(500, json!({"__type": "InternalServerError", "message": "as the test says"}));
            }
            Answer::HandOn
        })
        .await;
        let cut = DynamoEntities::new(wire.clients(&account), "table", SYSTEM);
        let whole = DynamoEntities::new(emulator.clients(&account), "table", SYSTEM);
        whole.create(spec(number, true)).await.unwrap();
        whole.merge(&generation(number), Writer::Live, "before", &before).await.unwrap();
        cut.merge(&generation(number), Writer::Live, "slot", &changes).await.expect_err("it was cut off");
        for _ in 0..2 {
            let merged = whole.merge(&generation(number), Writer::Live, "slot", &changes).await.unwrap();
            assert_eq!(merged, expected, "cut off after {cut_after}");
        }
        let head = whole.head(&generation(number)).await.unwrap();
        let rows = whole.list(&generation(number), &ListQuery { limit: 1000, ..ListQuery::default() }).await.unwrap();
        assert_eq!((head.rows, rows.len()), (400, 400));
    }
}

#[tokio::test]
async fn a_range_that_is_no_selection_is_walked() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let entities = open(&Account::new(emulator), true).await;
    // Entries of 200 bytes and more: 1 MB of them, an answer's worth, are some 4,000. So few that they stay small.
    let long = |id: i64| format!("{:0>190}", id % 3);
    let changes: Vec<_> = (0..1900).map(|id| upsert(id, 10, vec![row(id, &long(id))])).collect();
    for (slot, changes) in changes.chunks(475).enumerate() {
        entities.merge(&generation(1), Writer::Live, &format!("s{slot}"), changes).await.unwrap();
    }
    let filter = |compare, id| Filter { field: "name".to_owned(), compare, value: Value::Text(long(id)) };
    let ids = async |filters: Vec<Filter>, after: Option<i64>, limit| -> Vec<Key> {
        let query = ListQuery { after: after.map(Key::int), limit, filters };
        entities.list(&generation(1), &query).await.unwrap().into_iter().map(|row| row.key).collect()
    };
    let expected = |from: i64, limit: usize, fits: &dyn Fn(i64) -> bool| -> Vec<Key> {
        (from..1900).filter(|id| fits(id % 3)).take(limit).map(Key::int).collect()
    };
    assert_eq!(ids(vec![filter(Compare::Less, 1)], None, 10).await, expected(0, 10, &|n| n < 1));
    assert_eq!(ids(vec![filter(Compare::GreaterOrEqual, 1)], Some(99), 50).await, expected(100, 50, &|n| n >= 1));
    assert_eq!(ids(vec![filter(Compare::Equal, 2)], Some(499), 300).await, expected(500, 300, &|n| n == 2));
    let both = vec![filter(Compare::Greater, 0), filter(Compare::LessOrEqual, 1)];
    assert_eq!(ids(both, Some(1500), 5000).await, expected(1501, 5000, &|n| n == 1));
}
