//! Dropping a generation in slices, so that no transaction and no wait grows with its size.

use rusqlite::Connection;
use teal::domain::GenerationId;
use teal::ports::entities::Dropped;

use super::super::views;
use super::plan::{Plans, owners, table};
use super::{Outcome, stored};
use crate::sqlite::as_limit;

/// At most `limit` rows, and at most `limit` lines of the owners' table.
pub fn slice(db: &Connection, plans: &Plans, id: &GenerationId, limit: usize) -> Outcome<Dropped> {
    let Some(incarnation) = stored::incarnation(db, id)? else { return Ok(Dropped::Gone) };
    db.prepare_cached("UPDATE _generations SET dropping = 1 WHERE incarnation = ?1")?.execute([incarnation])?;
    views::repoint(db)?;
    let (rows, owners) = (table(id), owners(id));
    let rows_left = delete_some(db, &rows, "_key", limit)?;
    let owners_left = delete_some(db, &owners, "_owner", limit)?;
    if rows_left || owners_left {
        return Ok(Dropped::More);
    }
    db.execute_batch(&format!("DROP TABLE {rows}; DROP TABLE {owners}"))?;
    db.prepare_cached("DELETE FROM _generations WHERE incarnation = ?1")?.execute([incarnation])?;
    plans.forget(incarnation);
    Ok(Dropped::Gone)
}

/// Whether some are left.
fn delete_some(db: &Connection, table: &str, key: &str, limit: usize) -> rusqlite::Result<bool> {
    db.prepare(&format!("DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} ORDER BY {key} LIMIT ?1)"))?
        .execute([as_limit(limit)])?;
    db.query_row(&format!("SELECT EXISTS (SELECT 1 FROM {table})"), [], |row| row.get(0))
}
