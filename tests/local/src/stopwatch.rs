//! How long a switch keeps the gates closed, and with what: the audit knows it in whole milliseconds only, and
//! most of a switch is over in less.
//!
//! Owns thin wrappers around the ports that a switch writes with. Always holds: a switch is counted from
//! the call that closes the gates to the return of the one that moves the pointer, as the audit counts it; one
//! that did not move it is not counted.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use teal::domain::{Fence, GenerationId, Millis, RecordChange};
use teal::pipeline::switch::Switch;
use teal::ports::entities::{Dropped, Gate, GenerationSpec, Merged, Writer};
use teal::ports::ledger::{Item, pointer_key};
use teal::ports::{EntitiesError, EntityAdmin, EntityWriter, ItemKey, Ledger, LedgerError, LedgerReader, Write};
use teal_local::Local;

/// One switch, from the first gate closing to the pointer moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Until the gates were closed.
    pub closing: Duration,
    /// Until the rest of the change log was in the target, in so many merges.
    pub replaying: Duration,
    pub merges: u64,
    /// Until the pointer was moved.
    pub moving: Duration,
}

impl Closed {
    #[must_use]
    pub fn whole(&self) -> Duration {
        self.closing + self.replaying + self.moving
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { closing, replaying, merges, moving } = self;
        let whole = self.whole();
        write!(f, "{whole:.2?} = closing {closing:.2?} + {merges} merges {replaying:.2?} + moving {moving:.2?}")
    }
}

#[derive(Default)]
struct State {
    /// When the gates began to close, and when they were closed.
    began: Option<(Instant, Instant)>,
    merges: u64,
    switches: Vec<Closed>,
}

/// Counts the switches of one Teal.
#[derive(Clone, Default)]
pub struct Stopwatch(Arc<Mutex<State>>);

impl Stopwatch {
    /// Watches the runs that this Teal is going to settle; to be called before its workers start.
    pub fn watch(local: &mut Local) -> Self {
        let watch = Self::default();
        let it = local.switch.as_ref();
        local.switch = Arc::new(Switch {
            ledger: Arc::new(Timed { inner: it.ledger.clone(), watch: watch.clone() }),
            admin: Arc::new(Timed { inner: it.admin.clone(), watch: watch.clone() }),
            writer: Arc::new(Timed { inner: it.writer.clone(), watch: watch.clone() }),
            reader: it.reader.clone(),
            blobs: it.blobs.clone(),
            queue: it.queue.clone(),
            systems: it.systems.clone(),
            clock: it.clock.clone(),
            meter: it.meter.clone(),
        });
        watch
    }

    /// The switches since it was last asked.
    #[must_use]
    pub fn take(&self) -> Vec<Closed> {
        self.state(|state| std::mem::take(&mut state.switches))
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Timed<P: ?Sized> {
    inner: Arc<P>,
    watch: Stopwatch,
}

#[async_trait]
impl EntityAdmin for Timed<dyn EntityAdmin> {
    async fn create(&self, spec: GenerationSpec) -> Result<(), EntitiesError> {
        self.inner.create(spec).await
    }

    async fn set_gates(&self, ids: &[GenerationId], gate: Gate, fence: Fence) -> Result<(), EntitiesError> {
        let began = Instant::now();
        let set = self.inner.set_gates(ids, gate, fence).await;
        let closed = (gate == Gate::Closed && set.is_ok()).then(|| (began, Instant::now()));
        self.watch.state(|state| (state.began, state.merges) = (closed, 0));
        set
    }

    async fn confirm(&self, ids: &[GenerationId], until: Millis, fence: Fence) -> Result<(), EntitiesError> {
        self.inner.confirm(ids, until, fence).await
    }

    async fn drop_slice(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError> {
        self.inner.drop_slice(id, limit).await
    }

    async fn generations(&self) -> Result<Vec<GenerationId>, EntitiesError> {
        self.inner.generations().await
    }
}

#[async_trait]
impl EntityWriter for Timed<dyn EntityWriter> {
    async fn merge(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        self.watch.state(|state| state.merges += 1);
        self.inner.merge(id, writer, slot, changes).await
    }

    async fn holds(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError> {
        self.inner.holds(id, changes).await
    }
}

#[async_trait]
impl LedgerReader for Timed<dyn Ledger> {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, LedgerError> {
        self.inner.get(key).await
    }

    async fn list(
        &self,
        part: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Item>, LedgerError> {
        self.inner.list(part, prefix, after, limit).await
    }
}

#[async_trait]
impl Ledger for Timed<dyn Ledger> {
    async fn transact(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        let moves = |write: &Write| *write.key() == pointer_key() && matches!(write, Write::Put { .. });
        let moves = writes.iter().any(moves);
        let asked = Instant::now();
        let written = self.inner.transact(writes).await;
        let moved = Instant::now();
        self.watch.state(|state| {
            let began = state.began.filter(|_| moves && written.is_ok());
            state.switches.extend(began.map(|(began, closed)| Closed {
                closing: closed - began,
                replaying: asked - closed,
                merges: state.merges,
                moving: moved - asked,
            }));
        });
        written
    }
}
