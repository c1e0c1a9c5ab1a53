//! Made-up talents: a schema with every type, rows, changes, and short ways to say them.

use std::sync::Arc;

use serde_json::json;
use teal::domain::schema::Relation;
use teal::domain::{
    Effect, EntityName, Fence, Field, FieldType, GenerationId, Key, Millis, Order, RecordChange, Row, Schema, Value,
};
use teal::ports::entities::{Gate, GenerationSpec, Head, ListQuery, Merged, Writer};

use super::EntityStore;

/// Every generation of the fixtures starts here; states may lie before it.
pub const FLOOR: i64 = 100;

pub fn schema() -> Arc<Schema> {
    let field = |name: &str, kind, required, index| Field { name: name.to_owned(), kind, required, index };
    Arc::new(Schema {
        entity: "talents".into(),
        fields: vec![
            field("id", FieldType::Integer, true, false),
            field("name", FieldType::String, false, true),
            field("score", FieldType::Number, false, true),
            field("active", FieldType::Boolean, false, true),
            field("born", FieldType::Date, false, true),
            field("seen", FieldType::Timestamp, false, true),
            field("rank", FieldType::Integer, false, true),
            field("extra", FieldType::Json, false, false),
            field("boss", FieldType::Integer, false, false),
        ],
        key: vec!["id".to_owned()],
        relations: vec![Relation { field: "boss".to_owned(), to: "talents".into() }],
    })
}

pub fn generation(number: u32) -> GenerationId {
    GenerationId { entity: EntityName::new("talents"), number }
}

pub fn spec(number: u32, gate: Gate) -> GenerationSpec {
    GenerationSpec {
        id: generation(number),
        schema: schema(),
        floor: Millis(FLOOR),
        owner_is_key: false,
        base: None,
        gate,
        fence: Fence(1),
    }
}

/// Makes generation 1, open for live changes.
pub async fn open(store: &dyn EntityStore) -> GenerationId {
    store.create(spec(1, Gate::Open)).await.unwrap();
    generation(1)
}

/// A row with these values; every other one is null.
pub fn row_with(id: i64, values: &[(&str, Value)]) -> Row {
    let schema = schema();
    let mut row = Row { key: Key::int(id), values: vec![Value::Null; schema.fields.len()] };
    row.values[0] = Value::Int(id);
    for (field, value) in values {
        row.values[schema.position(field).unwrap()] = value.clone();
    }
    row
}

pub fn row(id: i64, name: &str) -> Row {
    row_with(id, &[("name", text(name)), ("extra", Value::Json(json!({"named": name})))])
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub fn stated(stated: i64) -> Order {
    Order { provider: None, stated: Millis(stated), hash: 0 }
}

pub fn provided(provider: i64, at: i64) -> Order {
    Order { provider: Some(provider), ..stated(at) }
}

pub fn upsert(owner: i64, order: Order, rows: &[Row]) -> RecordChange {
    RecordChange::new(Key::int(owner), Effect::Upsert { order, rows: rows.to_vec(), complete: true })
}

pub fn incomplete(owner: i64, order: Order, rows: &[Row]) -> RecordChange {
    RecordChange::new(Key::int(owner), Effect::Upsert { order, rows: rows.to_vec(), complete: false })
}

pub fn delete(owner: i64, stated: i64) -> RecordChange {
    RecordChange::new(Key::int(owner), Effect::Delete { provider: None, stated: Millis(stated) })
}

pub fn delete_provided(owner: i64, provider: i64, stated: i64) -> RecordChange {
    let effect = Effect::Delete { provider: Some(provider), stated: Millis(stated) };
    RecordChange::new(Key::int(owner), effect)
}

/// Merges into generation 1 as a live change.
pub async fn live(store: &dyn EntityStore, slot: &str, changes: &[RecordChange]) -> Merged {
    store.merge(&generation(1), Writer::Live, slot, changes).await.unwrap()
}

pub async fn all(store: &dyn EntityStore, id: &GenerationId) -> Vec<Row> {
    store.list(id, &ListQuery { limit: 10_000, ..ListQuery::default() }).await.unwrap()
}

pub async fn head(store: &dyn EntityStore, id: &GenerationId) -> Head {
    store.head(id).await.unwrap()
}

/// The head must say of the rows what the rows say themselves.
pub async fn assert_head_is_true(store: &dyn EntityStore, id: &GenerationId) {
    let rows = all(store, id).await;
    let head = head(store, id).await;
    let sum = rows.iter().fold(0u64, |sum, row| sum.wrapping_add(row.hash().0));
    assert_eq!((head.rows, head.sum), (rows.len() as u64, sum), "head of {id}");
}

pub const NEW: Merged = Merged { new: 1, ..NOTHING };
pub const CHANGED: Merged = Merged { changed: 1, ..NOTHING };
pub const UNCHANGED: Merged = Merged { unchanged: 1, ..NOTHING };
pub const SUPERSEDED: Merged = Merged { superseded: 1, ..NOTHING };
pub const DUPLICATE: Merged = Merged { duplicate: 1, ..NOTHING };
pub const DELETED: Merged = Merged { deleted: 1, ..NOTHING };
pub const NOTHING: Merged =
    Merged { new: 0, changed: 0, unchanged: 0, superseded: 0, duplicate: 0, deleted: 0, late: 0 };
