//! Commands at `/control/…` that change the agency's data.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Agency, Event, Kind};
use crate::http::Reply;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    kind: Kind,
    ids: Vec<u64>,
    patch: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    kind: Kind,
    ids: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Insert {
    kind: Kind,
    #[serde(default = "one")]
    count: u64,
}

fn one() -> u64 {
    1
}

/// An insert is remembered record by record, so one command makes no more than this.
const MOST_INSERTS: u64 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generation {
    generation: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delivery {
    event: Event,
    #[serde(default)]
    id: u64,
}

pub fn run(agency: &Agency, name: &str, body: &Value) -> Option<Reply> {
    Some(match name {
        "edit" => with(body, |edit: Edit| {
            Reply::ok(json!({ "edited": agency.edit(edit.kind, &edit.ids, edit.patch.as_ref()) }))
        }),
        "delete" => {
            with(body, |delete: Delete| Reply::ok(json!({ "deleted": agency.delete(delete.kind, &delete.ids) })))
        }
        "insert" => with(body, |insert: Insert| match insert.count {
            1..=MOST_INSERTS => Reply::ok(json!({ "ids": agency.insert(insert.kind, insert.count) })),
            _ => Reply::error(400, format!("count must be from 1 to {MOST_INSERTS}")),
        }),
        "generation" => with(body, |Generation { generation }| {
            agency.write().generation = generation;
            Reply::ok(json!({ "generation": generation }))
        }),
        "delivery" => with(body, |Delivery { event, id }| match agency.webhook(event, id) {
            Some(webhook) => Reply::ok(serde_json::from_slice(&webhook.body).unwrap_or_default()),
            None => Reply::error(409, format!("talent {id} is not in a state that '{}' tells of", event.name())),
        }),
        _ => return None,
    })
}

fn with<C: DeserializeOwned>(body: &Value, run: impl FnOnce(C) -> Reply) -> Reply {
    match C::deserialize(body) {
        Ok(command) => run(command),
        Err(error) => Reply::error(400, format!("the command can't be read: {error}")),
    }
}
