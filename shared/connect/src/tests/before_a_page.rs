//! Requests that are no page: tokens, jobs, schemas, streams that the source describes; and pages of several answers.

use super::*;

const HEAD: &str = "
type: DeclarativeSource
version: 7.0.0
check: {type: CheckStream, stream_names: [things]}
spec:
  type: Spec
  connection_specification: {type: object, properties: {api_key: {type: string, airbyte_secret: true}}}
";

fn listing(streams: &str) -> Listing {
    let manifest = format!("{HEAD}{streams}");
    let connector = ManifestConnectors.compile(&manifest, &config("https://api.example.com")).unwrap();
    Listing::of(connector, "things", Mode::Full, None)
}

fn json(body: &Value) -> Response {
    response(200, &[], body.to_string())
}

const OAUTH: &str = "
streams:
  - type: DeclarativeStream
    name: things
    retriever:
      requester:
        url_base: https://api.example.com
        path: things
        authenticator:
          type: OAuthAuthenticator
          token_refresh_endpoint: https://api.example.com/token
          client_id: me
          client_secret: \"{{ config['api_key'] }}\"
          refresh_token: lasting
      record_selector: {extractor: {field_path: [data]}}
      paginator:
        type: DefaultPaginator
        page_token_option: {type: RequestPath}
        pagination_strategy: {type: CursorPagination, cursor_value: \"{{ response.get('next') or '' }}\"}
";

#[test]
fn a_token_is_fetched_before_the_first_page_and_is_in_no_page_and_no_position() {
    let mut listing = listing(OAUTH);
    let mut asked = Vec::new();
    let mut kept = String::new();
    let token = "token-4711-canary";
    for round in 0..2 {
        let request = listing.asks();
        assert!(request.url.ends_with("/token"), "{}", request.url);
        listing.session.answer(NOW, json(&json!({ "access_token": token, "expires_in": 3600 }))).unwrap();
        let request = listing.asks();
        asked.push(request.url.clone());
        let bearer = format!("Bearer {token}");
        assert!(request.headers.iter().any(|(_, value)| matches!(
            value,
            teal::ports::upstream::HeaderValue::Secret(secret) if secret.expose() == bearer
        )));
        let next = (round == 0).then(|| format!("https://api.example.com/things?page=2&access_token={token}"));
        listing.session.answer(NOW, json(&json!({ "data": [{ "id": round }], "next": next }))).unwrap();
        let step = listing.step();
        let Step::Page { answers, .. } = &step else { panic!("{step:?}") };
        assert_eq!(answers.len(), 1);
        kept.push_str(&answers[0].url);
        kept.push_str(&listing.position.to_string());
        assert_eq!(listing.moves, 0, "a token moves nothing");
        listing = listing.resumed();
    }
    assert!(!kept.contains("canary") && !kept.contains(KEY), "{kept}");
    assert_eq!(listing.records, [json!({ "id": 0 }), json!({ "id": 1 })]);
}

const JOB: &str = "
streams:
  - type: DeclarativeStream
    name: things
    retriever:
      type: AsyncRetriever
      status_mapping: {running: [running], completed: [ready], failed: [failed], timeout: [late]}
      status_extractor: {type: DpathExtractor, field_path: [status]}
      download_target_extractor: {type: DpathExtractor, field_path: [urls]}
      record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: []}}
      creation_requester: {type: HttpRequester, url_base: https://api.example.com, path: jobs, http_method: POST}
      polling_requester: {type: HttpRequester, url_base: https://api.example.com, path: \"jobs/{{ creation_response['id'] }}\"}
      download_requester: {type: HttpRequester, url_base: \"{{ download_target }}\", path: ''}
";

#[test]
fn a_job_is_created_once_however_often_its_reading_is_taken_up_again() {
    let mut listing = listing(JOB);
    let mut asked = Vec::new();
    let mut polls = 0;
    for _ in 0..50 {
        match listing.step() {
            Step::Ask(request) => {
                let path = request.url.trim_start_matches("https://api.example.com/").to_owned();
                let answer = match path.as_str() {
                    "jobs" => json!({ "id": "j1" }),
                    "jobs/j1" => {
                        polls += 1;
                        let urls = ["https://api.example.com/a", "https://api.example.com/b"];
                        if polls < 3 {
                            json!({ "status": "running" })
                        } else {
                            json!({ "status": "ready", "urls": urls })
                        }
                    }
                    part => json!([{ "part": part }]),
                };
                asked.push(path);
                listing.session.answer(listing.now, json(&answer)).unwrap();
            }
            Step::Wait { wait, why } => {
                assert_eq!(why, teal::ports::connector::Waiting::Busy);
                listing.now = listing.now.plus(wait);
                listing = listing.resumed();
            }
            Step::Page { next: Next::End { .. }, .. } | Step::End { .. } => {
                assert_eq!(asked, ["jobs", "jobs/j1", "jobs/j1", "jobs/j1", "a", "b"]);
                assert_eq!(listing.records, [json!({ "part": "a" }), json!({ "part": "b" })]);
                return;
            }
            Step::Page { .. } => listing = listing.resumed(),
            other => panic!("{other:?}"),
        }
    }
    panic!("no end: {asked:?}");
}

const DESCRIBED: &str = "
dynamic_streams:
  - type: DynamicDeclarativeStream
    stream_template:
      type: DeclarativeStream
      name: ''
      retriever:
        type: SimpleRetriever
        requester: {type: HttpRequester, url_base: https://api.example.com, path: ''}
        record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: [data]}}
    components_resolver:
      type: HttpComponentsResolver
      retriever:
        type: SimpleRetriever
        requester: {type: HttpRequester, url_base: https://api.example.com, path: tables}
        record_selector: {type: RecordSelector, extractor: {type: DpathExtractor, field_path: []}}
      components_mapping:
        - {type: ComponentMappingDefinition, field_path: [name], value: \"{{ components_values['name'] }}\"}
        - {type: ComponentMappingDefinition, field_path: [retriever, requester, path], value: \"rows/{{ components_values['id'] }}\"}
";

#[test]
fn a_stream_that_the_source_describes_is_described_once_and_read_from_what_is_stored() {
    let mut listing = listing(DESCRIBED);
    assert!(listing.connector.describes_more());
    let mut asked = Vec::new();
    listing.finish(|request| {
        asked.push(request.url.clone());
        match request.url.ends_with("/tables") {
            true => json(&json!([{ "id": 4, "name": "others" }, { "id": 5, "name": "things" }])),
            false => json(&json!({ "data": [{ "id": 1 }] })),
        }
    });
    assert_eq!(asked, ["https://api.example.com/tables", "https://api.example.com/rows/5"]);
    assert_eq!((listing.records.len(), listing.moves), (1, 1));
}

const IN_PARTS: &str = "
streams:
  - type: DeclarativeStream
    name: things
    retriever:
      requester:
        url_base: https://api.example.com
        path: things
        request_parameters:
          fields:
            type: QueryProperties
            property_list: [a, b, c]
            property_chunking: {type: PropertyChunking, property_limit_type: property_count, property_limit: 2, record_merge_strategy: {type: GroupByKeyMergeStrategy, key: id}}
      record_selector: {extractor: {field_path: [data]}}
";

#[test]
fn a_page_that_is_asked_for_in_parts_is_stored_whole() {
    let mut listing = listing(IN_PARTS);
    listing.finish(|request| {
        let record = match request.url.contains('c') && request.url.ends_with('c') {
            true => json!({ "id": 1, "c": 3 }),
            false => json!({ "id": 1, "a": 1, "b": 2 }),
        };
        json(&json!({ "data": [record] }))
    });
    assert_eq!(listing.records, [json!({ "id": 1, "a": 1, "b": 2, "c": 3 })]);
}

const PARENTS: &str = "
streams:
  - type: DeclarativeStream
    name: things
    retriever:
      requester: {url_base: https://api.example.com, path: \"of/{{ stream_partition['parent'] }}\"}
      record_selector: {extractor: {field_path: [data]}}
      partition_router:
        type: SubstreamPartitionRouter
        parent_stream_configs:
          - type: ParentStreamConfig
            parent_key: id
            partition_field: parent
            stream:
              type: DeclarativeStream
              name: parents
              retriever:
                requester: {url_base: https://api.example.com, path: parents}
                record_selector: {extractor: {field_path: [data]}}
";

#[test]
fn a_parents_page_has_no_records_of_its_own_and_none_at_all_is_an_end() {
    let source = |ids: Value| {
        move |request: &Request| match request.url.ends_with("/parents") {
            true => json(&json!({ "data": ids })),
            false => json(&json!({ "data": [{ "of": request.url.rsplit('/').next() }] })),
        }
    };
    let mut some = listing(PARENTS);
    some.finish(source(json!([{ "id": 1 }, { "id": 2 }])));
    assert_eq!(some.records, [json!({ "of": "1" }), json!({ "of": "2" })]);
    let mut none = listing(PARENTS);
    none.finish(source(json!([])));
    assert!(none.records.is_empty());
}

const BY_LINK: &str = "
              paginator:
                type: DefaultPaginator
                page_token_option: {type: RequestPath}
                page_size_option: {type: RequestOption, inject_into: request_parameter, field_name: size}
                pagination_strategy:
                  type: CursorPagination
                  page_size: 2
                  cursor_value: \"{{ headers.get('x-next') or '' }}\"
                  stop_condition: \"{{ not headers.get('x-next') }}\"
";

/// Of each page whether its body says all.
fn said_by_bodies(mut listing: Listing, source: impl Fn(&Request) -> Response) -> Vec<bool> {
    let mut said = Vec::new();
    loop {
        match listing.step() {
            Step::Ask(request) => listing.session.answer(listing.now, source(&request)).unwrap(),
            Step::Page { answers, next } => {
                said.extend(answers.iter().map(|answer| answer.by_body));
                if matches!(next, Next::End { .. }) {
                    return said;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_full_page_that_is_the_last_by_its_headers_is_not_said_by_its_body() {
    let own = format!(
        "streams:\n  - type: DeclarativeStream\n    name: things\n    retriever:\n{}{BY_LINK}",
        "              requester: {url_base: https://api.example.com, path: things}\n              \
         record_selector: {extractor: {field_path: [data]}}"
    );
    let pages = |last: Value| {
        move |request: &Request| match request.url.contains("second") {
            true => json(&json!({ "data": last })),
            false => response(200, &[("x-next", "https://api.example.com/second")], r#"{"data":[{"id":1},{"id":2}]}"#),
        }
    };
    assert_eq!(said_by_bodies(listing(&own), pages(json!([{ "id": 3 }]))), [true, true], "there is room for more");
    assert_eq!(said_by_bodies(listing(&own), pages(json!([{ "id": 3 }, { "id": 4 }]))), [true, false]);

    let by_parents = format!("{PARENTS}{}", BY_LINK.replace('\n', "\n  "));
    let source = |request: &Request| json(&json!({ "data": [{ "id": request.url.len() }] }));
    assert_eq!(said_by_bodies(listing(&by_parents), source), [false, true], "what a parent lacks, its children lack");
    assert_eq!(said_by_bodies(listing(PARENTS), source), [true, true]);
}

#[test]
fn a_token_that_the_source_replaces_at_each_use_is_refused_with_the_reason() {
    let text = format!("{HEAD}{OAUTH}").replace(
        "          refresh_token: lasting\n",
        "          refresh_token: lasting\n          refresh_token_updater: {refresh_token_name: refresh_token}\n",
    );
    let refused = ManifestConnectors.compile(&text, &config("https://api.example.com"));
    assert!(matches!(refused, Err(ConnectorError::Manifest(why)) if why[0].contains("refresh_token_updater")));
}
