//! Talents with an indexed name, whose record makes one row of its own key, or any rows.

use std::sync::Arc;

use teal::domain::{
    Effect, EntityName, Fence, Field, FieldType, GenerationId, Key, Millis, Order, RecordChange, Row, Schema, Value,
};
use teal::ports::entities::{Gate, GenerationSpec};

#[must_use]
pub fn generation(number: u32) -> GenerationId {
    GenerationId { entity: EntityName::new("talents"), number }
}

/// Open for live changes.
#[must_use]
pub fn spec(number: u32, owner_is_key: bool) -> GenerationSpec {
    let field = |name: &str, kind, index| Field { name: name.to_owned(), kind, required: index, index };
    let schema = Schema {
        entity: "talents".into(),
        fields: vec![
            field("id", FieldType::Integer, false),
            field("name", FieldType::String, true),
            field("team", FieldType::Integer, false),
        ],
        key: vec!["id".to_owned()],
        relations: Vec::new(),
    };
    GenerationSpec {
        id: generation(number),
        schema: Arc::new(schema),
        floor: Millis(0),
        owner_is_key,
        base: None,
        gate: Gate::Open,
        fence: Fence(1),
    }
}

#[must_use]
pub fn row(id: i64, name: &str) -> Row {
    let values = vec![Value::Int(id), Value::Text(name.to_owned()), Value::Int(id % 100)];
    Row { key: Key::int(id), values }
}

/// The record `owner` as of `stated` has these rows, and no others.
#[must_use]
pub fn upsert(owner: i64, stated: i64, rows: Vec<Row>) -> RecordChange {
    let order = Order { provider: None, stated: Millis(stated), hash: 0 };
    RecordChange::new(Key::int(owner), Effect::Upsert { order, rows, complete: true })
}

/// Records that make a row each, with their own key.
#[must_use]
pub fn page(ids: std::ops::Range<i64>, stated: i64, name: &str) -> Vec<RecordChange> {
    ids.map(|id| upsert(id, stated, vec![row(id, &format!("{name} {}", id % 7))])).collect()
}
