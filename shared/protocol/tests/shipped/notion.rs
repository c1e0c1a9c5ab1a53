//! Notion.

use serde_json::json;
use teal_stand_in::Fake;
use teal_stand_in::fake::notion;

use crate::tried::Case;

const STREAMS: [(&str, usize); 6] =
    [("users", 2), ("databases", 1), ("pages", 105), ("database_rows", 5), ("blocks", 4), ("child_blocks", 1)];

async fn fake() -> Fake {
    Fake::start(notion::api()).await.expect("loopback has a free port")
}

fn case(fake: &Fake) -> Case<'_> {
    Case {
        name: "notion",
        fake,
        config: json!({ "token": "notion-key", "requests_per_second": 1000, "base_url": fake.url() }),
        streams: &STREAMS,
        endpoint: "users",
        stream: "users",
        secret: "token",
        remedy: "does not accept the token",
    }
}

#[tokio::test]
async fn everything_is_read_over_faults() {
    let fake = fake().await;
    let read = case(&fake).hold().await;
    assert!(read.of("blocks").iter().any(|block| block["text"] == "It begins"));
}

#[tokio::test]
async fn an_edit_in_the_minute_that_was_read_last_is_not_missed() {
    let fake = fake().await;
    let tried = case(&fake).tried();
    let streams = ["pages", "database_rows"];
    let first = tried.read(&streams, None).await;
    assert_eq!(first.code, 0, "{}", first.said);
    // Both were edited later in the newest minute of what was read, so their time stays.
    let mut row = notion::page(5, Some("db-1"), 5 * 90 + 20);
    row["_of"] = json!({ "database": "db-1" });
    row["url"] = json!("https://example.com/edited");
    fake.put("rows", row);
    let mut page = notion::page(105, None, 105 * 90 + 20);
    page["url"] = json!("https://example.com/edited");
    assert_eq!(page["last_edited_time"], fake.rows("search")[0]["last_edited_time"]);
    fake.put("search", page);
    let second = tried.read(&streams, Some(&first)).await;
    for stream in streams {
        let edited = second.of(stream).iter().any(|row| row["url"] == "https://example.com/edited");
        assert!(edited, "{stream}: {}", second.said);
    }
    assert!(second.of("pages").len() < 60 && second.of("database_rows").len() < 5, "{}", second.said);
}
