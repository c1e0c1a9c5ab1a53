//! How each answer is judged: a page, worth asking again, or refused.

use teal::ports::connector::{Next, RetryAfter};

use super::*;

const DATE: &str = "Fri, 02 Jan 2026 00:00:00 GMT";

fn retry(answer: Answer) -> (Option<RetryAfter>, bool, String) {
    match answer {
        Answer::Retry { after, quota, why } => (after, quota, why),
        other => panic!("not worth asking again: {other:?}"),
    }
}

fn refused(answer: Answer) -> String {
    match answer {
        Answer::Refused { why } => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn end(answer: Answer) -> Option<Value> {
    match answer {
        Answer::Page { next: Next::End { cursor } } => cursor,
        other => panic!("not the end: {other:?}"),
    }
}

#[test]
fn the_last_page_leaves_the_start_of_the_listing_minus_the_lookback() {
    let cursor = end(first("talents", 200, &[], r#"{"data":[{"id":1}],"meta":{"pages":1,"total":1}}"#));
    assert_eq!(cursor, Some(json!("2026-01-01T23:59:00.000Z")));
}

#[test]
fn a_source_whose_clock_is_behind_moves_the_cursor_back_and_one_ahead_does_not() {
    let body = r#"{"data":[],"meta":{"pages":0,"total":0}}"#;
    let behind = end(first("talents", 200, &[("date", "Thu, 01 Jan 2026 23:00:00 GMT")], body));
    assert_eq!(behind, Some(json!("2026-01-01T22:59:00.000Z")));
    let ahead = end(first("talents", 200, &[("date", "Fri, 02 Jan 2026 03:00:00 GMT")], body));
    assert_eq!(ahead, Some(json!("2026-01-01T23:59:00.000Z")));
}

#[test]
fn an_empty_listing_is_complete_and_a_page_past_the_end_too() {
    end(first("talents", 200, &[], r#"{"data":[],"meta":{"pages":0,"total":0}}"#));
    end(first("boards", 200, &[], r#"{"items":[],"next_cursor":null}"#));
    end(first("boards", 200, &[], r#"{"items":[]}"#));
}

#[test]
fn a_200_that_is_no_page_is_worth_asking_again() {
    for (stream, body, expected) in [
        ("talents", r#"{"data":[],"meta":{"pages":3,"total":3}}"#, "the page is empty, yet claims that more follow"),
        ("boards", r#"{"items":[],"next_cursor":"c2"}"#, "the page is empty, yet claims that more follow"),
        ("talents", r#"{"data":[{"id":1}"#, "it is not JSON"),
        ("talents", "", "it is not JSON"),
        ("talents", "<html>busy</html>", "it is not JSON"),
        ("talents", r#"{"meta":{"pages":1,"total":1}}"#, "there is no list at 'data'"),
        ("talents", r#"{"data":{"id":1},"meta":{"pages":1,"total":1}}"#, "there is no list at 'data'"),
        ("talents", r#"{"data":[{"id":1}]}"#, "there is no whole number at 'meta.total'"),
        (
            "talents",
            r#"{"data":[{"id":1}],"meta":{"pages":"2","total":2}}"#,
            "there is no whole number at 'meta.pages'",
        ),
        ("boards", r#"{"items":[{}],"next_cursor":{"at":1}}"#, "what stands at 'next_cursor' is no cursor"),
        (
            "talents",
            r#"{"error":{"message":"not\n now"},"data":[],"meta":{"pages":0,"total":0}}"#,
            "it holds an error: not now",
        ),
    ] {
        let (after, quota, why) = retry(first(stream, 200, &[], body));
        assert_eq!((after, quota), (None, false), "{body}");
        assert!(why.contains(expected), "expected {expected}\n   found {why}");
    }
}

#[test]
fn an_error_member_that_is_null_is_no_error() {
    end(first("talents", 200, &[], r#"{"error":null,"data":[],"meta":{"pages":0,"total":0}}"#));
}

/// Reads pages until the end; a total for each answer, 100 records a page.
fn numbers_asked(totals: &[u64]) -> Vec<u64> {
    let talents = StreamName::new("talents");
    let mut position = begin("talents");
    let mut asked = Vec::new();
    for total in totals {
        let url = connector().request(&talents, &position).unwrap().url;
        asked.push(url.split("page=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap());
        let body = json!({ "data": [{}], "meta": { "pages": total.div_ceil(100), "total": total } }).to_string();
        match connector().read(&talents, &position, &response(200, &[], body)) {
            Answer::Page { next: Next::Page(next) } => position = next,
            other => {
                end(other);
                return asked;
            }
        }
    }
    panic!("no end after {asked:?}");
}

#[test]
fn pages_that_moved_because_records_went_are_read_again() {
    assert_eq!(numbers_asked(&[300, 300, 300]), [1, 2, 3]);
    assert_eq!(numbers_asked(&[300, 301, 301, 301]), [1, 2, 3, 4]);
    assert_eq!(numbers_asked(&[300, 300, 299, 299, 299]), [1, 2, 3, 2, 3]);
    assert_eq!(numbers_asked(&[400, 400, 400, 250, 250, 250]), [1, 2, 3, 4, 2, 3]);
    assert_eq!(numbers_asked(&[300, 100, 100]), [1, 2, 1]);
    assert_eq!(numbers_asked(&[201, 201, 200, 200]), [1, 2, 3, 2]);
}

#[test]
fn cursors_that_go_round_in_circles_are_noticed_whatever_the_circle() {
    let boards = StreamName::new("boards");
    for circle in 1..=9 {
        let mut position = begin("boards");
        let mut pages = 0;
        let why = loop {
            let body = format!(r#"{{"items":[{{}}],"next_cursor":"c{}"}}"#, pages % circle);
            match connector().read(&boards, &position, &response(200, &[], body)) {
                Answer::Page { next: Next::Page(next) } => position = next,
                other => break retry(other).2,
            }
            pages += 1;
            assert!(pages < circle * 4 + 4, "a circle of {circle} was not noticed");
        };
        assert!(why.contains("a cursor again"), "{why}");
    }
}

#[test]
fn cursors_that_differ_lead_to_the_end_however_many() {
    let boards = StreamName::new("boards");
    let mut position = begin("boards");
    for page in 0..300 {
        let body = format!(r#"{{"items":[{{}}],"next_cursor":{page}}}"#);
        match connector().read(&boards, &position, &response(200, &[], body)) {
            Answer::Page { next: Next::Page(next) } => position = next,
            other => panic!("page {page}: {other:?}"),
        }
    }
    assert!(position.to_string().len() < 200, "positions must stay small: {position}");
}

#[test]
fn too_many_requests_is_a_quota_and_waits_as_long_as_the_source_says() {
    let at = RetryAfter::At(NOW.plus(std::time::Duration::from_secs(90)));
    for (headers, expected) in [
        (vec![], None),
        (vec![("retry-after", "30")], Some(RetryAfter::Seconds(30))),
        (vec![("retry-after", " 0 ")], Some(RetryAfter::Seconds(0))),
        (vec![("retry-after", "99999999999999999999999")], Some(RetryAfter::Seconds(u64::MAX))),
        (vec![("retry-after", "Fri, 02 Jan 2026 00:01:30 GMT")], Some(at)),
        (vec![("retry-after", "Fri, 02 Jan 2026 00:01:30 GMT"), ("date", DATE)], Some(at)),
        (vec![("retry-after", "Thu, 01 Jan 2026 00:00:00 GMT")], None),
        (vec![("retry-after", "Fri, 02 Jan 2026 00:01:30 GMT"), ("date", "Fri, 02 Jan 2026 00:02:00 GMT")], None),
        (vec![("retry-after", "-5")], None),
        (vec![("retry-after", "soon")], None),
        (vec![("retry-after", "")], None),
    ] {
        let (after, quota, _) = retry(first("talents", 429, &headers, ""));
        assert_eq!((after, quota), (expected, true), "{headers:?}");
    }
}

#[test]
fn an_ill_source_is_asked_again_and_is_no_quota() {
    for status in [408, 425, 500, 502, 503, 504, 599] {
        let (after, quota, why) = retry(first("talents", status, &[("retry-after", "9")], "oops"));
        assert_eq!((after, quota), (Some(RetryAfter::Seconds(9)), false), "{status}");
        assert!(why.contains(&status.to_string()), "{why}");
    }
}

#[test]
fn what_asking_again_can_not_mend_is_refused_with_what_to_check() {
    for (status, expected) in [
        (401, "check that the secret behind 'api_key' in the source's config is right"),
        (403, "may list 'talents'"),
        (404, "check base_url in the source's config"),
        (400, "check the manifest's path and parameters of 'talents'"),
        (301, "redirects are not followed"),
        (304, "redirects are not followed"),
    ] {
        let why = refused(first("talents", status, &[], ""));
        assert!(why.contains(expected) && why.contains(&status.to_string()), "{why}");
        assert!(why.contains("https://api.example.com/api/talents"), "{why}");
    }
}

#[test]
fn a_source_that_repeats_our_key_or_talks_long_does_not_get_it_into_messages() {
    let long = format!(r#"{{"error":{{"message":"bad key {KEY} {}"}}}}"#, "x".repeat(5000));
    for answer in
        [first("talents", 401, &[], &long), first("talents", 200, &[], &long), first("talents", 500, &[], &long)]
    {
        let text = format!("{answer:?}");
        assert!(text.contains("bad key REDACTED") && !text.contains(KEY) && text.len() < 700, "{text}");
    }
}

#[test]
fn records_are_the_list_and_nothing_else_is() {
    let connector = connector();
    let talents = StreamName::new("talents");
    let records = |body: &'static str| connector.records(&talents, &begin("talents"), &Bytes::from(body));
    assert_eq!(records(r#"{"data":[{"id":1},2]}"#).unwrap(), [json!({ "id": 1 }), json!(2)]);
    assert!(matches!(records(r#"{"items":[]}"#), Err(ConnectorError::Body(_))));
    assert!(matches!(records(r#"{"data":[1"#), Err(ConnectorError::Body(_))));
    assert!(matches!(
        connector.records(&"castings".into(), &json!({}), &Bytes::new()),
        Err(ConnectorError::NoStream(_))
    ));
}
