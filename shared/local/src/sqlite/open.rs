//! Opens a SQLite file the one way that Teal opens them.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use teal::ports::Fault;

use super::fault::fault;

/// When a commit counts as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Once the disk says so. The only choice that survives a power cut.
    #[default]
    Full,
    /// Once the operating system has it. For tests that don't test durability.
    Off,
}

/// Opens or makes the file, with a write-ahead log, so that readers never wait for the writer.
pub fn open(path: &Path, synchronous: Synchronous) -> Result<Connection, Fault> {
    let connect = || {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(
            None,
            "synchronous",
            match synchronous {
                Synchronous::Full => "full",
                Synchronous::Off => "off",
            },
        )?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    connect().map_err(|error| fault(&path.display().to_string(), error))
}
