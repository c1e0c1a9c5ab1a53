//! `inbox.db`: what has arrived and is not done yet. The queue, and blobs small enough to be rows.
//!
//! Owns the file, its tables and its one writer. Entities and the ledger live in a file of their own, so
//! that the answer to a webhook never waits for a page of rows. A webhook's blob and its message are two
//! small writes here, and those of many webhooks share a commit.
//!
//! ```text
//! message  id | queue | body | sent_at | visible_at | receive_count | first_received_at | repeated
//! blob     id | key | bytes, found by blob_index          (`rows`)
//! ```

mod queue;
mod receipt;
mod rows;

use std::path::Path;
use std::sync::Arc;

use teal::ports::{Clock, Fault};

pub(crate) use queue::insert as insert_message;
pub use queue::{DeadLetter, Depth, Queue, Received};
pub use receipt::Receipt;
pub(crate) use rows::{Draft, Rows};

use crate::sqlite::{Database, Layout, Synchronous};

const LAYOUT: Layout = Layout {
    application: 0x7465_6169,
    version: 2,
    // Small, because what syncs a webhook waits while the disk takes a fold.
    log_pages: 500,
    writer_cache_kib: 16_000,
    create: "
        CREATE TABLE message (
            -- Never reused, so that an old receipt can't mean a new message.
            id                INTEGER PRIMARY KEY AUTOINCREMENT,
            queue             TEXT NOT NULL,
            body              TEXT NOT NULL,
            sent_at           INTEGER NOT NULL,
            visible_at        INTEGER NOT NULL,
            receive_count     INTEGER NOT NULL DEFAULT 0,
            first_received_at INTEGER,
            repeated          INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE INDEX message_due ON message (queue, visible_at);
        CREATE TABLE blob (
            id    INTEGER PRIMARY KEY,
            key   TEXT NOT NULL,
            bytes BLOB NOT NULL
        ) STRICT;
        CREATE TABLE blob_index (
            key TEXT PRIMARY KEY,
            id  INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        -- Every blob up to this id is in the index.
        CREATE TABLE blob_indexed (through INTEGER NOT NULL) STRICT;
        INSERT INTO blob_indexed VALUES (0)",
};

/// Reads at the same time: the queues' look-outs and the workers' blobs.
const READERS: usize = 4;

#[derive(Clone, Copy, Debug)]
pub struct InboxOptions {
    pub synchronous: Synchronous,
    /// Receptions that a message gets before it is put aside as a dead letter.
    pub max_receive: u32,
    /// With a seed, for tests: batches come shuffled, and now and then a message comes twice.
    pub shuffle_and_repeat: Option<u64>,
}

impl Default for InboxOptions {
    fn default() -> Self {
        Self { synchronous: Synchronous::Full, max_receive: 5, shuffle_and_repeat: None }
    }
}

/// The open file. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Inbox {
    pub(crate) file: Arc<Database>,
    pub(crate) rows: Arc<Rows>,
    queue: Arc<Queue>,
}

impl Inbox {
    /// Opens or makes `inbox.db` in `dir`, which must be there and ours (`crate::lock`).
    pub fn open(dir: &Path, clock: Arc<dyn Clock>, options: InboxOptions) -> Result<Self, Fault> {
        let file = Database::open(&dir.join("inbox.db"), &LAYOUT, options.synchronous, READERS)?;
        let rows = Rows::open(&file)?;
        let queue = Arc::new(Queue::new(Arc::clone(&file), clock, options));
        Ok(Self { file, rows, queue })
    }

    #[must_use]
    pub fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }
}

#[cfg(test)]
mod tests;
