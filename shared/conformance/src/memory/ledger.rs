//! Items in sorted maps, one a part; a transaction is checked whole, then written whole.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, Weak};

use async_trait::async_trait;
use teal::ports::fault::FaultKind;
use teal::ports::ledger::{Item, JsonText, check_transaction};
use teal::ports::{Fault, ItemKey, Ledger, LedgerError, LedgerReader, Write};

use super::lock;
use super::observer::{Observer, Told};

#[derive(Debug, Default)]
pub struct MemoryLedger {
    state: Mutex<State>,
    told: Told,
}

#[derive(Debug, Default)]
struct State {
    /// By part and sort.
    parts: BTreeMap<String, BTreeMap<String, Item>>,
    /// One counter for all items: so a revision is never given twice, not even over a delete.
    revision: u64,
}

impl MemoryLedger {
    /// Tells the observer of every change from now on, for as long as somebody else keeps it.
    pub fn observe(&self, observer: &Weak<dyn Observer>) {
        self.told.set(observer.clone());
    }

    /// Everything that is stored, in order: for comparing two worlds.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        lock(&self.state).parts.values().flat_map(BTreeMap::values).cloned().collect()
    }
}

#[async_trait]
impl LedgerReader for MemoryLedger {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, LedgerError> {
        Ok(lock(&self.state).get(key).cloned())
    }

    async fn list(
        &self,
        part: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Item>, LedgerError> {
        let state = lock(&self.state);
        let Some(items) = state.parts.get(part) else { return Ok(Vec::new()) };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let items = items.range::<str, _>((from, Bound::Unbounded)).map(|(_, item)| item);
        Ok(items.take_while(|item| item.key.sort.starts_with(prefix)).take(limit).cloned().collect())
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn transact(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        check_transaction(&writes)?;
        lock(&self.state).transact(&writes)?;
        self.told.tell(|observer| observer.wrote(&writes));
        Ok(())
    }
}

impl State {
    fn transact(&mut self, writes: &[Write]) -> Result<(), LedgerError> {
        let state = self;
        let mut sums = BTreeMap::new();
        for (index, write) in writes.iter().enumerate() {
            let item = state.get(write.key());
            match write {
                Write::Put { when, .. } | Write::Delete { when, .. } | Write::Check { when, .. } => {
                    if !when.holds(item.map(|item| (item.revision, item.mark))) {
                        return Err(LedgerError::Refused { index, key: write.key().clone() });
                    }
                }
                Write::Add { key, numbers } => {
                    sums.insert(key.clone(), added(key, item.map(|item| &item.value), numbers)?);
                }
            }
        }
        for write in writes {
            match write {
                Write::Put { key, value, mark, .. } => state.put(key, value.clone(), *mark),
                Write::Delete { key, .. } => state.delete(key),
                Write::Check { .. } => {}
                Write::Add { key, .. } => {
                    let value = sums.remove(key).expect("a sum was made for every Add, and no key comes twice");
                    let mark = state.get(key).map_or(0, |item| item.mark);
                    state.put(key, value, mark);
                }
            }
        }
        Ok(())
    }

    fn get(&self, key: &ItemKey) -> Option<&Item> {
        self.parts.get(&key.part)?.get(&key.sort)
    }

    fn put(&mut self, key: &ItemKey, value: JsonText, mark: u64) {
        self.revision += 1;
        let item = Item { key: key.clone(), value, revision: self.revision, mark };
        match self.parts.get_mut(&key.part) {
            Some(items) => items.insert(key.sort.clone(), item),
            None => self.parts.entry(key.part.clone()).or_default().insert(key.sort.clone(), item),
        };
    }

    fn delete(&mut self, key: &ItemKey) {
        if let Some(items) = self.parts.get_mut(&key.part) {
            items.remove(&key.sort);
        }
    }
}

fn added(key: &ItemKey, value: Option<&JsonText>, numbers: &BTreeMap<String, i64>) -> Result<JsonText, Fault> {
    let refuse = || {
        let what = format!("'{}/{}' is not an object of numbers; nothing can be added to it", key.part, key.sort);
        Fault::new(FaultKind::Permanent, what)
    };
    let mut sums: BTreeMap<String, i64> = value.map_or(Ok(BTreeMap::new()), JsonText::read).map_err(|_| refuse())?;
    for (name, number) in numbers {
        let sum = sums.entry(name.clone()).or_default();
        *sum = sum.checked_add(*number).ok_or_else(refuse)?;
    }
    Ok(JsonText::of(&sums))
}
