//! What becomes of a webhook request: who is let in, what is stored before the thanks, what a failing store answers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::{Value as Json, json};
use teal_gate::{Gate, Lifetime, Policy, Preset, Scheme, SharedSecret};

use super::*;
use crate::config::path::{Base, Path, Step};
use crate::config::{
    self, Guard, KeyName, Limits, RelationsGuard, SecretName, Source, Stated, TimeFormat, Verify, Versions,
};
use crate::domain::raw::RawFrom;
use crate::domain::{Millis, Raw, RawKey};
use crate::pipeline::fakes::{
    Addresses, Counting, FixedClock, FixedSecrets, MemoryBlobs, MemoryLedger, MemoryQueue, ready,
};
use crate::ports::InTurn;
use crate::ports::fault::FaultKind;

pub(super) const NOW: i64 = 1_700_000_000_000;

pub(super) struct World {
    pub(super) ledger: Arc<MemoryLedger>,
    pub(super) upstream: Arc<Addresses>,
    pub(super) blobs: Arc<MemoryBlobs>,
    queue: Arc<MemoryQueue>,
    pub(super) secrets: Arc<FixedSecrets>,
    pub(super) clock: Arc<FixedClock>,
    pub(super) webhook: Webhook,
    pub(super) system: System,
}

fn world() -> World {
    world_with(|_| {})
}

pub(super) fn world_with(change: impl FnOnce(&mut config::Webhook)) -> World {
    let known = BTreeMap::from([("hook-key".to_owned(), "s3cret".to_owned()), ("empty".to_owned(), String::new())]);
    let secrets = Arc::new(FixedSecrets { known: known.into(), ..Default::default() });
    let (blobs, queue) = (Arc::new(MemoryBlobs::default()), Arc::new(MemoryQueue::default()));
    let clock = Arc::new(FixedClock(NOW.into()));
    let (ledger, upstream) = (Arc::new(MemoryLedger::default()), Arc::new(Addresses::default()));
    let webhook = Webhook {
        intake: Arc::new(InTurn { blobs: blobs.clone(), queue: queue.clone() }),
        blobs: blobs.clone(),
        secrets: secrets.clone(),
        ledger: ledger.clone(),
        upstream: upstream.clone(),
        memory: Memory::default(),
        clock: clock.clone(),
        entropy: Arc::new(Counting::default()),
        meter: crate::metrics::none(),
    };
    let mut hook = config::Webhook {
        path: "in/blue".into(),
        verify: verify(shared_secret("X-Sync-Key"), &["hook-key"]),
        id_header: Some("X-Delivery-Id".into()),
        after: config::After::default(),
        stated: None,
        on: Vec::new(),
        max_body: 64,
        per_second: None,
    };
    change(&mut hook);
    World { ledger, upstream, blobs, queue, secrets, clock, webhook, system: system(hook) }
}

pub(super) fn verify(policy: Policy, secrets: &[&str]) -> Verify {
    let key = |name: &&str| KeyName { secret: SecretName((*name).into()), lifetime: Lifetime::default() };
    let gate = Gate::compile(policy).unwrap();
    Verify { preset: Preset::SharedSecret, gate, keys: secrets.iter().map(key).collect() }
}

fn shared_secret(header: &str) -> Policy {
    let scheme = Scheme::Secret(SharedSecret::Header { name: header.into(), prefix: String::new() });
    Policy { scheme, ..Preset::SharedSecret.policy() }
}

fn system(hook: config::Webhook) -> System {
    let guard = Guard { max_shrink: 0.2, max_rejected: 0.1, relations: RelationsGuard::Report };
    let second = std::time::Duration::from_secs(1);
    let source = Source {
        name: "blue".into(),
        manifest: String::new(),
        config: Json::Null,
        secrets: BTreeMap::new(),
        full: None,
        incremental: None,
        webhook: Some(hook),
        limits: Limits {
            per_second: None,
            concurrency: None,
            attempts: 1,
            timeout: second,
            max_wait: second,
            max_body: 1,
            conditional: false,
        },
    };
    System {
        hash: "c0ffee".into(),
        name: "shop".into(),
        sources: BTreeMap::from([(source.name.clone(), source)]),
        entities: Vec::new(),
        versions: Versions { keep: 2, raw: 3, grace: second },
        guard,
        backups: None,
        hooks_per_second: None,
    }
}

fn request(body: &'static [u8]) -> HookRequest {
    HookRequest {
        method: "POST".into(),
        path: "in/blue".into(),
        query: String::new(),
        headers: vec![
            ("X-SYNC-KEY".into(), "s3cret".into()),
            ("x-delivery-id".into(), "d-1".into()),
            ("Content-Type".into(), "application/json".into()),
        ],
        body: Bytes::from_static(body),
    }
}

impl HookRequest {
    fn set(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }
}

impl World {
    pub(super) fn receive(&self, request: HookRequest) -> ApiResponse {
        ready(self.webhook.receive(&self.system, request))
    }

    pub(super) fn raws(&self) -> BTreeMap<String, Raw> {
        let stored = self.blobs.stored.lock().unwrap();
        let raw = stored.iter().filter(|(key, _)| !key.starts_with(quarantine::PREFIX));
        raw.map(|(key, bytes)| (key.clone(), Raw::decode(bytes).unwrap())).collect()
    }

    fn only_raw(&self) -> Raw {
        let raws = self.raws();
        assert_eq!(raws.len(), 1, "{:?}", raws.keys());
        raws.into_values().next().unwrap()
    }

    fn queued(&self) -> Vec<RawKey> {
        let sent = self.queue.sent.lock().unwrap();
        sent.iter()
            .map(|message| match message {
                Message::Delivery { config, source, raw, trace: Some(_), .. } => {
                    assert_eq!((config.as_str(), source), ("c0ffee", &SourceId::new("blue")));
                    raw.clone()
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    pub(super) fn quarantined(&self) -> Vec<quarantine::Quarantined> {
        let stored = self.blobs.stored.lock().unwrap();
        let kept = stored.iter().filter(|(key, _)| key.starts_with(quarantine::PREFIX));
        kept.map(|(_, bytes)| serde_json::from_slice(bytes).unwrap()).collect()
    }

    pub(super) fn nothing_happened(&self) -> bool {
        self.raws().is_empty() && self.queued().is_empty()
    }
}

fn body(answer: &ApiResponse) -> Json {
    serde_json::from_slice(&answer.body).unwrap()
}

fn times(raw: &Raw) -> (Millis, Millis, bool) {
    match raw.head.from {
        RawFrom::Delivery { received, timed, .. } => (raw.head.stated, received, timed),
        RawFrom::Page { .. } | RawFrom::Rows { .. } | RawFrom::Object { .. } => panic!("not a delivery"),
    }
}

#[test]
fn an_accepted_delivery_is_stored_as_it_came_and_queued() {
    let world = world();
    let answer = world.receive(request(b"{\"id\": 7}\n\xff"));
    assert_eq!((answer.status, body(&answer)), (202, json!({"accepted": "d-1"})));
    let raw = world.only_raw();
    assert_eq!(&raw.body[..], b"{\"id\": 7}\n\xff");
    assert_eq!(times(&raw), (Millis(NOW), Millis(NOW), false));
    let key = format!("raw/-/-/blue/hook/d-1-{}", &raw.head.sha256[..16]);
    assert_eq!(world.queued(), [RawKey(key.clone())]);
    assert!(world.raws().contains_key(&key));
}

#[test]
fn no_secret_header_is_stored() {
    let world = world();
    let sent = request(b"{}")
        .set("Authorization", "Bearer abc")
        .set("Cookie", "a=b")
        .set("Proxy-Authorization", "Basic abc")
        .set("X-Kept", "yes");
    assert_eq!(world.receive(sent).status, 202);
    let headers = world.only_raw().head.headers;
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-delivery-id", "content-type", "x-kept"]);
    let bytes = world.blobs.stored.lock().unwrap().values().next().unwrap().clone();
    assert!(!String::from_utf8_lossy(&bytes).contains("s3cret"));
}

#[test]
fn a_header_that_came_twice_is_stored_twice_but_proves_nothing() {
    let world = world();
    let mut sent = request(b"{}");
    sent.headers.push(("x-tag".into(), "a".into()));
    sent.headers.push(("X-Tag".into(), "b".into()));
    assert_eq!(world.receive(sent).status, 202);
    let tags = world.only_raw().head.headers.into_iter().filter(|(name, _)| name == "x-tag").count();
    assert_eq!(tags, 2);

    let world = self::world();
    let mut sent = request(b"{}");
    sent.headers.push(("x-sync-key".into(), "s3cret".into()));
    assert_eq!(world.receive(sent).status, 401);
    assert!(world.nothing_happened());
}

#[test]
fn a_wrong_or_missing_secret_is_refused_without_a_reason() {
    let world = world();
    let refused: Vec<ApiResponse> = [
        request(b"{}").set("x-sync-key", "wrong"),
        request(b"{}").set("x-sync-key", ""),
        request(b"{}").set("x-sync-key", "s3cret "),
        request(b"{}").without("x-sync-key"),
    ]
    .into_iter()
    .map(|sent| world.receive(sent))
    .collect();
    for answer in &refused {
        assert_eq!((answer.status, answer), (401, &refused[0]));
    }
    assert!(world.nothing_happened());
}

#[test]
fn an_unknown_path_has_the_same_shape_as_a_refusal() {
    let world = world();
    for path in ["in/green", "in/blue/", "IN/BLUE", ""] {
        let answer = world.receive(HookRequest { path: path.into(), ..request(b"{}") });
        assert_eq!(answer.status, 404, "{path}");
        let refusal = body(&world.receive(request(b"{}").without("x-sync-key")));
        assert!(body(&answer).as_object().unwrap().keys().eq(refusal.as_object().unwrap().keys()));
    }
    assert!(world.nothing_happened());
}

#[test]
fn what_is_too_large_is_refused_before_anything_is_looked_at() {
    let world = world();
    world.secrets.down.fail(FaultKind::Transient);
    let large: &'static [u8] = &[b'x'; 65];
    assert_eq!(world.receive(request(large).without("x-sync-key")).status, 413);
    world.secrets.down.mend();
    assert_eq!(world.receive(request(&large[..64])).status, 202);
}

#[test]
fn a_secret_that_is_missing_empty_or_unreachable_lets_nobody_in_and_loses_nothing() {
    for name in ["unset", "empty"] {
        let world = world_with(|hook| {
            hook.verify = verify(shared_secret("x-sync-key"), &[name]);
        });
        let answer = world.receive(request(b"{}").set("x-sync-key", ""));
        assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
        assert!(world.nothing_happened());
    }
    let world = world();
    world.secrets.down.fail(FaultKind::Permanent);
    assert_eq!(world.receive(request(b"{}")).status, 503);
}

#[test]
fn storage_that_is_down_means_come_again_and_says_nothing_of_itself() {
    for kind in [FaultKind::Transient, FaultKind::Full, FaultKind::Permanent] {
        let world = world();
        world.blobs.down.fail(kind);
        let answer = world.receive(request(b"{}"));
        assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
        assert!(world.nothing_happened());
        assert!(!String::from_utf8_lossy(&answer.body).contains("/secret/place"));
    }
}

#[test]
fn a_queue_that_is_down_means_come_again_and_the_next_time_is_queued() {
    let world = world();
    world.queue.down.fail(FaultKind::Transient);
    let answer = world.receive(request(b"{}"));
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    world.queue.down.mend();
    assert_eq!(world.receive(request(b"{}")).status, 202);
    assert_eq!(world.queued(), world.raws().into_keys().map(RawKey).collect::<Vec<_>>());
}

#[test]
fn a_delivery_that_comes_again_is_one_raw_object_with_its_first_times_and_is_queued_again() {
    let world = world();
    world.receive(request(b"{}"));
    world.clock.0.store(NOW + 5_000, Ordering::Relaxed);
    assert_eq!(world.receive(request(b"{}")).status, 202);
    assert_eq!(times(&world.only_raw()).1, Millis(NOW));
    assert_eq!(world.queued().len(), 2);
}

#[test]
fn an_id_that_is_used_again_for_another_body_loses_nothing() {
    let world = world();
    world.receive(request(b"{\"id\": 1}"));
    world.receive(request(b"{\"id\": 2}"));
    assert_eq!(world.raws().len(), 2);
}

#[test]
fn without_an_id_each_request_is_a_delivery_of_its_own() {
    for sent in [|| request(b"{}").without("x-delivery-id"), || request(b"{}").set("x-delivery-id", "  ")] {
        let world = world();
        world.receive(sent());
        world.receive(sent());
        assert_eq!(world.raws().len(), 2);
    }
}

#[test]
fn an_id_that_is_no_part_of_a_key_is_kept_by_its_hash() {
    let long = "x".repeat(101);
    for id in ["../../etc/passwd", "a/b", "ünïcode", "a b", long.as_str()] {
        let world = world();
        assert_eq!(world.receive(request(b"{}").set("x-delivery-id", id)).status, 202);
        let key = world.raws().into_keys().next().unwrap();
        let last = key.strip_prefix("raw/-/-/blue/hook/").unwrap();
        assert_eq!(last.len(), 64 + 1 + 16, "{key}");
        assert!(last.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'), "{key}");
    }
}

fn stated_by_body(steps: Vec<Step>, format: TimeFormat) -> World {
    world_with(|hook| hook.stated = Some(Stated::Body { path: Path { base: Base::Item, steps }, format }))
}

#[test]
fn a_time_that_the_body_states_is_the_deliverys() {
    let steps = || vec![Step::Member("at".into()), Step::Element(0)];
    let cases: [(&'static [u8], TimeFormat); 5] = [
        (b"{\"at\": [\"2023-11-14T23:13:20+01:00\"]}", TimeFormat::Rfc3339),
        (b"{\"at\": [1700000000]}", TimeFormat::UnixSeconds),
        (b"{\"at\": [\"1700000000.000\"]}", TimeFormat::UnixSeconds),
        (b"{\"at\": [1700000000000]}", TimeFormat::UnixMillis),
        (b"{\"at\": [\"14/11/2023 22:13:20\"]}", TimeFormat::Pattern("%d/%m/%Y %H:%M:%S".into())),
    ];
    for (body, format) in cases {
        let world = stated_by_body(steps(), format.clone());
        world.clock.0.store(NOW + 1, Ordering::Relaxed);
        assert_eq!(world.receive(request(body)).status, 202);
        assert_eq!(times(&world.only_raw()), (Millis(NOW), Millis(NOW + 1), true), "{format:?}");
    }
}

#[test]
fn a_time_that_a_header_states_is_the_deliverys() {
    let world = world_with(|hook| {
        hook.stated = Some(Stated::Header { name: "X-Sent".into(), format: TimeFormat::UnixSeconds });
    });
    world.receive(request(b"not json").set("x-sent", "1600000000"));
    assert_eq!(times(&world.only_raw()), (Millis(1_600_000_000_000), Millis(NOW), true));
}

#[test]
fn a_time_that_is_missing_or_unreadable_is_the_time_of_receipt_and_marked_so() {
    let cases: [&'static [u8]; 6] =
        [b"", b"not json", b"{}", b"{\"at\": null}", b"{\"at\": \"yesterday\"}", b"{\"at\": 1e300}"];
    for format in [TimeFormat::Rfc3339, TimeFormat::UnixSeconds, TimeFormat::Pattern("%Y".into())] {
        for body in cases {
            let world = stated_by_body(vec![Step::Member("at".into())], format.clone());
            assert_eq!(world.receive(request(body)).status, 202);
            assert_eq!(times(&world.only_raw()), (Millis(NOW), Millis(NOW), false), "{format:?} {body:?}");
        }
    }
}
