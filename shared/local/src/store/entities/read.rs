//! Reading visible rows: one, a page, keys and hashes, relations that lead nowhere.

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, params_from_iter};
use teal::domain::{FieldType, Key, Row, RowHash, Schema, Value};
use teal::ports::entities::{Compare, Dangling, Filter, ListQuery};
use teal::ports::fault::Fault;

use super::super::quoted;
use super::plan::{Plan, table};
use super::{Outcome, values};
use crate::sqlite::{as_limit, permanent};

pub fn get(db: &Connection, plan: &Plan, key: Key) -> Outcome<Option<Row>> {
    let mut statement = db.prepare_cached(&plan.sql.get)?;
    let mut rows = statement.query([key.encode()])?;
    rows.next()?.map(|row| Ok(Row { key, values: row_values(plan, row)? })).transpose()
}

/// Whether each row, by key, is visible with this hash, and this record's.
pub fn holds(db: &Connection, plan: &Plan, rows: &[(String, String, RowHash)]) -> Outcome<bool> {
    let mut statement = db.prepare_cached(&plan.sql.find)?;
    for (key, owner, hash) in rows {
        let mut found = statement.query([key])?;
        let Some(row) = found.next()? else { return Ok(false) };
        let by = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        if by != owner || row.get::<_, i64>(2)?.cast_unsigned() != hash.0 || !row.get::<_, bool>(3)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub fn list(db: &Connection, plan: &Plan, query: &ListQuery) -> Outcome<Vec<Row>> {
    let mut sql = plan.sql.list.clone();
    let mut bound: Vec<SqlValue> = Vec::new();
    if let Some(after) = &query.after {
        bound.push(SqlValue::Text(after.encode()));
        sql.push_str(" AND _key > ?1");
    }
    for filter in &query.filters {
        // A value that its field can't have fits no row.
        let Some(value) = filter_value(plan, filter)? else { return Ok(Vec::new()) };
        bound.push(value);
        sql.push_str(&format!(" AND {} {} ?{}", quoted(&filter.field), operator(filter.compare), bound.len()));
    }
    bound.push(SqlValue::Integer(as_limit(query.limit)));
    sql.push_str(&format!(" ORDER BY _key LIMIT ?{}", bound.len()));
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(bound))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Row { key: key(plan, row)?, values: row_values(plan, row)? });
    }
    Ok(found)
}

pub fn hashes(db: &Connection, plan: &Plan, after: Option<&Key>, limit: usize) -> Outcome<Vec<(Key, RowHash)>> {
    let mut statement = db.prepare_cached(&plan.sql.hashes)?;
    let mut rows = statement.query((from(after), as_limit(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((key(plan, row)?, RowHash(row.get::<_, i64>(1)?.cast_unsigned())));
    }
    Ok(found)
}

/// A value leads to the row whose encoded key it makes: a point look-up, whatever the target's indexes.
pub fn dangling(
    db: &Connection,
    plan: &Plan,
    field: &str,
    target: &Plan,
    after: Option<&Key>,
    limit: usize,
) -> Outcome<Dangling> {
    let kind = kind_of(plan, field)?;
    let mut slice = db.prepare_cached(&format!(
        "SELECT _key, {} FROM {} WHERE _visible = 1 AND _key > ?1 ORDER BY _key LIMIT ?2",
        quoted(field),
        table(&plan.id),
    ))?;
    let mut exists =
        db.prepare_cached(&format!("SELECT 1 FROM {} WHERE _key = ?1 AND _visible = 1", table(&target.id)))?;
    let mut rows = slice.query((from(after), as_limit(limit)))?;
    let mut dangling = Dangling::default();
    while let Some(row) = rows.next()? {
        let key = key(plan, row)?;
        let value = values::from_sql(kind, row.get_ref(1)?).ok_or_else(|| damaged(plan, field))?;
        let leads_somewhere = match &value {
            Value::Null => true,
            Value::Int(id) => exists.exists([Key::int(*id).encode()])?,
            Value::Text(id) => exists.exists([Key::text(id.as_str()).encode()])?,
            Value::Bool(_) | Value::Float(_) | Value::Json(_) => false,
        };
        dangling.looked_at += 1;
        if !leads_somewhere {
            dangling.found.push((key.clone(), value));
        }
        dangling.next = Some(key);
    }
    if dangling.looked_at < limit {
        dangling.next = None;
    }
    Ok(dangling)
}

/// Every encoded key sorts after the empty text.
fn from(after: Option<&Key>) -> String {
    after.map(Key::encode).unwrap_or_default()
}

fn operator(compare: Compare) -> &'static str {
    match compare {
        Compare::Equal => "=",
        Compare::Less => "<",
        Compare::LessOrEqual => "<=",
        Compare::Greater => ">",
        Compare::GreaterOrEqual => ">=",
    }
}

/// `None` when no row can fit: nulls and JSON fit no filter, and values of other types don't compare.
fn filter_value(plan: &Plan, filter: &Filter) -> Result<Option<SqlValue>, Fault> {
    let kind = kind_of(plan, &filter.field)?;
    if !plan.schema.fields.iter().any(|field| field.index && field.name == filter.field) {
        let what = format!("{} has no index on '{}'; declare it `index: true` to filter by it", plan.id, filter.field);
        return Err(permanent(what));
    }
    Ok(match (kind, &filter.value) {
        (_, Value::Null) | (FieldType::Json, _) => None,
        // SQLite compares the two kinds of number by value.
        (FieldType::Number | FieldType::Integer, Value::Int(value)) => Some(SqlValue::Integer(*value)),
        (FieldType::Integer, Value::Float(value)) => Some(SqlValue::Real(*value)),
        (kind, value) => values::to_sql(kind, value),
    })
}

fn kind_of(plan: &Plan, field: &str) -> Result<FieldType, Fault> {
    let Schema { fields, .. } = &*plan.schema;
    match plan.schema.position(field) {
        Some(at) => Ok(fields[at].kind),
        None => Err(permanent(format!("{} has no field '{field}'; see its schema", plan.id))),
    }
}

fn key(plan: &Plan, row: &rusqlite::Row<'_>) -> Outcome<Key> {
    let encoded = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(Key::decode(encoded).map_err(|error| damaged(plan, "_key").because(error))?)
}

/// The fields start at column 1, after the key.
fn row_values(plan: &Plan, row: &rusqlite::Row<'_>) -> Outcome<Vec<Value>> {
    let mut found = Vec::with_capacity(plan.schema.fields.len());
    for (at, field) in plan.schema.fields.iter().enumerate() {
        let value = values::from_sql(field.kind, row.get_ref(at + 1)?);
        found.push(value.ok_or_else(|| damaged(plan, &field.name))?);
    }
    Ok(found)
}

fn damaged(plan: &Plan, column: &str) -> Fault {
    permanent(format!("{} holds a '{column}' that Teal didn't write; was the file changed by hand?", plan.id))
}
