//! The template.

use serde_json::json;
use teal_stand_in::Fake;
use teal_stand_in::fake::generic;

use crate::tried::Case;

const STREAMS: [(&str, usize); 2] = [("things", 120), ("parts", 3)];

#[tokio::test]
async fn everything_is_read_over_faults_and_then_only_what_changed() {
    let fake = Fake::start(generic::api()).await.expect("loopback has a free port");
    let case = Case {
        name: "generic-rest",
        fake: &fake,
        config: json!({ "base_url": fake.url(), "api_key": "generic-key" }),
        streams: &STREAMS,
        endpoint: "things",
        stream: "things",
        secret: "api_key",
        remedy: "Check 'api_key'",
    };
    let tried = case.tried();
    let first = tried.read(&["things"], None).await;
    fake.put("things", generic::thing(7, 5000));
    let second = tried.read(&["things"], Some(&first)).await;
    let ids: Vec<u64> = second.of("things").iter().filter_map(|thing| thing["id"].as_u64()).collect();
    assert_eq!(ids, [7, 119, 120], "{}", second.said);
    case.hold().await;
}
