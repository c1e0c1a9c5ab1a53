//! Blobs on one machine: small ones as rows of `inbox.db`, large ones as files.
//!
//! Owns the directory `blobs/` and the table `blob`. Always holds:
//!
//! - An object that was put is on durable storage, with every directory above it, before `put` returns,
//!   also when `put` returns that somebody else's was there.
//! - No half-written object is ever visible: a file gets its name only after its bytes are synced.
//! - The first put of a key wins, small or large. The writer of `inbox.db` decides it, because it does one
//!   thing at a time; writing and syncing the bytes of large objects happens outside it.
//!
//! ```text
//! blobs/{key, escaped}.blob     an object larger than `SMALL` (`key`)
//! blobs/.incoming/              files that have no name yet; emptied when Teal starts
//! ```

mod disk;
mod files;
mod folder;
mod key;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use teal::ports::blobs::{BlobError, Put};
use teal::ports::fault::FaultKind;
use teal::ports::{BlobAdmin, BlobReader, BlobWriter, Fault};
use tokio::sync::oneshot;

pub use folder::{FolderBlobs, Folders};

pub use disk::{Disk, DiskEntry, DiskFile, RealDisk};

use self::files::Files;
use self::key::CheckedKey;
use crate::inbox::{Draft, Inbox};
use crate::sqlite::{Trouble, permanent};

/// Objects up to this size are rows: many of them share one commit, and no webhook waits for a file.
pub const SMALL: usize = 32 * 1024;

#[derive(Clone)]
pub struct LocalBlobs {
    inbox: Inbox,
    files: Arc<Files>,
}

impl LocalBlobs {
    /// `dir` is the data directory, the same one as the inbox's.
    pub fn open(dir: &Path, inbox: Inbox) -> Result<Self, Fault> {
        Self::open_on(Arc::new(RealDisk), dir, inbox)
    }

    /// On a disk of the caller's own: for tests of what survives a power cut.
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, inbox: Inbox) -> Result<Self, Fault> {
        Ok(Self { inbox, files: Arc::new(Files::open(disk, dir)?) })
    }

    /// How to put an object in a transaction of `inbox.db`; `None` for one that becomes a file.
    pub(crate) fn row(&self, key: &str, bytes: usize) -> Result<Option<BlobRow>, Fault> {
        let key = CheckedKey::new(key)?;
        let is_row = bytes <= SMALL || !key.fits_a_file_system();
        Ok(is_row.then(|| BlobRow { key, files: Arc::clone(&self.files) }))
    }

    /// Runs `job` in a transaction, to its end even when nobody waits for it any more.
    async fn write_rows<T, F>(&self, key: &CheckedKey, job: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Draft) -> Result<T, Trouble> + Send + 'static,
    {
        let mut draft = self.inbox.rows.draft();
        let (sender, answer) = oneshot::channel();
        let write = move |connection: &Connection| {
            let done = job(connection, &mut draft)?;
            draft.enter(connection)?;
            Ok((done, draft))
        };
        self.inbox.file.submit(&blob(key), write, move |written: Result<(T, Draft), Fault>| {
            let _ = sender.send(written.map(|(done, draft)| {
                draft.stands();
                done
            }));
        })?;
        answer.await.map_err(|_| permanent("inbox.db: its writer has ended; start Teal again"))?
    }

    async fn put_row(&self, row: BlobRow, bytes: Bytes) -> Result<Put, Fault> {
        let key = row.key.clone();
        match self.write_rows(&key, move |connection, draft| row.insert(connection, draft, &bytes)).await? {
            Some(put) => Ok(put),
            None => {
                self.on_files(move |files| files.sync_directory_of(&key)).await?;
                Ok(Put::WasThere)
            }
        }
    }

    async fn put_file(&self, key: CheckedKey, bytes: Bytes) -> Result<Put, Fault> {
        let incoming = self
            .on_files({
                let key = key.clone();
                move |files| files.write_incoming(&key, &bytes)
            })
            .await?;
        let (files, rows) = (Arc::clone(&self.files), Arc::clone(&self.inbox.rows));
        let put = self
            .inbox
            .file
            .write(&blob(&key), {
                let key = key.clone();
                move |connection| {
                    let is_row = rows.exists(connection, key.as_str())?;
                    if is_row { Ok(Put::WasThere) } else { Ok(files.publish(&incoming, &key)?) }
                }
            })
            .await?;
        self.on_files(move |files| files.sync_directory_of(&key)).await?;
        Ok(put)
    }

    async fn on_files<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Files) -> Result<T, Fault> + Send + 'static,
    {
        on_files(&self.files, work).await
    }
}

/// An object that is small enough to share a transaction.
pub(crate) struct BlobRow {
    key: CheckedKey,
    files: Arc<Files>,
}

impl BlobRow {
    pub(crate) fn key(&self) -> &str {
        self.key.as_str()
    }

    /// `None` if the object is a file, whose name may not be durable yet.
    pub(crate) fn insert(
        &self,
        connection: &Connection,
        draft: &mut Draft,
        bytes: &[u8],
    ) -> Result<Option<Put>, Trouble> {
        if self.files.exists(&self.key)? {
            return Ok(None);
        }
        draft.put(connection, self.key.as_str(), bytes).map(Some)
    }
}

async fn on_files<T, F>(files: &Arc<Files>, work: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce(&Files) -> Result<T, Fault> + Send + 'static,
{
    let files = Arc::clone(files);
    tokio::task::spawn_blocking(move || work(&files)).await.map_err(|error| {
        Fault::new(FaultKind::Permanent, "work on a blob's file ended early; this is a bug").because(error)
    })?
}

#[async_trait]
impl BlobReader for LocalBlobs {
    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        let key = CheckedKey::new(key)?;
        let row = self.inbox.file.read(&blob(&key), {
            let (rows, key) = (Arc::clone(&self.inbox.rows), key.clone());
            move |connection| rows.get(connection, key.as_str())
        });
        let found = match row.await? {
            Some(bytes) => Some(bytes),
            None => {
                let key = key.clone();
                self.on_files(move |files| files.read(&key)).await?.map(Bytes::from)
            }
        };
        found.ok_or_else(|| BlobError::Missing(key.as_str().to_owned()))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, BlobError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let rows = self.inbox.file.read("blobs", {
            let (rows, prefix, after) = (Arc::clone(&self.inbox.rows), prefix.clone(), after.clone());
            move |connection| rows.list(connection, &prefix, after.as_deref(), limit)
        });
        let mut keys = rows.await?;
        keys.extend(self.on_files(move |files| files.list(&prefix, after.as_deref(), limit)).await?);
        keys.sort_unstable();
        keys.truncate(limit);
        Ok(keys)
    }
}

#[async_trait]
impl BlobWriter for LocalBlobs {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, BlobError> {
        let put = match self.row(key, bytes.len())? {
            Some(row) => self.put_row(row, bytes).await?,
            None => self.put_file(CheckedKey::new(key)?, bytes).await?,
        };
        Ok(put)
    }
}

#[async_trait]
impl BlobAdmin for LocalBlobs {
    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let key = CheckedKey::new(key)?;
        let deleted = key.clone();
        self.write_rows(&key, move |connection, draft| draft.delete(connection, deleted.as_str())).await?;
        self.on_files(move |files| files.delete(&key)).await?;
        Ok(())
    }
}

/// A blob's name in a fault.
fn blob(key: &CheckedKey) -> String {
    format!("blob '{}'", key.as_str())
}

#[cfg(test)]
mod power_cut_tests;
#[cfg(test)]
mod tests;
