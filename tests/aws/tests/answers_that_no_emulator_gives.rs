//! Throttling, half-done batches, cancelled transactions, lost answers, missing permissions: what each becomes.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use teal::domain::{Message, QueueName};
use teal::ports::blobs::Put;
use teal::ports::fault::FaultKind;
use teal::ports::{
    BlobError, BlobReader, BlobWriter, Fault, ItemKey, Ledger, LedgerError, LedgerReader, Outgoing, Precondition,
    QueueSender, Secrets, Write,
};
use teal_aws::dynamodb::ledger::DynamoLedger;
use teal_aws::s3_blobs::S3Blobs;
use teal_aws::secrets::AwsSecrets;
use teal_aws::sqs_queue::SqsQueue;
use teal_aws_tests::harness::SYSTEM;
use teal_emulator::wire::{Answer, Request, Wire};

/// The SDK's attempts with one call, as `Wire::clients` sets them, and ours.
const SDK: usize = 3;
const OURS: usize = 4;

fn key(sort: &str) -> ItemKey {
    ItemKey::new("part", sort)
}

fn put(sort: &str, when: Precondition) -> Write {
    Write::Put { key: key(sort), value: json!("value").into(), mark: 0, when }
}

fn dynamodb(error: &str) -> Answer {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{error}");
    Answer::Json(400, json!({"__type": kind, "message": "as the test says"}))
}

fn cancelled(codes: &[&str]) -> Answer {
    let reasons: Vec<Value> = codes.iter().map(|code| json!({"Code": code, "Message": "as the test says"})).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    Answer::Json(400, json!({"__type": kind, "message": "cancelled", "CancellationReasons": reasons}))
}

async fn ledger(script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> (Wire, DynamoLedger) {
    let wire = Wire::start(None, script).await;
    let ledger = DynamoLedger::new(wire.clients("111111111111"), "the-ledger", SYSTEM);
    (wire, ledger)
}

async fn two_writes(ledger: &DynamoLedger) -> Result<(), LedgerError> {
    ledger.transact(vec![put("a", Precondition::None), put("b", Precondition::Absent)]).await
}

#[track_caller]
fn fault<T: std::fmt::Debug>(result: Result<T, LedgerError>, kind: FaultKind, says: &[&str]) {
    match result {
        Err(LedgerError::Fault(fault)) => assert_says(&fault, kind, says),
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[track_caller]
fn assert_says(fault: &Fault, kind: FaultKind, says: &[&str]) {
    let text = fault.to_string();
    assert_eq!(fault.kind, kind, "{text}");
    for part in says {
        assert!(text.contains(part), "'{text}' does not say '{part}'");
    }
}

#[tokio::test]
async fn what_is_throttled_is_tried_again_until_it_works() {
    let (wire, ledger) = ledger(|_, nth| match nth {
        0 => dynamodb("ProvisionedThroughputExceededException"),
        1 => dynamodb("ThrottlingException"),
        _ => Answer::Json(200, json!({})),
    })
    .await;
    assert_eq!(ledger.get(&key("a")).await.unwrap(), None);
    assert_eq!(wire.seen().len(), 3);
}

#[tokio::test]
async fn throttling_without_end_is_a_fault_that_may_pass() {
    let (wire, ledger) = ledger(|_, _| dynamodb("ProvisionedThroughputExceededException")).await;
    fault(ledger.get(&key("a")).await, FaultKind::Transient, &["the-ledger", "dynamodb:GetItem", "throttled"]);
    assert_eq!(wire.seen().len(), SDK);
}

#[tokio::test]
async fn a_transaction_that_others_are_in_the_way_of_is_tried_again_with_its_token() {
    for code in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
        let (wire, ledger) = ledger(move |_, nth| match nth {
            0 | 1 => cancelled(&["None", code]),
            _ => Answer::Json(200, json!({})),
        })
        .await;
        two_writes(&ledger).await.unwrap();
        let tokens: Vec<Value> =
            wire.seen().iter().map(|request| request.json()["ClientRequestToken"].clone()).collect();
        assert!(tokens.len() == 3 && tokens.iter().all(|token| token.is_string() && *token == tokens[0]), "{tokens:?}");
    }
}

#[tokio::test]
async fn a_transaction_that_others_are_always_in_the_way_of_is_given_up() {
    let (wire, ledger) = ledger(|_, _| cancelled(&["TransactionConflict", "None"])).await;
    fault(two_writes(&ledger).await, FaultKind::Transient, &["the-ledger", "others are in the way"]);
    assert_eq!(wire.seen().len(), OURS);
}

#[tokio::test]
async fn a_condition_that_is_not_met_is_a_refusal_of_its_write() {
    let (wire, ledger) = ledger(|_, _| cancelled(&["TransactionConflict", "ConditionalCheckFailed"])).await;
    match two_writes(&ledger).await {
        Err(LedgerError::Refused { index: 1, key: refused }) => assert_eq!(refused, key("b")),
        other => panic!("{other:?}"),
    }
    assert_eq!(wire.seen().len(), 1, "asking again would give the same");
}

#[tokio::test]
async fn a_transaction_that_is_wrong_is_wrong_for_good() {
    for code in ["ValidationError", "ItemCollectionSizeLimitExceeded"] {
        let (wire, ledger) = ledger(move |_, _| cancelled(&["ConditionalCheckFailed", code])).await;
        fault(two_writes(&ledger).await, FaultKind::Permanent, &["the-ledger", code]);
        assert_eq!(wire.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_missing_table_a_missing_permission_and_expired_credentials_say_what_to_do() {
    let cases = [
        ("ResourceNotFoundException", &["table 'the-ledger'", "is not there", "deploy the stack"][..]),
        ("AccessDeniedException", &["table 'the-ledger'", "dynamodb:GetItem", "is not allowed", "grant it"]),
        ("ExpiredTokenException", &["table 'the-ledger'", "credentials", "renew them"]),
        ("UnrecognizedClientException", &["table 'the-ledger'", "credentials", "renew them"]),
    ];
    for (code, says) in cases {
        let (wire, ledger) = ledger(move |_, _| dynamodb(code)).await;
        fault(ledger.get(&key("a")).await, FaultKind::Transient, says);
        assert!(wire.seen().len() <= SDK, "{code}");
    }
}

#[tokio::test]
async fn a_cut_connection_is_tried_again() {
    let (wire, ledger) = ledger(|_, nth| if nth < 2 { Answer::Cut } else { Answer::Json(200, json!({})) }).await;
    assert_eq!(ledger.get(&key("a")).await.unwrap(), None);
    assert_eq!(wire.seen().len(), 3);
}

#[tokio::test]
async fn a_slow_bucket_is_tried_again_and_given_up_in_the_end() {
    let wire =
        Wire::start(None, |_, nth| if nth < 2 { Answer::Xml(503, "SlowDown") } else { Answer::Json(200, json!({})) });
    let wire = wire.await;
    let blobs = S3Blobs::new(wire.clients("111111111111"), "raw");
    assert_eq!(blobs.put_if_absent("a/b", Bytes::from_static(b"1")).await.unwrap(), Put::Stored);

    let wire = Wire::start(None, |_, _| Answer::Xml(503, "SlowDown")).await;
    let blobs = S3Blobs::new(wire.clients("111111111111"), "raw");
    match blobs.get("a/b").await {
        Err(BlobError::Fault(fault)) => assert_says(&fault, FaultKind::Transient, &["s3://raw/a/b", "SlowDown"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(wire.seen().len(), SDK);
}

#[tokio::test]
async fn puts_of_one_object_at_once_are_tried_again_until_one_is_there() {
    let script = |_: &Request, nth| match nth {
        0 => Answer::Xml(409, "ConditionalRequestConflict"),
        _ => Answer::Xml(412, "PreconditionFailed"),
    };
    let wire = Wire::start(None, script).await;
    let blobs = S3Blobs::new(wire.clients("111111111111"), "raw");
    assert_eq!(blobs.put_if_absent("a", Bytes::from_static(b"1")).await.unwrap(), Put::WasThere);
}

#[tokio::test]
async fn a_bucket_says_what_is_missing() {
    let cases = [
        (403, "AccessDenied", ["s3://raw/a", "s3:GetObject", "is not allowed"]),
        (404, "NoSuchBucket", ["s3://raw/a", "is not there", "deploy"]),
        (400, "ExpiredToken", ["s3://raw/a", "credentials", "renew"]),
    ];
    for (status, code, says) in cases {
        let wire = Wire::start(None, move |_, _| Answer::Xml(status, code)).await;
        let blobs = S3Blobs::new(wire.clients("111111111111"), "raw");
        match blobs.get("a").await {
            Err(BlobError::Fault(fault)) => assert_says(&fault, FaultKind::Transient, &says),
            other => panic!("{other:?}"),
        }
    }
}

async fn queue(script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> (Wire, SqsQueue) {
    let wire = Wire::start(None, script).await;
    let url = format!("{}/111111111111/switch", wire.url);
    let queue = SqsQueue::new(wire.clients("111111111111"), BTreeMap::from([(QueueName::Switch, url)]));
    (wire, queue)
}

fn settle(count: usize) -> Vec<Outgoing> {
    let message = |n| Outgoing::now(Message::Settle { run: format!("run-{n}").as_str().into() });
    (0..count).map(message).collect()
}

/// What SQS says of a batch: an error for those whose id is named.
fn batch_result(request: &Request, failing: impl Fn(&str) -> Option<(bool, &'static str)>) -> Answer {
    let request = request.json();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for entry in request["Entries"].as_array().unwrap() {
        let id = entry["Id"].as_str().unwrap();
        match failing(id) {
            None => good.push(json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": "0"})),
            Some((fault, code)) => bad.push(json!({"Id": id, "SenderFault": fault, "Code": code, "Message": "told"})),
        }
    }
    Answer::Json(200, json!({"Successful": good, "Failed": bad}))
}

#[tokio::test]
async fn of_a_half_sent_batch_the_other_half_is_sent_again() {
    let (wire, queue) =
        queue(|request, nth| batch_result(request, |id| (nth == 0 && id != "1").then_some((false, "InternalError"))))
            .await;
    assert!(queue.send(settle(3)).await.iter().all(Result::is_ok));
    let sizes: Vec<usize> = wire.seen().iter().map(|r| r.json()["Entries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [3, 2]);
}

#[tokio::test]
async fn a_message_that_is_wrong_fails_alone_and_at_once() {
    let (wire, queue) =
        queue(|request, _| batch_result(request, |id| (id == "1").then_some((true, "InvalidMessageContents")))).await;
    let results = queue.send(settle(12)).await;
    let failed: Vec<usize> = (0..12).filter(|at| results[*at].is_err()).collect();
    assert_eq!((results.len(), failed), (12, vec![1]));
    assert_says(results[1].as_ref().unwrap_err(), FaultKind::Permanent, &["switch", "InvalidMessageContents"]);
    assert_eq!(wire.seen().len(), 2);
}

#[tokio::test]
async fn a_message_that_is_never_taken_is_given_up_alone() {
    let (wire, queue) =
        queue(|request, _| batch_result(request, |id| (id == "0").then_some((false, "ServiceUnavailable")))).await;
    let results = queue.send(settle(2)).await;
    assert_says(results[0].as_ref().unwrap_err(), FaultKind::Transient, &["switch"]);
    assert!(results[1].is_ok());
    assert_eq!(wire.seen().len(), OURS);
}

#[tokio::test]
async fn a_queue_that_is_not_there_fails_each_of_its_messages() {
    let (_wire, queue) = queue(|_, _| {
        let kind = "com.amazonaws.sqs#QueueDoesNotExist";
        Answer::Json(400, json!({"__type": kind, "message": "The specified queue does not exist."}))
    })
    .await;
    let mut messages = settle(1);
    messages.push(Outgoing::now(Message::Continue { run: "r".into() }));
    let results = queue.send(messages).await;
    assert_says(results[0].as_ref().unwrap_err(), FaultKind::Transient, &["/111111111111/switch", "is not there"]);
    assert_says(results[1].as_ref().unwrap_err(), FaultKind::Permanent, &["poll", "TEAL_QUEUE_POLL"]);
}

#[tokio::test]
async fn batches_are_of_ten_messages_and_of_256_kib() {
    let (wire, queue) = queue(|request, _| batch_result(request, |_| None)).await;
    let large = |n: usize| Outgoing::now(Message::Settle { run: "r".repeat(n).as_str().into() });
    let messages = vec![large(100_000), large(100_000), large(100_000), large(300_000), large(10)];
    let results = queue.send(messages).await;
    let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, true, false, true]);
    let sizes: Vec<usize> = wire.seen().iter().map(|r| r.json()["Entries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [2, 2]);
}

#[tokio::test]
async fn a_secret_is_asked_for_once_in_its_lifetime_and_faults_say_no_secret() {
    let wire = Wire::start(None, |request, nth| match nth {
        0 => Answer::Json(200, json!({"SecretString": "hunter22", "Name": request.json()["SecretId"]})),
        _ => Answer::Json(400, json!({"__type": "AccessDeniedException", "message": "no"})),
    })
    .await;
    let secrets = AwsSecrets::new(wire.clients("111111111111"), "nowrep/");
    for _ in 0..3 {
        assert_eq!(secrets.get("key").await.unwrap().unwrap().expose(), "hunter22");
    }
    assert_eq!(wire.seen().len(), 1);
    assert_eq!(wire.seen()[0].json()["SecretId"], "nowrep/key");
    let fault = secrets.get("ssm:/other").await.unwrap_err();
    assert_says(&fault, FaultKind::Transient, &["parameter '/other'", "ssm:GetParameter", "grant"]);
}

#[tokio::test]
async fn without_credentials_the_fault_says_so() {
    let nobody = aws_credential_types::provider::SharedCredentialsProvider::new(NoCredentials);
    let config =
        teal_emulator::config("http://127.0.0.1:9", "nobody").to_builder().credentials_provider(nobody).build();
    let ledger = DynamoLedger::new(teal_aws::AwsClients::with(config), "the-ledger", SYSTEM);
    fault(ledger.get(&key("a")).await, FaultKind::Transient, &["the-ledger", "credentials", "aws sso login"]);
}

#[derive(Debug)]
struct NoCredentials;

impl aws_credential_types::provider::ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let why = aws_credential_types::provider::error::CredentialsError::not_loaded("none here");
        aws_credential_types::provider::future::ProvideCredentials::ready(Err(why))
    }
}

#[tokio::test]
async fn nothing_listens_and_the_fault_may_pass() {
    let config = teal_emulator::config("http://127.0.0.1:9", "111111111111");
    let ledger = Arc::new(DynamoLedger::new(teal_aws::AwsClients::with(config), "the-ledger", SYSTEM));
    fault(ledger.get(&key("a")).await, FaultKind::Transient, &["the-ledger", "got no answer"]);
}
