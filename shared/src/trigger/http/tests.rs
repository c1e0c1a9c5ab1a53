//! Events of both hosts in, answers out: routes, callers, bodies in base64, problems as people read them.

use std::sync::Mutex;

use http::Method;
use serde_json::{Value as Json, json};

use super::*;
use crate::domain::Secret;
use crate::pipeline::fakes::{
    Addresses, Counting, FixedClock, FixedSecrets, MemoryBlobs, MemoryEntities, MemoryLedger, MemoryQueue, ready,
};
use crate::pipeline::serve::Serve;
use crate::pipeline::webhook::Memory;
use crate::ports::connector::ConnectorConfig;
use crate::ports::{Connector, ConnectorError, Connectors, InTurn};
use crate::trigger::callers::StaticTokens;

/// Caller, method, path, query, body.
type Call = (String, String, String, Query, Bytes);

/// Remembers what reached it.
#[derive(Default)]
struct Recorder {
    hooks: Mutex<Vec<HookRequest>>,
    admin: Mutex<Vec<Call>>,
}

#[async_trait]
impl Hooks for Recorder {
    async fn receive(&self, request: HookRequest) -> ApiResponse {
        assert!(request.path != "panics", "on purpose");
        self.hooks.lock().unwrap().push(request);
        ApiResponse::json(202, &json!({}))
    }
}

#[async_trait]
impl AdminApi for Recorder {
    async fn call(&self, caller: &Caller, method: &str, path: &str, query: &Query, body: Bytes) -> ApiResponse {
        let call = (caller.subject.clone(), method.to_owned(), path.to_owned(), query.clone(), body);
        self.admin.lock().unwrap().push(call);
        ApiResponse { body: Bytes::from_static(b"\xff\x00"), ..ApiResponse::empty(200) }
    }
}

struct World {
    http: Http,
    seen: Arc<Recorder>,
    ledger: Arc<MemoryLedger>,
}

fn world() -> World {
    let (seen, ledger) = (Arc::new(Recorder::default()), Arc::new(MemoryLedger::default()));
    let serve = Serve {
        entities: Arc::new(MemoryEntities::default()),
        ledger: ledger.clone(),
        clock: Arc::new(FixedClock::default()),
    };
    let http = Http {
        hooks: Some(seen.clone()),
        serve: Some(Arc::new(serve)),
        admin: Some(seen.clone()),
        callers: Arc::new(StaticTokens::new([
            (Secret::new("reads"), Caller::new("ada", [Role::Reader])),
            (Secret::new("rules"), Caller::new("bob", [Role::Admin])),
        ])),
        open: false,
        meter: crate::metrics::none(),
        metrics: None,
    };
    World { http, seen, ledger }
}

fn event(method: &Method, path: &str) -> ApiGatewayV2httpRequest {
    let mut event = ApiGatewayV2httpRequest::default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    event.raw_path = Some(path.to_owned());
    event.raw_query_string = Some(query.to_owned());
    event.request_context.http.method = method.clone();
    event
}

fn with(mut event: ApiGatewayV2httpRequest, name: &'static str, value: &'static str) -> ApiGatewayV2httpRequest {
    event.headers.append(name, HeaderValue::from_static(value));
    event
}

fn get(path: &str) -> ApiGatewayV2httpRequest {
    with(event(&Method::GET, path), "authorization", "Bearer reads")
}

impl World {
    fn send(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        ready(self.http.handle(event))
    }

    fn code(&self, event: ApiGatewayV2httpRequest) -> (i64, String) {
        let answer = self.send(event);
        let Some(Body::Text(text)) = &answer.body else { panic!("no problem: {answer:?}") };
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{text}");
        let body: Json = serde_json::from_str(text).unwrap();
        assert_eq!(body["status"], answer.status_code);
        (answer.status_code, body["code"].as_str().unwrap().to_owned())
    }
}

#[test]
fn a_hook_gets_its_path_and_headers_all_and_its_body_byte_for_byte() {
    let world = world();
    let mut sent = event(&Method::POST, "/hooks/in/blüe%41");
    sent.body = Some(STANDARD.encode(b"\x00\xff{}"));
    sent.is_base64_encoded = true;
    sent.raw_query_string = Some("a=%2B+&a=1".to_owned());
    let sent = with(with(with(sent, "x-tag", "a"), "x-tag", "b"), "x-one", "1");
    assert_eq!(world.send(sent).status_code, 202);
    let seen = world.seen.hooks.lock().unwrap();
    assert_eq!(seen[0].path, "in/blüe%41", "the gateway has decoded it already");
    assert_eq!((seen[0].method.as_str(), seen[0].query.as_str()), ("POST", "a=%2B+&a=1"), "as it came");
    assert_eq!(&seen[0].body[..], b"\x00\xff{}");
    let mut headers = seen[0].headers.clone();
    headers.sort();
    assert_eq!(headers, [("x-one", "1"), ("x-tag", "a"), ("x-tag", "b")].map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[test]
fn a_body_that_is_text_arrives_as_it_is_and_none_as_empty() {
    let world = world();
    let mut sent = event(&Method::POST, "/hooks/a");
    sent.body = Some("{\"a\": \"e30=\"}".to_owned());
    world.send(sent);
    world.send(event(&Method::POST, "/hooks/a"));
    let seen = world.seen.hooks.lock().unwrap();
    assert_eq!(&seen[0].body[..], b"{\"a\": \"e30=\"}");
    assert!(seen[1].body.is_empty());
}

#[test]
fn a_body_that_only_claims_to_be_base64_is_refused() {
    let world = world();
    let mut sent = event(&Method::POST, "/hooks/a");
    sent.body = Some("***".to_owned());
    sent.is_base64_encoded = true;
    assert_eq!(world.code(sent), (400, "TEAL-S015".into()));
    assert!(world.seen.hooks.lock().unwrap().is_empty());
}

#[test]
fn a_stages_name_in_front_is_no_part_of_the_path() {
    let world = world();
    for (stage, path, status) in [
        ("prod", "/prod/hooks/a", 202),
        ("prod", "/hooks/a", 202),
        ("$default", "/hooks/a", 202),
        ("hoo", "/hooks/a", 202),
        ("other", "/prod/hooks/a", 401),
    ] {
        let mut sent = event(&Method::POST, path);
        sent.request_context.stage = Some(stage.to_owned());
        assert_eq!(world.send(sent).status_code, status, "{stage} {path}");
    }
}

#[test]
fn nothing_but_hooks_and_health_answers_without_a_token() {
    let world = world();
    for path in ["/v1/talents", "/v1/talents/1", "/status", "/admin/runs", "/", "/nowhere", "/v1"] {
        assert_eq!(world.code(event(&Method::GET, path)), (401, "TEAL-S003".into()), "{path}");
        let answer = world.send(event(&Method::GET, path));
        assert_eq!(answer.headers["www-authenticate"], "Bearer", "{path}");
    }
    assert_eq!(world.send(event(&Method::GET, "/health")).status_code, 200);
    assert_eq!(world.send(event(&Method::POST, "/hooks/a")).status_code, 202);
}

#[test]
fn a_token_must_be_known_single_and_a_bearers() {
    let world = world();
    for value in ["Bearer", "Bearer ", "Bearer wrong", "Basic reads", "reads", "Bearerreads"] {
        assert_eq!(
            world.send(with(event(&Method::GET, "/status"), "authorization", value)).status_code,
            401,
            "{value}"
        );
    }
    assert_eq!(world.send(with(get("/status"), "authorization", "Bearer reads")).status_code, 401);
    assert_ne!(world.send(with(event(&Method::GET, "/status"), "authorization", "bearer reads")).status_code, 401);
}

#[test]
fn an_open_host_lets_everybody_read_and_nobody_administer() {
    let mut world = world();
    world.http.open = true;
    // The system was never opened, so reading gets as far as finding nothing to read.
    assert_eq!(world.code(event(&Method::GET, "/v1/talents")), (503, "TEAL-S012".into()));
    assert_eq!(world.code(event(&Method::GET, "/admin/runs")), (401, "TEAL-S003".into()));
}

#[test]
fn a_reader_may_not_administer() {
    let world = world();
    assert_eq!(world.code(get("/admin/runs")), (403, "TEAL-S004".into()));
    assert!(world.seen.admin.lock().unwrap().is_empty());
}

#[test]
fn admin_gets_what_was_asked_and_by_whom_and_may_answer_with_bytes() {
    let world = world();
    let mut sent = with(event(&Method::PUT, "/admin/pause/a b?why=a+b%26c"), "authorization", "Bearer rules");
    sent.body = Some("{}".to_owned());
    let answer = world.send(sent);
    assert_eq!((answer.is_base64_encoded, answer.body), (true, Some(Body::Binary(vec![0xff, 0]))));
    let query = vec![("why".to_owned(), "a b&c".to_owned())];
    let expected = ("bob".to_owned(), "PUT".to_owned(), "/pause/a b".to_owned(), query, Bytes::from_static(b"{}"));
    assert_eq!(*world.seen.admin.lock().unwrap(), [expected]);
}

#[test]
fn what_is_not_there_is_a_404_and_a_wrong_method_a_405_that_names_the_right_one() {
    let mut world = world();
    for path in ["/", "/nowhere", "/v1", "/v1/", "/v2/talents", "/v1//1", "/statuses", "/%ff"] {
        assert_eq!(world.code(get(path)), (404, "TEAL-S001".into()), "{path}");
    }
    assert_eq!(world.code(event(&Method::POST, "/hooks")), (404, "TEAL-S001".into()));
    for (method, path, allow) in [
        (Method::POST, "/v1/talents", "GET"),
        (Method::DELETE, "/v1/talents/1", "GET"),
        (Method::POST, "/status", "GET"),
        (Method::POST, "/health", "GET"),
    ] {
        let sent = || with(event(&method, path), "authorization", "Bearer reads");
        assert_eq!(world.code(sent()), (405, "TEAL-S002".into()), "{path}");
        assert_eq!(world.send(sent()).headers["allow"], allow, "{path}");
    }
    world.http = Http { hooks: None, serve: None, admin: None, ..world.http };
    for path in ["/hooks/a", "/health", "/v1/talents"] {
        assert_eq!(world.code(get(path)), (404, "TEAL-S001".into()), "{path}");
    }
}

#[test]
fn health_tells_whether_the_ledger_answers() {
    let world = world();
    world.ledger.down.fail(crate::ports::fault::FaultKind::Transient);
    assert_eq!(world.code(event(&Method::GET, "/health")), (503, "TEAL-S011".into()));
}

#[test]
fn a_panic_is_an_answer_too() {
    let world = world();
    assert_eq!(world.code(event(&Method::POST, "/hooks/panics")), (500, "TEAL-S016".into()));
}

#[test]
fn a_delivery_that_comes_before_any_configuration_has_to_come_again() {
    struct NoConnectors;
    impl Connectors for NoConnectors {
        fn compile(&self, _: &str, _: &ConnectorConfig) -> Result<Arc<dyn Connector>, ConnectorError> {
            panic!("there is no configuration to compile")
        }
    }
    let world = world();
    let (blobs, secrets) = (Arc::new(MemoryBlobs::default()), Arc::new(FixedSecrets::default()));
    let systems = Systems::new(world.ledger.clone(), blobs.clone(), secrets.clone(), Arc::new(NoConnectors));
    let webhook = Webhook {
        intake: Arc::new(InTurn { blobs: blobs.clone(), queue: Arc::new(MemoryQueue::default()) }),
        blobs: blobs.clone(),
        secrets,
        ledger: world.ledger.clone(),
        upstream: Arc::new(Addresses::default()),
        memory: Memory::default(),
        clock: Arc::new(FixedClock::default()),
        entropy: Arc::new(Counting::default()),
        meter: crate::metrics::none(),
    };
    let hooks = CurrentHooks { webhook, systems: Arc::new(systems) };
    let world = World { http: Http { hooks: Some(Arc::new(hooks)), ..world.http }, ..world };
    let sent = || event(&Method::POST, "/hooks/blue");
    assert_eq!(world.code(sent()), (503, "TEAL-S011".into()));
    assert_eq!(world.send(sent()).headers["retry-after"], "30");
}

#[test]
fn hosts_may_answer_on_any_thread() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let world = world();
    drop(sendable(world.http.handle(event(&Method::GET, "/health"))));
}
