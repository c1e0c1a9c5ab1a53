//! A row's values as one JSON array, in the order of the schema's fields, and what filters make of them.
//!
//! Always holds: what is read is what was written. A value that would come back as another is refused.

use std::cmp::Ordering;

use serde_json::Value as Json;
use teal::domain::{Field, FieldType, GenerationId, Row, Schema, Value};
use teal::ports::Fault;
use teal::ports::entities::Filter;

use crate::fault::permanent;

pub fn encode(id: &GenerationId, schema: &Schema, row: &Row) -> Result<String, Fault> {
    let (has, wants) = (row.values.len(), schema.fields.len());
    if has != wants {
        return Err(permanent(format!("row {} of {id} has {has} values for {wants} fields", row.key)));
    }
    for (field, value) in schema.fields.iter().zip(&row.values) {
        if !suits(field.kind, value) {
            let (name, kind) = (&field.name, field.kind);
            let what = format!("row {} of {id}: the value of '{name}' is not of its type, {kind:?}", row.key);
            return Err(permanent(what));
        }
    }
    let unwritable = |error| permanent(format!("row {} of {id} can't be written as JSON", row.key)).because(error);
    serde_json::to_string(&row.values).map_err(unwritable)
}

fn suits(kind: FieldType, value: &Value) -> bool {
    match (kind, value) {
        (_, Value::Null)
        | (FieldType::Json, Value::Json(_))
        | (FieldType::Boolean, Value::Bool(_))
        | (FieldType::Integer, Value::Int(_))
        | (FieldType::String | FieldType::Date | FieldType::Timestamp, Value::Text(_)) => true,
        (FieldType::Number, Value::Float(value)) => value.is_finite(),
        _ => false,
    }
}

/// `None` for what [`encode`] never makes.
pub fn decode(schema: &Schema, text: &str) -> Option<Vec<Value>> {
    let values: Vec<Json> = serde_json::from_str(text).ok()?;
    if values.len() != schema.fields.len() {
        return None;
    }
    schema.fields.iter().zip(values).map(|(field, value)| decode_one(field.kind, value)).collect()
}

fn decode_one(kind: FieldType, value: Json) -> Option<Value> {
    Some(match (kind, value) {
        (_, Json::Null) => Value::Null,
        (FieldType::Json, json) => Value::Json(json),
        (FieldType::Boolean, Json::Bool(value)) => Value::Bool(value),
        (FieldType::Integer, Json::Number(number)) => Value::Int(number.as_i64()?),
        (FieldType::Number, Json::Number(number)) => Value::Float(number.as_f64()?),
        (FieldType::String | FieldType::Date | FieldType::Timestamp, Json::String(text)) => Value::Text(text),
        _ => return None,
    })
}

/// A filter, and where the value is that it looks at.
pub struct Compiled<'a> {
    position: usize,
    pub filter: &'a Filter,
}

impl Compiled<'_> {
    /// A null fits no filter; values of different kinds don't compare, except the two kinds of number.
    pub fn holds(&self, values: &[Value]) -> bool {
        compare(&values[self.position], &self.filter.value).is_some_and(|found| self.filter.compare.fits(found))
    }
}

pub fn compile<'a>(id: &GenerationId, schema: &Schema, filters: &'a [Filter]) -> Result<Vec<Compiled<'a>>, Fault> {
    let compiled = filters.iter().map(|filter| {
        let position = position(id, schema, &filter.field)?;
        if schema.fields[position].index {
            return Ok(Compiled { position, filter });
        }
        let what = format!("{id} has no index on '{}'; declare it `index: true` to filter by it", filter.field);
        Err(permanent(what))
    });
    compiled.collect()
}

pub fn position(id: &GenerationId, schema: &Schema, field: &str) -> Result<usize, Fault> {
    schema.position(field).ok_or_else(|| permanent(format!("{id} has no field '{field}'; see its schema")))
}

/// The fields that have entries in an index.
pub fn indexed(schema: &Schema) -> impl Iterator<Item = (usize, &Field)> {
    schema.fields.iter().enumerate().filter(|(_, field)| field.index && field.kind != FieldType::Json)
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        #[expect(clippy::cast_precision_loss, reason = "a number field compares as a number, as SQL does")]
        (Value::Int(left), Value::Float(right)) => (*left as f64).partial_cmp(right),
        #[expect(clippy::cast_precision_loss, reason = "a number field compares as a number, as SQL does")]
        (Value::Float(left), Value::Int(right)) => left.partial_cmp(&(*right as f64)),
        _ => None,
    }
}
