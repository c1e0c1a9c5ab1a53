//! The ledger port over the table `ledger`.
//!
//! Always holds: revisions come from one counter that only grows, so that an item which is deleted and made
//! again never gets a revision that it had before.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Map;
use teal::ports::fault::Fault;
use teal::ports::ledger::{Item, JsonText, check_transaction, pointer_key};
use teal::ports::{ItemKey, Ledger, LedgerError, LedgerReader, Precondition, Write};

use super::{TealDb, views};
use crate::sqlite::{Trouble, as_limit, permanent};

impl From<LedgerError> for Trouble<LedgerError> {
    fn from(error: LedgerError) -> Self {
        Self::Known(error)
    }
}

#[async_trait]
impl LedgerReader for TealDb {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, LedgerError> {
        let key = key.clone();
        self.file.read(&format!("ledger item '{}/{}'", key.part, key.sort), move |db| find(db, &key)).await
    }

    async fn list(
        &self,
        part: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Item>, LedgerError> {
        let (part, prefix, after) = (part.to_owned(), prefix.to_owned(), after.map(str::to_owned));
        let what = format!("ledger items '{part}/{prefix}…'");
        self.file.read(&what, move |db| list(db, &part, &prefix, after.as_deref(), limit)).await
    }
}

#[async_trait]
impl Ledger for TealDb {
    async fn transact(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        check_transaction(&writes)?;
        self.file.write("ledger", move |db| transact(db, &writes)).await
    }
}

fn transact(db: &Connection, writes: &[Write]) -> Result<(), Trouble<LedgerError>> {
    let revision = next_revision(db)?;
    for (index, write) in writes.iter().enumerate() {
        let key = write.key();
        let demand = |when: Precondition| -> Result<(), Trouble<LedgerError>> {
            if holds(db, key, when)? { Ok(()) } else { Err(LedgerError::Refused { index, key: key.clone() }.into()) }
        };
        match write {
            Write::Put { value, mark, when, .. } => {
                demand(*when)?;
                put(db, key, value, *mark, revision)?;
            }
            Write::Delete { when, .. } => {
                demand(*when)?;
                db.prepare_cached("DELETE FROM ledger WHERE part = ?1 AND sort = ?2")?
                    .execute((&key.part, &key.sort))?;
            }
            Write::Check { when, .. } => demand(*when)?,
            Write::Add { numbers, .. } => {
                let item = find::<LedgerError>(db, key)?;
                let mark = item.as_ref().map_or(0, |item| item.mark);
                let value = sum(key, item.map(|item| item.value), numbers)?;
                put(db, key, &value, mark, revision)?;
            }
        }
    }
    let pointer = pointer_key();
    if writes.iter().any(|write| *write.key() == pointer && !matches!(write, Write::Check { .. })) {
        views::repoint(db)?;
    }
    Ok(())
}

fn next_revision(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("UPDATE _counters SET value = value + 1 WHERE name = 'revision' RETURNING value")?
        .query_row([], |row| row.get(0))
}

fn holds(db: &Connection, key: &ItemKey, when: Precondition) -> rusqlite::Result<bool> {
    if when == Precondition::None {
        return Ok(true);
    }
    let stored = db
        .prepare_cached("SELECT revision, mark FROM ledger WHERE part = ?1 AND sort = ?2")?
        .query_row((&key.part, &key.sort), |row| Ok((number(row, 0)?, number(row, 1)?)))
        .optional()?;
    Ok(when.holds(stored))
}

fn put(db: &Connection, key: &ItemKey, value: &JsonText, mark: u64, revision: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO ledger (part, sort, value, mark, revision) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((&key.part, &key.sort, value.as_str(), mark.cast_signed(), revision))?;
    Ok(())
}

fn sum(key: &ItemKey, value: Option<JsonText>, numbers: &BTreeMap<String, i64>) -> Result<JsonText, Fault> {
    let wrong = |why: &str| permanent(format!("can't add to ledger item '{}/{}': {why}", key.part, key.sort));
    let sums = value.map_or(Ok(Map::new()), |value| value.read());
    let mut sums = sums.map_err(|_| wrong("it is not an object of numbers"))?;
    for (name, number) in numbers {
        let before = match sums.get(name) {
            None => 0,
            Some(value) => value.as_i64().ok_or_else(|| wrong(&format!("its '{name}' is not a whole number")))?,
        };
        let after = before.checked_add(*number).ok_or_else(|| wrong(&format!("its '{name}' would overflow")))?;
        sums.insert(name.clone(), after.into());
    }
    Ok(JsonText::of(&sums))
}

pub fn find<E: From<Fault>>(db: &Connection, key: &ItemKey) -> Result<Option<Item>, Trouble<E>> {
    let mut statement =
        db.prepare_cached("SELECT sort, value, mark, revision FROM ledger WHERE part = ?1 AND sort = ?2")?;
    let mut rows = statement.query((&key.part, &key.sort))?;
    rows.next()?.map(|row| item(&key.part, row)).transpose()
}

/// Items with the prefix lie next to each other, from the prefix itself on.
fn list(
    db: &Connection,
    part: &str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Item>, Trouble<LedgerError>> {
    let mut statement = db.prepare_cached(
        "SELECT sort, value, mark, revision FROM ledger
         WHERE part = ?1 AND sort >= ?2 AND (?3 IS NULL OR sort > ?3) ORDER BY sort LIMIT ?4",
    )?;
    // From the later of the two on, so that a far page doesn't walk over the pages before it.
    let from = after.map_or(prefix, |after| after.max(prefix));
    let mut rows = statement.query((part, from, after, as_limit(limit)))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let item = item::<LedgerError>(part, row)?;
        if !item.key.sort.starts_with(prefix) {
            break;
        }
        items.push(item);
    }
    Ok(items)
}

fn item<E: From<Fault>>(part: &str, row: &Row<'_>) -> Result<Item, Trouble<E>> {
    let sort: String = row.get(0)?;
    let value = JsonText::stored(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
    Ok(Item { key: ItemKey::new(part, sort), value, mark: number(row, 2)?, revision: number(row, 3)? })
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
