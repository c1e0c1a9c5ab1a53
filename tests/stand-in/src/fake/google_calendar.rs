//! Google's Calendar API: tokens for a refresh token, pages by token, and changes that are kept for 28 days only.
//!
//! Traps: `busy` (403 rateLimitExceeded). An `updatedMin` that is too old is answered with 410, always.

use http::Method;
use serde_json::{Value, json};

use super::{Api, Auth, Call, Endpoint, Paging};
use crate::http::{Reply, rfc3339};

const DAY: i64 = 24 * 3600 * 1000;

fn problem(status: u16, reason: &str, message: &str) -> Reply {
    let error = json!({ "code": status, "message": message,
        "errors": [{ "domain": "calendar", "reason": reason, "message": message }] });
    Reply { status, ..Reply::ok(json!({ "error": error })) }
}

fn trap(call: &Call<'_>) -> Option<Reply> {
    if call.endpoint.name == "token" {
        if call.get("refresh_token") != Some("calendar-consent") {
            let body = json!({ "error": "invalid_grant", "error_description": "Token has been expired or revoked." });
            return Some(Reply { status: 400, ..Reply::ok(body) });
        }
        let body = json!({ "access_token": "calendar-key", "expires_in": 3599, "token_type": "Bearer" });
        return Some(Reply::ok(body));
    }
    if call.endpoint.name == "events" && call.springs("busy") {
        return Some(problem(403, "rateLimitExceeded", "Rate Limit Exceeded"));
    }
    let oldest = rfc3339(crate::http::real_clock()() - 28 * DAY);
    let is_gone = call.get("updatedMin").is_some_and(|since| since < oldest.as_str());
    is_gone.then(|| {
        problem(410, "updatedMinTooLongAgo", "The requested minimum modification time lies too far in the past.")
    })
}

/// What was cancelled is only told to whoever asks for changes.
fn is_shown(call: &Call<'_>, row: &Value) -> bool {
    row["status"] != "cancelled" || call.get("updatedMin").is_some()
}

/// An event of a calendar that changed at this time, in milliseconds since 1970.
#[must_use]
pub fn event(calendar: &str, number: u64, changed: i64, status: &str) -> Value {
    let id = format!("e{number}");
    let of = json!({ "calendar": calendar });
    if status == "cancelled" {
        return json!({ "_of": of, "kind": "calendar#event", "etag": "\"2\"", "id": id, "status": status,
            "updated": rfc3339(changed) });
    }
    let times = json!({ "dateTime": rfc3339(changed), "timeZone": "UTC" });
    json!({ "_of": of, "kind": "calendar#event", "etag": "\"1\"", "id": id, "status": status,
        "htmlLink": "https://example.com/event", "created": rfc3339(changed), "updated": rfc3339(changed),
        "summary": format!("Lesson {number}"), "creator": { "email": "someone@example.com" },
        "organizer": { "email": "someone@example.com" }, "start": times, "end": times, "iCalUID": id, "sequence": 0,
        "reminders": { "useDefault": true }, "eventType": "default" })
}

/// Its events changed within the last year before `now`, in milliseconds since 1970.
#[must_use]
pub fn api(now: i64) -> Api {
    let refusal = || problem(401, "authError", "Invalid Credentials");
    let pages =
        |size| Paging::Token { token: "pageToken", next: "nextPageToken", limit: "maxResults", size, more: None };
    let events = Endpoint::listing("events", "/calendar/v3/calendars/{calendar}/events", "items").paged(pages(100));
    let endpoints = vec![
        Endpoint { is_open: true, method: Method::POST, ..Endpoint::listing("token", "/token", "") },
        Endpoint::listing("calendars", "/calendar/v3/users/me/calendarList", "items").paged(pages(250)),
        Endpoint { shows: is_shown, ..events.since("updatedMin", "/updated") },
    ];
    let (mut calendars, mut events) = (vec![], vec![]);
    for (id, count) in [("school@example.com", 130u64), ("en.au#holiday@example.com", 2)] {
        calendars.push(json!({ "kind": "calendar#calendarListEntry", "etag": "\"1\"", "id": id, "summary": id,
            "timeZone": "Australia/Sydney", "accessRole": "owner", "selected": true, "defaultReminders": [] }));
        events.extend((1..=count).map(|n| event(id, n, now - (140 - n as i64) * DAY, "confirmed")));
    }
    events.push(event("school@example.com", 999, now - 20 * DAY, "cancelled"));
    let rows = [("calendars", calendars), ("events", events)].into_iter().collect();
    Api { auth: Auth::Bearer, key: "calendar-key", refusal, per_second: None, endpoints, trap, rows }
}
