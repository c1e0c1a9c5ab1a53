//! YouTube.

use serde_json::{Value, json};
use teal_stand_in::Fake;
use teal_stand_in::fake::youtube;

use crate::tried::{Case, Tried};

const STREAMS: [(&str, usize); 6] =
    [("channels", 2), ("uploads", 63), ("playlists", 2), ("playlist_items", 4), ("videos", 63), ("captions", 4)];

async fn fake() -> Fake {
    Fake::start(youtube::api()).await.expect("loopback has a free port")
}

fn config(fake: &Fake) -> Value {
    json!({ "api_key": "youtube-key", "channels": ["UCimagine", "UCother"], "base_url": fake.url(),
        "token_url": format!("{}/token", fake.url()),
        "oauth": { "client_id": "c", "client_secret": "s", "refresh_token": "r" } })
}

fn case(fake: &Fake) -> Case<'_> {
    Case {
        name: "youtube",
        fake,
        config: config(fake),
        streams: &STREAMS,
        endpoint: "channels",
        stream: "channels",
        secret: "api_key",
        remedy: "does not accept the API key",
    }
}

#[tokio::test]
async fn everything_is_read_over_faults() {
    let fake = fake().await;
    case(&fake).hold().await;
}

#[tokio::test]
async fn without_consent_there_are_no_captions() {
    let fake = fake().await;
    let mut config = config(&fake);
    config.as_object_mut().expect("it is an object").remove("oauth");
    let streams = Tried::new("youtube", &config).discover().await;
    assert!(streams.iter().all(|stream| stream["name"] != "captions"));
}

#[tokio::test]
async fn reading_stops_at_known_uploads_and_fifty_videos_are_one_request() {
    let fake = fake().await;
    let tried = case(&fake).tried();
    tried.read(&["videos"], None).await;
    assert_eq!(fake.counts().by_endpoint["videos"], 2);
    let streams = ["uploads", "captions"];
    let first = tried.read(&streams, None).await;
    fake.reset_counts();
    let second = tried.read(&streams, Some(&first)).await;
    assert_eq!(second.code, 0, "{}", second.said);
    let uploads = second.of("uploads");
    assert!((1..=8).contains(&uploads.len()), "{} uploads: {}", uploads.len(), second.said);
    assert!(fake.counts().by_endpoint["captions"] <= 8, "{:?}", fake.counts().by_endpoint);
    assert!(!fake.counts().pages["playlistItems"].contains_key(&2), "{:?}", fake.counts().pages);
}

#[tokio::test]
async fn a_used_up_quota_is_waited_for_and_a_playlist_that_is_gone_is_empty() {
    let fake = fake().await;
    let case = case(&fake);
    fake.arm("quota", 1);
    assert_eq!(case.tried().read(&["uploads"], None).await.of("uploads").len(), 63);
    fake.arm("no-playlist", 1);
    let read = case.tried().read(&["uploads"], None).await;
    assert_eq!(read.code, 0, "{}", read.said);
    assert!(read.of("uploads").len() < 63);
}
