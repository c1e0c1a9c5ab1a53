//! The shape of an entity as stores and readers see it: its fields, their types, its key.
//!
//! Owns no mapping: where a field's value comes from belongs to the configuration.

use serde::{Deserialize, Serialize};

use super::key::{Key, KeyPart};
use super::names::EntityName;
use super::row::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    Integer,
    Number,
    String,
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
    /// RFC 3339 in UTC with milliseconds.
    Timestamp,
    /// Any JSON, kept as it is.
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: FieldType,
    #[serde(default)]
    pub required: bool,
    /// Readers may filter by it.
    #[serde(default)]
    pub index: bool,
}

/// A relation says: a value of `field` is the key of a row in `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    pub field: String,
    pub to: EntityName,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    pub entity: EntityName,
    pub fields: Vec<Field>,
    /// Names of the fields that make up the key, in order. Each is required and integer or string.
    pub key: Vec<String>,
    #[serde(default)]
    pub relations: Vec<Relation>,
}

impl Schema {
    #[must_use]
    pub fn position(&self, field: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == field)
    }

    /// Which key parts are integers, as [`Key::parse`] wants to know.
    #[must_use]
    pub fn key_integers(&self) -> Vec<bool> {
        self.key
            .iter()
            .map(|name| self.position(name).is_some_and(|at| self.fields[at].kind == FieldType::Integer))
            .collect()
    }

    /// The key that these values make; `None` when a part is null or of a type that keys can't have.
    #[must_use]
    pub fn key_of(&self, values: &[Value]) -> Option<Key> {
        self.key
            .iter()
            .map(|name| match values.get(self.position(name)?)? {
                Value::Int(value) => Some(KeyPart::Int(*value)),
                Value::Text(text) => Some(KeyPart::Text(text.clone())),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .and_then(Key::new)
    }
}
