//! Airtable's Web API: bases, their tables with fields, and records by offsets that run out.
//!
//! Traps: `offset-expired` (422 for an offset that is too old).

use serde_json::{Value, json};

use super::{Api, Auth, Call, Endpoint, Paging};
use crate::http::Reply;

fn trap(call: &Call<'_>) -> Option<Reply> {
    (call.get("offset").is_some() && call.springs("offset-expired")).then(|| {
        let error = json!({ "type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "message": "The offset has expired" });
        Reply { status: 422, ..Reply::ok(json!({ "error": error })) }
    })
}

/// What the formula of the connector asks for; everything without one.
fn is_asked_for(call: &Call<'_>, row: &Value) -> bool {
    let Some(formula) = call.get("filterByFormula") else { return true };
    let since = formula.split('\'').nth(1).unwrap_or_default();
    formula.starts_with("IS_AFTER(LAST_MODIFIED_TIME(), '")
        && row["fields"]["Changed"].as_str().is_some_and(|changed| changed > since)
}

fn at(minutes: u64) -> String {
    crate::http::rfc3339(1_767_225_600_000 + minutes as i64 * 60_000)
}

#[must_use]
pub fn api() -> Api {
    let refusal = || {
        let error = json!({ "type": "AUTHENTICATION_REQUIRED", "message": "Authentication required" });
        Reply { status: 401, ..Reply::ok(json!({ "error": error })) }
    };
    let pages = |size| Paging::Token { token: "offset", next: "offset", limit: "pageSize", size, more: None };
    let records = Endpoint::listing("records", "/v0/{base}/{table}", "records").paged(pages(100));
    let endpoints = vec![
        Endpoint::listing("bases", "/v0/meta/bases", "bases").paged(pages(1000)),
        Endpoint::listing("tables", "/v0/meta/bases/{base}/tables", "tables"),
        Endpoint { shows: is_asked_for, ..records },
    ];
    let (mut bases, mut tables, mut records) = (vec![], vec![], vec![]);
    for (base, name) in [("appDAM", "DAM"), ("appCOM", "COMMS")] {
        bases.push(json!({ "id": base, "name": name, "permissionLevel": "read" }));
        for (table, count) in [("tblVideos", 230u64), ("tblTools", 3)] {
            let table = format!("{table}{name}");
            tables.push(json!({ "_of": { "base": base }, "id": table, "name": format!("{name} {table}"),
                "primaryFieldId": "fld1", "views": [], "fields": [
                    { "id": "fld1", "name": "Name", "type": "singleLineText" },
                    { "id": "fld2", "name": "Minutes", "type": "number", "options": { "precision": 0 } },
                    { "id": "fld3", "name": "Changed", "type": "lastModifiedTime" }] }));
            for n in 1..=count {
                records.push(json!({ "_of": { "base": base, "table": table }, "id": format!("rec{n}"),
                    "createdTime": at(n), "fields": { "Name": format!("Row {n}"), "Minutes": n, "Changed": at(n) } }));
            }
        }
    }
    let rows = [("bases", bases), ("tables", tables), ("records", records)].into_iter().collect();
    Api { auth: Auth::Bearer, key: "airtable-key", refusal, per_second: Some(5), endpoints, trap, rows }
}

/// A record as it looks after somebody wrote into it.
#[must_use]
pub fn renamed(record: &Value, minutes: u64) -> Value {
    let mut record = record.clone();
    record["fields"]["Name"] = json!("Renamed");
    record["fields"]["Changed"] = json!(at(minutes));
    record
}
