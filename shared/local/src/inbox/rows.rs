//! Objects that are rows of `inbox.db`, and the index by which their keys are found.
//!
//! Rows are appended, whatever their keys. Deliveries come under ids of their senders, in no order: an index that took
//! each key at once would have another of its pages written for nearly every one. So new keys are kept in memory, and
//! enter the index in their order, some with each transaction: neighbours share a page.
//!
//! Always holds:
//!
//! - Each row can be found: its key is in memory until the transaction stands in which the index got it.
//! - What is in memory is a hint. A row that it names may be gone, or not be there yet: the row itself decides.
//! - Rows up to `blob_indexed.through` are in the index. Those above are read when the file is opened; they are about as
//!   many as memory holds at most, twice [`FRESH`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use teal::ports::Fault;
use teal::ports::blobs::Put;

use crate::sqlite::{Database, Trouble, as_limit, permanent};

/// How many new keys are gathered before they begin to enter the index.
const FRESH: usize = 32 * 1024;

pub(crate) struct Rows {
    fresh: Mutex<Fresh>,
    /// [`FRESH`], except in tests.
    gathered: usize,
}

/// A key with the id of its row.
type Entry = (Box<str>, i64);

/// What the index may not have yet: keys with the ids of their rows.
struct Fresh {
    next_id: i64,
    /// Of transactions that have not ended: one key may be put, deleted and put again before it is known what stands.
    unsure: BTreeMap<Box<str>, Vec<i64>>,
    gathering: BTreeMap<Box<str>, i64>,
    /// On their way into the index, by transactions one after the other.
    entering: BTreeMap<Box<str>, i64>,
    /// Once they are all there, every row up to this one is in the index.
    through: i64,
    /// A transaction that has not ended has put some of them there.
    is_entering: bool,
    /// How many of them the next transaction has to take: twice what was put since one did, so that all are there before
    /// as many have gathered again.
    owed: usize,
    /// Keys that transactions have deleted which have not ended.
    deleting: usize,
}

impl Rows {
    /// Reads what the index lacks.
    pub fn open(file: &Database) -> Result<Arc<Self>, Fault> {
        Self::gathering(file, FRESH)
    }

    fn gathering(file: &Database, gathered: usize) -> Result<Arc<Self>, Fault> {
        let (sender, answer) = std::sync::mpsc::channel();
        file.submit("blobs", Fresh::read, move |fresh: Result<Fresh, Fault>| _ = sender.send(fresh))?;
        let fresh =
            answer.recv().map_err(|_| permanent("inbox.db was closed while it was opened; start Teal again"))??;
        Ok(Arc::new(Self { fresh: Mutex::new(fresh), gathered }))
    }

    /// For one transaction of the file's writer.
    pub fn draft(self: &Arc<Self>) -> Draft {
        Draft { rows: Arc::clone(self), put: Vec::new(), deleting: 0, deleted: Vec::new(), entering: None }
    }

    pub fn get(&self, connection: &Connection, key: &str) -> Result<Option<Bytes>, Trouble> {
        for id in self.hints(key) {
            let mut select = connection.prepare_cached("SELECT bytes FROM blob WHERE id = ?1")?;
            if let Some(bytes) = select.query_row([id], |row| row.get::<_, Vec<u8>>(0)).optional()? {
                return Ok(Some(bytes.into()));
            }
        }
        let mut select =
            connection.prepare_cached("SELECT bytes FROM blob_index JOIN blob USING (id) WHERE blob_index.key = ?1")?;
        Ok(select.query_row([key], |row| row.get::<_, Vec<u8>>(0)).optional()?.map(Bytes::from))
    }

    pub fn exists(&self, connection: &Connection, key: &str) -> Result<bool, Trouble> {
        for id in self.hints(key) {
            if row_exists(connection, id)? {
                return Ok(true);
            }
        }
        Ok(connection.prepare_cached("SELECT 1 FROM blob_index WHERE key = ?1")?.exists([key])?)
    }

    /// Keys in order.
    pub fn list(
        &self,
        connection: &Connection,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Trouble> {
        // Before anything is read: what leaves memory later is in the index that is seen here.
        let hints = self.fresh().list(prefix, after, limit);
        // Keys are ASCII: every key that starts with the prefix is less than the prefix followed by a DEL.
        let end = format!("{prefix}\u{7f}");
        let mut select = connection.prepare_cached(
            "SELECT key FROM blob_index
             WHERE key >= ?1 AND key < ?2 AND (?3 IS NULL OR key > ?3) ORDER BY key LIMIT ?4",
        )?;
        let rows = select
            .query_map(params![prefix.max(after.unwrap_or_default()), end, after, as_limit(limit)], |row| row.get(0))?;
        let mut keys: BTreeSet<String> = rows.collect::<Result<_, _>>()?;
        for (key, id) in hints {
            if row_exists(connection, id)? {
                keys.insert(key.into());
            }
        }
        Ok(keys.into_iter().take(limit).collect())
    }

    /// Rows that may have this key, the newest last.
    fn hints(&self, key: &str) -> impl Iterator<Item = i64> + use<> {
        let fresh = self.fresh();
        let settled = [&fresh.entering, &fresh.gathering].map(|keys| keys.get(key).copied());
        settled.into_iter().flatten().chain(fresh.unsure.get(key).cloned().unwrap_or_default())
    }

    fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fresh {
    fn read(connection: &Connection) -> Result<Self, Trouble> {
        let through = connection.query_row("SELECT through FROM blob_indexed", [], |row| row.get(0))?;
        let last: Option<i64> = connection.query_row("SELECT max(id) FROM blob", [], |row| row.get(0))?;
        let mut select = connection.prepare("SELECT key, id FROM blob WHERE id > ?1")?;
        let gathering = select.query_map([through], |row| Ok((row.get::<_, String>(0)?.into(), row.get(1)?)))?;
        Ok(Self {
            next_id: last.map_or(through, |last| last.max(through)) + 1,
            unsure: BTreeMap::new(),
            gathering: gathering.collect::<Result<_, _>>()?,
            entering: BTreeMap::new(),
            through,
            is_entering: false,
            owed: 0,
            deleting: 0,
        })
    }

    fn begin(&mut self, key: &str) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.owed += 2;
        self.unsure.entry(key.into()).or_default().push(id);
        id
    }

    fn end(&mut self, key: &str, id: i64) {
        if let Some(ids) = self.unsure.get_mut(key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.unsure.remove(key);
            }
        }
    }

    fn forget(&mut self, key: &str, id: i64) {
        for keys in [&mut self.gathering, &mut self.entering] {
            if keys.get(key) == Some(&id) {
                keys.remove(key);
            }
        }
    }

    /// At least those first `limit` whose rows are there.
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<Entry> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let most = limit.saturating_add(self.deleting);
        let range = (from, Bound::Unbounded);
        let mut found = Vec::new();
        for keys in [&self.gathering, &self.entering] {
            let all = keys.range::<str, _>(range).take_while(|(key, _)| key.starts_with(prefix)).take(most);
            found.extend(all.map(|(key, id)| (key.clone(), *id)));
        }
        let unsure = self.unsure.range::<str, _>(range).take_while(|(key, _)| key.starts_with(prefix));
        found.extend(unsure.flat_map(|(key, ids)| ids.iter().map(|id| (key.clone(), *id))));
        found
    }

    /// The next keys for the index, and up to where it is whole with them. Nothing while somebody has some in hand, or while
    /// it is open which of them are deleted.
    fn enter(&mut self, gathered: usize) -> Option<(Vec<Entry>, Option<i64>)> {
        if self.is_entering || self.deleting > 0 {
            return None;
        }
        if self.entering.is_empty() && self.gathering.len() >= gathered {
            self.entering = std::mem::take(&mut self.gathering);
            // A row of a transaction that has not ended comes later than all of them.
            self.through = self.unsure.values().flatten().min().unwrap_or(&self.next_id) - 1;
        }
        let owed = std::mem::take(&mut self.owed).min(self.entering.len());
        if owed == 0 {
            return None;
        }
        self.is_entering = true;
        let some = self.entering.iter().take(owed).map(|(key, id)| (key.clone(), *id)).collect();
        Some((some, (owed == self.entering.len()).then_some(self.through)))
    }
}

/// What a transaction does with rows. Dropped, it was undone; [`Draft::stands`] says that it was not.
pub(crate) struct Draft {
    rows: Arc<Rows>,
    put: Vec<Entry>,
    deleting: usize,
    deleted: Vec<Entry>,
    entering: Option<Vec<Entry>>,
}

impl Draft {
    pub fn put(&mut self, connection: &Connection, key: &str, bytes: &[u8]) -> Result<Put, Trouble> {
        if self.rows.exists(connection, key)? {
            return Ok(Put::WasThere);
        }
        let id = self.rows.fresh().begin(key);
        self.put.push((key.into(), id));
        connection
            .prepare_cached("INSERT INTO blob (id, key, bytes) VALUES (?1, ?2, ?3)")?
            .execute(params![id, key, bytes])?;
        Ok(Put::Stored)
    }

    pub fn delete(&mut self, connection: &Connection, key: &str) -> Result<(), Trouble> {
        self.rows.fresh().deleting += 1;
        self.deleting += 1;
        for id in self.rows.hints(key) {
            connection.prepare_cached("DELETE FROM blob WHERE id = ?1")?.execute([id])?;
            self.deleted.push((key.into(), id));
        }
        connection
            .prepare_cached("DELETE FROM blob WHERE id = (SELECT id FROM blob_index WHERE key = ?1)")?
            .execute([key])?;
        connection.prepare_cached("DELETE FROM blob_index WHERE key = ?1")?.execute([key])?;
        Ok(())
    }

    /// Has the index take some of what waits for it.
    pub fn enter(&mut self, connection: &Connection) -> Result<(), Trouble> {
        let next = self.rows.fresh().enter(self.rows.gathered);
        let Some((some, through)) = next else { return Ok(()) };
        let some = self.entering.insert(some);
        // One that was read when the file was opened may be there.
        let mut insert =
            connection.prepare_cached("INSERT INTO blob_index (key, id) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
        for (key, id) in &*some {
            insert.execute(params![key, id])?;
        }
        if let Some(through) = through {
            connection.prepare_cached("UPDATE blob_indexed SET through = ?1")?.execute([through])?;
        }
        Ok(())
    }

    /// Its transaction is committed.
    pub fn stands(mut self) {
        let rows = Arc::clone(&self.rows);
        let mut fresh = rows.fresh();
        for (key, _) in self.entering.iter().flatten() {
            fresh.entering.remove(key);
        }
        for (key, id) in std::mem::take(&mut self.put) {
            fresh.end(&key, id);
            fresh.gathering.insert(key, id);
        }
        for (key, id) in &self.deleted {
            fresh.forget(key, *id);
        }
        self.end(&mut fresh);
    }

    fn end(&mut self, fresh: &mut Fresh) {
        for (key, id) in self.put.drain(..) {
            fresh.end(&key, id);
        }
        fresh.deleting -= std::mem::take(&mut self.deleting);
        if self.entering.take().is_some() {
            fresh.is_entering = false;
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let rows = Arc::clone(&self.rows);
        self.end(&mut rows.fresh());
    }
}

fn row_exists(connection: &Connection, id: i64) -> Result<bool, Trouble> {
    Ok(connection.prepare_cached("SELECT 1 FROM blob WHERE id = ?1")?.exists([id])?)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
