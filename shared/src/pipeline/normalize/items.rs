//! From a record to its items, from an item to its rows, and what happens to rows with equal keys.
//!
//! Always holds: rows keep the order of the items. Of two rows with one key the first stays; an equal one
//! is a duplicate, a different one is rejected.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::field::read_fields;
use super::reasons::{Code, kind, show, too_large};
use super::{Normalized, Rejected};
use crate::config::Entity;
use crate::config::jq::Input;
use crate::config::path::{Path, Scope};
use crate::domain::{Key, KeyPart, RejectReason, Row, Value};

/// Rows that one item may become by `map`.
const MOST_ROWS: usize = 10_000;

/// The record's rows. Duplicates and rejects are counted in `out`.
pub(super) fn rows(entity: &Entity, owner: &Key, record: &Scope<'_>, out: &mut Normalized) -> Vec<Row> {
    let mut rows = Rows { entity, owner, rows: Vec::new(), by_key: BTreeMap::new(), out };
    rows.walk(&entity.each, record, 0);
    rows.rows
}

struct Rows<'r> {
    entity: &'r Entity,
    owner: &'r Key,
    rows: Vec<Row>,
    by_key: BTreeMap<Key, usize>,
    out: &'r mut Normalized,
}

impl Rows<'_> {
    fn walk(&mut self, each: &[Path], scope: &Scope<'_>, position: usize) {
        let Some((path, deeper)) = each.split_first() else { return self.item(scope, position) };
        match path.items(scope) {
            Ok(items) => {
                for (position, item) in items.iter().enumerate() {
                    self.walk(deeper, &scope.child(item), position);
                }
            }
            Err(found) => {
                let message = format!("'{path}': found {} ({}); expected a list", show(found), kind(found));
                self.reject(None, vec![Code::NotAList.reason(None, message)]);
            }
        }
    }

    fn item(&mut self, scope: &Scope<'_>, position: usize) {
        if self.entity.only.is_none() && self.entity.map.is_none() {
            return self.row(scope, position);
        }
        let item = Input::new(scope.item());
        if let Some(only) = &self.entity.only {
            match only.is_true_on(&item) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    return self.reject(None, vec![Code::ProgramFailed.reason(None, format!("only: {error}"))]);
                }
            }
        }
        let Some(map) = &self.entity.map else { return self.row(scope, position) };
        match map.run_on(&item, MOST_ROWS) {
            Ok(objects) => {
                for object in &objects {
                    if object.is_object() {
                        self.row(&scope.instead(object), position);
                    } else {
                        let message = format!(
                            "map: gave {} ({}); expected objects, one for each row, or empty for none",
                            show(object),
                            kind(object)
                        );
                        self.reject(None, vec![Code::ProgramFailed.reason(None, message)]);
                    }
                }
            }
            Err(error) => self.reject(None, vec![Code::ProgramFailed.reason(None, format!("map: {error}"))]),
        }
    }

    fn row(&mut self, scope: &Scope<'_>, position: usize) {
        let schema = &self.entity.schema;
        let fields = read_fields(self.entity, scope, position);
        let key = schema.key_of(&fields.values).filter(|key| !key.parts().iter().any(is_empty));
        if !fields.reasons.is_empty() {
            return self.reject(key.as_ref(), fields.reasons);
        }
        let Some(key) = key else {
            let names = schema.key.join(", ");
            let message =
                format!("the row's key ({names}) is empty or null; expected an integer or a text in each part");
            return self.reject(None, vec![Code::KeyMissing.reason(None, message)]);
        };
        match self.by_key.get(&key) {
            None => {
                let row = Row { key, values: fields.values };
                if row.is_too_large() {
                    return self.reject(Some(&row.key), vec![too_large()]);
                }
                self.by_key.insert(row.key.clone(), self.rows.len());
                self.rows.push(row);
            }
            Some(first) if self.rows[*first].values == fields.values => self.out.duplicates += 1,
            Some(first) => {
                let message = self.difference(&self.rows[*first].values, &fields.values);
                self.reject(Some(&key), vec![Code::KeyTwice.reason(None, message)]);
            }
        }
    }

    fn difference(&self, first: &[Value], later: &[Value]) -> String {
        let names = self.entity.schema.fields.iter().map(|field| field.name.as_str());
        let different = names.zip(first.iter().zip(later)).find(|(_, (first, later))| first != later);
        let (name, first, later) = match different {
            Some((name, (first, later))) => (name, first.to_json(), later.to_json()),
            None => ("", Json::Null, Json::Null),
        };
        format!(
            "the record has this key twice: field '{name}' is {} in the row that stays and {} in this one; expected \
             one row for each key",
            show(&first),
            show(&later)
        )
    }

    fn reject(&mut self, key: Option<&Key>, reasons: Vec<RejectReason>) {
        self.out.rejected_rows += 1;
        let key = key.unwrap_or(self.owner).to_string();
        self.out.rejects.extend(reasons.into_iter().map(|reason| Rejected { key: Some(key.clone()), reason }));
    }
}

fn is_empty(part: &KeyPart) -> bool {
    matches!(part, KeyPart::Text(text) if text.is_empty())
}
