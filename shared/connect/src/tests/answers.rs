//! What NowRepBlue is asked, and how each answer is judged: a page, worth asking again, or refused.

use std::time::Duration;

use teal::ports::connector::Waiting;
use teal::ports::upstream::HeaderValue;

use super::*;

fn waits(step: Step) -> (Duration, bool, String) {
    match step {
        Step::Wait { wait, why: Waiting::Quota(why) } => (wait, true, why),
        Step::Wait { wait, why: Waiting::Ill(why) } => (wait, false, why),
        other => panic!("not worth asking again: {other:?}"),
    }
}

fn end(step: Step) -> Option<Value> {
    match step {
        Step::Page { next: Next::End { cursor }, .. } => cursor,
        other => panic!("not the end: {other:?}"),
    }
}

#[test]
fn a_full_listing_asks_for_the_first_page_with_the_key_as_a_secret() {
    let request = Listing::of(connector(), "talents", Mode::Full, None).asks();
    assert_eq!(request.url, "https://api.example.com/api/talents?per_page=100&page=1");
    let key = HeaderValue::Secret(Secret::new(format!("Bearer {KEY}")));
    assert!(request.headers.iter().any(|(_, value)| *value == key), "{:?}", request.headers);
    assert!(!format!("{request:?}").contains(KEY));
}

#[test]
fn an_incremental_listing_says_since_when_a_minute_before_its_cursor() {
    let cursor = json!({ "updatedAt": "2025-12-31T23:59:00.000Z" });
    let url = Listing::of(connector(), "talents", Mode::Incremental, Some(&cursor)).asks().url;
    assert!(url.contains("updated_since=2025-12-31T23%3A58%3A00.000Z"), "{url}");
}

#[test]
fn a_cursor_is_the_newest_record_and_never_ahead_of_the_listing_in_the_sources_time() {
    let page = |at: &str| {
        let body = json!({ "data": [{ "id": 1, "updatedAt": at }], "meta": { "page": 1, "pages": 1, "total": 1 } });
        body.to_string()
    };
    let left = |at: &str, headers: &[(&str, &str)]| end(first("talents", 200, headers, &page(at)));
    let cursor = |at: &str| Some(json!({ "updatedAt": at }));
    assert_eq!(left("2025-12-31T12:00:00.000Z", &[]), cursor("2025-12-31T12:00:00.000Z"));
    // Changed while the listing ran: something that was read before it may have changed earlier.
    assert_eq!(left("2026-01-02T00:00:09.000Z", &[]), cursor("2026-01-02T00:00:00.000Z"));
    let behind = [("date", "Thu, 01 Jan 2026 23:00:00 GMT")];
    assert_eq!(left("2026-01-01T23:30:00.000Z", &behind), cursor("2026-01-01T23:00:00.000Z"));
    let ahead = [("date", "Fri, 02 Jan 2026 03:00:00 GMT")];
    assert_eq!(left("2026-01-02T00:00:09.000Z", &ahead), cursor("2026-01-02T00:00:00.000Z"));
}

#[test]
fn an_empty_listing_is_complete() {
    end(first("talents", 200, &[], r#"{"data":[],"meta":{"page":1,"pages":0,"total":0}}"#));
    end(first("talents", 200, &[], r#"{"error":null,"data":[],"meta":{"page":1,"pages":0,"total":0}}"#));
    end(first("boards", 200, &[], r#"{"items":[],"next_cursor":null}"#));
    end(first("boards", 200, &[], r#"{"items":[]}"#));
}

#[test]
fn a_200_that_is_no_page_is_worth_asking_again() {
    for (stream, body) in [
        ("talents", r#"{"data":[],"meta":{"page":1,"pages":3,"total":3}}"#),
        ("boards", r#"{"items":[],"next_cursor":"c2"}"#),
        ("talents", r#"{"data":[{"id":1}"#),
        ("talents", ""),
        ("talents", "<html>busy</html>"),
        ("talents", r#"{"meta":{"page":1,"pages":1,"total":1}}"#),
        ("talents", r#"{"data":{"id":1},"meta":{"page":1,"pages":1,"total":1}}"#),
        ("talents", r#"{"data":[{"id":1}]}"#),
        ("talents", r#"{"data":[{"id":1}],"meta":{"page":1,"pages":"2","total":2}}"#),
        ("talents", r#"{"error":{"message":"not now"},"data":[],"meta":{"page":1,"pages":0,"total":0}}"#),
    ] {
        let (_, quota, why) = waits(first(stream, 200, &[], body));
        assert!(!quota && why.contains("/api/"), "{body}: {why}");
    }
}

/// Reads pages until the end; a total for each answer, 100 records a page.
fn numbers_asked(totals: &[u64]) -> Vec<u64> {
    let mut listing = Listing::of(connector(), "talents", Mode::Full, None);
    let mut asked = Vec::new();
    for total in totals {
        let url = listing.asks().url;
        let page: u64 = url.split("&page=").nth(1).unwrap().parse().unwrap();
        asked.push(page);
        let meta = json!({ "page": page, "pages": total.div_ceil(100), "total": total });
        let body = json!({ "data": [{ "id": 1 }], "meta": meta }).to_string();
        listing.session.answer(NOW, response(200, &[], body)).unwrap();
        match listing.step() {
            Step::Page { next: Next::Page(_), .. } => listing = listing.resumed(),
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
fn too_many_requests_is_a_quota_and_waits_as_long_as_the_source_says() {
    for (headers, expected) in [
        (vec![], 3),
        (vec![("retry-after", "30")], 31),
        (vec![("retry-after", "Fri, 02 Jan 2026 00:01:30 GMT")], 90),
        (vec![("retry-after", "Thu, 01 Jan 2026 00:00:00 GMT")], 3),
        (vec![("retry-after", "soon")], 3),
    ] {
        let (wait, quota, _) = waits(first("talents", 429, &headers, ""));
        assert_eq!((wait.as_secs(), quota), (expected, true), "{headers:?}");
    }
}

#[test]
fn an_ill_source_is_asked_again_and_is_no_quota() {
    for status in [408, 500, 502, 503, 504] {
        let (wait, quota, why) = waits(first("talents", status, &[("retry-after", "9")], "oops"));
        assert_eq!((wait.as_secs(), quota), (10, false), "{status}");
        assert!(why.contains(&status.to_string()), "{why}");
    }
}

#[test]
fn what_asking_again_can_not_mend_is_refused() {
    for status in [400, 401, 403, 404, 410] {
        match first("talents", status, &[], "") {
            Step::Refused { why } => {
                assert!(why.contains(&status.to_string()) && why.contains("/api/talents"), "{why}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_source_that_repeats_our_key_does_not_get_it_into_messages_or_positions() {
    let said = format!(r#"{{"error":{{"message":"bad key {KEY}"}}}}"#);
    for status in [401, 200, 500] {
        let text = format!("{:?}", first("talents", status, &[], &said));
        assert!(!text.contains(KEY), "{text}");
    }
    let mut listing = Listing::of(connector(), "boards", Mode::Full, None);
    let page = format!(r#"{{"items":[{{"id":1}}],"next_cursor":"after {KEY}"}}"#);
    listing.answered(response(200, &[], page));
    assert!(!listing.position.to_string().contains(KEY), "{}", listing.position);
    let url = listing.resumed().asks().url;
    assert!(url.contains(&format!("cursor=after+{KEY}")), "{url}");
}

#[test]
fn a_stream_that_is_not_there_is_named() {
    let begun = connector().begin(&"castings".into(), Mode::Full, None, NOW);
    assert!(matches!(begun, Err(ConnectorError::NoStream(_))));
}
