//! Notion's API: search and queries as POST with cursors in the body, children of blocks with GET; times are rounded
//! down to the minute.

use http::Method;
use serde_json::{Value, json};

use super::{Api, Auth, Call, Endpoint, Paging};
use crate::http::Reply;

fn trap(call: &Call<'_>) -> Option<Reply> {
    let size = call.number("page_size");
    size.filter(|size| *size > 100).map(|_| Reply {
        status: 400,
        ..Reply::ok(json!({ "object": "error", "status": 400, "code": "validation_error", "message": "page_size" }))
    })
}

fn is_kind(call: &Call<'_>, row: &Value) -> bool {
    call.body["filter"]["value"] == row["object"]
}

fn is_since(call: &Call<'_>, row: &Value) -> bool {
    let since = call.body.pointer("/filter/last_edited_time/on_or_after").and_then(Value::as_str);
    since.is_none_or(|since| row["last_edited_time"].as_str().is_some_and(|at| at >= since))
}

/// Rounded down to the minute, as Notion does.
fn at(seconds: u64) -> String {
    crate::http::rfc3339(1_767_225_600_000 + (seconds / 60 * 60_000) as i64)
}

/// A page as a search and a query show it, edited so many seconds after the start of 2026.
#[must_use]
pub fn page(number: u64, database: Option<&str>, seconds: u64) -> Value {
    let who = json!({ "object": "user", "id": "u1" });
    let title = json!({ "id": "title", "type": "title", "title": [{ "plain_text": format!("Page {number}") }] });
    let parent = match database {
        Some(id) => json!({ "type": "database_id", "database_id": id }),
        None => json!({ "type": "workspace", "workspace": true }),
    };
    json!({ "object": "page", "id": format!("page-{number}"), "created_time": at(0), "last_edited_time": at(seconds),
        "created_by": who, "last_edited_by": who, "cover": null, "icon": null, "parent": parent, "archived": false,
        "in_trash": false, "properties": { "Name": title }, "url": format!("https://example.com/{number}"),
        "public_url": null })
}

fn block(parent: &str, id: &str, text: &str, has_children: bool) -> Value {
    let who = json!({ "object": "user", "id": "u1" });
    json!({ "_of": { "block": parent }, "object": "block", "id": id, "parent": { "type": "page_id", "page_id": parent },
        "created_time": at(0), "last_edited_time": at(120), "created_by": who, "last_edited_by": who,
        "has_children": has_children, "archived": false, "in_trash": false, "type": "paragraph",
        "paragraph": { "rich_text": [{ "type": "text", "plain_text": text }], "color": "default" } })
}

#[must_use]
pub fn api() -> Api {
    let refusal = || {
        let body =
            json!({ "object": "error", "status": 401, "code": "unauthorized", "message": "API token is invalid." });
        Reply { status: 401, ..Reply::ok(body) }
    };
    let pages = Paging::Token {
        token: "start_cursor",
        next: "next_cursor",
        limit: "page_size",
        size: 100,
        more: Some("has_more"),
    };
    let listing = |name, path| Endpoint::listing(name, path, "results").paged(pages);
    let post = |name, path| Endpoint { method: Method::POST, ..listing(name, path) };
    let endpoints = vec![
        listing("users", "/v1/users"),
        Endpoint { shows: is_kind, ..post("search", "/v1/search") },
        Endpoint { shows: is_since, ..post("rows", "/v1/databases/{database}/query") },
        listing("blocks", "/v1/blocks/{block}/children"),
    ];
    let users = ["u1", "u2"].map(|id| {
        json!({ "object": "user", "id": id, "type": "person", "name": "Some One", "avatar_url": null,
            "person": { "email": "someone@example.com" } })
    });
    let (mut search, mut rows, mut blocks) = (vec![], vec![], vec![]);
    let mut database = page(0, None, 3000);
    database["object"] = json!("database");
    database["id"] = json!("db-1");
    database["title"] = json!([{ "plain_text": "Schedule" }]);
    database["description"] = json!([]);
    database["is_inline"] = json!(false);
    // The newest first, as they are asked for.
    for number in (1..=105u64).rev() {
        let in_database = number <= 5;
        let page = page(number, in_database.then_some("db-1"), number * 90);
        if in_database {
            let mut row = page.clone();
            row["_of"] = json!({ "database": "db-1" });
            rows.insert(0, row);
        }
        search.push(page);
    }
    search.push(database);
    for (page, has_children) in [("page-1", true), ("page-105", false)] {
        blocks.push(block(page, &format!("{page}-b1"), "It begins", false));
        blocks.push(block(page, &format!("{page}-b2"), "and goes on", has_children));
    }
    blocks.push(block("page-1-b2", "page-1-b2-c1", "deeper", false));
    let tables = [("users", users.to_vec()), ("search", search), ("rows", rows), ("blocks", blocks)];
    let rows = tables.into_iter().collect();
    Api { auth: Auth::Bearer, key: "notion-key", refusal, per_second: None, endpoints, trap, rows }
}
