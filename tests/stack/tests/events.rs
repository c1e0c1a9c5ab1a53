//! Every event file is answered by the local host's stages as it is on AWS.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use teal::config::Bundle;
use teal::pipeline::api::AdminApi;
use teal::pipeline::caller::{Caller, Role};
use teal::pipeline::poll::Budget;
use teal::trigger::events::{self as trigger, AdminEvent, BadEvent, PollEvent};
use teal::trigger::http::Http;
use teal::trigger::queues;
use teal_connect::ManifestConnectors;
use teal_local::{Local, LocalOptions};
use teal_stack_tests::{events, root};
use teal_stand_in::{Blue, BlueOptions};
use tempfile::TempDir;

struct System {
    local: Local,
    console: Arc<dyn AdminApi>,
    http: Http,
    config: String,
    _blue: Blue,
    _dir: TempDir,
}

async fn system() -> System {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    for (name, value) in events::SECRETS {
        write_private(&dir.path().join(if name == "teal-admin-token" { "token" } else { "secrets" }), name, value);
    }
    let blue = Blue::start(BlueOptions { key: "blue-key".to_owned(), talents: 20, ..BlueOptions::default() });
    let blue = blue.await.unwrap();
    let local = Local::open(LocalOptions::new(dir.path()), Arc::new(ManifestConnectors)).unwrap();
    let file = root().join("systems/nowrep/teal.yaml");
    let bundle = Bundle::collect(
        &file.to_string_lossy(),
        |path| std::fs::read_to_string(path),
        |name| (name == "BLUE_URL").then(|| blue.url()),
    );
    let config = local.deploy(&bundle.unwrap()).await.unwrap().hash.to_string();
    let console = local.console();
    let http = local.http(Some(console.clone()), false);
    System { local, console, http, config, _blue: blue, _dir: dir }
}

/// A secret is a file of its name in its folder; the token is the file itself.
fn write_private(place: &Path, name: &str, value: &str) {
    let file = if place.is_dir() { place.join(name) } else { place.to_owned() };
    std::fs::write(&file, value).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(file, mode).unwrap();
}

/// As each function's `main.rs` does.
async fn answer(system: &System, function: &str, event: Json) -> Result<Json, String> {
    let bad = |_: BadEvent| BadEvent::CODE.to_owned();
    let budget = Budget::default();
    let local = &system.local;
    Ok(match function {
        "webhook" | "serve" => json!(system.http.handle(trigger::request(event).map_err(bad)?).await),
        "poll" => match PollEvent::read(event).map_err(bad)? {
            PollEvent::Batch(batch) => json!(queues::poll(local.poll.clone(), batch, &budget).await),
            PollEvent::Due(due) => {
                due.ask(local.queue.as_ref()).await.map_err(|fault| fault.to_string())?;
                json!({})
            }
        },
        "transform" => {
            json!(queues::transform(local.transform.clone(), trigger::batch(event).map_err(bad)?).await)
        }
        "switch" => json!(queues::switch(local.switch.clone(), trigger::batch(event).map_err(bad)?, &budget).await),
        "upkeep" => json!(local.upkeep.round(false, &budget).await.map_err(|error| error.code().as_str().to_owned())?),
        "admin" => match AdminEvent::read(event).map_err(bad)? {
            AdminEvent::Request(request) => json!(system.http.handle(*request).await),
            AdminEvent::Ask(ask) => {
                let answer = ask.put(system.console.as_ref(), &Caller::new("invoke", [Role::Admin])).await;
                let body: Json = serde_json::from_slice(&answer.body).unwrap();
                if answer.status >= 400 {
                    return Err(body["code"].as_str().unwrap_or_default().to_owned());
                }
                body
            }
        },
        other => panic!("there is no function {other}"),
    })
}

#[tokio::test]
async fn every_event_file_is_answered_as_expected() {
    let system = system().await;
    let mut wrong = Vec::new();
    for event in events::all(&system.config) {
        let answer = answer(&system, &event.function, event.json.clone()).await;
        wrong.extend(events::judge(&event, &answer));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
