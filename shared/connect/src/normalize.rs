//! Values made to fit the types of a stream's schema, as Python would convert them.
//!
//! What the schema names a single type for, beside null, is converted; what can't be converted stays. Only
//! `properties` and `items` are followed, and `$ref` within the schema. Compiled once a stream.

use crate::value::{Number, Value};

use crate::interpolate::{number, python_text};

#[derive(Clone, Debug, Default)]
pub struct Normalizer {
    properties: Vec<(String, Field)>,
    items: Option<Box<Field>>,
}

#[derive(Clone, Debug, Default)]
struct Field {
    convert: Option<Convert>,
    nullable: bool,
    inside: Normalizer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Convert {
    String,
    Number,
    Integer,
    Boolean,
    /// A plain value becomes a list of it.
    Array,
}

/// References inside references; a schema that refers to itself is followed this far.
const MAX_REFERENCES: usize = 8;
const MAX_DEPTH: usize = 64;

impl Normalizer {
    #[must_use]
    pub fn compile(schema: &Value) -> Self {
        compile(schema, schema, 0, 0)
    }

    /// Converts in place.
    pub fn apply(&self, record: &mut Value) {
        match record {
            Value::Object(members) => {
                for (name, field) in &self.properties {
                    if let Some(value) = members.get_mut(name) {
                        field.apply(value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(field) = &self.items {
                    items.iter_mut().for_each(|item| field.apply(item));
                }
            }
            _ => {}
        }
    }
}

impl Field {
    fn apply(&self, value: &mut Value) {
        if let Some(convert) = self.convert
            && !(self.nullable && value.is_null())
            && let Some(converted) = converted(value, convert)
        {
            *value = converted;
        }
        self.inside.apply(value);
    }
}

fn compile(schema: &Value, root: &Value, depth: usize, references: usize) -> Normalizer {
    if depth > MAX_DEPTH {
        return Normalizer::default();
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return match target {
            Some(target) if references < MAX_REFERENCES => compile(target, root, depth + 1, references + 1),
            _ => Normalizer::default(),
        };
    }
    let field = |schema: &Value| {
        let (convert, nullable) = conversion(schema);
        Field { convert, nullable, inside: compile(schema, root, depth + 1, references) }
    };
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    Normalizer {
        properties: properties.map(|(name, schema)| (name.clone(), field(schema))).collect(),
        items: schema.get("items").filter(|items| items.is_object()).map(|items| Box::new(field(items))),
    }
}

fn conversion(schema: &Value) -> (Option<Convert>, bool) {
    let (kind, nullable) = match schema.get("type") {
        Some(Value::String(kind)) => (Some(kind.as_str()), kind == "null"),
        Some(Value::Array(kinds)) => {
            let others: Vec<&str> = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
            (if let [kind] = others[..] { Some(kind) } else { None }, kinds.iter().any(|kind| kind == "null"))
        }
        _ => (None, false),
    };
    let convert = match kind {
        Some("string") => Some(Convert::String),
        Some("number") => Some(Convert::Number),
        Some("integer") => Some(Convert::Integer),
        Some("boolean") => Some(Convert::Boolean),
        // A single type of items, written as a text, keeps the reference from wrapping; a list of types doesn't.
        Some("array") => match schema.get("items").and_then(|items| items.get("type")) {
            None => Some(Convert::Array),
            Some(Value::Array(kinds)) => {
                let plain =
                    |kind: &Value| matches!(kind.as_str(), Some("string" | "number" | "integer" | "boolean" | "null"));
                kinds.iter().all(plain).then_some(Convert::Array)
            }
            Some(_) => None,
        },
        _ => None,
    };
    (convert, nullable)
}

fn converted(value: &mut Value, convert: Convert) -> Option<Value> {
    match (convert, &*value) {
        (Convert::String, Value::String(_)) | (Convert::Boolean, Value::Bool(_)) => None,
        (Convert::String, other) => Some(python_text(other).into()),
        (Convert::Number, Value::Number(number)) if number.is_f64() => None,
        (Convert::Number, Value::Number(number)) => number.as_f64().and_then(Number::from_f64).map(Value::Number),
        (Convert::Number, Value::String(text)) => {
            number::parse_float(text).and_then(Number::from_f64).map(Value::Number)
        }
        (Convert::Number, Value::Bool(truth)) => Number::from_f64(f64::from(u8::from(*truth))).map(Value::Number),
        (Convert::Integer, Value::Number(number)) if number.is_f64() => {
            let whole = number.as_f64()?.trunc();
            // Exactly the floats that fit.
            if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole) {
                Some((whole as i64).into())
            } else if (0.0..18_446_744_073_709_551_616.0).contains(&whole) {
                Some((whole as u64).into())
            } else {
                None
            }
        }
        (Convert::Integer, Value::String(text)) => {
            let int = number::parse_int(text, 10)?;
            i64::try_from(int).map(Value::from).or_else(|_| u64::try_from(int).map(Value::from)).ok()
        }
        (Convert::Integer, Value::Bool(truth)) => Some(i64::from(*truth).into()),
        (Convert::Boolean, Value::String(text)) => match text.to_lowercase().trim() {
            "y" | "yes" | "t" | "true" | "on" | "1" => Some(true.into()),
            "n" | "no" | "f" | "false" | "off" | "0" => Some(false.into()),
            _ => None,
        },
        (Convert::Boolean, other) => Some((!crate::extract::is_empty(other)).into()),
        (Convert::Array, Value::Array(_) | Value::Object(_)) => None,
        (Convert::Array, _) => Some(Value::Array(vec![value.take()])),
        _ => None,
    }
}
