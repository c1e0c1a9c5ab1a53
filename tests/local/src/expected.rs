//! Which rows the example system must have, worked out from the stand-in's own records.
//!
//! Owns a second, simpler reading of what `systems/nowrep/teal.yaml` says, so that a row that Teal loses is
//! missing here against something that Teal did not compute.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use teal_stand_in::{Blue, Kind};

/// Every entity with the fields of its key, in the key's order.
pub const ENTITIES: [(&str, &[&str]); 10] = [
    ("talents", &["id"]),
    ("boards", &["id"]),
    ("media_tags", &["id"]),
    ("talents_portfolios", &["id"]),
    ("portfolios_media", &["id"]),
    ("talents_measurements", &["talent_id"]),
    ("talents_socials", &["talent_id", "network"]),
    ("boards_talents", &["board_id", "talent_id"]),
    ("boards_portfolios", &["board_id", "portfolio_id"]),
    ("media_tags_junction", &["media_id", "tag_id"]),
];

/// Keys as people see them (`7`, `7:instagram`), by entity.
pub type Keys = BTreeMap<String, BTreeSet<String>>;

/// The shown key of a row as the API gives it.
///
/// # Panics
/// When there is no such entity.
#[must_use]
pub fn key_of(entity: &str, row: &Value) -> String {
    let (_, fields) = ENTITIES.iter().find(|(name, _)| *name == entity).expect("the entity is one of the system's");
    fields.iter().map(|field| shown(&row[*field])).collect::<Vec<_>>().join(":")
}

/// What a complete listing of the stand-in, as it is now, must come to.
#[must_use]
pub fn keys(blue: &Blue) -> Keys {
    let mut keys: Keys = ENTITIES.iter().map(|(name, _)| ((*name).to_owned(), BTreeSet::new())).collect();
    let mut put = |entity: &str, parts: &[&Value]| {
        let key = parts.iter().map(|part| shown(part)).collect::<Vec<_>>().join(":");
        keys.entry(entity.to_owned()).or_default().insert(key);
    };
    for talent in records(blue, Kind::Talents) {
        let id = &talent["id"];
        put("talents", &[id]);
        put("talents_measurements", &[id]);
        for social in items(&talent["socials"]) {
            put("talents_socials", &[id, &social["network"]]);
        }
        for portfolio in items(&talent["portfolios"]) {
            put("talents_portfolios", &[&portfolio["id"]]);
            for medium in items(&portfolio["media"]) {
                put("portfolios_media", &[&medium["id"]]);
                for tag in items(&medium["tags"]) {
                    put("media_tags_junction", &[&medium["id"], &tag["id"]]);
                }
            }
        }
    }
    for board in records(blue, Kind::Boards) {
        put("boards", &[&board["id"]]);
        for talent in items(&board["talents"]) {
            put("boards_talents", &[&board["id"], &talent["id"]]);
        }
        for portfolio in items(&board["portfolios"]) {
            put("boards_portfolios", &[&board["id"], &portfolio["id"]]);
        }
    }
    for tag in records(blue, Kind::MediaTags) {
        put("media_tags", &[&tag["id"]]);
    }
    keys
}

fn records(blue: &Blue, kind: Kind) -> impl Iterator<Item = Value> {
    blue.ids(kind).into_iter().filter_map(move |id| blue.record(kind, id))
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
