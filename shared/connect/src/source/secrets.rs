//! Keeping secrets of a configuration out of everything that is said.

use crate::value::Value;
use teal::ports::upstream::{HeaderValue, Request};

/// Shorter ones are too likely to be part of something else.
const SHORTEST: usize = 4;

/// Texts that no message may hold.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// What a specification marks as secret, of a configuration.
    pub fn of(connection: &Value, config: &Value) -> Self {
        let mut out = Self::default();
        out.walk(connection, config);
        out
    }

    fn walk(&mut self, schema: &Value, value: &Value) {
        let Some(members) = schema.as_object() else { return };
        if members.get("airbyte_secret") == Some(&Value::Bool(true)) {
            self.add(value);
        }
        for (name, schema) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if let Some(value) = value.get(name) {
                self.walk(schema, value);
            }
        }
        for name in ["oneOf", "anyOf", "allOf"] {
            members
                .get(name)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .for_each(|schema| self.walk(schema, value));
        }
        if let (Some(schema), Value::Array(items)) = (members.get("items"), value) {
            items.iter().for_each(|item| self.walk(schema, item));
        }
    }

    /// Adds every text in a value.
    pub fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add_text(text),
            Value::Number(_) => self.add_text(&value.to_string()),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(members) => members.values().for_each(|value| self.add(value)),
            _ => {}
        }
    }

    pub fn add_text(&mut self, text: &str) {
        for text in [text, text.trim()] {
            if text.len() >= SHORTEST && !self.0.iter().any(|known| known == text) {
                self.0.push(text.to_owned());
            }
            let form: String = ::url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let path = form.replace('+', "%20");
            for encoded in [form, path] {
                if encoded.len() >= SHORTEST && !self.0.contains(&encoded) {
                    self.0.push(encoded);
                }
            }
        }
        self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
    }

    /// Adds what a request carries as a secret: a source may repeat it.
    pub fn add_request(&mut self, request: &Request) {
        for (_, value) in &request.headers {
            if let HeaderValue::Secret(secret) = value {
                let text = secret.expose();
                if !self.0.iter().any(|known| known == text) {
                    self.add_text(text);
                    // The scheme before it is none.
                    text.split_once(' ').into_iter().for_each(|(_, value)| self.add_text(value));
                }
            }
        }
    }

    pub fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|text| self.add_text(text));
    }

    pub fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), "****") } else { text }
        })
    }
}
