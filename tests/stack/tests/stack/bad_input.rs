//! What can't be handled is named with its code, tried again, and ends in the dead letters; nothing is lost.

use std::collections::BTreeSet;
use std::time::Instant;

use aws_sdk_sqs::types::Message;
use serde_json::{Value as Json, json};
use teal_stack_tests::events;
use teal_stack_tests::rie::{self, Rie};
use teal_stack_tests::stack::Stack;
use teal_stack_tests::tools::{SAM, programs};
use teal_stand_in::Kind;
use teal_stand_in::blue::Event;

use crate::nowrep::{PATIENCE, blue, bundle, deploy, deployed, ended, locally, same, shown, strict, until};

/// So many messages that transform gave up, as soon as they are there.
async fn dead(stack: &Stack, count: usize) -> Vec<Message> {
    let client = stack.emulator.clients("test");
    let (began, mut found) = (Instant::now(), Vec::new());
    while found.len() < count {
        assert!(began.elapsed() < PATIENCE, "only {found:?} are dead");
        let receive = client.sqs().receive_message().queue_url(&stack.outputs["TransformDeadLettersUrl"]);
        let received = receive.wait_time_seconds(1).max_number_of_messages(10).send().await.unwrap();
        found.extend(received.messages.unwrap_or_default());
    }
    found
}

/// What `start-message-move-task` does, which the emulator does not know.
async fn redrive(stack: &Stack, messages: Vec<Message>) {
    let client = stack.emulator.clients("test");
    let [queue, dead] = ["TransformQueueUrl", "TransformDeadLettersUrl"].map(|name| stack.outputs[name].clone());
    for message in messages {
        client.sqs().send_message().queue_url(&queue).set_message_body(message.body).send().await.unwrap();
        let delete = client.sqs().delete_message().queue_url(&dead);
        delete.set_receipt_handle(message.receipt_handle).send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_handled_ends_in_the_dead_letters_with_its_code_in_the_log() {
    let parameters = [("MaxReceiveCount", "2"), ("DeletionProtection", "false"), ("Entry", "function-url")];
    let Some((stack, _blue, hash)) = deployed("dead", &parameters).await else { return };
    let client = stack.emulator.clients("test");
    let source = json!({ "name": "blue", "account": "-/-" });
    let gone = json!({ "v": 1, "kind": "delivery", "config": hash, "source": source, "raw": "raw/-/-/blue/hook/gone" });
    let gone = gone.to_string();
    let bodies = [
        ("this is not JSON", "TEAL-E002"),
        (r#"{"v":99,"kind":"page"}"#, "TEAL-E003"),
        (r#"{"v":1,"kind":"continue","run":"r"}"#, "TEAL-A002"),
        (&gone, "TEAL-E004"),
    ];
    for (body, _) in bodies {
        let send = client.sqs().send_message().queue_url(&stack.outputs["TransformQueueUrl"]);
        send.message_body(body).send().await.unwrap();
    }
    let found: BTreeSet<String> = dead(&stack, bodies.len()).await.into_iter().filter_map(|one| one.body).collect();
    assert_eq!(found, bodies.map(|(body, _)| body.to_owned()).into());
    let log = stack.log("transform");
    for (body, code) in bodies {
        assert_eq!(log.matches(code).count(), 2, "{body} was tried twice: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lacks_a_table_or_a_permission_waits_until_somebody_mends_it_and_is_done_then() {
    let Some(strict) = strict() else { return };
    let stack = Stack::create_on(strict, "mended", &[("MaxReceiveCount", "2"), ("DeletionProtection", "false")]);
    let blue = blue().await;
    deploy(&stack, &bundle(&blue)).await;
    let tell = async |talent: u64| {
        let (hooks, secret) = (format!("{}/hooks/blue", stack.api()), events::SECRETS[0].1);
        let event = if talent == 0 { Event::Sync } else { Event::TalentUpdated };
        assert!(talent == 0 || blue.patch(Kind::Talents, talent, &json!({ "status": "on_hold" })));
        assert_eq!(blue.send_webhook(&hooks, secret, event, talent).await.unwrap(), 202);
    };
    tell(0).await;
    until("the full run ends", || ended(&stack, "webhook")).await;

    let table = stack.environment["TransformFunction"]["TEAL_LEDGER_TABLE"].clone();
    let policies = stack.permit("transform", &Json::Null);
    // Its own role names its own tables: any other is denied before it can be missing.
    stack.permit("transform", &on_any_table(&policies));
    stack.set("transform", &[("TEAL_LEDGER_TABLE", "no-such-table")]);
    tell(7).await;
    let waiting = dead(&stack, 1).await;
    let log = stack.log("transform");
    assert!(log.contains("TEAL-S011: table 'no-such-table' is not there"), "{log}");
    stack.set("transform", &[("TEAL_LEDGER_TABLE", &table)]);
    redrive(&stack, waiting).await;

    stack.permit("transform", &without_tables(&policies));
    tell(8).await;
    let waiting = dead(&stack, 1).await;
    let log = stack.log("transform");
    assert!(log.contains("TEAL-S011") && log.contains("dynamodb:GetItem is not allowed; grant it"), "{log}");
    stack.permit("transform", &policies);
    redrive(&stack, waiting).await;

    let expected = locally(&blue).await;
    until("both changes are applied", || async { (shown(&stack).await == expected).then_some(()) }).await;
    same(&shown(&stack).await, &expected);
}

fn is_of_dynamodb(statement: &Json) -> bool {
    statement["Action"].to_string().contains("dynamodb:")
}

fn statements(policies: &mut Json) -> &mut Vec<Json> {
    policies["ports"]["Statement"].as_array_mut().unwrap()
}

/// Policies that grant nothing of DynamoDB.
fn without_tables(policies: &Json) -> Json {
    let mut policies = policies.clone();
    statements(&mut policies).retain(|statement| !is_of_dynamodb(statement));
    policies
}

fn on_any_table(policies: &Json) -> Json {
    let mut policies = policies.clone();
    for statement in statements(&mut policies).iter_mut().filter(|statement| is_of_dynamodb(statement)) {
        statement["Resource"] = json!("*");
    }
    policies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_not_there_is_named_and_nothing_is_said_to_be_done() {
    let Some(programs) = programs(SAM) else { return };
    let Some((stack, _blue, hash)) = deployed("missing", &[("DeletionProtection", "false")]).await else { return };
    let program = rie::program(&programs).expect("the SAM tools bring the emulator");
    let all = events::all(&hash);
    let event = |name: &str| &all.iter().find(|event| event.name == name).unwrap().json;
    let without = |function: &str| {
        let mut variables = stack.variables(function);
        variables.insert("TEAL_LEDGER_TABLE".to_owned(), "no-such-table".to_owned());
        Rie::start(&program, function, &variables)
    };
    // A sender keeps its delivery.
    assert_eq!(without("webhook").invoke(event("webhook/http-api")).await.unwrap()["statusCode"], 503);
    let failed = without("poll").invoke(event("poll/sync")).await.unwrap();
    assert_eq!(failed["batchItemFailures"].as_array().unwrap().len(), 1);
    let (code, message) = without("upkeep").invoke(event("upkeep/round")).await.unwrap_err();
    // It may be about to be made: what is queued waits for it.
    assert!(code == "TEAL-S011" && message.contains("no-such-table"), "{code}: {message}");
}
