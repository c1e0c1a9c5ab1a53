//! The API that the template of a connector is written for: no real one, but shaped as many are.

use serde_json::{Value, json};

use super::{Api, Auth, Endpoint, Paging};
use crate::http::{Reply, rfc3339};

/// A thing that changed so many minutes after the start of 2026.
#[must_use]
pub fn thing(number: u64, minutes: u64) -> Value {
    let at = rfc3339(1_767_225_600_000 + minutes as i64 * 60_000).replace(".000Z", "Z");
    json!({ "id": number, "name": format!("Thing {number}"), "updated_at": at })
}

#[must_use]
pub fn api() -> Api {
    let pages = Paging::Offset { offset: "offset", limit: "limit", size: 100, total: "total" };
    let things = Endpoint::listing("things", "/v1/things", "data").paged(pages).since("updated_since", "/updated_at");
    let parts = Endpoint::listing("parts", "/v1/things/{thing}/parts", "data").paged(pages);
    let part = |n: u64| json!({ "_of": { "thing": n.to_string() }, "id": format!("p{n}"), "label": "Part" });
    let rows = [("things", (1..=120).map(|n| thing(n, n)).collect()), ("parts", (1..=3).map(part).collect())];
    Api {
        auth: Auth::Bearer,
        key: "generic-key",
        refusal: || Reply::error(401, "who are you?"),
        per_second: None,
        endpoints: vec![things, parts],
        trap: |_| None,
        rows: rows.into_iter().collect(),
    }
}
