//! `teal.db`: the entities and the ledger, in one SQLite file that anyone may open and query.
//!
//! Layout on disk:
//!
//! ```text
//! {entity}_v{n}          the rows of a generation: its declared fields as typed columns, in schema order,
//!                        and Teal's own, which start with _ :
//!                          _key      Key::encode, the primary key: key order is the table's order
//!                          _owner    the record that made the row (missing where it is the key)
//!                          _order    Order::encode of the newest upsert
//!                          _hash     Row::hash, as a signed number
//!                          _visible  0 or 1: always domain::order::visible of what is stored
//!                          _slot     which raw object the row came from, as a hash of its name
//!                          _effect   how that merge counted it
//! {entity}_v{n}:{field}  index of an `index: true` field
//! {entity}_v{n}_owners   what is known against the rows of an owner (domain::order::Absence)
//! {entity}_current       view: the declared fields of the visible rows of the active generation
//! ledger                 (part, sort) → value, mark, revision
//! _generations           a line per generation: schema, gate, fence, confirmed, sequence, rows, sum
//! _views                 which generation each view shows
//! _counters              the last revision given
//! ```
//!
//! Always holds: one thread writes, a commit is on the disk before its caller is answered, and the views
//! are repointed by the same transaction that writes the pointer. Retired generations have no view.

mod entities;
mod ledger;
#[cfg(test)]
mod tests;
mod views;

use std::path::Path;
use std::sync::Arc;

use teal::ports::fault::Fault;

use self::entities::Plans;
pub use crate::sqlite::Synchronous;
use crate::sqlite::{Database, Layout};

const LAYOUT: Layout = Layout {
    application: 0x7465_616c,
    version: 2,
    // A page of rows touches as many pages of each index, all over it.
    log_pages: 32_000,
    writer_cache_kib: 8_000,
    create: "
        CREATE TABLE ledger (
            part TEXT NOT NULL, sort TEXT NOT NULL, value TEXT NOT NULL,
            mark INTEGER NOT NULL, revision INTEGER NOT NULL,
            PRIMARY KEY (part, sort)
        ) WITHOUT ROWID;
        CREATE TABLE _counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO _counters VALUES ('revision', 0);
        CREATE TABLE _generations (
            incarnation INTEGER PRIMARY KEY AUTOINCREMENT,
            entity TEXT NOT NULL, number INTEGER NOT NULL,
            schema TEXT NOT NULL, floor INTEGER NOT NULL, owner_is_key INTEGER NOT NULL, base TEXT,
            gate TEXT NOT NULL, fence INTEGER NOT NULL, confirmed INTEGER NOT NULL,
            sequence INTEGER NOT NULL, rows INTEGER NOT NULL, sum INTEGER NOT NULL,
            absences INTEGER NOT NULL, dropping INTEGER NOT NULL,
            UNIQUE (entity, number)
        );
        CREATE TABLE _views (
            entity TEXT PRIMARY KEY, number INTEGER NOT NULL, incarnation INTEGER NOT NULL
        ) WITHOUT ROWID",
};

#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    pub synchronous: Synchronous,
    /// How many reads can go on at once.
    pub readers: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { synchronous: Synchronous::Full, readers: 4 }
    }
}

/// The open file. Implements the ports `Ledger` and `EntityAdmin`, `EntityWriter`, `EntityReader`.
pub struct TealDb {
    file: Arc<Database>,
    plans: Arc<Plans>,
}

impl TealDb {
    /// Opens the file, and makes it when it is missing. Its directory must be there.
    pub fn open(path: impl AsRef<Path>, options: StoreOptions) -> Result<Arc<Self>, Fault> {
        let file = Database::open(path.as_ref(), &LAYOUT, options.synchronous, options.readers)?;
        Ok(Arc::new(Self { file, plans: Arc::new(Plans::default()) }))
    }
}

/// An identifier as SQL wants it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
