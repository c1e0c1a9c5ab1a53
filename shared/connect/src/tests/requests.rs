//! What is asked, and where an incremental listing starts.

use teal::ports::connector::Next;
use teal::ports::upstream::{HeaderValue, Request};

use super::*;

fn request(stream: &str, mode: Mode, cursor: Option<&Value>) -> Request {
    let connector = connector();
    let position = connector.begin(&stream.into(), mode, cursor, NOW).unwrap();
    connector.request(&stream.into(), &position).unwrap()
}

fn next(answer: Answer) -> Value {
    match answer {
        Answer::Page { next: Next::Page(position) } => position,
        other => panic!("no next page: {other:?}"),
    }
}

#[test]
fn a_full_listing_asks_for_the_first_page_with_the_key_as_a_secret() {
    let request = request("talents", Mode::Full, Some(&json!("2020-01-01T00:00:00.000Z")));
    assert_eq!(request.method, http::Method::GET);
    assert_eq!(request.url, "https://api.example.com/api/talents?page=1&per_page=100");
    assert_eq!(
        request.headers,
        [
            ("accept".to_owned(), HeaderValue::Plain("application/json".to_owned())),
            ("authorization".to_owned(), HeaderValue::Secret(Secret::new(format!("Bearer {KEY}")))),
        ]
    );
    assert!(!format!("{request:?}").contains(KEY));
}

#[test]
fn an_incremental_listing_says_since_when_encoded() {
    let cursor = json!("2025-12-31T23:59:00.000Z");
    let asked = request("talents", Mode::Incremental, Some(&cursor));
    assert!(asked.url.ends_with("?page=1&per_page=100&updated_since=2025-12-31T23%3A59%3A00.000Z"), "{}", asked.url);
    let without = request("boards", Mode::Incremental, None);
    assert_eq!(without.url, "https://api.example.com/api/boards?limit=50");
}

#[test]
fn pages_follow_each_other_and_keep_what_was_asked() {
    let connector = connector();
    let cursor = json!("2025-12-31T23:59:00.000Z");
    let talents = StreamName::new("talents");
    let position = connector.begin(&talents, Mode::Incremental, Some(&cursor), NOW).unwrap();
    let page = response(200, &[], r#"{"data":[{"id":1}],"meta":{"pages":2,"total":2}}"#);
    let second = next(connector.read(&talents, &position, &page));
    let url = connector.request(&talents, &second).unwrap().url;
    assert!(url.contains("page=2") && url.contains("updated_since=2025"), "{url}");
    assert!(matches!(connector.read(&talents, &second, &page), Answer::Page { next: Next::End { cursor: Some(_) } }));
}

#[test]
fn a_cursor_can_not_break_out_of_its_place() {
    let position = next(first("boards", 200, &[], r#"{"items":[{}],"next_cursor":"a&limit=9 ü/="}"#));
    let url = connector().request(&"boards".into(), &position).unwrap().url;
    assert_eq!(url, "https://api.example.com/api/boards?cursor=a%26limit%3D9%20%C3%BC%2F%3D&limit=50");
}

#[test]
fn config_values_in_a_path_are_encoded_and_fixed_parameters_are_sent() {
    let connector = compile(
        r#"
type: json-http
base_url: "{base_url}"
auth: { header: X-Api-Key, secret: api_key }
streams:
  all: { path: "/in/{region}/all", records: ., query: { expand: "x y", limit: 7 } }
"#,
    )
    .unwrap();
    let all = StreamName::new("all");
    let position = connector.begin(&all, Mode::Full, None, NOW).unwrap();
    let request = connector.request(&all, &position).unwrap();
    assert_eq!(request.url, "https://api.example.com/in/a%2Fb/all?expand=x%20y&limit=7");
    assert_eq!(request.headers[1], ("x-api-key".to_owned(), HeaderValue::Secret(Secret::new(KEY))));
    let answer = connector.read(&all, &position, &response(200, &[], "[1,2]"));
    assert_eq!(answer, Answer::Page { next: Next::End { cursor: None } });
    assert_eq!(connector.records(&all, &position, &Bytes::from("[1,2]")).unwrap(), [json!(1), json!(2)]);
}

#[test]
fn foreign_positions_cursors_and_streams_are_errors() {
    let connector = connector();
    let talents = StreamName::new("talents");
    assert!(matches!(connector.request(&"castings".into(), &begin("talents")), Err(ConnectorError::NoStream(_))));
    assert!(matches!(connector.request(&talents, &json!({ "offset": 3 })), Err(ConnectorError::Body(_))));
    assert!(matches!(connector.request(&talents, &begin("boards")), Err(ConnectorError::Body(_))));
    assert!(connector.begin(&talents, Mode::Incremental, Some(&json!(17)), NOW).is_err());
    assert!(matches!(connector.read(&talents, &json!(null), &response(200, &[], "{}")), Answer::Refused { .. }));
}
