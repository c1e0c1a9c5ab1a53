//! NowRep runs through the project's own template and binaries, on an emulator: webhook through the HTTP API, queues,
//! schedules. What readers then see is what a laptop shows, byte for byte.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use teal::config::Bundle;
use teal::pipeline::api::AdminApi;
use teal::pipeline::caller::{Caller, Role};
use teal_connect::ManifestConnectors;
use teal_emulator::Emulator;
use teal_local::host::stop::stop;
use teal_local::{Local, LocalOptions};
use teal_stack_tests::rie::{self, Rie};
use teal_stack_tests::stack::Stack;
use teal_stack_tests::tools::{SAM, programs};
use teal_stack_tests::{events, root};
use teal_stand_in::blue::Event;
use teal_stand_in::{Blue, BlueOptions, Kind};

const PATIENCE: Duration = Duration::from_secs(180);

/// Asks until there is an answer.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not after {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn blue() -> Blue {
    let options =
        BlueOptions { key: "blue-key".to_owned(), talents: 60, boards: 6, media_tags: 9, ..BlueOptions::default() };
    Blue::start(options).await.unwrap()
}

fn bundle(blue: &Blue) -> Bundle {
    let file = root().join("systems/nowrep/teal.yaml");
    let read = |path: &str| std::fs::read_to_string(path);
    Bundle::collect(&file.to_string_lossy(), read, |name| (name == "BLUE_URL").then(|| blue.url())).unwrap()
}

/// The newest run that somebody asked for in this way and that has ended.
async fn ended(stack: &Stack, cause: &str) -> Option<Json> {
    let runs = stack.admin("runs").await;
    let is_it =
        |run: &&Json| run["cause"].as_str().is_some_and(|said| said.starts_with(cause)) && run["state"] == "ended";
    runs["runs"].as_array()?.iter().find(is_it).cloned()
}

/// Every line of an export, from whoever answers a page of it.
async fn export<F: Future<Output = Json>>(mut page: impl FnMut(Vec<(&'static str, String)>) -> F) -> Vec<String> {
    let (mut lines, mut query) = (Vec::new(), Vec::new());
    loop {
        let answer = page(query).await;
        lines.extend(answer["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()));
        let next = &answer["next"];
        if next.is_null() {
            return lines;
        }
        let text = |name: &str| next[name].as_str().unwrap().to_owned();
        query = vec![("version", answer["version"].to_string()), ("entity", text("entity")), ("after", text("after"))];
    }
}

/// What a laptop shows of the same source.
async fn locally(blue: &Blue) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    for (name, value) in &events::SECRETS[..2] {
        let file = dir.path().join("secrets").join(name);
        std::fs::write(&file, value).unwrap();
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let local = Local::open(LocalOptions::new(dir.path()), Arc::new(ManifestConnectors)).unwrap();
    local.deploy(&bundle(blue)).await.unwrap();
    let (stopper, stop) = stop();
    let running = local.start(&stop, false).await.unwrap();
    let (console, caller) = (local.console(), Caller::new("test", [Role::Admin]));
    let ask = |method: &'static str, path: &'static str, query: Vec<(&'static str, String)>, body: &'static str| {
        let (console, caller) = (console.clone(), caller.clone());
        async move {
            let query = query.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let answer = console.call(&caller, method, path, &query, body.into()).await;
            serde_json::from_slice::<Json>(&answer.body).unwrap()
        }
    };
    ask("POST", "/sync", vec![], r#"{"source": "blue", "mode": "full"}"#).await;
    until("the local run ends", || async {
        let runs = ask("GET", "/runs", vec![], "").await;
        (runs["runs"][0]["state"] == "ended").then(|| assert_eq!(runs["runs"][0]["outcome"], "complete"))
    })
    .await;
    let lines = export(|query| ask("GET", "/export", query, "")).await;
    stopper.stop();
    running.finished().await;
    lines
}

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

    let expected = locally(&blue).await;
    let there = export(|query| {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let stack = &stack;
        async move { stack.admin(&format!("export?{}", query.join("&"))).await }
    });
    let there = there.await;
    assert!(expected.len() > 300, "{} rows are too few to prove anything", expected.len());
    assert_eq!(there.len(), expected.len());
    for (here, there) in expected.iter().zip(&there) {
        assert_eq!(there, here);
    }
}

/// A system whose configuration is in force.
async fn deployed(name: &str, parameters: &[(&str, &str)]) -> Option<(Stack, Blue, String)> {
    let stack = Stack::create(name, parameters)?;
    let blue = blue().await;
    let asked = json!({ "do": "deploy", "body": { "bundle": bundle(&blue) } });
    let deployed = stack.invoke("admin", &asked).await.unwrap();
    let hash = deployed["hash"].as_str().unwrap().to_owned();
    Some((stack, blue, hash))
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_handled_ends_in_the_dead_letters_with_its_code_in_the_log() {
    let parameters = [("MaxReceiveCount", "2"), ("DeletionProtection", "false"), ("Entry", "function-url")];
    let Some((stack, _blue, _)) = deployed("dead", &parameters).await else { return };
    let client = stack.emulator.clients("test").await;
    let [queue, dead] = ["TransformQueueUrl", "TransformDeadLettersUrl"].map(|name| stack.outputs[name].clone());
    let bodies = ["this is not JSON", r#"{"v":99,"kind":"page"}"#, r#"{"v":1,"kind":"continue","run":"r"}"#];
    for body in bodies {
        client.sqs().send_message().queue_url(&queue).message_body(body).send().await.unwrap();
    }
    let mut found = BTreeSet::new();
    let began = Instant::now();
    while found.len() < bodies.len() {
        assert!(began.elapsed() < PATIENCE, "only {found:?} are dead");
        let received = client.sqs().receive_message().queue_url(&dead).wait_time_seconds(1).send().await.unwrap();
        found.extend(received.messages.unwrap_or_default().into_iter().filter_map(|message| message.body));
    }
    assert_eq!(found, bodies.map(str::to_owned).into());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_function_works_under_its_own_role_and_is_denied_what_is_anothers() {
    if teal_emulator::shared().is_none() {
        return;
    }
    let strict: &'static Emulator = Box::leak(Box::new(Emulator::start_with(&[("AUTH", "true")]).unwrap()));
    let stack = Stack::create_on(strict, "strict", &[("DeletionProtection", "false")]);
    let blue = blue().await;
    stack.invoke("admin", &json!({ "do": "deploy", "body": { "bundle": bundle(&blue) } })).await.unwrap();
    let (hooks, secret) = (format!("{}/hooks/blue", stack.api()), events::SECRETS[0].1);
    let taken = blue.send_webhook(&hooks, secret, Event::Sync, 0).await.unwrap();
    assert_eq!(taken, 202, "{}", stack.log("webhook"));
    let full = until("the full run ends", || ended(&stack, "webhook")).await;
    assert_eq!(full["outcome"], "complete", "{full}");
    stack.invoke("upkeep", &json!({})).await.unwrap();
    let all = events::all(events::ANY_CONFIG);
    let event = |name: &str| &all.iter().find(|event| event.name == name).unwrap().json;
    assert_eq!(stack.invoke("serve", event("serve/list")).await.unwrap()["statusCode"], 200);

    // Under serve's role webhook may read the ledger and no bucket: it takes no delivery in.
    stack.swap_code("serve", "webhook");
    let answer = stack.invoke("serve", event("webhook/http-api")).await.unwrap();
    assert_eq!(answer["statusCode"], 503, "{answer}");
}
