//! Apify's API: runs of actors, and the items of a run's dataset, a bare list whose offset and total stand in headers.
//! With `clean`, empty items are left out, so that a page is shorter than asked for although more follow.

use serde_json::{Value, json};

use super::{Api, Auth, Call, Endpoint, Paging};
use crate::http::{Reply, rfc3339};

fn at(hours: u64) -> String {
    rfc3339(1_767_225_600_000 + hours as i64 * 3_600_000)
}

fn is_in_state(call: &Call<'_>, row: &Value) -> bool {
    call.get("status").is_none_or(|status| row["status"] == status)
}

/// A run of an actor that ended so many hours after the start of 2026.
#[must_use]
pub fn run(actor: &str, number: u64, hours: u64, status: &str) -> Value {
    json!({ "_of": { "actor": actor }, "id": format!("{actor}-{number}"), "actId": actor, "status": status,
        "startedAt": at(hours - 1), "finishedAt": at(hours), "buildId": "b", "buildNumber": "1.0",
        "meta": { "origin": "API" }, "exitCode": 0, "defaultKeyValueStoreId": "k", "usageTotalUsd": 0.25,
        "defaultDatasetId": dataset(actor, number), "defaultRequestQueueId": "q" })
}

/// The id of that run's dataset.
#[must_use]
pub fn dataset(actor: &str, number: u64) -> String {
    format!("d-{actor}-{number}")
}

/// An item as each of the three actors gives it.
#[must_use]
pub fn item(actor: &str, number: u64, post: u64) -> Value {
    let of = json!({ "dataset": dataset(actor, number) });
    let url = format!("https://example.com/{post}");
    match actor {
        "instagram" => json!({ "_of": of, "id": post.to_string(), "shortCode": format!("s{post}"), "type": "Image",
            "url": url, "caption": "Made up", "hashtags": [], "ownerUsername": "someone", "likesCount": number,
            "commentsCount": 0, "timestamp": at(1) }),
        "facebook" => {
            json!({ "_of": of, "postId": post.to_string(), "url": url, "text": "Made up", "pageName": "someone",
            "likes": number, "comments": 0, "shares": 0, "time": at(1) })
        }
        _ => json!({ "_of": of, "id": post.to_string(), "text": "Made up", "webVideoUrl": url, "createTimeISO": at(1),
            "authorMeta": { "name": "someone" }, "diggCount": number, "playCount": 9, "shareCount": 0,
            "commentCount": 0 }),
    }
}

#[must_use]
pub fn api() -> Api {
    let refusal = || {
        let error = json!({ "type": "user-or-token-not-found", "message": "User was not found or token is not valid" });
        Reply { status: 401, ..Reply::ok(json!({ "error": error })) }
    };
    let pages = Paging::Offset { offset: "offset", limit: "limit", size: 1000, total: "total" };
    let of_actor =
        Endpoint { table: "runs", ..Endpoint::listing("runs-of-actor", "/v2/acts/{actor}/runs", "data/items") };
    let items = Endpoint { items: None, ..Endpoint::listing("items", "/v2/datasets/{dataset}/items", "") };
    let endpoints = vec![
        Endpoint { table: "all", ..Endpoint::listing("runs", "/v2/actor-runs", "data/items").paged(pages) },
        Endpoint { shows: is_in_state, ..of_actor.paged(pages) },
        items.paged(Paging::OffsetInHeaders { size: 1000 }),
    ];
    let (mut runs, mut items) = (vec![], vec![]);
    for actor in ["instagram", "facebook", "tiktok"] {
        // The newest first, as they are asked for; the second one failed.
        for (number, status) in [(3, "SUCCEEDED"), (2, "FAILED"), (1, "SUCCEEDED")] {
            runs.push(run(actor, number, number * 48, status));
        }
        // The same posts in both, a thousand and more of one actor.
        for number in [1, 3] {
            let posts = if actor == "instagram" { 1003 } else { 2 };
            items.extend((1..=posts).map(|post| match post {
                // An item without anything in it.
                5 => json!({ "_of": { "dataset": dataset(actor, number) } }),
                _ => item(actor, number, post),
            }));
        }
    }
    let mut all = runs.clone();
    all.iter_mut().for_each(|run| _ = run.as_object_mut().map(|run| run.remove("_of")));
    let rows = [("all", all), ("runs", runs), ("items", items)].into_iter().collect();
    Api { auth: Auth::Bearer, key: "apify-key", refusal, per_second: None, endpoints, trap: |_| None, rows }
}
