//! What every SQLite file of Teal has in common: how it is opened, written, read, and how its errors are
//! judged. Knows no table.
//!
//! Owns the threads and connections of an open file: one that writes, one that folds its log, some that read. Always
//! holds: when
//! the last handle of a [`Database`] goes, every write that was queued is committed and the log is folded
//! into the file, so that the file alone is a whole copy.

pub mod fault;
pub mod folding;
pub mod open;
pub mod readers;
pub mod writer;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use teal::ports::fault::Fault;

pub use self::fault::{Trouble, permanent};
use self::folding::Folding;
pub use self::open::{Layout, Synchronous};
use self::readers::Readers;
use self::writer::Writer;

/// An open file of a known layout.
pub struct Database {
    // Closed in this order: only a connection that may write can fold the log when it is the last one.
    readers: Readers,
    writer: Writer,
}

impl Database {
    /// Opens the file, and makes it when it is missing. Its directory must be there. `readers` is how many
    /// reads can go on at once.
    pub fn open(path: &Path, layout: &Layout, synchronous: Synchronous, readers: usize) -> Result<Arc<Self>, Fault> {
        let mut writing = open::open_writer(path, layout, synchronous)?;
        let reading = (0..readers.max(1)).map(|_| open::open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        let beside = open::open_beside(path, synchronous)?;
        let file = path.display().to_string();
        let mut folding = Folding::start(&file, &mut writing, beside, layout.log_pages)?;
        let writer = Writer::start(&file, writing, move |connection| folding.after_group(connection))?;
        Ok(Arc::new(Self { readers: Readers::start(&file, reading)?, writer }))
    }

    /// Runs `job` in a transaction and answers once it is durable; see [`Writer::run`]. `what` names in a
    /// fault what is written.
    pub fn write<T, E, F>(&self, what: &str, job: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: FnOnce(&Connection) -> Result<T, Trouble<E>> + Send + 'static,
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        self.writer.run(what, job)
    }

    /// Runs `job` in a transaction and hands the answer on once it is durable; see [`Writer::submit`].
    pub fn submit<T, E, F, A>(&self, what: &str, job: F, then: A) -> Result<(), Fault>
    where
        F: FnOnce(&Connection) -> Result<T, Trouble<E>> + Send + 'static,
        A: FnOnce(Result<T, E>) + Send + 'static,
        T: 'static,
        E: From<Fault> + 'static,
    {
        self.writer.submit(what, job, then)
    }

    /// Runs `read` on one snapshot of the file; see [`Readers::run`]. `what` names in a fault what is read.
    pub fn read<T, E, F>(&self, what: &str, read: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: FnOnce(&Connection) -> Result<T, Trouble<E>> + Send + 'static,
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        self.readers.run(what, read)
    }
}

/// SQLite's integers are signed, and no list is longer than they count.
#[must_use]
pub fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
