//! The wrappers: each operation of a port says what it was asked, and hands itself to the watch.
//!
//! Owns no decision.

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
    BlobAdmin, BlobError, BlobReader, BlobStore, BlobWriter, Clock, Elsewhere, EntitiesError, EntityAdmin,
    EntityReader, EntityWriter, Entropy, Fault, ItemKey, Ledger, LedgerError, LedgerReader, Outgoing, QueueSender,
    Secrets, Upstream, Write,
};

use super::{Asked, Watch, What};
use crate::memory::{
    MemoryBlobs, MemoryEntities, MemoryLedger, MemoryQueue, MemorySecrets, MemoryWorld, ScriptedUpstream,
    SeededEntropy, VirtualClock,
};

/// A port whose every call goes through a watch. Has the roles that what it wraps has.
pub struct Tapped<P: ?Sized, W> {
    watch: W,
    inner: Arc<P>,
}

impl<P: ?Sized, W: Watch> Tapped<P, W> {
    pub fn new(inner: Arc<P>, watch: &W) -> Arc<Self> {
        Arc::new(Self { watch: watch.clone(), inner })
    }
}

/// A [`MemoryWorld`] as one process sees it.
pub struct TappedWorld<W> {
    pub entities: Arc<Tapped<MemoryEntities, W>>,
    pub ledger: Arc<Tapped<MemoryLedger, W>>,
    pub blobs: Arc<Tapped<MemoryBlobs, W>>,
    pub queue: Arc<Tapped<MemoryQueue, W>>,
    pub secrets: Arc<Tapped<MemorySecrets, W>>,
    pub upstream: Arc<Tapped<ScriptedUpstream, W>>,
    pub clock: Arc<Tapped<VirtualClock, W>>,
    pub entropy: Arc<Tapped<SeededEntropy, W>>,
    pub elsewhere: Arc<dyn Elsewhere>,
}

/// One store for every second place.
pub struct Second<S>(pub Arc<S>);

#[async_trait]
impl<S: BlobStore + 'static> Elsewhere for Second<S> {
    async fn open(&self, _name: &str) -> Result<Arc<dyn BlobStore>, Fault> {
        Ok(self.0.clone())
    }
}

impl MemoryWorld {
    /// The ports of this world, each call through `watch`. The world itself is untouched: a host receives
    /// from `self.queue`, and what a stopped process left is all here.
    #[must_use]
    pub fn through<W: Watch>(&self, watch: &W) -> TappedWorld<W> {
        TappedWorld {
            entities: Tapped::new(self.entities.clone(), watch),
            ledger: Tapped::new(self.ledger.clone(), watch),
            blobs: Tapped::new(self.blobs.clone(), watch),
            queue: Tapped::new(self.queue.clone(), watch),
            secrets: Tapped::new(self.secrets.clone(), watch),
            upstream: Tapped::new(self.upstream.clone(), watch),
            clock: Tapped::new(self.clock.clone(), watch),
            entropy: Tapped::new(self.entropy.clone(), watch),
            elsewhere: Arc::new(Second(Tapped::new(self.second.clone(), watch))),
        }
    }
}

fn entities<'a>(op: &'static str, what: What<'a>, payload: &'a (dyn std::fmt::Debug + Sync)) -> Asked<'a> {
    Asked { port: "entities", op, what, payload }
}

fn ledger<'a>(op: &'static str, what: What<'a>, payload: &'a (dyn std::fmt::Debug + Sync)) -> Asked<'a> {
    Asked { port: "ledger", op, what, payload }
}

fn blobs<'a>(op: &'static str, key: &'a str, payload: &'a (dyn std::fmt::Debug + Sync)) -> Asked<'a> {
    Asked { port: "blobs", op, what: What::Text(key), payload }
}

#[async_trait]
impl<P: EntityAdmin + ?Sized, W: Watch> EntityAdmin for Tapped<P, W> {
    async fn create(&self, spec: GenerationSpec) -> Result<(), EntitiesError> {
        let asked = entities("create", What::Generation(&spec.id), &spec);
        self.watch.call(asked, || self.inner.create(spec.clone())).await
    }

    async fn set_gates(&self, ids: &[GenerationId], gate: Gate, fence: Fence) -> Result<(), EntitiesError> {
        let payload = (gate, fence);
        let asked = entities("set_gates", What::Generations(ids), &payload);
        self.watch.call(asked, || self.inner.set_gates(ids, gate, fence)).await
    }

    async fn confirm(&self, ids: &[GenerationId], until: Millis, fence: Fence) -> Result<(), EntitiesError> {
        let payload = (until, fence);
        let asked = entities("confirm", What::Generations(ids), &payload);
        self.watch.call(asked, || self.inner.confirm(ids, until, fence)).await
    }

    async fn drop_slice(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError> {
        let asked = entities("drop_slice", What::Generation(id), &limit);
        self.watch.call(asked, || self.inner.drop_slice(id, limit)).await
    }

    async fn generations(&self) -> Result<Vec<GenerationId>, EntitiesError> {
        self.watch.call(entities("generations", What::Nothing, &()), || self.inner.generations()).await
    }
}

#[async_trait]
impl<P: EntityWriter + ?Sized, W: Watch> EntityWriter for Tapped<P, W> {
    async fn merge(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        let payload = (writer, changes);
        let asked = entities("merge", What::Slot(id, slot), &payload);
        self.watch.call(asked, || self.inner.merge(id, writer, slot, changes)).await
    }

    async fn holds(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError> {
        let asked = entities("holds", What::Generation(id), &changes);
        self.watch.call(asked, || self.inner.holds(id, changes)).await
    }
}

#[async_trait]
impl<P: EntityReader + ?Sized, W: Watch> EntityReader for Tapped<P, W> {
    async fn head(&self, id: &GenerationId) -> Result<Head, EntitiesError> {
        self.watch.call(entities("head", What::Generation(id), &()), || self.inner.head(id)).await
    }

    async fn get(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError> {
        self.watch.call(entities("get", What::Generation(id), key), || self.inner.get(id, key)).await
    }

    async fn list(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError> {
        self.watch.call(entities("list", What::Generation(id), query), || self.inner.list(id, query)).await
    }

    async fn hashes(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError> {
        let payload = (after, limit);
        let asked = entities("hashes", What::Generation(id), &payload);
        self.watch.call(asked, || self.inner.hashes(id, after, limit)).await
    }

    async fn dangling(
        &self,
        id: &GenerationId,
        field: &str,
        to: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Dangling, EntitiesError> {
        let payload = (field, to, after, limit);
        let asked = entities("dangling", What::Generation(id), &payload);
        self.watch.call(asked, || self.inner.dangling(id, field, to, after, limit)).await
    }
}

#[async_trait]
impl<P: LedgerReader + ?Sized, W: Watch> LedgerReader for Tapped<P, W> {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, LedgerError> {
        self.watch.call(ledger("get", What::Item(key), &()), || self.inner.get(key)).await
    }

    async fn list(
        &self,
        part: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Item>, LedgerError> {
        let payload = (after, limit);
        let asked = ledger("list", What::Items(part, prefix), &payload);
        self.watch.call(asked, || self.inner.list(part, prefix, after, limit)).await
    }
}

#[async_trait]
impl<P: Ledger + ?Sized, W: Watch> Ledger for Tapped<P, W> {
    async fn transact(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        let asked = ledger("transact", What::Writes(&writes), &writes);
        self.watch.call(asked, || self.inner.transact(writes.clone())).await
    }
}

#[async_trait]
impl<P: BlobReader + ?Sized, W: Watch> BlobReader for Tapped<P, W> {
    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        self.watch.call(blobs("get", key, &()), || self.inner.get(key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, BlobError> {
        let payload = (after, limit);
        self.watch.call(blobs("list", prefix, &payload), || self.inner.list(prefix, after, limit)).await
    }
}

#[async_trait]
impl<P: BlobWriter + ?Sized, W: Watch> BlobWriter for Tapped<P, W> {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, BlobError> {
        let asked = blobs("put_if_absent", key, &bytes);
        self.watch.call(asked, || self.inner.put_if_absent(key, bytes.clone())).await
    }
}

#[async_trait]
impl<P: BlobAdmin + ?Sized, W: Watch> BlobAdmin for Tapped<P, W> {
    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.watch.call(blobs("delete", key, &()), || self.inner.delete(key)).await
    }
}

#[async_trait]
impl<P: QueueSender + ?Sized, W: Watch> QueueSender for Tapped<P, W> {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), Fault>> {
        let mut results = Vec::with_capacity(messages.len());
        for outgoing in messages {
            let what = What::Text(outgoing.message.queue().as_str());
            let asked = Asked { port: "queue", op: "send", what, payload: &outgoing };
            let inner = &self.inner;
            let send = || {
                let one = vec![outgoing.clone()];
                async move { inner.send(one).await.into_iter().collect() }
            };
            results.push(self.watch.call(asked, send).await);
        }
        results
    }
}

#[async_trait]
impl<P: Secrets + ?Sized, W: Watch> Secrets for Tapped<P, W> {
    async fn get(&self, name: &str) -> Result<Option<Secret>, Fault> {
        let asked = Asked { port: "secrets", op: "get", what: What::Text(name), payload: &() };
        self.watch.call(asked, || self.inner.get(name)).await
    }
}

#[async_trait]
impl<P: Upstream + ?Sized, W: Watch> Upstream for Tapped<P, W> {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let path = request.url.split('?').next().unwrap_or_default();
        let asked = Asked {
            port: "upstream",
            op: "send",
            what: What::Request(request.method.as_str(), path),
            payload: &request,
        };
        self.watch.call(asked, || self.inner.send(request.clone())).await
    }
}

#[async_trait]
impl<P: Clock + ?Sized, W: Watch> Clock for Tapped<P, W> {
    fn now(&self) -> Millis {
        let now = self.inner.now();
        self.watch.note("clock.now", &now);
        now
    }

    async fn sleep(&self, span: Duration) {
        self.inner.sleep(span).await;
        self.watch.note("clock.sleep", &format_args!("{} ms", span.as_millis()));
    }
}

impl<P: Entropy + ?Sized, W: Watch> Entropy for Tapped<P, W> {
    fn next(&self) -> u64 {
        let number = self.inner.next();
        self.watch.note("entropy.next", &format_args!("{number:016x}"));
        number
    }
}
