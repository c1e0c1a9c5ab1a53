//! The views `{entity}_current`, which show the active version to whoever opens the file.
//!
//! Always holds: after [`repoint`], the views are exactly those of the generations that the pointer names
//! and that are there whole. It runs inside the transaction that changed one of these.

use std::collections::BTreeMap;

use rusqlite::Connection;
use teal::domain::{EntityName, GenerationId, Pointer, Schema};
use teal::ports::fault::Fault;
use teal::ports::ledger::pointer_key;

use super::{ledger, quoted};
use crate::sqlite::{Trouble, permanent};

/// Entity → number and incarnation of the generation that its view shows.
type Shown = BTreeMap<String, (u32, i64)>;

pub fn repoint<E: From<Fault>>(db: &Connection) -> Result<(), Trouble<E>> {
    let stored = stored(db)?;
    let mut wanted = Shown::new();
    for (entity, number) in active::<E>(db)? {
        let mut find = db.prepare_cached(
            "SELECT incarnation, schema FROM _generations WHERE entity = ?1 AND number = ?2 AND dropping = 0",
        )?;
        let mut rows = find.query((entity.as_str(), number))?;
        let Some(row) = rows.next()? else { continue };
        let shown = (number, row.get(0)?);
        if stored.get(entity.as_str()) != Some(&shown) {
            let id = GenerationId { entity: entity.clone(), number };
            let schema: Schema = serde_json::from_str(&row.get::<_, String>(1)?)
                .map_err(|error| permanent(format!("the stored schema of {id} is damaged")).because(error))?;
            create(db, &id, &schema)?;
            db.prepare_cached("INSERT OR REPLACE INTO _views (entity, number, incarnation) VALUES (?1, ?2, ?3)")?
                .execute((entity.as_str(), shown.0, shown.1))?;
        }
        wanted.insert(entity.as_str().to_owned(), shown);
    }
    for entity in stored.keys().filter(|entity| !wanted.contains_key(*entity)) {
        drop_view(db, entity)?;
        db.execute("DELETE FROM _views WHERE entity = ?1", [entity])?;
    }
    Ok(())
}

fn stored(db: &Connection) -> rusqlite::Result<Shown> {
    let mut statement = db.prepare_cached("SELECT entity, number, incarnation FROM _views")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    rows.collect()
}

fn active<E: From<Fault>>(db: &Connection) -> Result<BTreeMap<EntityName, u32>, Trouble<E>> {
    let Some(item) = ledger::find::<E>(db, &pointer_key())? else { return Ok(BTreeMap::new()) };
    let pointer: Pointer =
        item.value.read().map_err(|error| permanent("the item 'system/pointer' must hold a pointer").because(error))?;
    Ok(pointer.generations)
}

fn create(db: &Connection, id: &GenerationId, schema: &Schema) -> rusqlite::Result<()> {
    let fields: Vec<String> = schema.fields.iter().map(|field| quoted(&field.name)).collect();
    drop_view(db, id.entity.as_str())?;
    db.execute_batch(&format!(
        "CREATE VIEW {} AS SELECT {} FROM {} WHERE _visible = 1",
        view(id.entity.as_str()),
        fields.join(", "),
        quoted(&id.to_string()),
    ))
}

fn drop_view(db: &Connection, entity: &str) -> rusqlite::Result<()> {
    db.execute_batch(&format!("DROP VIEW IF EXISTS {}", view(entity)))
}

fn view(entity: &str) -> String {
    quoted(&format!("{entity}_current"))
}
