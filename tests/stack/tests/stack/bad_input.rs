//! What can't be handled is named with its code, tried again, and ends in the dead letters; nothing is lost.

use std::collections::BTreeSet;
use std::time::Instant;

use aws_sdk_sqs::types::Message;
use serde_json::json;
use teal_stack_tests::events;
use teal_stack_tests::rie::{self, Rie};
use teal_stack_tests::stack::Stack;
use teal_stack_tests::tools::{SAM, programs};

use crate::nowrep::{PATIENCE, deployed};

/// So many messages that transform gave up, as soon as they are there.
async fn dead(stack: &Stack, count: usize) -> Vec<Message> {
    let client = stack.emulator.clients("test").await;
    let (began, mut found) = (Instant::now(), Vec::new());
    while found.len() < count {
        assert!(began.elapsed() < PATIENCE, "only {found:?} are dead");
        let receive = client.sqs().receive_message().queue_url(&stack.outputs["TransformDeadLettersUrl"]);
        let received = receive.wait_time_seconds(1).max_number_of_messages(10).send().await.unwrap();
        found.extend(received.messages.unwrap_or_default());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_handled_ends_in_the_dead_letters_with_its_code_in_the_log() {
    let parameters = [("MaxReceiveCount", "2"), ("DeletionProtection", "false"), ("Entry", "function-url")];
    let Some((stack, _blue, hash)) = deployed("dead", &parameters).await else { return };
    let client = stack.emulator.clients("test").await;
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
