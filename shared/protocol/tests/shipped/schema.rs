//! As much of JSON Schema as the connectors' schemas use, and stricter in one thing: a field that a schema with
//! `properties` does not name is wrong unless it says that there may be others.

use serde_json::Value;

/// What is wrong with the value, each with its place.
pub fn wrong(value: &Value, schema: &Value) -> Vec<String> {
    let mut out = Vec::new();
    walk(value, schema, "", &mut out);
    out
}

fn walk(value: &Value, schema: &Value, place: &str, out: &mut Vec<String>) {
    let is = |kind: &Value| match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    };
    if !fits {
        out.push(format!("{place} is {value}, not {}", schema["type"]));
    }
    match value {
        Value::Object(members) if schema["properties"].is_object() => {
            for (name, member) in members {
                match schema["properties"].get(name) {
                    Some(schema) => walk(member, schema, &format!("{place}/{name}"), out),
                    None if schema["additionalProperties"] == true => {}
                    None => out.push(format!("{place}/{name} is in no schema")),
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &schema["items"], &format!("{place}/{index}"), out);
            }
        }
        _ => {}
    }
}
