//! The JSON Schema of `teal.yaml`, for editors. Made from the table of keys and nothing else.
//!
//! It says less than the loader: what refers to what, and what excludes what, only the loader knows.

use serde_json::{Map, Value as Json, json};

use super::keys::{FIELD_TYPES, Key, Kind, SECTIONS, SYSTEM, Section};

/// Draft 2020-12.
#[must_use]
pub fn json_schema() -> Json {
    let definitions: Map<String, Json> =
        SECTIONS.iter().skip(1).map(|section| (section.name.to_owned(), object(section))).collect();
    let mut root = object(&SYSTEM);
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "teal.yaml".into();
    root["$defs"] = Json::Object(definitions);
    root.sort_all_objects();
    root
}

fn object(section: &Section) -> Json {
    let properties: Map<String, Json> = section.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = section.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut out = json!({
        "type": "object",
        "description": section.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        out["required"] = required.into();
    }
    out
}

fn property(key: &Key) -> Json {
    let mut out = kind(&key.kind);
    out["description"] = key.doc.into();
    if let Some(default) = key.default {
        out["default"] = match key.kind {
            Kind::Boolean | Kind::Integer { .. } | Kind::Number => {
                serde_json::from_str(default).expect("defaults of the table can be read")
            }
            _ => default.into(),
        };
    }
    out
}

fn kind(kind: &Kind) -> Json {
    match kind {
        Kind::Text | Kind::Path | Kind::Each | Kind::Jq | Kind::TimeFormat => json!({ "type": "string" }),
        Kind::Name => json!({ "type": "string", "pattern": NAME }),
        Kind::Paths | Kind::FieldNames => json!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
        }),
        Kind::Schedule => text("^ *((rate|cron)\\(.*\\) *$|.*\\$\\{)"),
        Kind::Secret => text("^\\$\\{secret:.+\\}$"),
        Kind::Boolean => or_variable(json!({ "type": "boolean" })),
        Kind::Integer { min } => or_variable(json!({ "type": "integer", "minimum": min })),
        Kind::Number => or_variable(json!({ "type": "number" })),
        Kind::Duration => text("^([0-9]+ *(ms|s|m|h|d)|.*\\$\\{.*)$"),
        Kind::Size => text("^([0-9.]+ *([kKMG]?B|[KMG]iB)|.*\\$\\{.*)$"),
        Kind::Percent => text("^([0-9.]+ *%|.*\\$\\{.*)$"),
        Kind::Choice(words) => or_variable(json!({ "enum": words })),
        Kind::ChoiceOr(words, section) => json!({ "anyOf": [{ "enum": words }, reference(section)] }),
        Kind::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Scalars => json!({ "type": "array", "items": { "type": ["string", "number", "boolean"] } }),
        Kind::Config => json!({ "type": "object" }),
        Kind::Values => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Section(section) => reference(section),
        Kind::List(section) => json!({ "type": "array", "items": reference(section) }),
        Kind::Named(section) => named(reference(section)),
        Kind::Fields(section) => named(json!({ "anyOf": [{ "enum": FIELD_TYPES }, reference(section)] })),
        Kind::Relations => named(json!({ "type": "string" })),
        Kind::Lookup => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
    }
}

const NAME: &str = "^[a-z][a-z0-9_]{0,47}$";

fn reference(section: &Section) -> Json {
    json!({ "$ref": format!("#/$defs/{}", section.name) })
}

fn text(pattern: &str) -> Json {
    json!({ "type": "string", "pattern": pattern })
}

/// The loader takes a variable's text for a value of any type.
fn or_variable(schema: Json) -> Json {
    json!({ "anyOf": [schema, { "type": "string", "pattern": "\\$\\{" }] })
}

fn named(members: Json) -> Json {
    json!({ "type": "object", "propertyNames": { "pattern": NAME }, "additionalProperties": members })
}
