//! GitHub.

use serde_json::json;
use teal_stand_in::Fake;
use teal_stand_in::fake::github;

use crate::tried::Case;

const STREAMS: [(&str, usize); 7] = [
    ("repositories", 2),
    ("issues", 117 + 59),
    ("pull_requests", 24),
    ("commits", 24),
    ("releases", 2),
    ("markdown_paths", 4),
    ("markdown_files", 4),
];

async fn fake() -> Fake {
    Fake::start(github::api()).await.expect("loopback has a free port")
}

fn case(fake: &Fake) -> Case<'_> {
    Case {
        name: "github",
        fake,
        config: json!({ "token": "github-key", "repositories": ["example/wiki", "example/site"], "base_url": fake.url() }),
        streams: &STREAMS,
        endpoint: "issues",
        stream: "issues",
        secret: "token",
        remedy: "does not accept the token",
    }
}

#[tokio::test]
async fn everything_is_read_over_faults() {
    let fake = fake().await;
    let read = case(&fake).hold().await;
    let text =
        read.of("markdown_files").iter().find(|file| file["path"] == "docs/grüße & more.md").expect("it is there");
    assert_eq!(text["text"], "It's {{ not }} a template\n");
}

#[tokio::test]
async fn only_what_changed_is_asked_for() {
    let fake = fake().await;
    let tried = case(&fake).tried();
    let streams = ["issues", "pull_requests", "commits"];
    let first = tried.read(&streams, None).await;
    let issue = github::touched(&fake.rows("issues")[2], 10_000);
    fake.put("issues", issue);
    fake.reset_counts();
    let second = tried.read(&streams, Some(&first)).await;
    assert_eq!(second.code, 0, "{}", second.said);
    let issues = second.of("issues");
    assert!(issues.iter().any(|issue| issue["title"] == "Touched"));
    assert!(issues.len() < 6, "more than the last minute's: {issues:?}");
    assert!(second.of("pull_requests").len() <= 4, "{:?}", second.of("pull_requests"));
    assert!(fake.counts().changed_pages["issues"].values().all(|page| page.asked == 2));
}

#[tokio::test]
async fn a_403_that_asks_for_patience_is_waited_out() {
    let fake = fake().await;
    fake.arm("abuse", 2);
    let read = case(&fake).tried().read(&["issues"], None).await;
    assert_eq!((read.code, read.of("issues").len()), (0, 176), "{}", read.said);
}

#[tokio::test]
async fn a_tree_that_was_cut_short_is_no_listing() {
    let fake = fake().await;
    fake.arm("truncated", 1);
    let read = case(&fake).tried().read(&["markdown_paths"], None).await;
    assert_eq!(read.code, 1);
    assert!(read.said.contains("can't be listed whole"), "{}", read.said);
}
