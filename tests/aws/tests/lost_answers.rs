//! The effect happened and the answer was lost, or half of a batch was done: on the emulator, behind a wire that
//! does it.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::json;
use teal::domain::{Effect, Fence, Key, Millis, RecordChange};
use teal::ports::blobs::Put;
use teal::ports::entities::{Dropped, Gate, ListQuery, Merged, Writer};
use teal::ports::{
    BlobReader, BlobWriter, EntityAdmin, EntityReader, EntityWriter, ItemKey, Ledger, LedgerError, LedgerReader,
    Precondition, Write,
};
use teal_aws::AwsClients;
use teal_aws::dynamodb::entities::DynamoEntities;
use teal_aws::dynamodb::ledger::DynamoLedger;
use teal_aws::dynamodb::tables;
use teal_aws::s3_blobs::S3Blobs;
use teal_aws_tests::harness::SYSTEM;
use teal_aws_tests::talents::{generation, page, spec};
use teal_emulator::Emulator;
use teal_emulator::wire::{Answer, Request, Wire};

/// Clients on the emulator, in a new account, behind a script; and a table without the script.
async fn behind(
    emulator: &'static Emulator,
    script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
) -> (Wire, Arc<AwsClients>) {
    let (wire, clients, _) = behind_with_bucket(emulator, script).await;
    (wire, clients)
}

async fn behind_with_bucket(
    emulator: &'static Emulator,
    script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
) -> (Wire, Arc<AwsClients>, String) {
    let account = emulator.new_account();
    let straight = emulator.clients(&account);
    let bucket = format!("raw-{account}");
    tables::create(&straight, "table").await.unwrap();
    straight.s3().create_bucket().bucket(&bucket).send().await.unwrap();
    let wire = Wire::start(Some(&emulator.url), script).await;
    let clients = wire.clients(&account);
    (wire, clients, bucket)
}

fn key() -> ItemKey {
    ItemKey::new("part", "a")
}

fn add(number: i64) -> Write {
    Write::Add { key: key(), numbers: [("n".to_owned(), number)].into() }
}

/// Loses the first answer.
fn lossy(_: &Request, nth: usize) -> Answer {
    if nth == 0 { Answer::Lose } else { Answer::HandOn }
}

#[tokio::test]
async fn an_add_whose_answer_was_lost_is_added_once() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let (wire, clients) = behind(emulator, lossy).await;
    let ledger = DynamoLedger::new(clients, "table", SYSTEM);
    ledger.transact(vec![add(3)]).await.unwrap();
    assert_eq!(ledger.get(&key()).await.unwrap().unwrap().value, json!({"n": 3}));
    let sent = wire.seen();
    assert_eq!((sent.len(), &sent[0].operation), (3, &"TransactWriteItems".to_owned()));
}

#[tokio::test]
async fn a_transaction_whose_answer_was_lost_is_no_refusal() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let (_wire, clients) = behind(emulator, lossy).await;
    let ledger = DynamoLedger::new(clients, "table", SYSTEM);
    let put =
        Write::Put { key: ItemKey::new("part", "b"), value: json!(1).into(), mark: 0, when: Precondition::Absent };
    ledger.transact(vec![put, add(1)]).await.expect("its own first attempt is nobody else's");
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_no_refusal() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let (wire, clients) = behind(emulator, lossy).await;
    let ledger = DynamoLedger::new(clients, "table", SYSTEM);
    let put = |when| vec![Write::Put { key: key(), value: json!(1).into(), mark: 0, when }];
    ledger.transact(put(Precondition::Absent)).await.expect("its own first attempt is nobody else's");
    assert_eq!((wire.seen()[0].operation.as_str(), wire.seen().len()), ("PutItem", 2));
    let again = ledger.transact(put(Precondition::Absent)).await;
    assert!(matches!(again, Err(LedgerError::Refused { index: 0, .. })), "{again:?}");
}

#[tokio::test]
async fn an_object_whose_answer_was_lost_is_there() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let (_wire, clients, bucket) = behind_with_bucket(emulator, lossy).await;
    let blobs = S3Blobs::new(clients, bucket);
    let stored = blobs.put_if_absent("a", Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(stored, Put::WasThere, "which is what a sender who repeats himself is told, too");
    assert_eq!(blobs.get("a").await.unwrap(), "1");
}

/// The emulator gets the first key alone; the others come back as not done.
fn one_at_a_time(
    request: &Request,
    list: impl Fn(&mut serde_json::Value) -> &mut Vec<serde_json::Value>,
    left: &'static str,
) -> Answer {
    let mut first = request.json();
    let mut rest = first.clone();
    list(&mut first).truncate(1);
    list(&mut rest).remove(0);
    if list(&mut rest).is_empty() {
        return Answer::HandOn;
    }
    let items = rest["RequestItems"].take();
    Answer::Edit(
        first,
        Box::new(move |mut answer| {
            answer[left] = items;
            answer
        }),
    )
}

#[tokio::test]
async fn what_a_batch_leaves_out_is_asked_for_again() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let (wire, clients) = behind(emulator, |request, _| match request.operation.as_str() {
        "BatchGetItem" => one_at_a_time(
            request,
            |body| body["RequestItems"]["table"]["Keys"].as_array_mut().unwrap(),
            "UnprocessedKeys",
        ),
        "BatchWriteItem" => {
            one_at_a_time(request, |body| body["RequestItems"]["table"].as_array_mut().unwrap(), "UnprocessedItems")
        }
        _ => Answer::HandOn,
    })
    .await;
    let entities = DynamoEntities::new(clients, "table", SYSTEM);
    entities.create(spec(1, true)).await.unwrap();
    assert_eq!(entities.head(&generation(1)).await.unwrap().rows, 0);
    assert_eq!(entities.drop_slice(&generation(1), 10).await.unwrap(), Dropped::Gone);
    let gets = wire.seen().iter().filter(|request| request.operation == "BatchGetItem").count();
    assert!(gets >= 2, "{gets}");
}

#[tokio::test]
async fn gates_that_were_half_set_are_set_by_who_comes_again() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let (_wire, clients) = behind(emulator, |request, nth| {
        let follows = request.operation == "TransactWriteItems" && request.body.windows(5).any(|five| five == b"#turn");
        let refuse = Answer::Json(500, json!({"__type": "InternalServerError", "message": "as the test says"}));
        if follows && nth < 8 { refuse } else { Answer::HandOn }
    })
    .await;
    let entities = DynamoEntities::new(clients, "table", SYSTEM);
    let id = generation(1);
    entities.create(spec(1, true)).await.unwrap();
    let ids = std::slice::from_ref(&id);
    entities.set_gates(ids, Gate::Closed, Fence(2)).await.expect_err("the heads could not follow");
    assert_eq!(entities.head(&id).await.unwrap().gate, Gate::Closed, "nobody gets in who asks the root");
    entities.set_gates(ids, Gate::Open, Fence(3)).await.unwrap();
    let effect = Effect::Delete { provider: None, stated: Millis(5) };
    let change = RecordChange::new(Key::int(1), effect);
    entities.merge(&id, Writer::Live, "s", &[change]).await.unwrap();
}

#[tokio::test]
async fn a_merge_whose_answers_are_lost_is_merged_once() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let tokens = Mutex::new(BTreeSet::new());
    let (_wire, clients) = behind(emulator, move |request, _| {
        let token = request.json()["ClientRequestToken"].to_string();
        let first = request.operation == "TransactWriteItems" && tokens.lock().unwrap().insert(token);
        if first { Answer::Lose } else { Answer::HandOn }
    })
    .await;
    let entities = DynamoEntities::new(clients, "table", SYSTEM);
    let id = generation(1);
    entities.create(spec(1, true)).await.unwrap();
    for slot in 0..3 {
        let changes = page(slot * 100..slot * 100 + 100, 10, "n");
        let merged = entities.merge(&id, Writer::Live, &format!("s{slot}"), &changes).await.unwrap();
        assert_eq!(merged, Merged { new: 100, ..Merged::default() });
    }
    let rows = entities.list(&id, &ListQuery { limit: 1000, ..ListQuery::default() }).await.unwrap();
    let sum = rows.iter().fold(0u64, |sum, row| sum.wrapping_add(row.hash().0));
    let head = entities.head(&id).await.unwrap();
    assert_eq!((rows.len(), head.rows, head.sum), (300, 300, sum));
}
