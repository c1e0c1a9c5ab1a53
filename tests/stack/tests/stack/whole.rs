//! NowRep runs through the project's own template and binaries: webhook through the HTTP API, queues, schedules. What
//! readers then see is what a laptop shows, byte for byte.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use teal_stack_tests::events;
use teal_stack_tests::rie::{self, Rie};
use teal_stack_tests::stack::Stack;
use teal_stack_tests::tools::{SAM, programs};
use teal_stand_in::Kind;
use teal_stand_in::blue::Event;

use crate::nowrep::{blue, bundle, deployed, ended, locally, same, shown, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nowrep_runs_through_the_template_and_shows_what_a_laptop_shows() {
    let Some(stack) = Stack::create("nowrep", &[("MaxReceiveCount", "3"), ("DeletionProtection", "false")]) else {
        return;
    };
    let blue = blue().await;
    let (hooks, secret) = (format!("{}/hooks/blue", stack.api()), events::SECRETS[0].1);

    // Before anything is deployed a sender is asked to come again.
    assert_eq!(blue.send_webhook(&hooks, secret, Event::Sync, 0).await.unwrap(), 503);

    let deployed =
        stack.invoke("admin", &json!({ "do": "deploy", "body": { "bundle": bundle(&blue) } })).await.unwrap();
    assert_eq!(deployed["schedules"]["created"], json!(["blue.full", "blue.incremental"]));
    let again = stack.invoke("admin", &json!({ "do": "schedules", "body": {} })).await.unwrap();
    assert_eq!(again["schedules"], json!({ "created": [], "changed": [], "removed": [] }), "they are in line");

    // A webhook asks for a full run: webhook → transform → poll → transform → switch.
    assert_eq!(blue.send_webhook(&hooks, secret, Event::Sync, 0).await.unwrap(), 202);
    let full = until("the full run ends", || ended(&stack, "webhook")).await;
    assert_eq!((&full["mode"], &full["outcome"]), (&json!("full"), &json!("complete")), "{full}");

    // A change by webhook, one that only a schedule finds.
    assert!(blue.patch(Kind::Talents, 7, &json!({ "status": "on_hold" })));
    assert_eq!(blue.send_webhook(&hooks, secret, Event::TalentUpdated, 7).await.unwrap(), 202);
    assert!(blue.patch(Kind::Talents, 8, &json!({ "status": "on_hold" })));
    stack.emulator.pass(Duration::from_secs(3700));
    let incremental = until("the scheduled run ends", || ended(&stack, "schedule")).await;
    assert_eq!((&incremental["mode"], &incremental["outcome"]), (&json!("incremental"), &json!("complete")));

    let upkept = stack.invoke("upkeep", &json!({})).await.unwrap();
    assert_eq!(upkept["upkept"]["resent"], 0, "{upkept}");

    same(&shown(&stack).await, &locally(&blue).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_file_is_answered_under_the_runtime_interface_emulator() {
    let Some(programs) = programs(SAM) else { return };
    let Some((stack, _blue, hash)) = deployed("events", &[("DeletionProtection", "false")]).await else { return };
    let program = rie::program(&programs).expect("the SAM tools bring the emulator");
    let mut running: BTreeMap<String, Rie> = BTreeMap::new();
    let mut wrong = Vec::new();
    for event in events::all(&hash) {
        let rie = running
            .entry(event.function.clone())
            .or_insert_with(|| Rie::start(&program, &event.function, &stack.variables(&event.function)));
        let answer = rie.invoke(&event.json).await.map_err(|(code, _)| code);
        wrong.extend(events::judge(&event, &answer));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
