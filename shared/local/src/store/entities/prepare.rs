//! A merge's changes in the form that the writer binds: keys encoded, hashes made, values converted.
//!
//! Runs on the caller's thread. Rows that can't be stored as they are fail here, before anything is written.

use rusqlite::types::Value as SqlValue;
use sha2::{Digest, Sha256};
use teal::domain::row::first_eight;
use teal::domain::{Absence, Effect, Key, Millis, Order, RecordChange, Row};
use teal::ports::fault::Fault;

use super::plan::Plan;
use super::values;
use crate::sqlite::permanent;

pub struct Change {
    /// The owner's key, encoded.
    pub owner: String,
    pub effect: ChangeEffect,
    pub stated: Millis,
    pub late: bool,
}

pub enum ChangeEffect {
    Upsert { order: Order, rows: Vec<ChangeRow>, complete: bool },
    Delete(Absence),
}

pub struct ChangeRow {
    pub key: String,
    /// `RowHash` as SQLite keeps it.
    pub hash: i64,
    pub values: Vec<SqlValue>,
}

pub fn changes(plan: &Plan, changes: &[RecordChange]) -> Result<Vec<Change>, Fault> {
    changes.iter().map(|change| self::change(plan, change)).collect()
}

/// What tells one slot from another: its name would be most of a small row.
pub fn slot(name: &str) -> i64 {
    first_eight(&Sha256::digest(name)).cast_signed()
}

fn change(plan: &Plan, change: &RecordChange) -> Result<Change, Fault> {
    let effect = match &change.effect {
        Effect::Upsert { order, rows, complete } => ChangeEffect::Upsert {
            order: *order,
            rows: rows.iter().map(|row| self::row(plan, &change.owner, row)).collect::<Result<_, _>>()?,
            complete: *complete,
        },
        Effect::Delete { provider, stated } => ChangeEffect::Delete(Absence::deleted(*provider, *stated)),
    };
    Ok(Change { owner: change.owner.encode(), effect, stated: change.stated(), late: change.late })
}

fn row(plan: &Plan, owner: &Key, row: &Row) -> Result<ChangeRow, Fault> {
    let fields = &plan.schema.fields;
    if row.values.len() != fields.len() {
        let (has, wants) = (row.values.len(), fields.len());
        return Err(permanent(format!("row {} of {} has {has} values for {wants} fields", row.key, plan.id)));
    }
    if plan.owner_is_key && row.key != *owner {
        let what =
            format!("row {} of {} was made by record {owner}; there, a row's key is its record's", row.key, plan.id);
        return Err(permanent(what));
    }
    let value = |(field, value): (&teal::domain::Field, _)| {
        values::to_sql(field.kind, value).ok_or_else(|| {
            let (name, kind) = (&field.name, field.kind);
            permanent(format!("row {} of {}: the value of '{name}' is not of its type, {kind:?}", row.key, plan.id))
        })
    };
    Ok(ChangeRow {
        key: row.key.encode(),
        hash: row.hash().0.cast_signed(),
        values: fields.iter().zip(&row.values).map(value).collect::<Result<_, _>>()?,
    })
}
