//! Mailchimp.

use std::time::{Duration, Instant};

use serde_json::json;
use teal_stand_in::Fake;
use teal_stand_in::fake::mailchimp;

use crate::tried::Case;

const STREAMS: [(&str, usize); 5] =
    [("lists", 2), ("members", 1206), ("campaigns", 12), ("campaign_content", 12), ("reports", 11)];

fn case(fake: &Fake) -> Case<'_> {
    Case {
        name: "mailchimp",
        fake,
        config: json!({ "api_key": "mailchimp-key-us1", "base_url": fake.url() }),
        streams: &STREAMS,
        endpoint: "lists",
        stream: "lists",
        secret: "api_key",
        remedy: "does not accept the API key",
    }
}

#[tokio::test]
async fn everything_is_read_over_faults_and_within_ten_requests_a_second() {
    let fake = Fake::start(mailchimp::api()).await.expect("loopback has a free port");
    let case = case(&fake);
    let tried = case.tried();
    let began = Instant::now();
    let read = tried.read(&[], None).await;
    assert_eq!(read.code, 0, "{}", read.said);
    // Twenty and more requests, eight in any second.
    assert!(fake.counts().requests > 16 && began.elapsed() >= Duration::from_secs(2), "{:?}", fake.counts());
    case.hold().await;
}

#[tokio::test]
async fn members_that_changed_and_young_campaigns_are_read_again() {
    let fake = Fake::start(mailchimp::api()).await.expect("loopback has a free port");
    let tried = case(&fake).tried();
    let streams = ["members", "campaigns", "reports"];
    let first = tried.read(&streams, None).await;
    fake.put("members", mailchimp::unsubscribed(&fake.rows("members")[5], 90_000));
    let second = tried.read(&streams, Some(&first)).await;
    assert_eq!(second.code, 0, "{}", second.said);
    let members = second.of("members");
    assert!(members.iter().any(|member| member["status"] == "unsubscribed"));
    assert!(members.len() < 20, "{} members", members.len());
    // All of this year's are younger than the lookback: a draft may have been sent, a report grows.
    assert_eq!((second.of("campaigns").len(), second.of("reports").len()), (12, 11));
}
