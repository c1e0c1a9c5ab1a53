//! Apify.

use serde_json::json;
use teal_stand_in::Fake;
use teal_stand_in::fake::apify;

use crate::tried::Case;

const STREAMS: [(&str, usize); 4] =
    [("runs", 9), ("instagram_posts", 2004), ("facebook_posts", 4), ("tiktok_videos", 4)];

async fn fake() -> Fake {
    Fake::start(apify::api()).await.expect("loopback has a free port")
}

fn case(fake: &Fake) -> Case<'_> {
    let config = json!({ "token": "apify-key", "base_url": fake.url(), "instagram_actor": "instagram",
        "facebook_actor": "facebook", "tiktok_actor": "tiktok" });
    Case {
        name: "apify",
        fake,
        config,
        streams: &STREAMS,
        endpoint: "runs",
        stream: "runs",
        secret: "token",
        remedy: "does not accept the token",
    }
}

#[tokio::test]
async fn everything_is_read_over_faults_and_short_pages() {
    let fake = fake().await;
    case(&fake).hold().await;
}

#[tokio::test]
async fn posts_of_new_runs_are_read_again_and_those_of_old_ones_are_not() {
    let fake = fake().await;
    let tried = case(&fake).tried();
    let first = tried.read(&["facebook_posts"], None).await;
    let mut runs = fake.rows("runs");
    runs.insert(0, apify::run("facebook", 4, 300, "SUCCEEDED"));
    fake.set("runs", runs);
    fake.put("items", apify::item("facebook", 4, 1));
    fake.reset_counts();
    let second = tried.read(&["facebook_posts"], Some(&first)).await;
    assert_eq!(second.code, 0, "{}", second.said);
    let posts = second.of("facebook_posts");
    assert!(posts.iter().any(|post| post["run_id"] == "facebook-4" && post["likes"] == 4), "{}", second.said);
    assert!(posts.iter().all(|post| post["run_id"] != "facebook-1"), "{}", second.said);
}
