//! Positions as the ledger keeps them: where a stream's reader is, and what pages are understood with.
//!
//! Always holds: no secret is in one in clear. Secrets of the configuration and tokens are markers there, which are
//! filled in again when the position is taken up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::read::position::{ReaderPosition, SlicePosition};
use crate::value::Value;

/// Shorter ones are too likely to be part of something else.
const SHORTEST: usize = 4;
/// Stands around the name of a secret, and of one that was encoded for a URL. No text of a source has them.
const MARK: char = '\u{f8f0}';
const ENCODED: char = '\u{f8f1}';

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    pub started: Timestamp,
    /// What no cursor gets ahead of: the start, in the source's own time when that is behind ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Timestamp>,
    /// What the last listing left, before the first step.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub state: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<ReaderPosition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<SlicePosition>,
    /// What the source described the stream with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Value>,
    /// Schemas and properties that were asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Value>,
}

/// Secrets by name, to be put out of texts and into them.
#[derive(Clone, Debug, Default)]
pub struct Masks(Vec<(String, String)>);

impl Masks {
    pub fn add(&mut self, name: &str, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        let encoded: String = ::url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let path = encoded.replace('+', "%20");
        for (mark, text) in [(MARK, secret.to_owned()), (ENCODED, encoded), (ENCODED, path)] {
            if !self.0.iter().any(|(_, known)| *known == text) {
                self.0.push((format!("{mark}{name}{mark}"), text));
            }
        }
        // One that holds another goes first.
        self.0.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.cmp(b)));
    }

    pub fn put_out(&self, value: &mut Json) {
        each_text(value, &mut |text| {
            for (marker, secret) in &self.0 {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), marker);
                }
            }
        });
    }

    /// Markers of secrets that are not known any more go.
    pub fn put_in(&self, value: &mut Json) {
        each_text(value, &mut |text| {
            if !text.contains([MARK, ENCODED]) {
                return;
            }
            for (marker, secret) in &self.0 {
                *text = text.replace(marker.as_str(), secret);
            }
            for mark in [MARK, ENCODED] {
                while let Some((before, rest)) = text.split_once(mark) {
                    *text = format!("{before}{}", rest.split_once(mark).map_or("", |(_, after)| after));
                }
            }
        });
    }
}

fn each_text(value: &mut Json, change: &mut impl FnMut(&mut String)) {
    match value {
        Json::String(text) => change(text),
        Json::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Json::Object(members) => members.values_mut().for_each(|value| each_text(value, change)),
        _ => {}
    }
}
