//! Google Calendar.

use serde_json::{Value, json};
use teal_stand_in::fake::google_calendar::{self, event};
use teal_stand_in::{Fake, real_clock};

use crate::tried::{Case, Read, Tried};

const STREAMS: [(&str, usize); 2] = [("calendars", 2), ("events", 132)];
const DAY: i64 = 24 * 3600 * 1000;

async fn fake() -> Fake {
    Fake::start(google_calendar::api(real_clock()())).await.expect("loopback has a free port")
}

fn config(fake: &Fake) -> Value {
    json!({ "client_id": "c", "client_secret": "s", "refresh_token": "calendar-consent", "base_url": fake.url(),
        "token_url": format!("{}/token", fake.url()) })
}

fn case(fake: &Fake) -> Case<'_> {
    Case {
        name: "google-calendar",
        fake,
        config: config(fake),
        streams: &STREAMS,
        endpoint: "calendars",
        stream: "calendars",
        secret: "refresh_token",
        remedy: "the refresh token was rejected",
    }
}

#[tokio::test]
async fn everything_is_read_over_faults() {
    let fake = fake().await;
    case(&fake).hold().await;
    fake.arm("busy", 2);
    assert_eq!(case(&fake).tried().read(&["events"], None).await.of("events").len(), 132);
}

#[tokio::test]
async fn an_event_that_was_cancelled_arrives() {
    let fake = fake().await;
    let tried = case(&fake).tried();
    let first = tried.read(&["events"], None).await;
    fake.put("events", event("school@example.com", 7, real_clock()(), "cancelled"));
    let second = tried.read(&["events"], Some(&first)).await;
    assert_eq!(second.code, 0, "{}", second.said);
    let events = second.of("events");
    assert!(events.iter().any(|event| event["id"] == "e7" && event["status"] == "cancelled"), "{}", second.said);
    assert!(events.len() < 20, "{} events", events.len());
}

/// The reading whose state is as old as its events.
fn of_days_ago(read: &Read, days: i64) -> Read {
    let old = teal_stand_in::rfc3339(real_clock()() - days * DAY);
    let mut states = read.states.clone();
    for state in &mut states {
        let partitions = state.pointer_mut("/stream/stream_state/states").and_then(Value::as_array_mut);
        for partition in partitions.into_iter().flatten() {
            partition["cursor"]["updated"] = json!(old);
        }
        if let Some(global) = state.pointer_mut("/stream/stream_state/state") {
            global["updated"] = json!(old);
        }
    }
    Read { code: 0, records: Default::default(), states, said: String::new() }
}

#[tokio::test]
async fn a_state_that_google_has_forgotten_leads_to_a_full_read() {
    let fake = fake().await;
    let tried = case(&fake).tried();
    let first = tried.read(&["events"], None).await;
    let second = tried.read(&["events"], Some(&of_days_ago(&first, 60))).await;
    assert_eq!((second.code, second.of("events").len()), (0, 132), "{}", second.said);

    // Where changes go earlier than expected, the 410 says what to do.
    let mut config = config(&fake);
    config["changes_kept_days"] = json!(90);
    let third = Tried::new("google-calendar", &config).read(&["events"], Some(&of_days_ago(&first, 60))).await;
    assert_eq!(third.code, 1);
    assert!(third.said.contains("make 'changes_kept_days' smaller"), "{}", third.said);
}
