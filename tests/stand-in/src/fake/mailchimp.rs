//! Mailchimp's Marketing API: offsets and totals, `since_last_changed` on members, at most ten requests a second.

use serde_json::{Value, json};

use super::{Api, Auth, Endpoint, Paging};
use crate::http::Reply;

fn at(minutes: u64) -> String {
    crate::http::rfc3339(1_767_225_600_000 + minutes as i64 * 60_000).replace(".000Z", "+00:00")
}

#[must_use]
pub fn api() -> Api {
    let refusal = || {
        let body = json!({ "type": "https://example.com/errors", "title": "API Key Invalid", "status": 401,
            "detail": "Your API key may be invalid." });
        Reply { status: 401, ..Reply::ok(body) }
    };
    let pages = Paging::Offset { offset: "offset", limit: "count", size: 1000, total: "total_items" };
    let listing = |name, path, items| Endpoint::listing(name, path, items).paged(pages);
    let endpoints = vec![
        listing("lists", "/lists", "lists"),
        listing("members", "/lists/{list_id}/members", "members").since("since_last_changed", "/last_changed"),
        listing("campaigns", "/campaigns", "campaigns").since("since_create_time", "/create_time"),
        Endpoint::single("content", "/campaigns/{campaign_id}/content"),
        listing("reports", "/reports", "reports").since("since_send_time", "/send_time"),
    ];
    let lists = ["a1", "b2"].map(|id| {
        json!({ "id": id, "web_id": 1, "name": format!("List {id}"), "permission_reminder": "You signed up",
            "date_created": at(0), "list_rating": 3, "visibility": "pub", "contact": {}, "campaign_defaults": {},
            "stats": { "member_count": 3 }, "_links": [] })
    });
    let mut members = Vec::new();
    for (list, count) in [("a1", 1203u64), ("b2", 3)] {
        members.extend((1..=count).map(|n| {
            json!({ "_of": { "list_id": list }, "id": format!("{list}{n:028}"), "list_id": list,
                "email_address": format!("reader{n}@example.com"), "unique_email_id": format!("u{n}"),
                "contact_id": format!("c{n}"), "full_name": format!("Reader {n}"), "status": "subscribed",
                "email_type": "html", "merge_fields": { "FNAME": "Reader" }, "stats": { "avg_open_rate": 0.5 },
                "timestamp_opt": at(n), "last_changed": at(n), "language": "", "vip": false, "tags_count": 0,
                "tags": [], "source": "API", "_links": [] })
        }));
    }
    let (mut campaigns, mut content, mut reports) = (vec![], vec![], vec![]);
    for n in 1..=12u64 {
        let id = format!("k{n:02}");
        let is_sent = n != 12;
        let send_time = if is_sent { at(n * 1440) } else { String::new() };
        campaigns.push(json!({ "id": id, "web_id": n, "type": "regular", "create_time": at(n * 1440 - 60),
            "archive_url": "https://example.com/archive", "long_archive_url": "https://example.com/archive/long",
            "status": if is_sent { "sent" } else { "save" }, "emails_sent": n, "send_time": send_time,
            "content_type": "template", "recipients": { "list_id": "a1" }, "settings": { "subject_line": "News" },
            "tracking": {}, "report_summary": { "opens": 1 }, "_links": [] }));
        content.push(json!({ "_of": { "campaign_id": id }, "plain_text": format!("News {n}"),
            "html": format!("<p>News {n}</p>"), "archive_html": "<p></p>", "_links": [] }));
        if is_sent {
            reports.push(json!({ "id": id, "campaign_title": format!("News {n}"), "type": "regular", "list_id": "a1",
                "subject_line": "News", "emails_sent": n, "abuse_reports": 0, "unsubscribed": 0,
                "send_time": send_time, "bounces": { "hard_bounces": 0 }, "opens": { "opens_total": 3, "open_rate": 0.25 },
                "clicks": { "clicks_total": 1 }, "_links": [] }));
        }
    }
    let rows = [("lists", lists.to_vec()), ("members", members), ("campaigns", campaigns)].into_iter();
    let rows = rows.chain([("content", content), ("reports", reports)]).collect();
    let (auth, per_second) = (Auth::Basic, Some(10));
    Api { auth, key: "mailchimp-key-us1", refusal, per_second, endpoints, trap: |_| None, rows }
}

/// A member as it looks after a change.
#[must_use]
pub fn unsubscribed(member: &Value, minutes: u64) -> Value {
    let mut member = member.clone();
    member["status"] = json!("unsubscribed");
    member["last_changed"] = json!(at(minutes));
    member
}
