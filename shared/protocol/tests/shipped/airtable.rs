//! Airtable.

use std::time::{Duration, Instant};

use serde_json::json;
use teal_stand_in::Fake;
use teal_stand_in::fake::airtable;

use crate::tried::Case;

const STREAMS: [(&str, usize); 4] = [("bases", 2), ("tables", 4), ("records", 466), ("changed_records", 466)];

async fn fake() -> Fake {
    Fake::start(airtable::api()).await.expect("loopback has a free port")
}

fn case(fake: &Fake) -> Case<'_> {
    Case {
        name: "airtable",
        fake,
        config: json!({ "token": "airtable-key", "modified_field": "Changed", "base_url": fake.url() }),
        streams: &STREAMS,
        endpoint: "bases",
        stream: "bases",
        secret: "token",
        remedy: "does not accept the token",
    }
}

#[tokio::test]
async fn everything_is_read_over_faults() {
    let fake = fake().await;
    case(&fake).hold().await;
}

#[tokio::test]
async fn records_that_changed_are_read_again() {
    let fake = fake().await;
    let tried = case(&fake).tried();
    let began = Instant::now();
    let first = tried.read(&["changed_records"], None).await;
    // Eleven requests, four in any second.
    assert!(fake.counts().requests > 8 && began.elapsed() >= Duration::from_secs(2), "{:?}", fake.counts());
    fake.put("records", airtable::renamed(&fake.rows("records")[7], 5000));
    let second = tried.read(&["changed_records"], Some(&first)).await;
    let records = second.of("changed_records");
    assert!(records.iter().any(|record| record["fields"]["Name"] == "Renamed"), "{}", second.said);
    assert!(records.len() < 20, "{} records", records.len());
}

#[tokio::test]
async fn a_table_whose_offset_expired_is_listed_anew() {
    let fake = fake().await;
    fake.arm("offset-expired", 1);
    let read = case(&fake).tried().read(&["records"], None).await;
    assert_eq!(read.code, 0, "{}", read.said);
    let ids: std::collections::BTreeSet<String> =
        read.of("records").iter().map(|r| format!("{}{}", r["table_id"], r["id"])).collect();
    assert_eq!(ids.len(), 466);
}
