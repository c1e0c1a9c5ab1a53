//! What must hold, and whether it does.
//!
//! Owns a checker for each promise. It hears of every change in the moment that it happens, of every request,
//! every answer to a webhook and every page that a reader got, and checks then what can be checked then; the
//! rest is checked when everything is at rest. It shares no code with the stages but the types that things are
//! written in and the hash that decides between equals: what rows should be is worked out again in `model`.
//!
//! Always holds: it changes nothing and fails nothing. The first thing that is wrong is kept, and ends the
//! simulation.

pub(super) mod model;
mod moves;
mod readers;
pub(super) mod rest;
mod runs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use memchr::memmem::Finder;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use teal::domain::{
    ConfigHash, Fence, Generation, GenerationId, Message, Millis, Pointer, RecordChange, Run, RunId, SourceId, Version,
};
use teal::pipeline::lease::Lease;
use teal::pipeline::ledger;
use teal::ports::entities::{Gate, GenerationSpec, Writer};
use teal::ports::ledger::{LedgerReader, pointer_key};
use teal::ports::{ItemKey, Write};

use self::model::Parsed;
pub use self::readers::Next;
use self::runs::RunSeen;
use super::executor::Time;
use super::sources::Sources;
use super::system::{API_KEY, HOOK_SECRET, Mapping, SOURCES, Shape};
use crate::memory::{MemoryBlobs, MemoryEntities, MemoryLedger, MemoryQueue, Observer, lock};

/// What Teal promises, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    P7,
    P8,
    P9,
    P10,
    P11,
    P12,
    P13,
}

impl Promise {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P1 => "P1 acked-is-stored",
            Self::P2 => "P2 one-version-per-read",
            Self::P3 => "P3 atomic-switch",
            Self::P4 => "P4 nothing-lost-across-a-switch",
            Self::P5 => "P5 order-free",
            Self::P6 => "P6 deletes-arrive, false deletes don't",
            Self::P7 => "P7 honest-outcomes",
            Self::P8 => "P8 resumable",
            Self::P9 => "P9 limits-kept",
            Self::P10 => "P10 nothing-vanishes",
            Self::P11 => "P11 secrets-stay-secret",
            Self::P12 => "P12 drains",
            Self::P13 => "P13 rebuild-without-refetch",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub promise: Promise,
    pub at: Millis,
    pub what: String,
}

pub struct Oracle {
    time: Arc<Time>,
    ledger: Arc<MemoryLedger>,
    entities: Arc<MemoryEntities>,
    blobs: Arc<MemoryBlobs>,
    queue: Arc<MemoryQueue>,
    sources: Arc<Mutex<Sources>>,
    shape: Shape,
    mappings: Arc<BTreeMap<ConfigHash, Mapping>>,
    /// Whether the clocks of this simulation are all right, so that times can be compared.
    true_clocks: bool,
    troubles: Box<dyn Fn() -> u64 + Send + Sync>,
    secrets: [Finder<'static>; 2],
    state: Mutex<State>,
    found: Mutex<Option<Violation>>,
}

#[derive(Default)]
struct State {
    /// Every pointer that ever was, since when.
    pointers: Vec<(Millis, Pointer)>,
    generations: BTreeMap<GenerationId, GenerationSeen>,
    runs: BTreeMap<RunId, RunSeen>,
    /// Raw objects that were merged as live changes into any generation, and when first.
    live: BTreeMap<String, Millis>,
    /// Raw objects as they were stored, also those that are deleted since.
    raw: BTreeMap<String, Parsed>,
    /// Raw objects that change a source outside a listing: what was accepted, and pages of incremental runs.
    changes: BTreeMap<String, Change>,
    /// When requests came to each source.
    requests: [VecDeque<Millis>; SOURCES.len()],
    /// When clocks were put forward or back, lately.
    clock_steps: Vec<Millis>,
    /// Versions that somebody went to without the changes since.
    as_was: BTreeSet<Version>,
}

impl State {
    /// Whether a raw object is older than the listing that confirmed a generation: it is not even merged.
    fn is_outdated(&self, raw: &str, generation: &Generation) -> bool {
        generation.confirmed.is_some() && self.raw.get(raw).is_some_and(|raw| raw.stated() < generation.floor.0)
    }
}

#[derive(Clone, Debug)]
struct Change {
    source: usize,
    at: Millis,
    /// Whether it changes rows, and does not only ask for a sync.
    makes_rows: bool,
    is_delivery: bool,
}

#[derive(Default)]
struct GenerationSeen {
    /// When readers saw it first.
    shown: Option<Millis>,
    /// Raw objects that were merged.
    merged: BTreeSet<String>,
    /// Those of them that were live changes.
    live: BTreeSet<String>,
    /// Owners whose rows changed, in order.
    touched: Vec<String>,
    /// Every row that it ever had, as readers see it.
    rows: BTreeSet<u64>,
    /// The last time that it ceased to be what readers see.
    left: Option<Millis>,
    /// Changes were left out of it on somebody's word.
    gap: bool,
}

/// What the oracle watches.
pub struct Watched {
    pub time: Arc<Time>,
    pub ledger: Arc<MemoryLedger>,
    pub entities: Arc<MemoryEntities>,
    pub blobs: Arc<MemoryBlobs>,
    pub queue: Arc<MemoryQueue>,
    pub sources: Arc<Mutex<Sources>>,
    pub shape: Shape,
    pub mappings: Arc<BTreeMap<ConfigHash, Mapping>>,
    pub true_clocks: bool,
    pub troubles: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Oracle {
    pub fn new(watched: Watched) -> Self {
        let Watched { time, ledger, entities, blobs, queue, sources, shape, mappings, true_clocks, troubles } = watched;
        Self {
            time,
            ledger,
            entities,
            blobs,
            queue,
            sources,
            shape,
            mappings,
            true_clocks,
            troubles,
            secrets: [API_KEY, HOOK_SECRET].map(Finder::new),
            state: Mutex::default(),
            found: Mutex::default(),
        }
    }

    /// The first thing that was wrong.
    pub fn found(&self) -> Option<Violation> {
        lock(&self.found).clone()
    }

    pub fn is_broken(&self) -> bool {
        lock(&self.found).is_some()
    }

    pub fn violated(&self, promise: Promise, what: impl FnOnce() -> String) {
        let mut found = lock(&self.found);
        if found.is_none() {
            *found = Some(Violation { promise, at: self.time.now(), what: what() });
        }
    }

    fn expect(&self, holds: bool, promise: Promise, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(promise, what);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn item<T: DeserializeOwned>(&self, key: &ItemKey) -> Option<T> {
        let item = at_once(self.ledger.get(key)).expect("the world's own ledger can be read")?;
        Some(item.value.read().expect("items are as their types are written"))
    }

    fn items<T: DeserializeOwned>(&self, part: &str, prefix: &str) -> Vec<(String, T)> {
        at_once(ledger::read_all(self.ledger.as_ref(), part, prefix)).expect("the world's own ledger can be read")
    }

    fn run(&self, id: &RunId) -> Option<Run> {
        self.item(&ledger::run_key(id))
    }

    fn generation(&self, id: &GenerationId) -> Option<Generation> {
        self.item(&ledger::generation_key(id))
    }

    fn mapping(&self, generation: &Generation) -> Mapping {
        *self.mappings.get(&generation.config).expect("every configuration is one of ours")
    }

    /// The pointer before the one that is in force, if that one is newer than `time`.
    pub fn pointer_before(&self, time: Millis) -> Option<Pointer> {
        let state = self.state();
        let (since, _) = state.pointers.last()?;
        let before = state.pointers.len().checked_sub(2)?;
        (*since > time).then(|| state.pointers[before].1.clone())
    }

    /// Somebody is about to go to this version as it was.
    pub fn going_as_was(&self, version: Version) {
        self.state().as_was.insert(version);
    }

    /// Somebody's clock was put forward or back.
    pub fn clock_stepped(&self, now: Millis) {
        self.state().clock_steps.push(now);
    }

    /// P9: a request is sent to a source.
    pub fn requested(&self, source: usize, now: Millis) {
        let mut state = self.state();
        let state = &mut *state;
        let lately = |at: &Millis| now.since(*at) < Duration::from_secs(2);
        state.clock_steps.retain(lately);
        let early = usize::from(!self.true_clocks).max(state.clock_steps.len());
        let requests = &mut state.requests[source];
        while requests.front().is_some_and(|first| now.since(*first) >= Duration::from_secs(1)) {
            requests.pop_front();
        }
        requests.push_back(now);
        // Permits are spaced by clocks: each time that one is put forward, one request goes early.
        let (count, most) = (requests.len(), self.shape.per_second as usize + early);
        self.expect(count <= most, Promise::P9, || {
            format!("source {} is sent {count} requests within a second; {most} are allowed", SOURCES[source])
        });
    }

    /// A source sends whoever lists it in circles: pages come again, and it is not the run's doing.
    pub fn sent_round(&self, source: usize) {
        let key = ledger::lease_key(&SourceId::new(SOURCES[source]));
        let Some(lease) = self.item::<Lease>(&key) else { return };
        if let Some(run) = self.state().runs.get_mut(&RunId::new(&lease.holder)) {
            run.sent_round = true;
        }
    }

    /// A source gave a page to whoever holds its lease.
    pub fn served(&self, source: usize, url: &str, lied: bool) {
        let key = ledger::lease_key(&SourceId::new(SOURCES[source]));
        let Some(lease) = self.item::<Lease>(&key) else { return };
        let troubles = (self.troubles)();
        let mut state = self.state();
        let run =
            state.runs.entry(RunId::new(&lease.holder)).or_insert_with(|| RunSeen::new(self.time.now(), troubles));
        *run.pages.entry(url.to_owned()).or_default() += 1;
        run.lied |= lied;
    }

    /// P1: a webhook was answered. What was accepted is stored, and somebody will be told of it.
    pub fn answered(&self, source: usize, id: &str, status: u16, makes_rows: bool) {
        if status != 202 {
            return;
        }
        let prefix = format!("raw/-/-/{}/hook/{id}-", SOURCES[source]);
        let keys = at_once(teal::ports::BlobReader::list(self.blobs.as_ref(), &prefix, None, 2));
        let Some(key) = keys.expect("the world's own blobs can be listed").pop() else {
            return self.violated(Promise::P1, || format!("delivery {id} was accepted and is not stored"));
        };
        let seen = ledger::seen_key(&SourceId::new(SOURCES[source]), &teal::domain::RawKey(key.clone()));
        let is_known = self.item::<Json>(&seen).is_some();
        let waits = || self.queue.bodies().iter().any(|body| body.contains(&key));
        self.expect(is_known || waits(), Promise::P1, || format!("delivery {id} was accepted and is in no queue"));
        let change = Change { source, at: self.time.now(), makes_rows, is_delivery: true };
        self.state().changes.entry(key).or_insert(change);
    }

    /// P11: no secret is where somebody could read it.
    fn keeps_secrets(&self, text: &[u8], place: impl FnOnce() -> String) {
        if self.secrets.iter().any(|secret| text.len() >= secret.needle().len() && secret.find(text).is_some()) {
            self.violated(Promise::P11, || format!("a secret is in {}", place()));
        }
    }
}

impl Observer for Oracle {
    fn wrote(&self, writes: &[Write]) {
        for write in writes {
            let Write::Put { key, value, .. } = write else { continue };
            self.keeps_secrets(value.as_str().as_bytes(), || format!("ledger item {}/{}", key.part, key.sort));
            match (key.part.as_str(), key.sort.as_str()) {
                _ if *key == pointer_key() => {
                    let pointer = value.read::<Pointer>().expect("a pointer is one");
                    self.pointer_moved(pointer);
                }
                (ledger::RUN, _) => {
                    let run: Run = value.read().expect("a run is one");
                    self.run_written(&run);
                }
                (part, sort) => {
                    if let Some(run) = part.strip_prefix("run#") {
                        self.progress_written(&RunId::new(run), sort, value);
                    } else if part.starts_with("source#") && sort.starts_with("cursor#") {
                        self.expect(value.as_str() != "null", Promise::P8, || {
                            format!("the cursor {part}/{sort} went empty")
                        });
                    }
                }
            }
        }
    }

    fn merged(&self, id: &GenerationId, writer: Writer, slot: &str, changes: &[RecordChange]) {
        let now = self.time.now();
        let mut state = self.state();
        let seen = state.generations.entry(id.clone()).or_default();
        if !seen.merged.contains(slot) {
            seen.merged.insert(slot.to_owned());
            drop(state);
            self.nothing_vanishes(id, slot);
            state = self.state();
        }
        let seen = state.generations.entry(id.clone()).or_default();
        for change in changes {
            seen.touched.push(change.owner.to_string());
            if let teal::domain::Effect::Upsert { rows, .. } = &change.effect {
                seen.rows.extend(rows.iter().map(|row| row.hash().0));
            }
        }
        if writer == Writer::Live {
            seen.live.insert(slot.to_owned());
            state.live.entry(slot.to_owned()).or_insert(now);
        }
    }

    fn created(&self, _: &GenerationSpec) {}

    fn gated(&self, _: &[GenerationId], _: Gate, _: Fence) {}

    fn dropped(&self, id: &GenerationId) {
        let named = self.state().pointers.last().is_some_and(|(_, pointer)| pointer.generation_ids().contains(id));
        self.expect(!named, Promise::P3, || format!("{id} is dropped while readers see it"));
    }

    fn stored(&self, key: &str, bytes: &Bytes) {
        if key.starts_with("raw/") {
            self.keeps_secrets(bytes, || format!("raw object {key}"));
            self.state().raw.insert(key.to_owned(), Parsed::new(bytes));
        }
    }

    fn deleted(&self, _: &str) {}

    fn sent(&self, message: &Message) {
        self.keeps_secrets(message.encode().as_bytes(), || "a queue message".to_owned());
    }
}

/// What the in-memory adapters do, they do at once.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("in memory nothing waits")
}

/// The source that feeds an entity.
pub(super) fn source_of(entity: &str) -> usize {
    match entity {
        "things" | "parts" | "marks" => 0,
        "groups" => 1,
        _ => 2,
    }
}

/// The key of a stream's progress in a run.
fn progress_of(run: &RunId, source: usize, stream: &str) -> ItemKey {
    ledger::stream_key(run, &SourceId::new(SOURCES[source]), &stream.into())
}
