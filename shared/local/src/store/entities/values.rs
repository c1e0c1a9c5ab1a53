//! Values on their way into a column and out of it.
//!
//! Always holds: what is read is what was written. A value that its column would change on the way (text
//! in an integer, a number that is none) is refused rather than stored as something else.
//!
//! A `json` field is JSON text and comes back as `Value::Json`, also where it is a bare text or number; its
//! null is `Value::Null`, as everywhere.

use rusqlite::types::{Value as SqlValue, ValueRef};
use teal::domain::{FieldType, Value};

/// `None` when the value doesn't suit a field of this type.
pub fn to_sql(kind: FieldType, value: &Value) -> Option<SqlValue> {
    Some(match (kind, value) {
        (_, Value::Null) => SqlValue::Null,
        (FieldType::Json, Value::Json(json)) => SqlValue::Text(json.to_string()),
        (FieldType::Boolean, Value::Bool(value)) => SqlValue::Integer(i64::from(*value)),
        (FieldType::Integer, Value::Int(value)) => SqlValue::Integer(*value),
        (FieldType::Number, Value::Float(value)) if !value.is_nan() => SqlValue::Real(*value),
        (FieldType::String | FieldType::Date | FieldType::Timestamp, Value::Text(text)) => SqlValue::Text(text.clone()),
        _ => return None,
    })
}

/// `None` when the column holds something that [`to_sql`] never puts there.
pub fn from_sql(kind: FieldType, value: ValueRef<'_>) -> Option<Value> {
    Some(match (kind, value) {
        (_, ValueRef::Null) => Value::Null,
        (FieldType::Json, ValueRef::Text(text)) => Value::Json(serde_json::from_slice(text).ok()?),
        (FieldType::Boolean, ValueRef::Integer(value)) => Value::Bool(value != 0),
        (FieldType::Integer, ValueRef::Integer(value)) => Value::Int(value),
        (FieldType::Number, ValueRef::Real(value)) => Value::Float(value),
        (FieldType::String | FieldType::Date | FieldType::Timestamp, ValueRef::Text(text)) => {
            Value::Text(std::str::from_utf8(text).ok()?.to_owned())
        }
        _ => return None,
    })
}
