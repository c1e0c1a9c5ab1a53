//! A schema that the source itself describes.

use std::sync::Arc;

use crate::value::{Map, Value, json};
use jiff::Timestamp;

use crate::failure::Failure;
use crate::interpolate::{Context, Template};
use crate::node::{Compiler, Node};
use crate::read::record::Record;
use crate::session::Session;
use crate::source::stream::Stream;
use crate::transform::Transformation;

#[derive(Debug)]
pub struct Dynamic {
    pub id: String,
    pub stream: Arc<Stream>,
    schema_at: Vec<String>,
    key_at: Vec<String>,
    type_at: Vec<String>,
    types: Vec<TypesMap>,
    filter: Option<Template>,
    transformations: Vec<Transformation>,
}

#[derive(Debug)]
struct TypesMap {
    current: Value,
    target: Value,
    condition: Option<Template>,
}

impl Dynamic {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let retriever = node.require("retriever", cx)?;
        let identifier = node.require("schema_type_identifier", cx)?;
        let parameters = node.parameters();
        let path = |name: &str, cx: &mut Compiler| -> Option<Vec<String>> {
            identifier.list(name).iter().map(|step| cx.evaluate_text(step, &parameters)).collect()
        };
        let mut types = Vec::new();
        for map in identifier.list("types_mapping") {
            types.push(TypesMap {
                current: map.require("current_type", cx)?.value.clone(),
                target: map.require("target_type", cx)?.value.clone(),
                condition: map.template("condition", cx),
            });
        }
        let mut transformations = Vec::new();
        for transformation in node.list("schema_transformations") {
            if transformation.kind().starts_with("Custom") {
                cx.unknown(&transformation, "transformation");
                return None;
            }
            transformations.push(cx.check(&transformation, Transformation::compile(transformation.value))?);
        }
        Some(Self {
            id: crate::auth::identity(node, cx),
            stream: Arc::new(Stream::of_retriever(&retriever, "dynamic_properties", true, cx)?),
            schema_at: path("schema_pointer", cx)?,
            key_at: path("key_pointer", cx)?,
            type_at: path("type_pointer", cx)?,
            types,
            filter: node.get("schema_filter").and_then(|filter| filter.template("condition", cx)),
            transformations,
        })
    }

    pub fn schema(&self, record: Option<&Record>, session: &Session, now: Timestamp) -> Result<Value, Failure> {
        let cx = session.scope(now, None, &Value::Null);
        let record = record.map(Record::to_value).unwrap_or(Value::Null);
        let described = crate::lookup::get(&record, &self.schema_at).cloned().unwrap_or(Value::Null);
        let mut properties = Map::new();
        let definitions: Vec<Value> = match described {
            Value::Array(items) => items,
            Value::Object(members) => members.keys().map(|key| key.as_str().into()).collect(),
            _ => Vec::new(),
        };
        for definition in &definitions {
            let key = crate::lookup::get(definition, &self.key_at).and_then(Value::as_str);
            let key = key.ok_or_else(|| {
                Failure::system("a field that the source describes has no name where the manifest says")
            })?;
            properties.insert(key.to_owned(), self.type_of(definition, &cx)?);
        }
        if let Some(filter) = &self.filter {
            let mut kept = Map::new();
            for (name, value) in properties {
                let one = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
                if filter.render_bool(&cx.clone().with("record", &one))? {
                    kept.insert(name, value);
                }
            }
            properties = kept;
        }
        let mut properties = Value::Object(properties);
        for transformation in &self.transformations {
            transformation.apply(&mut properties, &cx)?;
        }
        Ok(json!({
            "$schema": "https://json-schema.org/draft-07/schema#",
            "type": "object",
            "additionalProperties": true,
            "properties": properties,
        }))
    }

    fn type_of(&self, definition: &Value, cx: &Context) -> Result<Value, Failure> {
        let string = Value::from("string");
        let raw = if self.type_at.is_empty() { Some(&string) } else { crate::lookup::get(definition, &self.type_at) };
        let raw = raw.unwrap_or(&string);
        let mut mapped = raw;
        for map in &self.types {
            let is_meant = match &map.condition {
                Some(condition) => condition.render_bool(&cx.clone().with("raw_schema", definition))?,
                None => true,
            };
            if is_meant && map.current == *raw {
                mapped = &map.target;
                break;
            }
        }
        named(mapped)
    }
}

fn named(name: &Value) -> Result<Value, Failure> {
    match name {
        Value::String(name) => type_named(name),
        Value::Array(names) => match names.as_slice() {
            [Value::String(one), Value::String(two)] => Ok(json!({"oneOf": [type_named(one)?, type_named(two)?]})),
            _ => Err(Failure::system("a type of a dynamic schema is a name or two names")),
        },
        Value::Object(complex) => {
            let mut out = named(complex.get("field_type").unwrap_or(&Value::Null))?;
            if let Some(items) = complex.get("items")
                && let Some(members) = out.as_object_mut()
            {
                members.insert("items".to_owned(), named(items)?);
            }
            Ok(out)
        }
        _ => Err(Failure::system("a type of a dynamic schema is a name or two names")),
    }
}

fn type_named(name: &str) -> Result<Value, Failure> {
    let text = |format: &str| json!({"type": ["null", "string"], "format": format});
    let kind = |format: &str, kind: &str| json!({"type": ["null", "string"], "format": format, "airbyte_type": kind});
    Ok(match name {
        "string" | "boolean" | "integer" | "number" | "array" | "object" => json!({"type": ["null", name]}),
        "date" => text("date"),
        "timestamp_with_timezone" => text("date-time"),
        "timestamp_without_timezone" => kind("date-time", name),
        "time_with_timezone" | "time_without_timezone" => kind("time", name),
        _ => return Err(Failure::system(format!("'{name}' is no type that a dynamic schema can have"))),
    })
}
