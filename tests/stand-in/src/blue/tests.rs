//! What the stand-in promises to those who test against it, over real HTTP on 127.0.0.1.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::http::{Fault, RetryHint};

const NOW: i64 = 1_767_312_000_000;

/// A clock that stands still until it is moved.
fn still() -> (Clock, Arc<AtomicI64>) {
    let time = Arc::new(AtomicI64::new(NOW));
    let clock = time.clone();
    (Arc::new(move || clock.load(Ordering::SeqCst)), time)
}

async fn blue(options: BlueOptions) -> Blue {
    Blue::start(options).await.unwrap()
}

fn small() -> BlueOptions {
    BlueOptions { talents: 25, boards: 7, media_tags: 9, clock: still().0, ..BlueOptions::default() }
}

struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Whether the body is as long as the head says.
    fn is_whole(&self) -> bool {
        self.header("content-length") == Some(&self.body.len().to_string())
    }
}

/// `None` when the connection goes without an answer.
async fn ask(blue: &Blue, method: &str, path: &str, key: &str, body: &str) -> Option<Got> {
    let address = blue.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    // A connection that is cut may end in an error; what came before it counts.
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Got { status, head, body: answer[end + 4..].to_vec() })
}

async fn get(blue: &Blue, path: &str) -> Got {
    ask(blue, "GET", path, "blue-key", "").await.expect("an answer")
}

async fn pages(blue: &Blue, path: &str) -> Vec<Value> {
    let mut records = Vec::new();
    for page in 1.. {
        let body = get(blue, &format!("{path}{page}")).await.json();
        records.extend(body["data"].as_array().unwrap().clone());
        if page >= body["meta"]["pages"].as_u64().unwrap() {
            break;
        }
    }
    records
}

fn ids(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["id"].as_u64().unwrap()).collect()
}

async fn boards(blue: &Blue, query: &str) -> Vec<Value> {
    let mut records = Vec::new();
    let mut cursor = String::new();
    loop {
        let body = get(blue, &format!("/api/boards?limit=3{query}{cursor}")).await.json();
        records.extend(body["items"].as_array().unwrap().clone());
        match body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return records,
        }
    }
}

#[tokio::test]
async fn every_record_is_listed_once_and_in_order_whatever_the_pagination() {
    let blue = blue(small()).await;
    assert_eq!(ids(&pages(&blue, "/api/talents?per_page=10&page=").await), (1..=25).collect::<Vec<_>>());
    assert_eq!(ids(&pages(&blue, "/api/media-tags?page=").await), (1..=9).collect::<Vec<_>>());
    assert_eq!(ids(&boards(&blue, "").await), (1..=7).collect::<Vec<_>>());
    let counts = blue.counts();
    assert_eq!(counts.requests, 3 + 1 + 3);
    assert_eq!(counts.pages["talents"].keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(counts.pages["boards"].keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(counts.pages_served_again(), 0);
    assert_eq!(counts.in_flight, 0);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes_and_another_seed_gives_others() {
    let (one, same, other) = (blue(small()).await, blue(small()).await, blue(BlueOptions { seed: 2, ..small() }).await);
    for blue in [&one, &same] {
        blue.edit(Kind::Talents, &[3]);
        blue.delete(Kind::Talents, &[4]);
    }
    let path = "/api/talents";
    assert_eq!(get(&one, path).await.body, get(&same, path).await.body);
    assert_ne!(get(&one, path).await.body, get(&other, path).await.body);
}

#[tokio::test]
async fn every_id_that_a_record_names_exists_also_after_deletes() {
    let blue = blue(BlueOptions { talents: 60, ..small() }).await;
    blue.delete(Kind::Talents, &[1, 2, 3, 17, 40]);
    blue.delete(Kind::MediaTags, &[1, 5]);
    blue.edit(Kind::Talents, &[6, 7]);
    blue.patch(Kind::Talents, 8, &json!({ "portfolios": [] }));
    let talents = pages(&blue, "/api/talents?page=").await;
    let members = |record: &Value, list: &str| ids(record[list].as_array().unwrap());
    let talent_ids: BTreeSet<u64> = ids(&talents).into_iter().collect();
    let portfolios: BTreeSet<u64> = talents.iter().flat_map(|talent| members(talent, "portfolios")).collect();
    let tags: BTreeSet<u64> = blue.ids(Kind::MediaTags).into_iter().collect();
    for board in boards(&blue, "").await {
        assert!(members(&board, "talents").iter().all(|id| talent_ids.contains(id)), "{board}");
        assert!(members(&board, "portfolios").iter().all(|id| portfolios.contains(id)), "{board}");
    }
    let mut media = BTreeSet::new();
    for medium in talents
        .iter()
        .flat_map(|talent| talent["portfolios"].as_array().unwrap())
        .flat_map(|portfolio| portfolio["media"].as_array().unwrap())
    {
        assert!(members(medium, "tags").iter().all(|id| tags.contains(id)), "{medium}");
        assert!(media.insert(medium["id"].as_u64().unwrap()), "a medium twice: {medium}");
    }
    assert!(media.len() > 50, "the data is too thin to test with: {} media", media.len());
}

#[tokio::test]
async fn only_what_changed_is_listed_since_a_time() {
    let (clock, time) = still();
    let blue = blue(BlueOptions { clock, ..small() }).await;
    time.store(NOW + 5_000, Ordering::SeqCst);
    blue.edit(Kind::Talents, &[20, 4]);
    time.store(NOW + 9_000, Ordering::SeqCst);
    let inserted = blue.insert(Kind::Talents, 1);
    blue.edit(Kind::Talents, &[5]);
    blue.delete(Kind::Talents, &[5]);
    let since = |offset| format!("/api/talents?updated_since={}&per_page=2&page=", rfc3339(NOW + offset));
    assert_eq!(inserted, [26]);
    assert_eq!(ids(&pages(&blue, &since(0)).await), [4, 20, 26]);
    assert_eq!(ids(&pages(&blue, &since(9_000)).await), [26]);
    assert_eq!(ids(&pages(&blue, &since(9_001)).await), [] as [u64; 0]);
    assert_eq!(ids(&pages(&blue, "/api/talents?updated_since=2001-01-01T00:00:00%2B02:00&page=").await).len(), 25);
    assert_eq!(blue.counts().changed_pages["talents"][&1].served, 4);
    assert!(!blue.counts().pages.contains_key("talents"));
}

#[tokio::test]
async fn a_talents_deletion_shows_on_the_boards_that_had_it() {
    let blue = blue(small()).await;
    let since = format!("&updated_since={}", rfc3339(NOW));
    assert!(boards(&blue, &since).await.is_empty());
    let board = blue.record(Kind::Boards, 1).unwrap();
    let talent = board["talents"][0]["id"].as_u64().unwrap();
    blue.delete(Kind::Talents, &[talent]);
    let changed = boards(&blue, &since).await;
    assert!(ids(&changed).contains(&1));
    assert!(changed.iter().all(|board| !ids(board["talents"].as_array().unwrap()).contains(&talent)));
}

#[tokio::test]
async fn the_generation_stamps_every_record_and_no_time() {
    let blue = blue(small()).await;
    let before = pages(&blue, "/api/talents?page=").await;
    blue.set_generation(7);
    let after = pages(&blue, "/api/talents?page=").await;
    assert!(after.iter().chain(&boards(&blue, "").await).all(|record| record["generation"] == 7));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before["updatedAt"], after["updatedAt"]);
    }
}

#[tokio::test]
async fn a_million_talents_cost_nothing_until_they_are_listed() {
    let blue = blue(BlueOptions { talents: 1_000_000, ..small() }).await;
    blue.delete(Kind::Talents, &[1]);
    let body = get(&blue, "/api/talents?page=10000").await.json();
    assert_eq!(body["meta"], json!({ "page": 10_000, "per_page": 100, "total": 999_999, "pages": 10_000 }));
    assert_eq!(ids(body["data"].as_array().unwrap()), (999_902..=1_000_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let blue = blue(small()).await;
    let wrong_key = ask(&blue, "GET", "/api/talents", "guess", "").await.unwrap();
    assert_eq!((wrong_key.status, wrong_key.json()["error"]["message"].is_string()), (401, true));
    for (path, status) in [
        ("/api/talents?page=0", 400),
        ("/api/talents?per_page=501", 400),
        ("/api/talents?page=x", 400),
        ("/api/talents?updated_since=yesterday", 400),
        ("/api/boards?cursor=3", 400),
        ("/api/castings", 404),
    ] {
        assert_eq!(get(&blue, path).await.status, status, "{path}");
    }
    assert_eq!(ask(&blue, "POST", "/api/talents", "blue-key", "").await.unwrap().status, 405);
    assert_eq!(blue.counts().unauthorized, 1);
}

#[tokio::test]
async fn more_requests_than_the_limit_within_a_second_get_429() {
    let (clock, time) = still();
    let blue = blue(BlueOptions { per_second: Some(2), clock, ..small() }).await;
    let mut statuses = Vec::new();
    for offset in [0, 999, 999, 1_000, 2_000] {
        time.store(NOW + offset, Ordering::SeqCst);
        statuses.push(get(&blue, "/api/talents").await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429, 200]);
    let counts = blue.counts();
    assert_eq!((counts.most_in_a_second, counts.limited, counts.requests), (3, 2, 5));
}

#[tokio::test]
async fn each_fault_shows_as_what_it_is_and_only_as_often_as_commanded() {
    let blue = blue(small()).await;
    let path = "/api/talents?per_page=10&page=2";

    blue.fault(FaultRule::next(2, Fault::Status(500)));
    assert_eq!(
        [get(&blue, path).await.status, get(&blue, path).await.status, get(&blue, path).await.status],
        [500, 500, 200]
    );

    for (hint, header) in [
        (RetryHint::Missing, None),
        (RetryHint::Seconds(7), Some("7")),
        (RetryHint::Date(60), Some("Fri, 02 Jan 2026 00:01:00 GMT")),
    ] {
        blue.fault(FaultRule::next(1, Fault::TooMany(hint)));
        let got = get(&blue, path).await;
        assert_eq!((got.status, got.header("retry-after")), (429, header));
    }

    blue.fault(FaultRule::next(1, Fault::Truncated));
    let got = get(&blue, path).await;
    assert!(got.status == 200 && !got.is_whole() && got.body.len() > 100, "{} bytes came", got.body.len());

    blue.fault(FaultRule::next(1, Fault::InvalidJson));
    let got = get(&blue, path).await;
    assert!(got.status == 200 && got.is_whole() && serde_json::from_slice::<Value>(&got.body).is_err());

    blue.fault(FaultRule::next(1, Fault::ErrorInside));
    let got = get(&blue, path).await;
    assert!(got.status == 200 && got.json()["error"].is_object() && got.json()["data"].is_null());

    blue.fault(FaultRule::next(1, Fault::Drop));
    assert!(ask(&blue, "GET", path, "blue-key", "").await.is_none());

    assert_eq!(get(&blue, path).await.json()["data"].as_array().unwrap().len(), 10);
    assert_eq!(blue.counts().faulted, 2 + 3 + 4);
    assert_eq!(blue.counts().pages["talents"][&2].served, 2);
}

#[tokio::test]
async fn pages_can_lie_about_what_follows() {
    let blue = blue(small()).await;
    blue.fault(FaultRule::page("talents", 3, Fault::EmptyPage));
    let body = get(&blue, "/api/talents?per_page=10&page=3").await.json();
    assert!(body["data"].as_array().unwrap().is_empty() && body["meta"]["pages"].as_u64().unwrap() > 3);

    blue.fault(FaultRule::page("boards", 2, Fault::EmptyPage));
    let first = get(&blue, "/api/boards?limit=3").await.json();
    let second = format!("/api/boards?limit=3&cursor={}", first["next_cursor"].as_str().unwrap());
    let body = get(&blue, &second).await.json();
    assert!(body["items"].as_array().unwrap().is_empty() && body["next_cursor"].is_string());

    blue.fault(FaultRule::page("boards", 2, Fault::Endless).always());
    for _ in 0..3 {
        assert_eq!(get(&blue, &second).await.json()["next_cursor"], first["next_cursor"]);
    }
    blue.clear_faults();
    assert_ne!(get(&blue, &second).await.json()["next_cursor"], first["next_cursor"]);
}

#[tokio::test]
async fn a_fault_can_wait_for_the_kth_request() {
    let blue = blue(small()).await;
    blue.fault(FaultRule::nth(3, Fault::Status(503)));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(&blue, "/api/media-tags").await.status);
    }
    assert_eq!(statuses, [200, 200, 503, 200]);
}

#[tokio::test]
async fn commands_over_http_do_what_the_methods_do_and_count_as_no_request() {
    let blue = blue(small()).await;
    for (name, body, status) in [
        ("edit", r#"{"kind":"talents","ids":[2,99],"patch":{"profile":{"city":null}}}"#, 200),
        ("delete", r#"{"kind":"media-tags","ids":[9]}"#, 200),
        ("insert", r#"{"kind":"boards"}"#, 200),
        ("generation", r#"{"generation":3}"#, 200),
        ("faults", r#"{"fault":{"too-many":{"seconds":5}},"endpoint":"talents"}"#, 200),
        ("faults", r#"{"fault":"meteor"}"#, 400),
        ("edit", r#"{"kind":"castings","ids":[1]}"#, 400),
        ("insert", r#"{"kind":"boards","count":100001}"#, 400),
        ("delivery", r#"{"event":"talent.deleted","id":1}"#, 409),
        ("dance", "{}", 404),
        ("edit", "{", 400),
    ] {
        let got = ask(&blue, "POST", &format!("/control/{name}"), "", body).await.unwrap();
        assert_eq!(got.status, status, "{name} {body}: {}", got.json());
    }
    let talent = blue.record(Kind::Talents, 2).unwrap();
    assert!(talent["profile"]["city"].is_null() && talent["profile"]["displayName"].is_string());
    assert_eq!((blue.count(Kind::MediaTags), blue.count(Kind::Boards), talent["generation"].as_u64()), (8, 8, Some(3)));
    assert_eq!(blue.counts().requests, 0);
    assert_eq!(get(&blue, "/api/talents").await.header("retry-after"), Some("5"));
    assert_eq!(ask(&blue, "GET", "/control/counters", "", "").await.unwrap().json()["faulted"], 1);
}

#[tokio::test]
async fn a_webhook_carries_its_secret_its_id_and_the_record_and_repeats_exactly() {
    let blue = blue(small()).await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/blue", receiver.local_addr().unwrap());
    let webhook = blue.webhook(Event::TalentUpdated, 3).unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let receive = async {
            let (mut stream, _) = receiver.accept().await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(&webhook.body) {
                assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0, "the request ended early");
            }
            stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            String::from_utf8(got).unwrap()
        };
        let (status, got) = futures::join!(blue.deliver(&url, "whisper", &webhook), receive);
        assert_eq!(status.unwrap(), 202);
        seen.push(got);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].starts_with("POST /hooks/blue HTTP/1.1\r\n"));
    assert!(seen[0].contains("x-sync-secret-key: whisper\r\n"));
    assert!(seen[0].contains(&format!("x-delivery-id: {}\r\n", webhook.id)));
    let body: Value = serde_json::from_slice(&webhook.body).unwrap();
    assert_eq!(body["data"], blue.record(Kind::Talents, 3).unwrap());
    assert_eq!((&body["event"], &body["sentAt"]), (&json!("talent.updated"), &json!(rfc3339(NOW))));
}

#[tokio::test]
async fn a_webhook_tells_of_a_deletion_only_after_it() {
    let blue = blue(small()).await;
    assert_eq!(blue.webhook(Event::TalentDeleted, 3), None);
    blue.delete(Kind::Talents, &[3]);
    assert_eq!(blue.webhook(Event::TalentUpdated, 3), None);
    let webhook = blue.webhook(Event::TalentDeleted, 3).unwrap();
    let body: Value = serde_json::from_slice(&webhook.body).unwrap();
    assert_eq!(body["data"], json!({ "id": 3, "updatedAt": rfc3339(NOW) }));
    assert!(blue.send_webhook("https://example.com/", "s", Event::TalentDeleted, 3).await.is_err());
}

#[tokio::test]
async fn a_stopped_stand_in_answers_nothing() {
    let blue = blue(small()).await;
    assert_eq!(get(&blue, "/api/talents").await.status, 200);
    blue.stop();
    assert!(ask(&blue, "GET", "/api/talents", "blue-key", "").await.is_none());
}
