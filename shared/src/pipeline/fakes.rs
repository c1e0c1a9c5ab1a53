//! Ports in memory, for the tests of the stages that answer HTTP. They never wait, and fail on demand.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::{GenerationId, Key, Message, Millis, Row, RowHash, Secret, Value};
use crate::ports::blobs::Put;
use crate::ports::entities::{Compare, Dangling, Head, ListQuery};
use crate::ports::fault::FaultKind;
use crate::ports::ledger::{Item, JsonText};
use crate::ports::{
    BlobError, BlobReader, BlobWriter, Clock, EntitiesError, EntityReader, Entropy, Fault, ItemKey, Ledger,
    LedgerError, LedgerReader, Outgoing, Precondition, QueueSender, Secrets, Upstream, Write, upstream,
};

/// The value of a future that has nothing to wait for.
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a fake port never waits"),
    }
}

/// Whether a port is down, and how.
#[derive(Default)]
pub struct Switch(Mutex<Option<FaultKind>>);

impl Switch {
    pub fn fail(&self, kind: FaultKind) {
        *self.0.lock().unwrap() = Some(kind);
    }

    pub fn mend(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn check(&self) -> Result<(), Fault> {
        match *self.0.lock().unwrap() {
            None => Ok(()),
            Some(kind) => Err(Fault::new(kind, "file '/secret/place/teal.db' is locked")),
        }
    }
}

#[derive(Default)]
pub struct FixedClock(pub AtomicI64);

#[async_trait]
impl Clock for FixedClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }

    async fn sleep(&self, _span: Duration) {}
}

#[derive(Default)]
pub struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Default)]
pub struct FixedSecrets {
    pub known: Mutex<BTreeMap<String, String>>,
    pub down: Switch,
}

impl FixedSecrets {
    pub fn set(&self, name: &str, value: &str) {
        self.known.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }
}

#[async_trait]
impl Secrets for FixedSecrets {
    async fn get(&self, name: &str) -> Result<Option<Secret>, Fault> {
        self.down.check()?;
        Ok(self.known.lock().unwrap().get(name).map(Secret::new))
    }
}

#[derive(Default)]
pub struct MemoryBlobs {
    pub stored: Mutex<BTreeMap<String, Bytes>>,
    pub down: Switch,
}

#[async_trait]
impl BlobWriter for MemoryBlobs {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, BlobError> {
        self.down.check()?;
        let mut stored = self.stored.lock().unwrap();
        if stored.contains_key(key) {
            return Ok(Put::WasThere);
        }
        stored.insert(key.to_owned(), bytes);
        Ok(Put::Stored)
    }
}

#[async_trait]
impl BlobReader for MemoryBlobs {
    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        self.down.check()?;
        self.stored.lock().unwrap().get(key).cloned().ok_or_else(|| BlobError::Missing(key.to_owned()))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, BlobError> {
        self.down.check()?;
        let stored = self.stored.lock().unwrap();
        let keys = stored.keys().filter(|key| key.starts_with(prefix));
        Ok(keys.filter(|key| after.is_none_or(|after| key.as_str() > after)).take(limit).cloned().collect())
    }
}

#[derive(Default)]
pub struct MemoryQueue {
    pub sent: Mutex<Vec<Message>>,
    pub down: Switch,
}

#[async_trait]
impl QueueSender for MemoryQueue {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), Fault>> {
        messages
            .into_iter()
            .map(|outgoing| {
                self.down.check()?;
                self.sent.lock().unwrap().push(outgoing.message);
                Ok(())
            })
            .collect()
    }
}

#[derive(Default)]
pub struct MemoryLedger {
    pub items: Mutex<BTreeMap<ItemKey, JsonText>>,
    pub down: Switch,
}

impl MemoryLedger {
    pub fn put(&self, key: ItemKey, value: &impl serde::Serialize) {
        self.items.lock().unwrap().insert(key, JsonText::of(value));
    }
}

fn item(key: &ItemKey, value: &JsonText) -> Item {
    Item { key: key.clone(), value: value.clone(), revision: 1, mark: 0 }
}

#[async_trait]
impl LedgerReader for MemoryLedger {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, LedgerError> {
        self.down.check()?;
        Ok(self.items.lock().unwrap().get(key).map(|value| item(key, value)))
    }

    async fn list(
        &self,
        part: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Item>, LedgerError> {
        self.down.check()?;
        Ok(self
            .items
            .lock()
            .unwrap()
            .iter()
            .filter(|(key, _)| key.part == part && key.sort.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.sort.as_str() > after))
            .take(limit)
            .map(|(key, value)| item(key, value))
            .collect())
    }
}

/// One write after the other; of the preconditions, whether something is there.
#[async_trait]
impl Ledger for MemoryLedger {
    async fn transact(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        self.down.check()?;
        let mut items = self.items.lock().unwrap();
        for (index, write) in writes.into_iter().enumerate() {
            let key = write.key().clone();
            let when = match &write {
                Write::Put { when, .. } | Write::Delete { when, .. } | Write::Check { when, .. } => *when,
                Write::Add { .. } => Precondition::None,
            };
            if !when.holds(items.get(&key).map(|_| (1, 0))) {
                return Err(LedgerError::Refused { index, key });
            }
            match write {
                Write::Put { value, .. } => drop(items.insert(key, value)),
                Write::Delete { .. } => drop(items.remove(&key)),
                Write::Check { .. } | Write::Add { .. } => {}
            }
        }
        Ok(())
    }
}

/// What is found at which address; everywhere else 404.
#[derive(Default)]
pub struct Addresses {
    pub known: Mutex<BTreeMap<String, String>>,
    pub asked: Mutex<Vec<String>>,
    pub down: Switch,
}

#[async_trait]
impl Upstream for Addresses {
    async fn send(&self, request: upstream::Request) -> Result<upstream::Response, Fault> {
        self.asked.lock().unwrap().push(request.url.clone());
        self.down.check()?;
        let found = self.known.lock().unwrap().get(&request.url).cloned();
        let status = if found.is_some() { 200 } else { 404 };
        Ok(upstream::Response { status, headers: Vec::new(), body: found.unwrap_or_default().into() })
    }
}

pub type Before = Box<dyn FnMut(&GenerationId) + Send>;

/// Generations as lists of rows in key order.
#[derive(Default)]
pub struct MemoryEntities {
    pub generations: Mutex<BTreeMap<GenerationId, (Head, Vec<Row>)>>,
    /// Called with the generation before each read: what happens between two reads of a request.
    pub before: Mutex<Option<Before>>,
    pub down: Switch,
}

impl MemoryEntities {
    fn read<T>(&self, id: &GenerationId, read: impl FnOnce(&Head, &[Row]) -> T) -> Result<T, EntitiesError> {
        self.down.check()?;
        if let Some(before) = self.before.lock().unwrap().as_mut() {
            before(id);
        }
        match self.generations.lock().unwrap().get(id) {
            Some((head, rows)) => Ok(read(head, rows)),
            None => Err(EntitiesError::NoGeneration(id.clone())),
        }
    }
}

fn holds(found: &Value, compare: Compare, wanted: &Value) -> bool {
    let order = match (found, wanted) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => return false,
    };
    compare.fits(order)
}

#[async_trait]
impl EntityReader for MemoryEntities {
    async fn head(&self, id: &GenerationId) -> Result<Head, EntitiesError> {
        self.read(id, |head, _| head.clone())
    }

    async fn get(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError> {
        self.read(id, |_, rows| rows.iter().find(|row| row.key == *key).cloned())
    }

    async fn list(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError> {
        self.read(id, |head, rows| {
            rows.iter()
                .filter(|row| query.after.as_ref().is_none_or(|after| row.key > *after))
                .filter(|row| {
                    query.filters.iter().all(|filter| {
                        let at = head.schema.position(&filter.field).expect("a declared field");
                        holds(&row.values[at], filter.compare, &filter.value)
                    })
                })
                .take(query.limit)
                .cloned()
                .collect()
        })
    }

    async fn hashes(
        &self,
        _id: &GenerationId,
        _after: Option<&Key>,
        _limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError> {
        panic!("no reader asks for hashes")
    }

    async fn dangling(
        &self,
        _id: &GenerationId,
        _field: &str,
        _to: &GenerationId,
        _after: Option<&Key>,
        _limit: usize,
    ) -> Result<Dangling, EntitiesError> {
        panic!("no reader asks for relations")
    }
}
