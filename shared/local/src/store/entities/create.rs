//! Making a generation: its tables, its indexes, its line.

use rusqlite::Connection;
use teal::domain::FieldType;
use teal::ports::entities::GenerationSpec;

use super::super::{quoted, views};
use super::plan::{owners, table};
use super::{Outcome, stored};
use crate::sqlite::permanent;

pub fn create(db: &Connection, spec: &GenerationSpec) -> Outcome<()> {
    if stored::incarnation(db, &spec.id)?.is_some() {
        return Ok(());
    }
    create_tables(db, spec)?;
    let json = |error: serde_json::Error| permanent(format!("{} can't be described as JSON", spec.id)).because(error);
    let base = spec.base.as_ref().filter(|base| **base != spec.id);
    db.prepare_cached(
        "INSERT INTO _generations (entity, number, schema, floor, owner_is_key, base, gate, fence,
                                   confirmed, sequence, rows, sum, absences, dropping)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, 0, 0, 0, 0)",
    )?
    .execute((
        spec.id.entity.as_str(),
        spec.id.number,
        serde_json::to_string(&*spec.schema).map_err(json)?,
        spec.floor.0,
        spec.owner_is_key,
        base.map(serde_json::to_string).transpose().map_err(json)?,
        stored::gate_name(spec.gate),
        spec.fence.0.cast_signed(),
    ))?;
    // The pointer may have named it before it was there.
    views::repoint(db)
}

fn create_tables(db: &Connection, spec: &GenerationSpec) -> Outcome<()> {
    let (table, owners) = (table(&spec.id), owners(&spec.id));
    let owner = if spec.owner_is_key { "" } else { "_owner TEXT NOT NULL, " };
    let fields: String = spec
        .schema
        .fields
        .iter()
        .map(|field| format!("{} {}, ", quoted(&field.name), column_type(field.kind)))
        .collect();
    db.execute_batch(&format!(
        "CREATE TABLE {table} (
             {fields}_key TEXT PRIMARY KEY, {owner}_order BLOB NOT NULL, _hash INTEGER NOT NULL,
             _visible INTEGER NOT NULL, _slot INTEGER NOT NULL, _effect INTEGER NOT NULL
         ) WITHOUT ROWID;
         CREATE TABLE {owners} (
             _owner TEXT PRIMARY KEY, listed BLOB, deleted_provider INTEGER, deleted_stated INTEGER,
             deleted_at INTEGER
         ) WITHOUT ROWID;"
    ))?;
    if !spec.owner_is_key {
        create_index(db, spec, "_owner")?;
    }
    for field in spec.schema.fields.iter().filter(|field| field.index) {
        create_index(db, spec, &field.name)?;
    }
    Ok(())
}

/// With the key, so that the rows of one value come in key order. No other object's name has a colon.
fn create_index(db: &Connection, spec: &GenerationSpec, column: &str) -> rusqlite::Result<()> {
    let index = quoted(&format!("{}:{column}", spec.id));
    db.execute_batch(&format!("CREATE INDEX {index} ON {} ({}, _key)", table(&spec.id), quoted(column)))
}

fn column_type(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Integer | FieldType::Boolean => "INTEGER",
        FieldType::Number => "REAL",
        FieldType::String | FieldType::Date | FieldType::Timestamp | FieldType::Json => "TEXT",
    }
}
