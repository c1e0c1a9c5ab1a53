//! The wrappers: each operation of a port says what it was asked, and hands itself to the trace.
//!
//! Owns no decision. Always holds: the messages of one send are calls of their own, because a queue
//! answers for each of them; a URL is written down without its query, which may carry a key.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use teal::domain::{Fence, GenerationId, Key, Millis, RecordChange, Row, RowHash, Secret};
use teal::ports::blobs::Put;
use teal::ports::entities::{Dangling, Dropped, Gate, GenerationSpec, Head, ListQuery, Merged, Writer};
use teal::ports::ledger::Item;
use teal::ports::upstream::{Request, Response};
use teal::ports::{
    BlobAdmin, BlobError, BlobReader, BlobWriter, Clock, EntitiesError, EntityAdmin, EntityReader, EntityWriter,
    Entropy, Fault, ItemKey, Ledger, LedgerError, LedgerReader, Outgoing, QueueSender, Secrets, Upstream, Write,
};

use super::{Asked, Trace};
use crate::memory::{
    MemoryBlobs, MemoryEntities, MemoryLedger, MemoryQueue, MemorySecrets, MemoryWorld, ScriptedUpstream,
    SeededEntropy, VirtualClock,
};

/// A port with every call of it written down and, where the tap says so, disturbed. Has the roles that
/// what it wraps has.
pub struct Tapped<P: ?Sized> {
    trace: Trace,
    inner: Arc<P>,
}

impl<P: ?Sized> Tapped<P> {
    pub(super) fn new(inner: Arc<P>, trace: Trace) -> Self {
        Self { trace, inner }
    }
}

/// A [`MemoryWorld`] as one process sees it.
pub struct TracedWorld {
    pub entities: Arc<Tapped<MemoryEntities>>,
    pub ledger: Arc<Tapped<MemoryLedger>>,
    pub blobs: Arc<Tapped<MemoryBlobs>>,
    pub queue: Arc<Tapped<MemoryQueue>>,
    pub secrets: Arc<Tapped<MemorySecrets>>,
    pub upstream: Arc<Tapped<ScriptedUpstream>>,
    pub clock: Arc<Tapped<VirtualClock>>,
    pub entropy: Arc<Tapped<SeededEntropy>>,
}

impl MemoryWorld {
    /// The ports of this world, each call written down in `trace`. The world itself is untouched: a host
    /// receives from `self.queue`, and what a stopped process left is all here.
    #[must_use]
    pub fn through(&self, trace: &Trace) -> TracedWorld {
        TracedWorld {
            entities: trace.wrap(self.entities.clone()),
            ledger: trace.wrap(self.ledger.clone()),
            blobs: trace.wrap(self.blobs.clone()),
            queue: trace.wrap(self.queue.clone()),
            secrets: trace.wrap(self.secrets.clone()),
            upstream: trace.wrap(self.upstream.clone()),
            clock: trace.wrap(self.clock.clone()),
            entropy: trace.wrap(self.entropy.clone()),
        }
    }
}

fn entities<'a>(op: &'static str, what: String, payload: &'a (dyn std::fmt::Debug + Sync)) -> Asked<'a> {
    Asked { port: "entities", op, what, payload }
}

fn shown(ids: &[GenerationId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[async_trait]
impl<P: EntityAdmin + ?Sized> EntityAdmin for Tapped<P> {
    async fn create(&self, spec: GenerationSpec) -> Result<(), EntitiesError> {
        let payload = spec.clone();
        let asked = entities("create", spec.id.to_string(), &payload);
        self.trace.call(asked, self.inner.create(spec)).await
    }

    async fn set_gates(&self, ids: &[GenerationId], gate: Gate, fence: Fence) -> Result<(), EntitiesError> {
        let payload = (gate, fence);
        let asked = entities("set_gates", format!("{} {gate:?} {fence}", shown(ids)), &payload);
        self.trace.call(asked, self.inner.set_gates(ids, gate, fence)).await
    }

    async fn drop_slice(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError> {
        self.trace.call(entities("drop_slice", id.to_string(), &limit), self.inner.drop_slice(id, limit)).await
    }

    async fn generations(&self) -> Result<Vec<GenerationId>, EntitiesError> {
        self.trace.call(entities("generations", "-".into(), &()), self.inner.generations()).await
    }
}

#[async_trait]
impl<P: EntityWriter + ?Sized> EntityWriter for Tapped<P> {
    async fn merge(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        let payload = (writer, changes);
        let asked = entities("merge", format!("{id} {slot}"), &payload);
        self.trace.call(asked, self.inner.merge(id, writer, slot, changes)).await
    }
}

#[async_trait]
impl<P: EntityReader + ?Sized> EntityReader for Tapped<P> {
    async fn head(&self, id: &GenerationId) -> Result<Head, EntitiesError> {
        self.trace.call(entities("head", id.to_string(), &()), self.inner.head(id)).await
    }

    async fn get(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError> {
        self.trace.call(entities("get", format!("{id} {key}"), &()), self.inner.get(id, key)).await
    }

    async fn list(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError> {
        self.trace.call(entities("list", id.to_string(), query), self.inner.list(id, query)).await
    }

    async fn hashes(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError> {
        let payload = (after, limit);
        self.trace.call(entities("hashes", id.to_string(), &payload), self.inner.hashes(id, after, limit)).await
    }

    async fn dangling(
        &self,
        id: &GenerationId,
        field: &str,
        to: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Dangling, EntitiesError> {
        let payload = (after, limit);
        let asked = entities("dangling", format!("{id}.{field} {to}"), &payload);
        self.trace.call(asked, self.inner.dangling(id, field, to, after, limit)).await
    }
}

#[async_trait]
impl<P: LedgerReader + ?Sized> LedgerReader for Tapped<P> {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, LedgerError> {
        let what = format!("{}/{}", key.part, key.sort);
        let asked = Asked { port: "ledger", op: "get", what, payload: &() };
        self.trace.call(asked, self.inner.get(key)).await
    }

    async fn list(
        &self,
        part: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Item>, LedgerError> {
        let payload = (after, limit);
        let asked = Asked { port: "ledger", op: "list", what: format!("{part}/{prefix}"), payload: &payload };
        self.trace.call(asked, self.inner.list(part, prefix, after, limit)).await
    }
}

#[async_trait]
impl<P: Ledger + ?Sized> Ledger for Tapped<P> {
    async fn transact(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        let keys: Vec<_> = writes.iter().map(|write| format!("{}/{}", write.key().part, write.key().sort)).collect();
        let payload = writes.clone();
        let asked = Asked { port: "ledger", op: "transact", what: keys.join(","), payload: &payload };
        self.trace.call(asked, self.inner.transact(writes)).await
    }
}

#[async_trait]
impl<P: BlobReader + ?Sized> BlobReader for Tapped<P> {
    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        let asked = Asked { port: "blobs", op: "get", what: key.to_owned(), payload: &() };
        self.trace.call(asked, self.inner.get(key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, BlobError> {
        let payload = (after, limit);
        let asked = Asked { port: "blobs", op: "list", what: prefix.to_owned(), payload: &payload };
        self.trace.call(asked, self.inner.list(prefix, after, limit)).await
    }
}

#[async_trait]
impl<P: BlobWriter + ?Sized> BlobWriter for Tapped<P> {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, BlobError> {
        let payload = bytes.clone();
        let asked = Asked { port: "blobs", op: "put_if_absent", what: key.to_owned(), payload: &payload };
        self.trace.call(asked, self.inner.put_if_absent(key, bytes)).await
    }
}

#[async_trait]
impl<P: BlobAdmin + ?Sized> BlobAdmin for Tapped<P> {
    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let asked = Asked { port: "blobs", op: "delete", what: key.to_owned(), payload: &() };
        self.trace.call(asked, self.inner.delete(key)).await
    }
}

#[async_trait]
impl<P: QueueSender + ?Sized> QueueSender for Tapped<P> {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), Fault>> {
        let mut results = Vec::with_capacity(messages.len());
        for outgoing in messages {
            let payload = outgoing.clone();
            let what = outgoing.message.queue().as_str().to_owned();
            let asked = Asked { port: "queue", op: "send", what, payload: &payload };
            let work = async { self.inner.send(vec![outgoing]).await.into_iter().collect() };
            results.push(self.trace.call(asked, work).await);
        }
        results
    }
}

#[async_trait]
impl<P: Secrets + ?Sized> Secrets for Tapped<P> {
    async fn get(&self, name: &str) -> Result<Option<Secret>, Fault> {
        let asked = Asked { port: "secrets", op: "get", what: name.to_owned(), payload: &() };
        self.trace.call(asked, self.inner.get(name)).await
    }
}

#[async_trait]
impl<P: Upstream + ?Sized> Upstream for Tapped<P> {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let path = request.url.split('?').next().unwrap_or_default();
        let what = format!("{} {path}", request.method);
        let payload = request.clone();
        let asked = Asked { port: "upstream", op: "send", what, payload: &payload };
        self.trace.call(asked, self.inner.send(request)).await
    }
}

#[async_trait]
impl<P: Clock + ?Sized> Clock for Tapped<P> {
    fn now(&self) -> Millis {
        let now = self.inner.now();
        self.trace.note("clock.now", now);
        now
    }

    async fn sleep(&self, span: Duration) {
        self.inner.sleep(span).await;
        self.trace.note("clock.sleep", format_args!("{} ms", span.as_millis()));
    }
}

impl<P: Entropy + ?Sized> Entropy for Tapped<P> {
    fn next(&self) -> u64 {
        let number = self.inner.next();
        self.trace.note("entropy.next", format_args!("{number:016x}"));
        number
    }
}
