//! P2: what one reader gets, from the first page of a listing to the last, comes from one version, and lacks
//! nothing that was there all the time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use teal::domain::{GenerationId, Key, Version};
use teal::pipeline::api::ApiResponse;

use super::{Oracle, Promise};

/// A listing that a reader is in the middle of.
#[derive(Debug, Default)]
pub struct Reading {
    /// How much had been touched in each generation before anything was asked.
    began: BTreeMap<GenerationId, usize>,
    place: Option<Place>,
    seen: BTreeSet<Key>,
    pub pages: u32,
}

#[derive(Debug)]
struct Place {
    version: Version,
    generation: GenerationId,
    /// What was visible when the first page came, and how much had been touched before it was asked for: what
    /// was touched in between is not expected of anybody.
    there: BTreeSet<Key>,
    touched: usize,
}

/// What a reader does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Page(String),
    End,
    /// No answer, for a reason that may be.
    Later,
}

impl Oracle {
    /// A reader is about to ask for a first page.
    pub fn begin_reading(&self) -> Reading {
        let generations = &self.state().generations;
        let began = generations.iter().map(|(id, seen)| (id.clone(), seen.touched.len())).collect();
        Reading { began, ..Reading::default() }
    }

    /// Looks at one answer of a listing.
    pub fn read(&self, reading: &mut Reading, entity: &str, answer: &ApiResponse) -> Next {
        match answer.status {
            200 => {}
            410 => {
                self.expect(reading.place.is_some(), Promise::P2, || format!("a first page of {entity} was gone"));
                return Next::End;
            }
            404 | 503 | 500 => return Next::Later,
            status => {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                self.violated(Promise::P2, || format!("a reader of {entity} got {status}: {said}"));
                return Next::End;
            }
        }
        let body: Json = serde_json::from_slice(&answer.body).expect("an answer is JSON");
        let version: Version = serde_json::from_value(body["version"].clone()).expect("an answer says its version");
        let place = match &reading.place {
            Some(place) => place,
            None => match self.place(version, entity, &reading.began) {
                Some(place) => reading.place.insert(place),
                None => {
                    self.violated(Promise::P2, || {
                        format!("a reader got {entity} of {version}, which was never active")
                    });
                    return Next::End;
                }
            },
        };
        self.expect(place.version == version, Promise::P2, || {
            format!("a listing of {entity} began in {} and went on in {version}", place.version)
        });
        let generation = place.generation.clone();
        for row in body["data"].as_array().into_iter().flatten() {
            let key = Key::int(row["id"].as_i64().expect("a row has its key"));
            self.row_is_of(&generation, &key, row);
            let again = !reading.seen.insert(key.clone());
            self.expect(!again, Promise::P2, || format!("a listing of {entity} has row {key} twice"));
        }
        reading.pages += 1;
        match body["next"].as_str() {
            Some(next) => Next::Page(next.to_owned()),
            None => {
                self.listing_is_whole(reading);
                Next::End
            }
        }
    }

    fn place(&self, version: Version, entity: &str, began: &BTreeMap<GenerationId, usize>) -> Option<Place> {
        let state = self.state();
        let (_, pointer) = state.pointers.iter().rev().find(|(_, pointer)| pointer.version == version)?;
        let generation = pointer.generation(&entity.into())?;
        let there = self.visible_keys(&generation);
        let touched = began.get(&generation).copied().unwrap_or(0);
        Some(Place { version, generation, there, touched })
    }

    /// The row is one that its generation had at some time.
    fn row_is_of(&self, generation: &GenerationId, key: &Key, row: &Json) {
        let Ok(head) = super::at_once(teal::ports::EntityReader::head(self.entities.as_ref(), generation)) else {
            return;
        };
        let values = head.schema.fields.iter().map(|field| match &row[&field.name] {
            Json::Null => teal::domain::Value::Null,
            Json::Number(number) => teal::domain::Value::Int(number.as_i64().unwrap_or_default()),
            Json::String(text) => teal::domain::Value::Text(text.clone()),
            other => teal::domain::Value::Json(other.clone()),
        });
        let hash = teal::domain::Row { key: key.clone(), values: values.collect() }.hash().0;
        let known = self.state().generations.get(generation).is_some_and(|seen| seen.rows.contains(&hash));
        self.expect(known, Promise::P2, || format!("a reader got row {key} as {row}, which {generation} never had"));
    }

    /// Whatever was there when the listing began, and was let be since, is in it.
    fn listing_is_whole(&self, reading: &Reading) {
        let Some(place) = &reading.place else { return };
        let state = self.state();
        let Some(seen) = state.generations.get(&place.generation) else { return };
        let touched: BTreeSet<&str> = seen.touched[place.touched..].iter().map(String::as_str).collect();
        // A part's owner is the thing whose number its own begins with.
        let owner = |key: &Key| match (place.generation.entity.as_str(), key.parts()) {
            ("parts", [teal::domain::KeyPart::Int(id)]) => (id / 10).to_string(),
            _ => key.to_string(),
        };
        let lost = place.there.iter().find(|key| !reading.seen.contains(key) && !touched.contains(owner(key).as_str()));
        if let Some(key) = lost {
            self.violated(Promise::P2, || {
                format!("a listing of {} has no row {key}, which was there all the time", place.generation)
            });
        }
    }
}
