//! Filters over rows, and which value is whose key.
//!
//! Always holds: a null fits no filter, and values of different kinds don't compare, except the two kinds
//! of number.

use std::cmp::Ordering;

use teal::domain::{GenerationId, Key, Row, Schema, Value};
use teal::ports::Fault;
use teal::ports::entities::Filter;
use teal::ports::fault::FaultKind;

pub struct Compiled<'a> {
    position: usize,
    filter: &'a Filter,
}

impl Compiled<'_> {
    pub fn holds(&self, row: &Row) -> bool {
        compare(&row.values[self.position], &self.filter.value).is_some_and(|found| self.filter.compare.fits(found))
    }
}

pub fn compile<'a>(id: &GenerationId, schema: &Schema, filters: &'a [Filter]) -> Result<Vec<Compiled<'a>>, Fault> {
    let compiled = filters.iter().map(|filter| {
        let position = position(id, schema, &filter.field)?;
        if schema.fields[position].index {
            return Ok(Compiled { position, filter });
        }
        let what = format!("{id} has no index on '{}'; declare it `index: true` to filter by it", filter.field);
        Err(Fault::new(FaultKind::Permanent, what))
    });
    compiled.collect()
}

pub fn position(id: &GenerationId, schema: &Schema, field: &str) -> Result<usize, Fault> {
    let missing = || Fault::new(FaultKind::Permanent, format!("{id} has no field '{field}'; its schema names them"));
    schema.position(field).ok_or_else(missing)
}

/// The key that a relation's value leads to.
pub fn as_key(value: &Value) -> Option<Key> {
    match value {
        Value::Int(value) => Some(Key::int(*value)),
        Value::Text(text) => Some(Key::text(text.clone())),
        _ => None,
    }
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
