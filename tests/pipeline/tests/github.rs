//! Every payload that GitHub publishes as an example, signed and posted: each is stored, routed or refused by name, and
//! neither order nor repetition moves a byte of the entities.
//!
//! The payloads are those of the npm package `@octokit/webhooks-examples`, which is installed into the user's cache; none
//! of it is here. Without npm or its registry the test says so and passes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value as Json;
use teal::config::Bundle;
use teal::domain::{Millis, Mode, Outcome};
use teal::pipeline::admin::RejectFilter;
use teal::ports::BlobReader;
use teal::ports::upstream::Response;
use teal_conformance::{MemoryWorld, Runner, Settings, Trace};
use teal_connect::ManifestConnectors;
use teal_gate::{Gate, Preset};

const PACKAGE: &str = "@octokit/webhooks-examples@7.6.1";
const SECRET: &str = "It's a made-up secret";

const SYSTEM: &str = r#"
system: hub
sources:
  hub:
    connector: hub.yaml
    config: { base_url: http://hub.example.com }
    webhook:
      verify: github
      secret: "${secret:hub-hook}"
      id: { header: x-github-delivery }
      stated: { path: repository.updated_at }
      on:
        - { when: '.repository.updated_at != null', do: upsert, stream: repositories, record: repository }
        - { when: '.issue != null and (.action != "deleted" or .comment != null)', do: upsert, stream: issues, record: issue }
        - { when: '.issue != null and .action == "deleted" and .comment == null', do: delete, stream: issues, key: issue.id, order: { path: issue.updated_at, type: timestamp } }
        - { when: '.pull_request.updated_at != null', do: upsert, stream: pulls, record: pull_request }
entities:
  repositories:
    from: hub.repositories
    key: id
    order: { path: updated_at, type: timestamp }
    fields: { id: { type: integer, required: true }, full_name: string, updated_at: { type: timestamp, format: rfc3339 } }
  issues:
    from: hub.issues
    key: id
    order: { path: updated_at, type: timestamp }
    fields: { id: { type: integer, required: true }, title: string, state: string, comments: integer }
  pulls:
    from: hub.pulls
    key: id
    order: { path: updated_at, type: timestamp }
    fields: { id: { type: integer, required: true }, title: string, state: string }
"#;

/// Three streams, each in one page.
const MANIFEST: &str = r##"
version: 7.0.0
type: DeclarativeSource
check: { type: CheckStream, stream_names: [repositories] }
streams:
  - { $ref: "#/definitions/stream", name: repositories, $parameters: { path: /repositories } }
  - { $ref: "#/definitions/stream", name: issues, $parameters: { path: /issues } }
  - { $ref: "#/definitions/stream", name: pulls, $parameters: { path: /pulls } }
spec:
  type: Spec
  connection_specification: { type: object, properties: { base_url: { type: string } } }
definitions:
  stream:
    type: DeclarativeStream
    primary_key: [id]
    schema_loader: { type: InlineSchemaLoader, schema: { type: object } }
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url_base: "{{ config['base_url'] }}"
        path: "{{ parameters['path'] }}"
        http_method: GET
      record_selector: { type: RecordSelector, extractor: { type: DpathExtractor, field_path: [data] } }
"##;

/// Kind of event, and body.
fn payloads() -> Result<Vec<(String, Vec<u8>)>, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let place = cache.ok_or("no cache folder is known")?.join("teal").join(PACKAGE.replace(['/', '@'], "-"));
    let index = place.join("node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    if !index.exists() {
        std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
        let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", PACKAGE];
        let out = Command::new("npm").args(install).arg("--prefix").arg(&place).output();
        let out = out.map_err(|error| format!("npm can't be run: {error}"))?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
    }
    let events: Vec<Json> = serde_json::from_slice(&std::fs::read(index).map_err(|error| error.to_string())?)
        .map_err(|error| error.to_string())?;
    let of = |event: &Json| {
        let name = event["name"].as_str().unwrap_or_default().to_owned();
        let examples = event["examples"].as_array().cloned().unwrap_or_default();
        examples.into_iter().map(move |body| (name.clone(), serde_json::to_vec_pretty(&body).unwrap()))
    };
    Ok(events.iter().flat_map(of).collect())
}

struct Hub {
    world: MemoryWorld,
    runner: Runner,
    gate: Gate,
}

impl Hub {
    async fn new() -> Self {
        let world = MemoryWorld::new(1);
        // Before anything that the payloads say: what is older than the listing, the listing has.
        world.clock.set(Millis(1_262_304_000_000));
        world.secrets.set("hub-hook", SECRET);
        world.upstream.script(|_| Ok(Response { status: 200, headers: vec![], body: r#"{"data": []}"#.into() }));
        let runner = Runner::new(&world, &Trace::default(), Arc::new(ManifestConnectors), Settings::default());
        let files = [("teal.yaml", SYSTEM), ("hub.yaml", MANIFEST)];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        runner.deploy(&Bundle { files, ..Bundle::default() }).await.unwrap();
        runner.ask_for_sync("hub", Mode::Full).await;
        runner.drain().await;
        let run = runner.runs().await.pop().unwrap();
        assert!(run.outcome.is_some_and(Outcome::is_success), "{run:?}");
        Self { world, runner, gate: Gate::compile(Preset::GitHub.policy()).unwrap() }
    }

    async fn post(&self, (event, body): &(String, Vec<u8>), nth: usize, secret: &str) -> u16 {
        let signed = self.gate.sign(body, secret, "", 0).unwrap();
        let id = format!("00000000-0000-4000-8000-{nth:012}");
        let mut headers = vec![("x-github-event", event.as_str()), ("x-github-delivery", &id)];
        headers.extend(signed.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.runner.receive_webhook("hub", &headers, body.clone().into()).await.status
    }

    async fn stored(&self) -> usize {
        self.world.blobs.list("raw/-/-/hub/hook/", None, 10_000).await.unwrap().len()
    }
}

/// An order that looks like none: the numbers in steps of one that has no divisor in common with their count.
fn shuffled(count: usize, seed: usize) -> Vec<usize> {
    let step = (seed..).find(|step| step % 2 == 1 && gcd(*step, count) == 1).unwrap();
    (0..count).map(|at| (at * step + seed) % count).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[tokio::test]
async fn every_published_example_is_stored_routed_or_refused_by_name_and_order_and_repetition_move_nothing() {
    let payloads = match payloads() {
        Ok(payloads) => payloads,
        Err(error) => return eprintln!("absent: {PACKAGE} can't be installed, so nothing is posted: {error}"),
    };
    assert!(payloads.len() >= 273, "{}", payloads.len());
    let hub = Hub::new().await;
    let mut pings = 0;
    for (nth, payload) in payloads.iter().enumerate() {
        assert_eq!(hub.post(payload, nth, "another secret").await, 401, "{}", payload.0);
        let status = hub.post(payload, nth, SECRET).await;
        let ping = payload.0 == "ping";
        pings += usize::from(ping);
        assert_eq!(status, if ping { 200 } else { 202 }, "{}", payload.0);
    }
    assert_eq!(hub.stored().await, payloads.len() - pings);
    hub.runner.drain().await;
    let rows = hub.runner.export().await;
    let rejects = hub.runner.admin.rejects(&RejectFilter::default(), 10_000).await.unwrap();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for reject in &rejects {
        *reasons.entry(format!("{:?}", reject.1.reason.code)).or_default() += 1;
    }
    eprintln!("{} payloads, {pings} pings, {} rows, refused by name: {reasons:?}", payloads.len(), rows.len());
    assert!(rows.len() > 10, "{}", rows.len());

    for seed in [7, 101] {
        for nth in shuffled(payloads.len(), seed) {
            assert!(hub.post(&payloads[nth], nth, SECRET).await < 300);
        }
        hub.runner.drain().await;
        assert!(hub.runner.export().await == rows, "a repetition moved a row");
        assert_eq!(hub.stored().await, payloads.len() - pings);
    }
    let other = Hub::new().await;
    for nth in shuffled(payloads.len(), 53) {
        assert!(other.post(&payloads[nth], nth, SECRET).await < 300);
    }
    other.runner.drain().await;
    assert!(other.runner.export().await == rows, "another order gives another row");
}
