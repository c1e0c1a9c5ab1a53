//! The schemas that most specifications are: types, members, which of them are required, choices.
//!
//! Owns no message and no other rule. To say that a value fits costs microseconds; whatever is not plainly so is for
//! the validator of all of JSON Schema, which takes milliseconds to set up.

use crate::value::{Map, Value};

/// Nested deeper, a schema isn't plain.
const MAX_DEPTH: usize = 16;
/// Texts that say something to people.
const TEXTS: [&str; 7] = ["$schema", "title", "description", "format", "$comment", "group", "pattern_descriptor"];
/// Hints to whoever shows a form, and to whoever keeps secrets.
const HINTS: [&str; 8] =
    ["default", "airbyte_secret", "airbyte_hidden", "order", "multiline", "always_show", "display_type", "examples"];

/// Whether the schema is a plain one, right, and the value fits it.
pub fn fits(schema: &Value, value: &Value) -> bool {
    schema.as_object().is_some_and(|schema| fits_at(schema, value, 0))
}

fn fits_at(schema: &Map, value: &Value, depth: usize) -> bool {
    depth < MAX_DEPTH
        && schema.iter().all(|(name, rule)| match (name.as_str(), rule) {
            ("type", Value::String(kind)) => is_of(value, kind),
            ("type", Value::Array(kinds)) if is_set(kinds) => {
                kinds.iter().filter_map(Value::as_str).any(|kind| is_of(value, kind))
            }
            ("enum", Value::Array(choices)) => is_set(choices) && choices.contains(value),
            ("required", Value::Array(names)) => {
                is_set(names)
                    && (value.as_object())
                        .is_none_or(|value| names.iter().filter_map(Value::as_str).all(|name| value.contains_key(name)))
            }
            ("properties", Value::Object(properties)) => properties.iter().all(|(name, schema)| {
                // What is not there fits, if only the schema is plain: null, say, is not what it must be then.
                match (schema.as_object(), value.get(name.as_str())) {
                    (Some(schema), Some(value)) => fits_at(schema, value, depth + 1),
                    (Some(schema), None) => is_plain(schema, depth + 1),
                    (None, _) => false,
                }
            }),
            ("additionalProperties", Value::Bool(true)) => true,
            ("examples", rule) => rule.is_array(),
            (name, Value::String(_)) if TEXTS.contains(&name) => true,
            (name, _) => HINTS.contains(&name),
        })
}

/// Whether nothing in it could be wrong, whatever the value.
fn is_plain(schema: &Map, depth: usize) -> bool {
    depth < MAX_DEPTH
        && schema.iter().all(|(name, rule)| match (name.as_str(), rule) {
            ("type", Value::String(kind)) => is_kind(kind),
            ("type" | "enum" | "required", Value::Array(items)) => is_set(items),
            ("properties", Value::Object(properties)) => {
                properties.values().all(|schema| schema.as_object().is_some_and(|schema| is_plain(schema, depth + 1)))
            }
            ("additionalProperties", Value::Bool(true)) => true,
            ("examples", rule) => rule.is_array(),
            (name, Value::String(_)) if TEXTS.contains(&name) => true,
            (name, _) => HINTS.contains(&name),
        })
}

/// At least one, all of them texts, none twice.
fn is_set(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().enumerate().all(|(i, item)| item.is_string() && !items[..i].contains(item))
}

fn is_kind(kind: &str) -> bool {
    matches!(kind, "null" | "boolean" | "object" | "array" | "number" | "string" | "integer")
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::rules;
    use crate::value::json;

    #[test]
    fn what_plainly_fits_fits_by_all_of_json_schema_too() {
        let schemas = [
            json!({}),
            json!({"type": "object", "properties": {}}),
            json!({"type": ["object", "null"], "required": ["a"], "properties": {"a": {"type": "string", "title": "A"}}}),
            json!({"type": "object", "properties": {"a": {"enum": ["x", "y"], "type": "string"}, "b": {"type": "number"}}}),
            json!({"properties": {"a": {"type": ["integer", "string"], "default": 1, "order": 1}}}),
            json!({"required": ["a", "a"]}),
            json!({"type": "thing"}),
            json!({"title": 1}),
            json!({"properties": {"z": {"type": "thing"}}}),
            json!({"properties": {"z": {"pattern": "["}}}),
            json!({"properties": {"b": {"minimum": 3}}}),
        ];
        let values = [
            json!({}),
            json!({"a": "x"}),
            json!({"a": 1, "b": 1.5}),
            json!({"a": "z", "b": 2}),
            json!(null),
            json!([]),
        ];
        let mut fitting = 0;
        for schema in &schemas {
            for value in &values {
                let plainly = fits(schema, value);
                assert!(!plainly || rules::by_all_rules(schema, value).is_ok(), "{schema} {value}");
                fitting += usize::from(plainly);
            }
        }
        assert!(fitting > 15, "{fitting}");
    }
}
