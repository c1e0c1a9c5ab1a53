//! The admin API over a system in memory: what people ask, what they get, what stays in the audit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use teal::config::Bundle;
use teal::domain::{Message, QueueName};
use teal::pipeline::Systems;
use teal::pipeline::admin::Admin;
use teal::pipeline::admin::console::Console;
use teal::pipeline::api::AdminApi;
use teal::pipeline::backup::{Backups, Shelf};
use teal::pipeline::caller::{Caller, Role};
use teal::pipeline::ledger::{AUDIT, Audit, read_all};
use teal::pipeline::poll::{Budget, Poll};
use teal::pipeline::switch::Switch;
use teal::pipeline::transform::Transform;
use teal::ports::upstream::Response;
use teal_conformance::MemoryWorld;
use teal_conformance::watch::Second;
use teal_connect::ManifestConnectors;

const YAML: &str = r#"
system: bench
sources:
  blue:
    connector: blue.yaml
    config: { base_url: "http://blue.example.com" }
    schedule: { full: "cron(0 3 * * ? *)" }
entities:
  talents:
    from: blue.talents
    key: id
    fields:
      id: { type: integer, required: true }
      name: { type: string, max_length: 3 }
"#;

const CONNECTOR: &str = r#"
type: DeclarativeSource
version: 7.0.0
check: { type: CheckStream, stream_names: [talents] }
spec: { type: Spec, connection_specification: { type: object, properties: {} } }
streams:
  - type: DeclarativeStream
    name: talents
    retriever:
      type: SimpleRetriever
      requester: { type: HttpRequester, url_base: "{{ config['base_url'] }}", path: /talents }
      record_selector: { type: RecordSelector, extractor: { type: DpathExtractor, field_path: [data] } }
"#;

struct Bench {
    world: MemoryWorld,
    console: Console,
    transform: Transform,
    caller: Caller,
}

impl Bench {
    /// A system whose configuration is in force and whose source has these talents.
    fn new(talents: &Json) -> Self {
        let bench = Self::empty();
        bench.source_has(talents);
        let (status, deployed) = bench.post("/deploy", &json!({ "bundle": bundle(YAML) }));
        assert_eq!((status, &deployed["version"]), (200, &json!(0)), "{deployed}");
        bench
    }

    fn empty() -> Self {
        let world = MemoryWorld::new(7);
        world.queue.set_kindness(false, 0);
        let systems = Arc::new(Systems::new(
            world.ledger.clone(),
            world.blobs.clone(),
            world.secrets.clone(),
            Arc::new(ManifestConnectors),
        ));
        let meter = teal::metrics::none();
        let shelf = Arc::new(Shelf {
            here: world.blobs.clone(),
            elsewhere: Arc::new(Second(world.second.clone())),
            systems: systems.clone(),
            clock: world.clock.clone(),
        });
        let backups = Arc::new(Backups {
            ledger: world.ledger.clone(),
            reader: world.entities.clone(),
            blobs: world.blobs.clone(),
            shelf: shelf.clone(),
            systems: systems.clone(),
            clock: world.clock.clone(),
            entropy: world.entropy.clone(),
            meter: meter.clone(),
        });
        let switch = Arc::new(Switch {
            ledger: world.ledger.clone(),
            admin: world.entities.clone(),
            writer: world.entities.clone(),
            reader: world.entities.clone(),
            blobs: world.blobs.clone(),
            queue: world.queue.clone(),
            systems: systems.clone(),
            clock: world.clock.clone(),
            meter: meter.clone(),
        });
        let poll = Arc::new(Poll {
            ledger: world.ledger.clone(),
            entities: world.entities.clone(),
            blobs: world.blobs.clone(),
            raws: world.blobs.clone(),
            queue: world.queue.clone(),
            upstream: world.upstream.clone(),
            systems: systems.clone(),
            clock: world.clock.clone(),
            entropy: world.entropy.clone(),
            shelf,
            meter: meter.clone(),
        });
        let admin = Arc::new(Admin {
            ledger: world.ledger.clone(),
            entities: world.entities.clone(),
            reader: world.entities.clone(),
            blobs: world.blobs.clone(),
            queue: world.queue.clone(),
            systems: systems.clone(),
            switch: switch.clone(),
            clock: world.clock.clone(),
        });
        let transform = Transform {
            ledger: world.ledger.clone(),
            entities: world.entities.clone(),
            blobs: world.blobs.clone(),
            raws: world.blobs.clone(),
            queue: world.queue.clone(),
            systems,
            clock: world.clock.clone(),
            meter,
        };
        let console = Console {
            admin,
            poll,
            switch,
            backups,
            ledger: world.ledger.clone(),
            blobs: world.blobs.clone(),
            queue: world.queue.clone(),
            clock: world.clock.clone(),
            depths: None,
        };
        Self { world, console, transform, caller: Caller::new("cli ada", [Role::Admin]) }
    }

    fn source_has(&self, talents: &Json) {
        let body = json!({ "data": talents, "meta": { "pages": 1 } }).to_string();
        self.world.upstream.script(move |_| {
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            Ok(Response { status: 200, headers, body: body.clone().into() })
        });
    }

    fn call(&self, method: &str, path: &str, query: &[(&str, &str)], body: &str) -> (u16, Json) {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let answer = block_on(self.console.call(&self.caller, method, path, &query, body.to_owned().into()));
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    fn get(&self, path: &str) -> Json {
        let (status, body) = self.call("GET", path, &[], "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn post(&self, path: &str, body: &Json) -> (u16, Json) {
        self.call("POST", path, &[], &body.to_string())
    }

    /// Handles messages until there is none.
    fn work(&self) {
        block_on(async {
            while !self.world.queue.is_empty() {
                for name in QueueName::ALL {
                    for received in self.world.queue.receive(name, 10) {
                        let budget = Budget::default();
                        match received.message() {
                            Message::Continue { run } => {
                                self.console.poll.proceed(&run, &budget).await.unwrap();
                            }
                            Message::Settle { run } => self.console.switch.settle(&run, &budget).await.unwrap(),
                            message => self.transform.handle(message).await.unwrap(),
                        }
                        self.world.queue.delete(&received);
                    }
                }
            }
        });
    }

    /// Syncs everything and returns the run as it ended.
    fn sync(&self, ask: &Json) -> Json {
        let (status, started) = self.post("/sync", ask);
        assert_eq!(status, 202, "{started}");
        self.work();
        self.get(&format!("/runs/{}", started["runs"][0]["run"].as_str().unwrap()))
    }

    fn audits(&self) -> Vec<Audit> {
        let all = block_on(read_all::<Audit>(self.world.ledger.as_ref(), AUDIT, "")).unwrap();
        all.into_iter().map(|(_, audit)| audit).collect()
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn bundle(yaml: &str) -> Bundle {
    let files = [("teal.yaml", yaml), ("blue.yaml", CONNECTOR)];
    Bundle {
        files: files.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        env: std::collections::BTreeMap::new(),
    }
}

fn ada_and_bob() -> Json {
    json!([{ "id": 1, "name": "Ada" }, { "id": 2, "name": "Bob" }])
}

#[test]
fn a_sync_is_started_for_whoever_asks_and_its_end_can_be_read() {
    let bench = Bench::new(&ada_and_bob());
    let run = bench.sync(&json!({}));
    assert_eq!(run["outcome"], "complete", "{run}");
    assert_eq!(
        (&run["mode"], &run["cause"]),
        (&json!("full"), &json!("cli ada")),
        "a source without cursors is listed"
    );
    assert_eq!(run["counts"]["entities"]["talents"]["new"], 2);
    assert_eq!(run["version"], json!({ "version": 1, "state": "active", "previous": 0 }));
    assert_eq!(run["streams"], json!([{ "source": "blue", "stream": "talents", "pages": 1, "ended": true }]));

    let status = bench.get("/status");
    assert_eq!(status["version"], 1);
    assert_eq!(status["entities"]["talents"]["rows"], 2);
    assert_eq!(status["sources"]["blue"]["last_run"]["outcome"], "complete");
    assert_eq!(status["sources"]["blue"]["next_full"], "2030-01-01T03:00:00.000Z");
}

#[test]
fn every_action_is_in_the_audit_with_who_asked() {
    let bench = Bench::new(&ada_and_bob());
    bench.sync(&json!({ "source": "blue" }));
    bench.world.clock.advance(Duration::from_secs(1));
    let (status, problem) = bench.post("/rollback", &json!({}));
    assert_eq!((status, &problem["code"]), (409, &json!("TEAL-A002")), "nobody means the empty beginning unsaid");
    bench.post("/rollback", &json!({ "version": 0 }));
    let audits = bench.audits();
    assert!(audits.iter().all(|audit| audit.who == "cli ada" || audit.what.starts_with("switched")), "{audits:?}");
    let told = |what: &str| audits.iter().any(|audit| audit.what.contains(what));
    assert!(told("deploy ") && told("sync blue (full)") && told("roll back to v0"), "{audits:?}");
}

#[test]
fn a_second_sync_waits_for_the_first_but_one_that_is_forced_is_told_to_come_back() {
    let bench = Bench::new(&ada_and_bob());
    let (_, first) = bench.post("/sync", &json!({ "source": "blue" }));
    let first = &first["runs"][0]["run"];
    let (status, second) = bench.post("/sync", &json!({ "source": "blue" }));
    assert_eq!(status, 202);
    assert_eq!(second["runs"][0], json!({ "source": "blue", "started": "waits", "waits_for": first }));
    for ask in [json!({ "source": "blue", "force": true }), json!({ "source": "blue", "switch": false })] {
        let (status, problem) = bench.post("/sync", &ask);
        assert_eq!((status, &problem["code"]), (409, &json!("TEAL-A001")), "{problem}");
    }
    let (_, joined) = bench.post("/sync", &json!({ "source": "blue", "resume": true }));
    assert_eq!(joined["runs"][0], json!({ "source": "blue", "started": "resumes", "run": first }));
}

#[test]
fn a_build_that_waits_is_compared_then_switched_to_or_dropped() {
    let bench = Bench::new(&ada_and_bob());
    bench.sync(&json!({}));
    bench.source_has(&json!([{ "id": 1, "name": "Eva" }, { "id": 3, "name": "Cy" }]));
    let run = bench.sync(&json!({ "switch": false, "mode": "full", "source": "blue" }));
    assert_eq!((&run["version"]["state"], &run["active"]), (&json!("ready"), &json!(1)), "{run}");
    let (_, diff) = bench.call("GET", "/diff", &[("to", "v2")], "");
    let talents = &diff["entities"]["talents"];
    assert_eq!([&talents["added"], &talents["changed"], &talents["removed"]], [1, 1, 1].map(|n| json!(n)).each_ref());
    let changed = talents["examples"].as_array().unwrap().iter().find(|e| e["what"] == "changed").unwrap();
    assert_eq!(changed["fields"], json!({ "name": ["Ada", "Eva"] }));

    let (status, problem) = bench.post("/rollback", &json!({ "version": 2 }));
    assert_eq!((status, &problem["code"]), (409, &json!("TEAL-A002")), "never active, so nothing to go back to");
    let (status, moved) = bench.post("/switch", &json!({ "version": 2 }));
    assert_eq!((status, &moved["from"], &moved["to"]), (200, &json!(1), &json!(2)), "{moved}");
    let (status, back) = bench.post("/rollback", &json!({}));
    assert_eq!((status, &back["to"]), (200, &json!(1)), "{back}");
    let (status, _) = bench.post("/drop", &json!({ "version": 1 }));
    assert_eq!(status, 409, "the active version is not dropped");

    bench.world.clock.advance(Duration::from_secs(1));
    let run = bench.sync(&json!({ "switch": false, "mode": "full" }));
    let (status, _) = bench.post("/drop", &json!({ "version": run["builds"] }));
    assert_eq!(status, 200);
    assert_eq!(bench.get("/versions")["versions"][0]["state"], "dropped");
    let (status, problem) = bench.post("/switch", &json!({ "version": run["builds"] }));
    assert_eq!((status, &problem["code"]), (409, &json!("TEAL-A002")), "{problem}");
}

#[test]
fn a_rebuild_under_a_mended_mapping_leaves_no_reject_of_the_new_version() {
    let bench = Bench::new(&json!([{ "id": 1, "name": "Ada" }, { "id": 2, "name": "Robert" }]));
    let run = bench.sync(&json!({ "source": "blue", "force": true }));
    assert_eq!(run["counts"]["entities"]["talents"]["rejected"], 1, "{run}");
    let rejects = bench.get("/rejects");
    let reject = &rejects["rejects"][0];
    assert_eq!((&reject["key"], &reject["field"]), (&json!("2"), &json!("name")), "{rejects}");
    let id = reject["id"].as_str().unwrap();
    let shown = bench.get(&format!("/rejects/{id}"));
    assert_eq!(shown["record_json"], json!({ "id": 2, "name": "Robert" }), "the record as the source sent it");

    let mended = bundle(&YAML.replace("max_length: 3", "max_length: 30"));
    assert_eq!(bench.post("/deploy", &json!({ "bundle": mended })).0, 200);
    let requests = bench.world.upstream.count();
    let (status, started) = bench.post("/rebuild", &json!({ "switch": true }));
    assert_eq!(status, 202, "{started}");
    bench.work();
    let run = bench.get(&format!("/runs/{}", started["run"].as_str().unwrap()));
    assert_eq!((&run["outcome"], &run["active"]), (&json!("complete"), &json!(2)), "{run}");
    assert_eq!(bench.world.upstream.count(), requests, "a rebuild asks nobody");
    assert_eq!(bench.get("/rejects")["rejects"], json!([]));
    assert_eq!(bench.get(&format!("/rejects/{id}"))["key"], "2", "the version before keeps its own");
}

#[test]
fn the_export_is_the_same_whether_it_is_read_in_pages_or_at_once() {
    let bench = Bench::new(&ada_and_bob());
    bench.sync(&json!({}));
    let page = bench.get("/export");
    assert_eq!(page["version"], 1);
    assert_eq!(page["next"], Json::Null);
    let expected = json!([
        r#"{"entity":"talents","key":"1","row":{"id":1,"name":"Ada"}}"#,
        r#"{"entity":"talents","key":"2","row":{"id":2,"name":"Bob"}}"#,
    ]);
    assert_eq!(page["lines"], expected);
    let after = teal::domain::Key::int(1).encode();
    let query = [("version", "1"), ("entity", "talents"), ("after", after.as_str())];
    let (_, rest) = bench.call("GET", "/export", &query, "");
    assert_eq!(rest["lines"], json!([expected[1]]));
}

#[test]
fn what_does_not_exist_is_answered_with_what_does() {
    let bench = Bench::new(&ada_and_bob());
    let cases = [
        ("POST", "/sync", &[][..], r#"{"source":"bleu"}"#, 404, "TEAL-A005", "there is blue"),
        ("POST", "/switch", &[], r#"{"version":9}"#, 404, "TEAL-A008", "there is v0"),
        ("GET", "/diff", &[("to", "9")], "", 404, "TEAL-A008", "there is v0"),
        ("GET", "/runs/nope", &[], "", 404, "TEAL-A007", "nope"),
        ("GET", "/rejects/nope", &[], "", 404, "TEAL-A009", "nope"),
        ("GET", "/rejects", &[("entity", "talent")], "", 404, "TEAL-S005", "there is talents"),
        ("GET", "/nope", &[], "", 404, "TEAL-S001", "/nope"),
    ];
    for (method, path, query, body, status, code, says) in cases {
        let (got, problem) = bench.call(method, path, query, body);
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{path}: {problem}");
    }
}

#[test]
fn bad_questions_are_errors_and_never_defaults() {
    let bench = Bench::new(&ada_and_bob());
    let cases = [
        ("POST", "/sync", &[][..], r#"{"sorce":"blue"}"#, 400, "TEAL-S015"),
        ("POST", "/sync", &[], "not json", 400, "TEAL-S015"),
        ("POST", "/sync", &[], r#"{"mode":"rebuild"}"#, 400, "TEAL-S007"),
        ("POST", "/sync", &[], r#"{"mode":"incremental","force":true}"#, 400, "TEAL-S007"),
        ("POST", "/switch", &[], "", 400, "TEAL-S015"),
        ("POST", "/sync", &[("source", "blue")], "", 400, "TEAL-S007"),
        ("GET", "/runs", &[("limt", "3")], "", 400, "TEAL-S007"),
        ("GET", "/runs", &[("limit", "many")], "", 400, "TEAL-S007"),
        ("GET", "/diff", &[], "", 400, "TEAL-S007"),
        ("GET", "/export", &[("after", "!")], "", 400, "TEAL-S007"),
        ("GET", "/sync", &[], "", 405, "TEAL-S002"),
        ("POST", "/status", &[], "", 405, "TEAL-S002"),
        ("POST", "/deploy", &[], r#"{"bundle":{"files":{"teal.yaml":"system: [x"},"env":{}}}"#, 422, "TEAL-A003"),
    ];
    for (method, path, query, body, status, code) in cases {
        let (got, problem) = bench.call(method, path, query, body);
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{method} {path} {body}: {problem}");
    }
    assert_eq!(bench.get("/runs")["runs"], json!([]), "nothing was started");
}

#[test]
fn a_system_without_a_configuration_says_so() {
    let bench = Bench::empty();
    for (method, path) in [("GET", "/status"), ("POST", "/sync"), ("POST", "/rebuild"), ("POST", "/rollback")] {
        let (status, problem) = bench.call(method, path, &[], "");
        assert_eq!((status, problem["code"].as_str()), (409, Some("TEAL-A004")), "{path}: {problem}");
    }
}
