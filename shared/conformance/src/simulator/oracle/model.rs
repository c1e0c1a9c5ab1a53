//! What rows should be, worked out from raw objects alone: the simulated system's mapping and the rules of
//! order, written down a second time and as plainly as possible.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use teal::pipeline::normalize::record_hash;

use super::super::system::{Mapping, stream_of};

/// How new a state is.
type Order = (Option<i64>, i64, u64);

/// A raw object, taken apart.
pub struct Parsed {
    stated: i64,
    is_page: bool,
    stream: Option<String>,
    /// `None` when it is no JSON.
    body: Option<Json>,
    /// Of the records in it, in their order: a raw object is looked at far more often than it comes.
    hashes: Vec<u64>,
}

impl Parsed {
    pub fn new(raw: &Bytes) -> Self {
        let end = raw.iter().position(|byte| *byte == b'\n').expect("a raw object has a head");
        let head: Json = serde_json::from_slice(&raw[..end]).expect("a head is JSON");
        let is_page = head["from"]["kind"] == "page";
        let stream = head["from"]["stream"].as_str().map(str::to_owned);
        let body: Option<Json> = serde_json::from_slice(&raw[end + 1..]).ok();
        let hashes = match &body {
            Some(body) if is_page => body["data"].as_array().into_iter().flatten().map(record_hash).collect(),
            Some(body) if body["event"] == "changed" => vec![record_hash(&body["data"])],
            _ => Vec::new(),
        };
        Self { stated: head["stated"].as_i64().expect("a head says when"), is_page, stream, body, hashes }
    }

    /// Whether an entity can be made of it: of a page, those of its stream.
    pub fn is_about(&self, entity: &str) -> bool {
        !self.is_page || self.stream.as_deref() == Some(stream_of(entity))
    }

    pub fn stated(&self) -> i64 {
        self.stated
    }

    /// How many records a page holds; `None` when it holds no list of them.
    pub fn records(&self) -> Option<u64> {
        Some(self.body.as_ref()?["data"].as_array()?.len() as u64)
    }
}

/// What the raw objects say of one entity.
#[derive(Default)]
pub struct Model {
    /// By the row's key: the newest state that any record made of it, whose it is, and how it reads.
    rows: BTreeMap<i64, (Order, i64, Json)>,
    /// By record: the newest state that came through whole.
    listed: BTreeMap<i64, Order>,
    /// By record: the newest deletes, with and without the provider's word.
    deleted: BTreeMap<i64, (Option<i64>, i64)>,
    deleted_at: BTreeMap<i64, i64>,
    /// Raw objects that hold rows which can't be mapped, and the records of those.
    pub rejects: BTreeMap<String, BTreeSet<i64>>,
}

impl Model {
    /// Takes in one raw object.
    pub fn take(&mut self, key: &str, raw: &Bytes, entity: &str, mapping: Mapping, floor: i64) {
        self.take_parsed(key, &Parsed::new(raw), entity, mapping, floor);
    }

    /// The same, for whoever looks at one more often.
    pub fn take_parsed(&mut self, key: &str, raw: &Parsed, entity: &str, mapping: Mapping, floor: i64) {
        let Parsed { stated, is_page, body: Some(body), hashes, .. } = raw else { return };
        if !raw.is_about(entity) {
            return;
        }
        let stated = *stated;
        if *is_page {
            for (record, hash) in body["data"].as_array().into_iter().flatten().zip(hashes) {
                self.record(key, record, (stated, *hash), entity, mapping, floor);
            }
            return;
        }
        match body["event"].as_str() {
            Some("changed") => self.record(key, &body["data"], (stated, hashes[0]), entity, mapping, floor),
            Some("gone") => {
                let id = body["data"]["id"].as_i64().expect("a delete names a record");
                if matches!(entity, "things" | "parts" | "marks") {
                    let word = (body["data"]["updated"].as_i64(), stated);
                    let known = self.deleted.entry(id).or_insert(word);
                    *known = word.max(*known);
                } else {
                    let known = self.deleted_at.entry(id).or_insert(stated);
                    *known = stated.max(*known);
                }
            }
            _ => {}
        }
    }

    fn record(
        &mut self,
        key: &str,
        record: &Json,
        (stated, hash): (i64, u64),
        entity: &str,
        mapping: Mapping,
        floor: i64,
    ) {
        let owner = record["id"].as_i64().expect("a record has a key");
        let provider = match entity {
            "things" | "parts" | "marks" => record["updated"].as_i64(),
            "groups" => record["rev"].as_i64(),
            _ => None,
        };
        let order = (provider, stated, hash);
        let mut rows = Vec::new();
        let mut whole = true;
        if entity == "parts" {
            for part in record["parts"].as_array().into_iter().flatten() {
                rows.push(json!({ "id": part["id"], "thing": owner, "rev": record["rev"] }));
            }
        } else if matches!(entity, "tags" | "marks") {
            rows.push(json!({ "id": owner, "rev": record["rev"] }));
        } else {
            match record[mapping.name_path()].as_str().filter(|name| name.chars().count() <= mapping.longest()) {
                Some(name) => {
                    let mut row = json!({ "id": owner, "name": name, "rev": record["rev"] });
                    if entity == "things" {
                        row["group"] = record["group"].clone();
                    }
                    rows.push(row);
                }
                None => whole = false,
            }
        }
        if !whole {
            self.rejects.entry(key.to_owned()).or_default().insert(owner);
        }
        if stated < floor {
            return;
        }
        for row in rows {
            let id = row["id"].as_i64().expect("a row has a key");
            match self.rows.get(&id) {
                Some((there, by, _)) if (there, by) >= (&order, &owner) => {}
                _ => {
                    self.rows.insert(id, (order, owner, row));
                }
            }
        }
        if whole {
            let known = self.listed.entry(owner).or_insert(order);
            *known = order.max(*known);
        }
    }

    /// The rows that show, by key.
    pub fn visible(&self) -> BTreeMap<i64, Map<String, Json>> {
        let shows = |order: &Order, owner: &i64| {
            self.listed.get(owner).is_none_or(|listed| listed <= order)
                && self.deleted.get(owner).is_none_or(|gone| *gone <= (order.0, order.1))
                && self.deleted_at.get(owner).is_none_or(|gone| *gone <= order.1)
        };
        let rows = self.rows.iter().filter(|(_, (order, owner, _))| shows(order, owner));
        rows.map(|(id, (_, _, row))| (*id, row.as_object().expect("rows are objects").clone())).collect()
    }
}
