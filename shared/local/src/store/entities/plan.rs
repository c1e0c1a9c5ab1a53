//! What never changes in the life of a generation, with the SQL that follows from it, made once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use teal::domain::{GenerationId, Millis, Schema};

use super::super::quoted;
use super::Outcome;
use super::stored::{self, Stored};
use crate::sqlite::permanent;

#[derive(Debug)]
pub struct Plan {
    pub id: GenerationId,
    pub incarnation: i64,
    pub schema: Arc<Schema>,
    pub floor: Millis,
    pub owner_is_key: bool,
    pub base: Option<GenerationId>,
    pub sql: Sql,
}

/// Statements over the two tables. Columns of a row come in the order of the schema's fields.
#[derive(Debug)]
pub struct Sql {
    /// `_key` → order, owner, hash, visible, slot, effect, then the indexed fields.
    pub find: String,
    /// key, owner, order, hash, visible, slot, effect, then the fields.
    pub put: String,
    /// The same without the fields: only what is known about the row has changed.
    pub advance: String,
    /// With the fields that have no index, at their places in `put`. SQLite writes to the index of every
    /// column that an update names, changed or not, and each such page is one more to store.
    pub change: String,
    pub hide: String,
    /// owner → key, order, hash of its visible rows.
    pub of_owner: String,
    /// owner → the members of its `Absence`.
    pub absence: String,
    pub put_absence: String,
    /// `_key` → the fields of the visible row.
    pub get: String,
    /// The beginning of a listing: key and fields of visible rows.
    pub list: String,
    pub hashes: String,
}

impl Sql {
    fn new(id: &GenerationId, schema: &Schema, owner_is_key: bool) -> Self {
        let table = table(id);
        let owners = owners(id);
        let owner = if owner_is_key { "_key" } else { "_owner" };
        let fields: Vec<String> = schema.fields.iter().map(|field| quoted(&field.name)).collect();
        // `?2`, the owner, is bound either way; where the key is the owner, no column takes it.
        let owner_column = if owner_is_key { "" } else { "_owner, " };
        let owner_value = if owner_is_key { "" } else { "?2, " };
        let owner_update = if owner_is_key { "" } else { "_owner = ?2, " };
        let list = |separator: &str, item: &dyn Fn(usize, &String) -> String| -> String {
            fields.iter().enumerate().map(|(at, field)| format!("{separator}{}", item(at, field))).collect()
        };
        let columns = list(", ", &|_, field| field.clone());
        let places = list(", ", &|at, _| format!("?{}", at + 8));
        let updates = list(", ", &|_, field| format!("{field} = excluded.{field}"));
        let indexed: String = schema
            .fields
            .iter()
            .filter(|field| field.index)
            .map(|field| format!(", {}", quoted(&field.name)))
            .collect();
        let unindexed = list("", &|at, field| match schema.fields[at].index {
            true => String::new(),
            false => format!(", {field} = ?{}", at + 8),
        });
        let known = "_order = ?3, _hash = ?4, _visible = ?5, _slot = ?6, _effect = ?7";
        Self {
            find: format!(
                "SELECT _order, {owner}, _hash, _visible, _slot, _effect{indexed} FROM {table} WHERE _key = ?1"
            ),
            put: format!(
                "INSERT INTO {table} (_key, {owner_column}_order, _hash, _visible, _slot, _effect{columns})
                 VALUES (?1, {owner_value}?3, ?4, ?5, ?6, ?7{places})
                 ON CONFLICT (_key) DO UPDATE SET {owner_update}{known}{updates}"
            ),
            advance: format!("UPDATE {table} SET {owner_update}{known} WHERE _key = ?1"),
            change: format!("UPDATE {table} SET {owner_update}{known}{unindexed} WHERE _key = ?1"),
            hide: format!("UPDATE {table} SET _visible = 0 WHERE _key = ?1"),
            of_owner: format!("SELECT _key, _order, _hash FROM {table} WHERE {owner} = ?1 AND _visible = 1"),
            absence: format!(
                "SELECT listed, deleted_provider, deleted_stated, deleted_at FROM {owners} WHERE _owner = ?1"
            ),
            put_absence: format!(
                "INSERT INTO {owners} (_owner, listed, deleted_provider, deleted_stated, deleted_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (_owner) DO UPDATE SET listed = ?2, deleted_provider = ?3, deleted_stated = ?4,
                 deleted_at = ?5"
            ),
            get: format!("SELECT _key{columns} FROM {table} WHERE _key = ?1 AND _visible = 1"),
            list: format!("SELECT _key{columns} FROM {table} WHERE _visible = 1"),
            hashes: format!(
                "SELECT _key, _hash FROM {table}
                 WHERE _visible = 1 AND _key > ?1 ORDER BY _key LIMIT ?2"
            ),
        }
    }
}

/// The table of a generation's rows, quoted.
pub fn table(id: &GenerationId) -> String {
    quoted(&id.to_string())
}

/// The table of what is known against its owners, quoted.
pub fn owners(id: &GenerationId) -> String {
    quoted(&format!("{id}_owners"))
}

/// Plans by incarnation, so that a generation made again is not taken for the one before.
#[derive(Debug, Default)]
pub struct Plans(Mutex<BTreeMap<i64, Arc<Plan>>>);

impl Plans {
    /// Fails with `NoGeneration` when it is missing or being dropped.
    pub fn find(&self, db: &Connection, id: &GenerationId) -> Outcome<(Arc<Plan>, Stored)> {
        let stored = stored::must_find(db, id)?;
        if let Some(plan) = self.lock().get(&stored.incarnation) {
            return Ok((Arc::clone(plan), stored));
        }
        let plan = Arc::new(load(db, id, stored.incarnation)?);
        self.lock().insert(stored.incarnation, Arc::clone(&plan));
        Ok((plan, stored))
    }

    pub fn forget(&self, incarnation: i64) {
        self.lock().remove(&incarnation);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<i64, Arc<Plan>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(db: &Connection, id: &GenerationId, incarnation: i64) -> Outcome<Plan> {
    let damaged = |error: serde_json::Error| permanent(format!("{id} has a line that can't be read")).because(error);
    let mut statement =
        db.prepare_cached("SELECT schema, floor, owner_is_key, base FROM _generations WHERE incarnation = ?1")?;
    let mut rows = statement.query([incarnation])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let schema: Schema = serde_json::from_str(&row.get::<_, String>(0)?).map_err(damaged)?;
    let owner_is_key = row.get(2)?;
    let base: Option<String> = row.get(3)?;
    Ok(Plan {
        id: id.clone(),
        incarnation,
        floor: Millis(row.get(1)?),
        owner_is_key,
        base: base.map(|base| serde_json::from_str(&base)).transpose().map_err(damaged)?,
        sql: Sql::new(id, &schema, owner_is_key),
        schema: Arc::new(schema),
    })
}
