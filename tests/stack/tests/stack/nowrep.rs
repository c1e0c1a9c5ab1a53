//! NowRep and its source: deploying it on a stack, and what a laptop shows of the same source.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use teal::config::Bundle;
use teal::pipeline::api::AdminApi;
use teal::pipeline::caller::{Caller, Role};
use teal_connect::ManifestConnectors;
use teal_emulator::Emulator;
use teal_local::host::stop::stop;
use teal_local::{Local, LocalOptions};
use teal_stack_tests::stack::Stack;
use teal_stack_tests::{events, root};
use teal_stand_in::{Blue, BlueOptions};

/// For a machine with much else to do; what works takes a fraction of it.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Asks until there is an answer.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not after {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

pub async fn blue() -> Blue {
    let options =
        BlueOptions { key: "blue-key".to_owned(), talents: 60, boards: 6, media_tags: 9, ..BlueOptions::default() };
    Blue::start(options).await.unwrap()
}

pub fn bundle(blue: &Blue) -> Bundle {
    let file = root().join("systems/nowrep/teal.yaml");
    let read = |path: &str| std::fs::read_to_string(path);
    Bundle::collect(&file.to_string_lossy(), read, |name| (name == "BLUE_URL").then(|| blue.url())).unwrap()
}

/// An emulator that enforces roles, the same for all tests.
pub fn strict() -> Option<&'static Emulator> {
    static STRICT: OnceLock<Emulator> = OnceLock::new();
    teal_emulator::shared()?;
    Some(STRICT.get_or_init(|| Emulator::start_with(&[("AUTH", "true")]).unwrap()))
}

/// Puts something else into `teal.yaml`.
pub fn edit(mut bundle: Bundle, from: &str, to: &str) -> Bundle {
    let text = bundle.files.get_mut(teal::config::bundle::ROOT).unwrap();
    assert!(text.contains(from), "the example has no '{from}'");
    *text = text.replacen(from, to, 1);
    bundle
}

/// The newest run that somebody asked for in this way and that has ended.
pub async fn ended(stack: &Stack, cause: &str) -> Option<Json> {
    let runs = stack.admin("runs").await;
    let is_it =
        |run: &&Json| run["cause"].as_str().is_some_and(|said| said.starts_with(cause)) && run["state"] == "ended";
    runs["runs"].as_array()?.iter().find(is_it).cloned()
}

/// Every line of an export, from whoever answers a page of it.
pub async fn export<F: Future<Output = Json>>(mut page: impl FnMut(Vec<(&'static str, String)>) -> F) -> Vec<String> {
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
pub async fn locally(blue: &Blue) -> Vec<String> {
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

/// A system whose configuration is in force.
pub async fn deployed(name: &str, parameters: &[(&str, &str)]) -> Option<(Stack, Blue, String)> {
    let stack = Stack::create(name, parameters)?;
    let blue = blue().await;
    let hash = deploy(&stack, &bundle(&blue)).await;
    Some((stack, blue, hash))
}

/// Puts a configuration into force; its hash.
pub async fn deploy(stack: &Stack, bundle: &Bundle) -> String {
    let asked = json!({ "do": "deploy", "body": { "bundle": bundle } });
    stack.invoke("admin", &asked).await.unwrap()["hash"].as_str().unwrap().to_owned()
}

/// What readers of a stack see.
pub async fn shown(stack: &Stack) -> Vec<String> {
    let page = |query: Vec<(&'static str, String)>| async move {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        stack.admin(&format!("export?{}", query.join("&"))).await
    };
    export(page).await
}

/// Fails with the first line that differs.
pub fn same(there: &[String], here: &[String]) {
    assert!(here.len() > 300, "{} rows are too few to prove anything", here.len());
    for (there, here) in there.iter().zip(here) {
        assert_eq!(there, here);
    }
    assert_eq!(there.len(), here.len());
}
