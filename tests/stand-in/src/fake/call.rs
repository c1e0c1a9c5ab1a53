//! One request as an API sees it: which endpoint it is for, and all its parameters, wherever they stand.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

use super::{Endpoint, lock};
use crate::http::Asked;

pub struct Call<'a> {
    pub endpoint: &'a Endpoint,
    /// Of the path, the query and the body's first level.
    parameters: BTreeMap<String, String>,
    /// The body as JSON; null when it is none.
    pub body: Value,
    armed: &'a Mutex<BTreeMap<&'static str, u64>>,
}

impl<'a> Call<'a> {
    /// `None` when the endpoint is not what is asked.
    pub(super) fn of(
        endpoint: &'a Endpoint,
        asked: &'a Asked,
        armed: &'a Mutex<BTreeMap<&'static str, u64>>,
    ) -> Option<Self> {
        if endpoint.method != asked.method {
            return None;
        }
        let mut parameters = of_path(endpoint.path, &asked.path)?;
        parameters.extend(asked.query.iter().map(|(name, value)| (name.clone(), value.clone())));
        let body = serde_json::from_slice(&asked.body).unwrap_or_else(|_| {
            let pairs = form_urlencoded::parse(&asked.body).map(|(name, value)| (name.into_owned(), value.into()));
            Value::Object(pairs.collect())
        });
        for (name, value) in body.as_object().into_iter().flatten() {
            match value {
                Value::String(text) => _ = parameters.insert(name.clone(), text.clone()),
                Value::Number(number) => _ = parameters.insert(name.clone(), number.to_string()),
                _ => {}
            }
        }
        Some(Self { endpoint, parameters, body, armed })
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }

    /// Whether an armed trap springs now; it is then armed once less.
    #[must_use]
    pub fn springs(&self, trap: &str) -> bool {
        let mut armed = lock(self.armed);
        match armed.get_mut(trap) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// Those that this request is about.
    pub(super) fn rows(&self, table: &[Value]) -> Vec<Value> {
        let is_of = |row: &Value| {
            let of = row["_of"].as_object();
            of.into_iter().flatten().all(|(name, value)| self.get(name) == value.as_str())
        };
        let is_new = |row: &Value| match self.endpoint.since.and_then(|(name, field)| Some((self.get(name)?, field))) {
            Some((since, field)) => row.pointer(field).and_then(Value::as_str).is_some_and(|at| at >= since),
            None => true,
        };
        let shown = table.iter().filter(|row| is_of(row) && is_new(row) && (self.endpoint.shows)(self, row));
        shown
            .cloned()
            .map(|mut row| {
                row.as_object_mut().map(|members| members.remove("_of"));
                row
            })
            .collect()
    }
}

/// The parameters of a path that fits the pattern.
fn of_path(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    let mut rest = path.split('/').collect::<Vec<_>>().into_iter();
    for part in pattern.split('/') {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let mut given = rest.next()?.to_owned();
        match name {
            Some(name) if name.ends_with('*') => {
                rest.by_ref().for_each(|more| given = format!("{given}/{more}"));
                out.insert(name.trim_end_matches('*').to_owned(), decoded(&given));
            }
            Some(name) => _ = out.insert(name.to_owned(), decoded(&given)),
            None if part == given => {}
            None => return None,
        }
    }
    rest.next().is_none().then_some(out)
}

fn decoded(text: &str) -> String {
    let text = format!("={}", text.replace('+', "%2B"));
    form_urlencoded::parse(text.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
