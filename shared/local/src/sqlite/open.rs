//! Opening a database file of ours: making it, recognizing it, refusing what is not ours or is newer.
//!
//! Owns the settings that every connection has. Knows no table: what a file holds is its [`Layout`].
//!
//! Always holds: a file that is not ours is not written to, not even its header.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use teal::ports::fault::Fault;

use super::fault::{Trouble, fault, permanent};

/// What kind of file this is, as its header says it.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// SQLite's `application_id`: tells our files from other databases.
    pub application: i32,
    /// SQLite's `user_version`, from 1.
    pub version: i32,
    /// How many pages of log may gather before they are folded into the file (`super::folding`). Pages that are written
    /// again and again are folded once, so more is less work; but what syncs a log waits while the disk takes a fold.
    pub log_pages: u32,
    /// Most memory for pages that the writer has at hand. It is filled once a file has that much, whatever
    /// comes later, so that memory does not grow with the data. A commit that outgrows it is written out
    /// early, and its pages once more later.
    pub writer_cache_kib: u32,
    /// What makes the tables of a new file.
    pub create: &'static str,
}

const READER_CACHE_KIB: u32 = 8_000;

/// When SQLite waits for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// At every commit: what an answer promises. Nothing else is for production.
    #[default]
    Full,
    /// Never: for proving that a test of durability notices.
    Off,
}

/// Opens the file for its one writer, and makes it when it is missing or empty.
pub fn open_writer(path: &Path, layout: &Layout, synchronous: Synchronous) -> Result<Connection, Fault> {
    let object = path.display().to_string();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let prepared = || -> Result<Connection, Trouble> {
        let connection = Connection::open_with_flags(path, flags)?;
        tune(&connection, layout.writer_cache_kib)?;
        let is_new = recognize(&connection, layout, &object)?;
        // With a write-ahead log, readers never wait for the writer, nor it for them.
        connection.pragma_update(None, "journal_mode", "wal")?;
        sync_as(&connection, synchronous)?;
        // Room for the commits that go beyond, so that the log is seldom cut only to grow again.
        connection.pragma_update(None, "journal_size_limit", i64::from(layout.log_pages) * 4096 * 3 / 2)?;
        if is_new {
            make(&connection, layout)?;
        }
        Ok(connection)
    };
    prepared().map_err(|trouble| trouble.named(&object))
}

/// Opens one more connection to a file that [`open_writer`] has opened.
pub fn open_reader(path: &Path) -> Result<Connection, Fault> {
    open_more(path, OpenFlags::SQLITE_OPEN_READ_ONLY, |connection| tune(connection, READER_CACHE_KIB))
}

/// Opens one that folds the log of such a file, and writes nothing else.
pub fn open_beside(path: &Path, synchronous: Synchronous) -> Result<Connection, Fault> {
    open_more(path, OpenFlags::SQLITE_OPEN_READ_WRITE, |connection| sync_as(connection, synchronous))
}

fn open_more(
    path: &Path,
    how: OpenFlags,
    set: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<Connection, Fault> {
    Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|connection| set(&connection).map(|()| connection))
        .map_err(|error| fault(&path.display().to_string(), error))
}

fn sync_as(connection: &Connection, synchronous: Synchronous) -> rusqlite::Result<()> {
    let name = match synchronous {
        Synchronous::Full => "full",
        Synchronous::Off => "off",
    };
    connection.pragma_update(None, "synchronous", name)
}

fn make(connection: &Connection, Layout { application, version, create, .. }: &Layout) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {create}; PRAGMA application_id = {application}; PRAGMA user_version = {version}; COMMIT;"
    ))
}

fn tune(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "mmap_size", 128 << 20)?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

/// Whether the file is new. Refuses one that is not ours, or that a newer Teal has written.
fn recognize(connection: &Connection, layout: &Layout, object: &str) -> Result<bool, Trouble> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = match number("application_id") {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            let what = format!("{object} is not a database; move it away, or point Teal at another directory");
            return Err(permanent(what).because(error).into());
        }
        other => other?,
    };
    let version = number("user_version")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(true);
    }
    if application != layout.application {
        let what =
            format!("{object} is a database of another program; move it away, or point Teal at another directory");
        return Err(permanent(what).into());
    }
    if version > layout.version {
        let what = format!(
            "{object} has format {version}, and this Teal knows formats up to {}; use the newer Teal that wrote it",
            layout.version
        );
        return Err(permanent(what).into());
    }
    if version < layout.version {
        let what = format!("{object} has format {version}, which this Teal can't read; restore or rebuild it");
        return Err(permanent(what).into());
    }
    Ok(false)
}
