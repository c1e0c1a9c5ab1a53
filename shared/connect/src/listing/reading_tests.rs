//! Sessions of one source share what they have to.

use teal::ports::Entropy;
use teal::ports::connector::{Connector as _, ConnectorConfig};
use teal::ports::upstream::{HeaderValue, Request};

use super::*;
use crate::listing::Declarative;

const MANIFEST: &str = r##"
type: DeclarativeSource
version: 7.0.0
check: { type: CheckStream, stream_names: [one] }
spec: { type: Spec, connection_specification: { type: object, properties: {} } }
concurrency_level: { type: ConcurrencyLevel, default_concurrency: 3 }
stream_groups:
  slow: { type: StreamGroup, streams: [{ type: DeclarativeStream, name: two }, { type: DeclarativeStream, name: three }] }
definitions:
  stream:
    type: DeclarativeStream
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url_base: https://api.example.com
        path: /items
        authenticator:
          type: OAuthAuthenticator
          token_refresh_endpoint: https://auth.example.com/token
          client_id: made-up
          client_secret: made-up
          grant_type: client_credentials
      record_selector: { type: RecordSelector, extractor: { type: DpathExtractor, field_path: [] } }
    schema_loader: { type: InlineSchemaLoader, schema: { type: object } }
streams:
  - { $ref: "#/definitions/stream", name: one }
  - { $ref: "#/definitions/stream", name: two }
  - { $ref: "#/definitions/stream", name: three }
"##;

fn config() -> ConnectorConfig {
    ConnectorConfig { plain: serde_json::json!({}), ..ConnectorConfig::default() }
}

struct NoChance;

impl Entropy for NoChance {
    fn next(&self) -> u64 {
        0
    }
}

const NOW: Millis = Millis(1_700_000_000_000);

fn open(session: &mut dyn Port, connector: &Declarative, stream: &str) {
    let stream = StreamName::new(stream);
    let position = connector.begin(&stream, teal::domain::Mode::Full, None, NOW).unwrap();
    session.open(&stream, &position).unwrap();
}

fn asked(session: &mut dyn Port) -> Request {
    match session.step(NOW).unwrap() {
        Step::Ask(request) => request,
        other => panic!("{other:?}"),
    }
}

fn authorization(request: &Request) -> String {
    let header = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    match header.map(|(_, value)| value) {
        Some(HeaderValue::Secret(secret)) => secret.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn said(text: &'static str) -> Response {
    Response { status: 200, headers: Vec::new(), body: text.into() }
}

#[test]
fn one_session_fetches_the_token_and_the_other_waits_for_it() {
    let connector = Declarative::compile(MANIFEST, &config()).unwrap();
    let mut first = connector.session(Arc::new(NoChance)).unwrap();
    let mut second = first.another().unwrap();
    open(first.as_mut(), &connector, "one");
    open(second.as_mut(), &connector, "two");
    assert_eq!(asked(first.as_mut()).url, "https://auth.example.com/token");
    let waits = Step::Wait { wait: SOON, why: Waiting::Busy };
    assert_eq!(second.step(NOW).unwrap(), waits);
    assert_eq!(second.step(NOW).unwrap(), waits, "for as long as it takes");
    first.answer(NOW, said(r#"{"access_token": "fetched-once", "expires_in": 3600}"#)).unwrap();
    for session in [&mut second, &mut first] {
        let request = asked(session.as_mut());
        assert_eq!(request.url, "https://api.example.com/items");
        assert_eq!(authorization(&request), "Bearer fetched-once");
    }
}

#[test]
fn a_session_that_goes_elsewhere_leaves_the_token_to_the_others() {
    let connector = Declarative::compile(MANIFEST, &config()).unwrap();
    let mut first = connector.session(Arc::new(NoChance)).unwrap();
    let (mut second, mut third) = (first.another().unwrap(), first.another().unwrap());
    open(first.as_mut(), &connector, "one");
    open(second.as_mut(), &connector, "two");
    open(third.as_mut(), &connector, "three");
    assert_eq!(asked(first.as_mut()).url, "https://auth.example.com/token");
    open(first.as_mut(), &connector, "two");
    assert_eq!(asked(second.as_mut()).url, "https://auth.example.com/token");
    assert!(matches!(first.step(NOW).unwrap(), Step::Wait { .. }), "by now it is another's");
    drop(second);
    assert_eq!(asked(third.as_mut()).url, "https://auth.example.com/token");
}

#[test]
fn a_manifest_says_how_many_streams_may_be_read_at_once_and_which_may_not() {
    let compiled = |text: &str| Declarative::compile(text, &config()).unwrap();
    let connector = compiled(MANIFEST);
    assert_eq!(connector.concurrency(), 3);
    assert_eq!(connector.apart(), [["two", "three"].map(StreamName::new)]);
    let level = "concurrency_level: { type: ConcurrencyLevel, default_concurrency: 3 }\n";
    assert_eq!(compiled(&MANIFEST.replace(level, "")).concurrency(), 1);
}
