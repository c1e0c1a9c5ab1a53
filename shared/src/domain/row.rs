//! A normalized row: its key and its values in the order of the schema's fields.
//!
//! Always holds: equal values give equal hashes on every machine and in every version of Teal, because
//! hashes are stored and compared across generations.

use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::key::Key;
use super::schema::{FieldType, Schema};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Strings, dates and timestamps; the schema says which.
    Text(String),
    /// A `json` field. Never a bare null, boolean, number or string inside another variant's place.
    Json(serde_json::Value),
}

/// First eight bytes of the SHA-256 over a row's values. Sums of them (wrapping) check whole generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowHash(pub u64);

/// Counts what is written, up to an end.
struct Room(usize);

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub key: Key,
    pub values: Vec<Value>,
}

impl Row {
    /// Most bytes of a row's values as JSON. The same in every store, so that a row that is kept on one machine is
    /// kept on AWS, where an item has 400 KB at most.
    pub const MOST_BYTES: usize = 384 * 1024;

    /// Whether its values have more than [`Row::MOST_BYTES`].
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        // A byte is six at most once it is escaped, so most rows need no writing out.
        let is_small = |value: &Value| !matches!(value, Value::Json(_));
        let texts = self.values.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 32 });
        if self.values.iter().all(is_small) && texts.sum::<usize>() < Self::MOST_BYTES / 6 {
            return false;
        }
        serde_json::to_writer(Room(Self::MOST_BYTES), &self.values).is_err()
    }

    #[must_use]
    pub fn hash(&self) -> RowHash {
        let mut hasher = Sha256::new();
        hasher.update(self.key.encode());
        for value in &self.values {
            match value {
                Value::Null => hasher.update([0]),
                Value::Bool(b) => hasher.update([1, u8::from(*b)]),
                Value::Int(i) => {
                    hasher.update([2]);
                    hasher.update(i.to_be_bytes());
                }
                Value::Float(x) => {
                    hasher.update([3]);
                    hasher.update(x.to_bits().to_be_bytes());
                }
                Value::Text(text) => {
                    hasher.update([4]);
                    hasher.update((text.len() as u64).to_be_bytes());
                    hasher.update(text);
                }
                Value::Json(json) => {
                    let text = json.to_string();
                    hasher.update([5]);
                    hasher.update((text.len() as u64).to_be_bytes());
                    hasher.update(text);
                }
            }
        }
        RowHash(first_eight(&hasher.finalize()))
    }

    /// The row as readers see it.
    #[must_use]
    pub fn to_json(&self, schema: &Schema) -> serde_json::Value {
        let object = schema.fields.iter().zip(&self.values).map(|(field, value)| (field.name.clone(), value.to_json()));
        serde_json::Value::Object(object.collect())
    }
}

impl Row {
    /// The row that [`Row::to_json`] showed. What is wrong with it is said in words.
    pub fn from_json(schema: &Schema, json: &serde_json::Value) -> Result<Self, String> {
        let object = json.as_object().ok_or("a row is an object of its fields")?;
        if let Some(unknown) = object.keys().find(|name| schema.position(name).is_none()) {
            return Err(format!("there is no field '{unknown}'"));
        }
        let values = schema.fields.iter().map(|field| {
            let value = object.get(&field.name).unwrap_or(&serde_json::Value::Null);
            Value::from_json(field.kind, value)
                .filter(|value| !(field.required && value.is_null()))
                .ok_or_else(|| format!("field '{}' is {value}, which it can't be", field.name))
        });
        let values: Vec<Value> = values.collect::<Result<_, _>>()?;
        let key = schema.key_of(&values).ok_or("its key is missing")?;
        Ok(Self { key, values })
    }
}

impl Value {
    /// The value of this type that [`Value::to_json`] showed.
    fn from_json(kind: FieldType, json: &serde_json::Value) -> Option<Self> {
        use serde_json::Value as Json;
        Some(match (kind, json) {
            (_, Json::Null) => Self::Null,
            (FieldType::Integer, Json::Number(number)) => Self::Int(number.as_i64()?),
            (FieldType::Number, Json::Number(number)) => Self::Float(number.as_f64()?),
            (FieldType::Boolean, Json::Bool(value)) => Self::Bool(*value),
            (FieldType::String | FieldType::Date | FieldType::Timestamp, Json::String(text)) => {
                Self::Text(text.clone())
            }
            (FieldType::Json, json) => Self::Json(json.clone()),
            _ => return None,
        })
    }

    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Int(i) => (*i).into(),
            Self::Float(x) => (*x).into(),
            Self::Text(text) => text.clone().into(),
            Self::Json(json) => json.clone(),
        }
    }

    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// The short form of a SHA-256 that rows and orders carry.
#[must_use]
pub fn first_eight(digest: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(eight)
}
