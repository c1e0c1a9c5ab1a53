//! Whole streams, read from a made-up source without any network: the components that are rarely used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::value::{Value, json};
use jiff::{SignedDuration, Timestamp};
use teal::ports::upstream::{Request, Response};

use super::Source;
use super::catalog::Catalog;
use crate::failure::Failure;
use crate::node::NoFiles;
use crate::read::reader::Reader;
use crate::read::{Need, Progress};
use crate::session::Session;

struct Outcome {
    records: Vec<Value>,
    urls: Vec<String>,
    bodies: Vec<String>,
    waits: Vec<f64>,
    state: Value,
}

fn ok(body: &Value) -> Response {
    status(200, body)
}

fn status(status: u16, body: &Value) -> Response {
    Response {
        status,
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.to_string().into(),
    }
}

fn query(request: &Request, name: &str) -> Option<String> {
    let url = ::url::Url::parse(&request.url).unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn path(request: &Request) -> String {
    ::url::Url::parse(&request.url).unwrap().path().to_owned()
}

/// A manifest of one stream.
fn manifest(stream: &Value, more: &Value) -> String {
    let mut root = json!({
        "version": "7.0.0", "type": "DeclarativeSource", "check": {"type": "CheckStream", "stream_names": ["things"]},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
        "streams": [stream],
    });
    root.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    root.to_string()
}

fn stream(retriever: &Value, more: &Value) -> Value {
    let mut stream = json!({"type": "DeclarativeStream", "name": "things", "primary_key": "id",
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}}});
    let mut whole = json!({"type": "SimpleRetriever", "requester": requester("things"), "record_selector": selector()});
    whole.as_object_mut().unwrap().extend(retriever.as_object().unwrap().clone());
    stream["retriever"] = whole;
    stream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    stream
}

fn requester(path: &str) -> Value {
    json!({"type": "HttpRequester", "url_base": "https://api.example.com", "path": path})
}

fn requester_with(path: &str, more: &Value) -> Value {
    let mut requester = requester(path);
    requester.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    requester
}

fn selector() -> Value {
    json!({"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["data"]}})
}

fn build(text: &str, config: Value) -> (Source, Session) {
    let now = "2024-03-15T12:00:00Z".parse().unwrap();
    let source = Source::new(text, Some(config), Arc::new(NoFiles), Catalog::default(), BTreeMap::new(), now);
    let source = source.unwrap_or_else(|problems| panic!("{problems:?}"));
    let session = source.session(Arc::new(|| 42)).unwrap();
    (source, session)
}

fn read(
    text: &str,
    config: Value,
    state: &Value,
    answer: impl FnMut(&Request) -> Response,
) -> Result<Outcome, Failure> {
    let (source, mut session) = build(text, config);
    read_with(&source, &mut session, state, answer)
}

/// Reads the first stream to its end; before each page, everything is written down and taken up again.
fn read_with(
    source: &Source,
    session: &mut Session,
    state: &Value,
    mut answer: impl FnMut(&Request) -> Response,
) -> Result<Outcome, Failure> {
    let mut now: Timestamp = "2024-03-15T12:00:00Z".parse().unwrap();
    let mut out = Outcome { records: vec![], urls: vec![], bodies: vec![], waits: vec![], state: Value::Null };
    let built = source.building(None)?.step(session, now)?;
    let Progress::Done(built) = built else { panic!("nothing has to be asked for") };
    let stream = built.into_iter().next().unwrap().stream.unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut reader = Reader::new(stream.clone(), state, session, now)?;
    let mut meet = |need: Need, now: &mut Timestamp, out: &mut Outcome| match need {
        Need::Ask(ask) => {
            out.urls.push(ask.request.url.clone());
            out.bodies.push(String::from_utf8_lossy(&ask.request.body).into_owned());
            assert!(out.urls.len() < 500, "it asks for ever: {:?}", &out.urls[490..]);
            Some(Ok(answer(&ask.request)))
        }
        Need::Wait(wait) => {
            out.waits.push(wait.as_secs_f64());
            *now += SignedDuration::try_from(wait.max(Duration::from_millis(1))).unwrap();
            None
        }
        Need::Blocked => panic!("nobody else is at work"),
    };
    loop {
        let position = serde_json::to_string(&reader.position()).unwrap();
        reader = Reader::at(stream.clone(), serde_json::from_str(&position).unwrap())?;
        let run = loop {
            match reader.next(session, now)? {
                Progress::Done(run) => break run,
                Progress::Need(need) => {
                    if let Some(answered) = meet(need, &mut now, &mut out) {
                        reader.answer(session, now, answered)?;
                    }
                }
            }
        };
        let Some(mut run) = run else { break };
        loop {
            match run.step(session, now)? {
                Progress::Done(Some(page)) => {
                    out.records.extend(page.iter().map(|record| record.to_value()));
                    let position = serde_json::to_string(&run.position()).unwrap();
                    run = reader.run_at(serde_json::from_str(&position).unwrap())?;
                }
                Progress::Done(None) => break,
                Progress::Need(need) => {
                    if let Some(answered) = meet(need, &mut now, &mut out) {
                        run.answer(session, now, answered)?;
                    }
                }
            }
        }
        reader.close(&run)?;
    }
    reader.finish(now);
    out.state = reader.state();
    Ok(out)
}

fn things(ids: std::ops::Range<i64>) -> Value {
    json!({"data": ids.map(|id| json!({"id": id})).collect::<Vec<_>>()})
}

fn ids(outcome: &Outcome) -> Vec<i64> {
    outcome.records.iter().map(|record| record["id"].as_i64().unwrap()).collect()
}

fn offset_pages(size: i64) -> Value {
    let option = |name: &str| json!({"type": "RequestOption", "inject_into": "request_parameter", "field_name": name});
    json!({"type": "DefaultPaginator", "pagination_strategy": {"type": "OffsetIncrement", "page_size": size},
        "page_size_option": option("limit"), "page_token_option": option("offset")})
}

/// Answers pages of things by limit and offset.
fn by_offset(request: &Request, count: i64) -> Response {
    let number = |name: &str| query(request, name).map_or(0, |text| text.parse::<i64>().unwrap());
    let from = number("offset").min(count);
    ok(&things(from..(from + number("limit")).min(count)))
}

#[test]
fn an_empty_record_does_not_end_the_listing() {
    let text = manifest(&stream(&json!({}), &json!({})), &json!({}));
    let outcome = read(&text, json!({}), &Value::Null, |_| ok(&json!({"data": [{"id": 1}, {}, {"id": 2}]}))).unwrap();
    assert_eq!(outcome.records.len(), 3);
}

#[test]
fn an_answer_that_is_not_json_is_an_error() {
    let text = manifest(&stream(&json!({}), &json!({})), &json!({}));
    let answer = |_: &Request| Response { status: 200, headers: vec![], body: "<html>".into() };
    assert!(read(&text, json!({}), &Value::Null, answer).is_err());
}

#[test]
fn pages_are_asked_for_smaller_when_the_source_rejects_them() {
    let handler = json!({"type": "DefaultErrorHandler", "response_filters": [
        {"type": "HttpResponseFilter", "http_codes": [413], "action": "REDUCE_PAGE_SIZE"}]});
    let retriever = json!({"requester": requester_with("things", &json!({"error_handler": handler})),
        "paginator": offset_pages(8), "page_size_reduction": {"type": "PageSizeReduction"}});
    let text = manifest(&stream(&retriever, &json!({})), &json!({}));
    let outcome = read(&text, json!({}), &Value::Null, |request| {
        if query(request, "limit").unwrap().parse::<i64>().unwrap() > 2 {
            return status(413, &json!({}));
        }
        by_offset(request, 5)
    })
    .unwrap();
    assert_eq!(ids(&outcome), [0, 1, 2, 3, 4]);
    assert_eq!(outcome.waits, [0.5, 1.0]);
}

#[test]
fn a_window_that_is_rejected_is_read_in_halves() {
    let handler = json!({"type": "DefaultErrorHandler", "response_filters": [
        {"type": "HttpResponseFilter", "http_codes": [413], "action": "SPLIT_REQUEST_WINDOW"}]});
    let option = |name: &str| json!({"type": "RequestOption", "inject_into": "request_parameter", "field_name": name});
    let retriever = json!({"requester": requester_with("things", &json!({"error_handler": handler})),
        "request_window_splitting": {"type": "RequestWindowSplitting"}});
    let sync = json!({"incremental_sync": {"type": "DatetimeBasedCursor", "cursor_field": "at",
        "datetime_format": "%Y-%m-%d", "start_datetime": "2024-03-12", "step": "P30D", "cursor_granularity": "P1D",
        "start_time_option": option("from"), "end_time_option": option("to")}});
    let text = manifest(&stream(&retriever, &sync), &json!({}));
    let outcome = read(&text, json!({}), &Value::Null, |request| {
        let (from, to) = (query(request, "from").unwrap(), query(request, "to").unwrap());
        if from != to {
            return status(413, &json!({}));
        }
        ok(&json!({"data": [{"id": 1, "at": from}]}))
    })
    .unwrap();
    let days: Vec<&str> = outcome.records.iter().map(|record| record["at"].as_str().unwrap()).collect();
    assert_eq!(days, ["2024-03-12", "2024-03-13", "2024-03-14", "2024-03-15"]);
    assert_eq!(outcome.state, json!({"at": "2024-03-15"}));
}

#[test]
fn a_pagination_that_may_only_go_so_far_begins_anew_behind_what_it_read() {
    let option = |name: &str| json!({"type": "RequestOption", "inject_into": "request_parameter", "field_name": name});
    let retriever = json!({"paginator": offset_pages(2), "pagination_reset": {"type": "PaginationReset",
        "action": "SPLIT_USING_CURSOR", "limits": {"type": "PaginationResetLimits", "number_of_records": 4}}});
    let sync = json!({"incremental_sync": {"type": "DatetimeBasedCursor", "cursor_field": "at",
        "datetime_format": "%s", "start_datetime": "1700000000", "start_time_option": option("from")}});
    let text = manifest(&stream(&retriever, &sync), &json!({}));
    let outcome = read(&text, json!({}), &Value::Null, |request| {
        let number = |name: &str| query(request, name).map_or(0, |text| text.parse::<i64>().unwrap());
        let from = number("from").max(1_700_000_000) - 1_700_000_000 + number("offset");
        let rows: Vec<Value> =
            (from..(from + 2).min(9)).map(|id| json!({"id": id, "at": 1_700_000_000 + id})).collect();
        ok(&json!({ "data": rows }))
    })
    .unwrap();
    let mut seen = ids(&outcome);
    seen.dedup();
    assert_eq!(seen, (0..9).collect::<Vec<_>>());
}

#[test]
fn a_job_is_created_asked_after_and_downloaded() {
    let retriever = json!({"type": "AsyncRetriever", "record_selector": {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": []}},
        "status_mapping": {"type": "AsyncJobStatusMap", "running": ["busy"], "completed": ["done"], "failed": ["bad"], "timeout": ["late"]},
        "status_extractor": {"type": "DpathExtractor", "field_path": ["status"]},
        "download_target_extractor": {"type": "DpathExtractor", "field_path": ["files"]},
        "creation_requester": requester_with("jobs", &json!({"http_method": "POST"})),
        "polling_requester": requester("jobs/{{ creation_response['id'] }}"),
        "download_requester": requester_with("", &json!({"path": "", "url_base": "{{ download_target }}"})),
        "delete_requester": requester_with("jobs/{{ creation_response['id'] }}/gone", &json!({"http_method": "POST"})),
        "download_decoder": {"type": "CsvDecoder"}});
    let mut stream = stream(&json!({}), &json!({}));
    stream["retriever"] = retriever;
    let mut polls = 0;
    let outcome = read(&manifest(&stream, &json!({})), json!({}), &Value::Null, |request| match path(request).as_str() {
        "/jobs" => ok(&json!({"id": 7})),
        "/jobs/7" => {
            polls += 1;
            match polls {
                1 => ok(&json!({"status": "busy"})),
                _ => ok(&json!({"status": "done", "files": ["https://files.example.com/1", "https://files.example.com/2"]})),
            }
        }
        "/1" => Response { status: 200, headers: vec![], body: "id,name\n1,a\n2,b\n".into() },
        "/2" => Response { status: 200, headers: vec![], body: "id,name\n3,c\n".into() },
        "/jobs/7/gone" => ok(&json!({})),
        other => panic!("nobody asked for {other}"),
    })
    .unwrap();
    assert_eq!(outcome.records.len(), 3);
    assert_eq!(outcome.records[2], json!({"id": "3", "name": "c"}));
    assert_eq!(outcome.waits, [5.0]);
    assert!(outcome.urls.last().unwrap().ends_with("/jobs/7/gone"));
}

#[test]
fn what_follows_on_a_job_sees_its_answers_and_the_headers_of_their_requests() {
    let with_headers = |path: &str, headers: Value| requester_with(path, &json!({ "request_headers": headers }));
    let scope = "{{ stream_slice.extra_fields['creation_response'].request.headers['x-scope'] }}";
    let retriever = json!({"type": "AsyncRetriever", "record_selector": selector(),
        "status_mapping": {"type": "AsyncJobStatusMap", "running": [], "completed": ["done"], "failed": [], "timeout": []},
        "status_extractor": {"type": "DpathExtractor", "field_path": ["status"]},
        "creation_requester": with_headers("jobs", json!({"X-Scope": "{{ config['scope'] }}"})),
        "polling_requester": with_headers("jobs/{{ creation_response.headers['Job-Id'] }}", json!({"Y-Scope": scope})),
        "download_requester": requester("{{ polling_response.request.headers['y-scope'] }}")});
    let mut stream = stream(&json!({}), &json!({}));
    stream["retriever"] = retriever;
    let outcome = read(&manifest(&stream, &json!({})), json!({"scope": "mine"}), &Value::Null, |request| {
        match path(request).as_str() {
            "/jobs" => Response { headers: vec![("job-id".into(), "7".into())], ..ok(&json!({})) },
            "/jobs/7" => ok(&json!({"status": "done"})),
            "/mine" => ok(&json!([{"id": 0}, {"id": 1}])),
            other => panic!("nobody asked for {other}"),
        }
    })
    .unwrap();
    assert_eq!(ids(&outcome), [0, 1]);
}

#[test]
fn a_job_that_fails_is_tried_three_times() {
    let retriever = json!({"type": "AsyncRetriever", "record_selector": selector(),
        "status_mapping": {"type": "AsyncJobStatusMap", "running": [], "completed": [], "failed": ["bad"], "timeout": []},
        "status_extractor": {"type": "DpathExtractor", "field_path": ["status"]},
        "creation_requester": requester("jobs"), "polling_requester": requester("poll"), "download_requester": requester("get")});
    let mut stream = stream(&json!({}), &json!({}));
    stream["retriever"] = retriever;
    let mut created = 0;
    let failure = read(&manifest(&stream, &json!({})), json!({}), &Value::Null, |request| {
        created += i32::from(path(request) == "/jobs");
        ok(&json!({"status": "bad"}))
    });
    assert!(failure.is_err_and(|failure| failure.message.contains("3 times")));
    assert_eq!(created, 3);
}

#[test]
fn a_budget_spaces_requests() {
    let budget = json!({"api_budget": {"type": "HTTPAPIBudget", "policies": [{"type": "MovingWindowCallRatePolicy",
        "rates": [{"type": "Rate", "limit": 2, "interval": "PT1M"}], "matchers": []}]}});
    let text = manifest(&stream(&json!({"paginator": offset_pages(1)}), &json!({})), &budget);
    let outcome = read(&text, json!({}), &Value::Null, |request| by_offset(request, 4)).unwrap();
    assert_eq!(ids(&outcome), [0, 1, 2, 3]);
    assert!(outcome.waits.iter().sum::<f64>() >= 119.0, "{:?}", outcome.waits);
}

#[test]
fn properties_are_asked_for_in_chunks_and_records_put_together() {
    let query_properties = json!({"type": "QueryProperties", "property_list": {"type": "PropertiesFromEndpoint",
            "property_field_path": ["name"], "retriever": {"type": "SimpleRetriever", "requester": requester("fields"), "record_selector": selector()}},
        "property_chunking": {"type": "PropertyChunking", "property_limit_type": "property_count", "property_limit": 2}});
    let retriever =
        json!({"requester": requester_with("things", &json!({"request_parameters": {"fields": query_properties}}))});
    let outcome = read(&manifest(&stream(&retriever, &json!({})), &json!({})), json!({}), &Value::Null, |request| {
        if path(request) == "/fields" {
            return ok(&json!({"data": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}));
        }
        let mut record = json!({"id": "x"});
        for field in query(request, "fields").unwrap().split(',') {
            record[field] = json!(1);
        }
        ok(&json!({ "data": [record] }))
    })
    .unwrap();
    assert_eq!(outcome.records, [json!({"id": "x", "a": 1, "b": 1, "c": 1})]);
    assert_eq!(outcome.urls.len(), 3);
}

#[test]
fn an_access_token_is_fetched_once_and_renewed_when_refused() {
    let auth = json!({"type": "OAuthAuthenticator", "token_refresh_endpoint": "https://login.example.com/token",
        "client_id": "me", "client_secret": "{{ config['secret'] }}", "refresh_token": "{{ config['refresh'] }}"});
    let handler = json!({"type": "DefaultErrorHandler", "response_filters": [
        {"type": "HttpResponseFilter", "http_codes": [401], "action": "REFRESH_TOKEN_THEN_RETRY"}]});
    let requester = requester_with("things", &json!({"authenticator": auth, "error_handler": handler}));
    let text =
        manifest(&stream(&json!({"requester": requester, "paginator": offset_pages(2)}), &json!({})), &json!({}));
    let (mut tokens, mut refused) = (0, 0);
    let outcome = read(&text, json!({"secret": "hush", "refresh": "r"}), &Value::Null, |request| {
        if path(request) == "/token" {
            tokens += 1;
            return ok(&json!({"access_token": format!("t{tokens}"), "expires_in": 3600}));
        }
        refused += 1;
        if refused == 2 { status(401, &json!({})) } else { by_offset(request, 5) }
    })
    .unwrap();
    assert_eq!(ids(&outcome), [0, 1, 2, 3, 4]);
    assert_eq!(tokens, 2);
}

/// A stream whose access tokens come from a token endpoint; how often that was asked.
fn read_with_oauth(more: &Value, config: Value) -> Result<i32, Failure> {
    let mut auth = json!({"type": "OAuthAuthenticator", "token_refresh_endpoint": "https://login.example.com/token",
        "client_id": "{{ config['id'] }}", "client_secret": "{{ config['secret'] }}", "refresh_token": "r"});
    auth.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let requester = requester_with("things", &json!({ "authenticator": auth }));
    let text = manifest(&stream(&json!({ "requester": requester }), &json!({})), &json!({}));
    let mut tokens = 0;
    read(&text, config, &Value::Null, |request| {
        if path(request) != "/token" {
            return ok(&things(0..1));
        }
        tokens += 1;
        ok(&json!({"access_token": "t", "expires_in": 3600}))
    })?;
    Ok(tokens)
}

#[test]
fn a_client_without_an_id_asks_for_no_token_and_one_without_a_secret_does() {
    let failure = read_with_oauth(&json!({}), json!({"secret": "hush"})).unwrap_err();
    assert!(failure.message.contains("client_id"), "{failure}");
    assert_eq!(read_with_oauth(&json!({}), json!({"id": "me"})), Ok(1));
    let basic = json!({"refresh_request_headers": {"Authorization": "Basic bWU6aHVzaA=="}});
    assert_eq!(read_with_oauth(&basic, json!({})), Ok(1), "whoever it is stands in the header");
}

#[test]
fn an_access_token_that_the_configuration_holds_is_used_until_it_expires() {
    let given = json!({"access_token_value": "{{ config['token'] }}", "token_expiry_date": "{{ config['expires'] }}"});
    for (token, expires, asked) in [
        ("given", "2024-03-15T13:00:00Z", 0),
        ("given", "2024-03-15T11:00:00Z", 1),
        ("given", "", 1),
        ("", "2024-03-15T13:00:00Z", 1),
    ] {
        let config = json!({"id": "me", "secret": "hush", "token": token, "expires": expires});
        assert_eq!(read_with_oauth(&given, config), Ok(asked), "{token} {expires}");
    }
}

#[test]
fn waits_follow_the_strategy_that_the_manifest_names() {
    let handler = json!({"type": "DefaultErrorHandler", "max_retries": 2,
        "backoff_strategies": [{"type": "ExponentialBackoffStrategy", "factor": 3}]});
    let text = manifest(
        &stream(&json!({"requester": requester_with("things", &json!({"error_handler": handler}))}), &json!({})),
        &json!({}),
    );
    let mut asked = 0;
    let outcome = read(&text, json!({}), &Value::Null, |_| {
        asked += 1;
        if asked < 3 { status(503, &json!({})) } else { ok(&things(0..1)) }
    })
    .unwrap();
    assert_eq!(outcome.waits, [7.0, 13.0]);
    let failure = read(&text, json!({}), &Value::Null, |_| status(503, &json!({})));
    assert!(failure.is_err_and(|failure| failure.kind == crate::failure::FailureKind::Transient));
}

#[test]
fn a_listing_that_never_ends_is_stopped() {
    let cursor = json!({"type": "DefaultPaginator", "pagination_strategy": {"type": "CursorPagination", "cursor_value": "{{ response['next'] }}"},
        "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "cursor"}});
    let text = manifest(&stream(&json!({"paginator": cursor}), &json!({})), &json!({}));
    let failure = read(&text, json!({}), &Value::Null, |_| ok(&json!({"data": [{"id": 1}], "next": "again"})));
    assert!(failure.is_err_and(|failure| failure.message.contains("never end")));
}

#[test]
fn a_class_of_python_refuses_only_the_streams_that_need_it() {
    let mut custom = stream(&json!({}), &json!({}));
    custom["name"] = json!("custom");
    custom["transformations"] = json!([{"type": "CustomTransformation", "class_name": "source_x.components.Mine"}]);
    let good = stream(&json!({}), &json!({}));
    let mut root: Value = serde_json::from_str(&manifest(&good, &json!({}))).unwrap();
    root["streams"].as_array_mut().unwrap().push(custom);
    let (source, mut session) = build(&root.to_string(), json!({}));
    let Ok(Progress::Done(built)) = source.building(None).unwrap().step(&mut session, Timestamp::UNIX_EPOCH) else {
        panic!("nothing has to be asked for")
    };
    assert!(built[0].stream.is_ok());
    let problems = built[1].stream.as_ref().unwrap_err();
    assert!(problems[0].to_string().contains("source_x.components.Mine"), "{}", problems[0]);
}

#[test]
fn every_problem_of_a_stream_is_reported_at_once_with_its_place() {
    let retriever = json!({"requester": requester_with("things", &json!({"http_method": "FETCH"})),
        "record_selector": {"type": "RecordSelector", "extractor": {"type": "NoSuchExtractor"}}});
    let mut bad = stream(&retriever, &json!({}));
    bad["incremental_sync"] = json!({"type": "DatetimeBasedCursor", "cursor_field": "at"});
    let (source, mut session) = build(&manifest(&bad, &json!({})), json!({}));
    let Ok(Progress::Done(built)) = source.building(None).unwrap().step(&mut session, Timestamp::UNIX_EPOCH) else {
        panic!("nothing has to be asked for")
    };
    let text = super::listed(built[0].stream.as_ref().unwrap_err());
    for part in ["streams[0].retriever.requester", "streams[0].incremental_sync", "NoSuchExtractor"] {
        assert!(text.contains(part), "{part} in: {text}");
    }
}

#[test]
fn a_request_option_whose_name_is_empty_has_none() {
    let mut paginator = offset_pages(2);
    paginator["page_size_option"]["field_name"] = json!("");
    let (source, mut session) =
        build(&manifest(&stream(&json!({ "paginator": paginator }), &json!({})), &json!({})), json!({}));
    let Ok(Progress::Done(built)) = source.building(None).unwrap().step(&mut session, Timestamp::UNIX_EPOCH) else {
        panic!("nothing has to be asked for")
    };
    let text = super::listed(built[0].stream.as_ref().unwrap_err());
    assert!(text.contains("paginator.page_size_option: a request option needs 'field_name'"), "{text}");
}

#[test]
fn no_secret_is_in_a_failure_or_a_position() {
    let auth = json!({"type": "ApiKeyAuthenticator", "api_token": "{{ config['key'] }}",
        "inject_into": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "api_key"}});
    let text = manifest(
        &stream(&json!({"requester": requester_with("things", &json!({"authenticator": auth}))}), &json!({})),
        &json!({}),
    );
    let failure = read(&text, json!({"key": "canary-4711"}), &Value::Null, |_| status(404, &json!({}))).err().unwrap();
    assert!(!failure.message.contains("canary-4711"), "{failure}");
}

#[test]
fn secrets_are_found_in_every_place_that_a_specification_marks() {
    let spec = json!({"properties": {
        "key": {"type": "string", "airbyte_secret": true},
        "login": {"oneOf": [{"properties": {"password": {"airbyte_secret": true}}}]},
        "list": {"type": "array", "items": {"airbyte_secret": true}},
    }});
    let config = json!({"key": "canary-1", "login": {"password": "canary 2"}, "list": ["canary-3"], "name": "plain"});
    let secrets = super::secrets::Secrets::of(&spec, &config);
    let said = secrets.redact("canary-1 canary 2 canary+2 canary-3 plain");
    assert_eq!(said, "**** **** **** **** plain");
}
