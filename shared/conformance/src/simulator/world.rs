//! What every task of a simulation shares, and the ports as one process sees them.
//!
//! Owns the disturbances of port calls: how long they take, which fail, and which are the last thing that a
//! process does. Whatever takes effect does so in one step of the in-memory adapters, so the state that others
//! see in between is one that could be.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use teal::domain::Millis;
use teal::pipeline::ledger::switch_lease_key;
use teal::ports::fault::FaultKind;
use teal::ports::ledger::{Item, JsonText, LedgerReader, pointer_key};
use teal::ports::{Clock, Fault, ItemKey, LedgerError};

use super::executor::{TaskId, Time};
use super::faults::{Faults, Kind};
use super::oracle::Oracle;
use super::sources::Sources;
use crate::memory::{MemoryBlobs, MemoryEntities, MemoryLedger, MemoryQueue, MemorySecrets, SeededEntropy, lock};
use crate::seed::Seed;
use crate::watch::{Asked, Watch, What};

/// What outlives every process.
pub struct Stores {
    pub entities: Arc<MemoryEntities>,
    pub ledger: Arc<MemoryLedger>,
    pub blobs: Arc<MemoryBlobs>,
    pub queue: Arc<MemoryQueue>,
    pub secrets: Arc<MemorySecrets>,
    pub entropy: Arc<SeededEntropy>,
}

/// Who ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Process(usize),
    Task(TaskId),
}

pub struct World {
    pub time: Arc<Time>,
    pub faults: Arc<Faults>,
    pub stores: Stores,
    pub sources: Arc<Mutex<Sources>>,
    pub oracle: Arc<Oracle>,
    pub history: History,
    /// Who is to be dropped before anything else happens.
    pub ends: Mutex<Vec<End>>,
    /// Tasks that tasks started, and the processes that they are of.
    pub started: Mutex<Vec<(TaskId, usize)>>,
    latency: Mutex<Seed>,
    /// Ports that fail for everybody, until when and how.
    outages: Mutex<BTreeMap<&'static str, (Millis, FaultKind)>>,
}

/// What happened, in lines, if somebody wants to read it.
#[derive(Default)]
pub struct History {
    lines: Option<Mutex<Vec<String>>>,
}

impl History {
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        Self { lines: wanted.then(Mutex::default) }
    }

    pub fn write(&self, now: Millis, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let second = now.0 - super::START.0;
            lock(lines).push(format!("{:>9}.{:03}  {}", second.div_euclid(1000), second.rem_euclid(1000), line()));
        }
    }

    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| lock(lines).clone()).unwrap_or_default()
    }
}

impl World {
    pub fn new(
        time: Arc<Time>,
        faults: Arc<Faults>,
        stores: Stores,
        sources: Arc<Mutex<Sources>>,
        oracle: Arc<Oracle>,
        history: History,
        latency: Seed,
    ) -> Self {
        Self {
            time,
            faults,
            stores,
            sources,
            oracle,
            history,
            ends: Mutex::default(),
            started: Mutex::default(),
            latency: Mutex::new(latency),
            outages: Mutex::default(),
        }
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        self.history.write(self.time.now(), line);
    }

    /// Whether a fault strikes; it is written down if it does.
    pub fn strikes(&self, kind: Kind) -> bool {
        let strikes = self.faults.strikes(kind);
        if strikes {
            self.note(|| format!("! {}", kind.name()));
        }
        strikes
    }

    fn outage(&self, port: &'static str) -> Option<FaultKind> {
        let mut outages = lock(&self.outages);
        let (until, kind) = *outages.get(port)?;
        if self.time.now() >= until || self.faults.have_stopped() {
            outages.remove(port);
            return None;
        }
        Some(kind)
    }

    fn break_port(&self, port: &'static str, kind: FaultKind, seconds: u64) {
        lock(&self.outages).insert(port, (self.time.now().plus(Duration::from_secs(seconds)), kind));
    }

    fn latency(&self, most: u64) -> Duration {
        Duration::from_millis(lock(&self.latency).number() % (most + 1))
    }
}

/// The watch of one process.
#[derive(Clone)]
pub struct SimWatch {
    pub world: Arc<World>,
    pub process: usize,
    pub clock: Arc<ProcessClock>,
}

impl SimWatch {
    async fn die(&self, end: End) {
        lock(&self.world.ends).push(end);
        self.world.time.never().await;
    }

    /// How long the call takes to get where it goes.
    async fn travel(&self, asked: &Asked<'_>) {
        let world = &self.world;
        let port = asked.port;
        let span = match port {
            "upstream" => Duration::from_millis(10) + world.latency(150),
            _ => world.latency(3),
        };
        let span = if world.strikes(Kind::Slow) {
            Duration::from_millis(100 + world.faults.number(Kind::Slow, 2900))
        } else if world.strikes(Kind::Stall) || (is_of_a_lease(&asked.what) && world.strikes(Kind::StallAtLease)) {
            self.stall(Kind::Stall)
        } else if asked.op == "generations" && world.strikes(Kind::StallInRetention) {
            // Shorter than a call may work: whoever is out of time lets nothing go.
            Duration::from_secs(2 + world.faults.number(Kind::StallInRetention, 50))
        } else if asked.op == "get" && is_of_the_switch(&asked.what) && world.strikes(Kind::StallAtSwitch) {
            self.stall(Kind::StallAtSwitch)
        } else {
            span
        };
        world.time.pause(span).await;
    }

    /// Longer than any lease.
    fn stall(&self, kind: Kind) -> Duration {
        Duration::from_secs(125 + self.world.faults.number(kind, 600))
    }

    fn fails_before(&self, port: &'static str, writes: bool) -> Option<Fault> {
        let world = &self.world;
        if world.strikes(Kind::Throttle) {
            world.break_port(port, FaultKind::Transient, 1 + world.faults.number(Kind::Throttle, 60));
        }
        if writes && port != "upstream" && world.strikes(Kind::Full) {
            world.break_port(port, FaultKind::Full, 1 + world.faults.number(Kind::Full, 90));
        }
        match world.outage(port) {
            Some(FaultKind::Full) if !writes => None,
            Some(kind) => {
                world.faults.struck_again();
                Some(Fault::new(kind, format!("{port} is not to be had at the moment")))
            }
            None => world.strikes(Kind::FailBefore).then(|| transient(port)),
        }
    }
}

fn is_of_a_lease(what: &What<'_>) -> bool {
    let is_lease = |key: &ItemKey| key.sort == "lease" || key.sort == "switch" || key.sort == "rebuild";
    match what {
        What::Item(key) => is_lease(key),
        What::Writes(writes) => writes.iter().any(|write| is_lease(write.key())),
        _ => false,
    }
}

fn is_of_the_switch(what: &What<'_>) -> bool {
    matches!(what, What::Item(key) if **key == switch_lease_key())
}

fn transient(port: &str) -> Fault {
    Fault::new(FaultKind::Transient, format!("{port} did not answer"))
}

impl Watch for SimWatch {
    async fn call<T, E, F>(&self, asked: Asked<'_>, mut work: impl FnMut() -> F + Send) -> Result<T, E>
    where
        T: fmt::Debug + Send,
        E: From<Fault> + fmt::Display + Send,
        F: Future<Output = Result<T, E>> + Send,
    {
        let world = &self.world;
        let (port, op) = (asked.port, asked.op);
        let writes = !matches!(op, "get" | "list" | "head" | "hashes" | "holds" | "dangling" | "generations");
        self.travel(&asked).await;
        if world.strikes(Kind::DieBefore) || (port == "queue" && world.strikes(Kind::DieUnsent)) {
            self.die(End::Process(self.process)).await;
        }
        if world.strikes(Kind::ClockStep) {
            self.clock.step(world);
            world.oracle.clock_stepped(world.time.now());
        }
        if let Some(fault) = self.fails_before(port, writes) {
            world.note(|| format!("p{} {port}.{op} {} fails before", self.process, asked.what));
            return Err(fault.into());
        }
        let mut result = work().await;
        if writes && port != "upstream" && world.strikes(Kind::Repeat) {
            result = work().await;
        }
        if writes {
            world.note(|| {
                let outcome = result.as_ref().err().map(|error| format!(" -> {error}")).unwrap_or_default();
                format!("p{} t{} {port}.{op} {}{outcome}", self.process, world.time.task(), asked.what)
            });
            if world.strikes(Kind::DieAfter) || (op == "set_gates" && world.strikes(Kind::DieAtGate)) {
                self.die(End::Process(self.process)).await;
            }
            if world.strikes(Kind::TimeoutAfter) {
                self.die(End::Task(world.time.task())).await;
            }
            let stalls = is_of_a_lease(&asked.what) && world.strikes(Kind::StallAtLease);
            let answer = if stalls { self.stall(Kind::StallAtLease) } else { world.latency(2) };
            if !answer.is_zero() {
                world.time.pause(answer).await;
            }
        }
        if result.is_ok() && world.strikes(Kind::FailAfter) {
            world.note(|| format!("p{} {port}.{op} {} fails after", self.process, asked.what));
            return Err(transient(port).into());
        }
        result
    }

    fn note(&self, _: &'static str, _: &dyn fmt::Display) {}
}

/// The clock of a process: the true time, off by something.
#[derive(Debug)]
pub struct ProcessClock {
    time: Arc<Time>,
    off: AtomicI64,
}

impl ProcessClock {
    pub fn new(world: &World) -> Self {
        let skew = if world.strikes(Kind::ClockSkew) { world.faults.number(Kind::ClockSkew, 4001) } else { 2000 };
        Self { time: world.time.clone(), off: AtomicI64::new(skew.cast_signed() - 2000) }
    }

    fn step(&self, world: &World) {
        let to = world.faults.number(Kind::ClockStep, 6001).cast_signed() - 3000;
        self.off.store(to, Ordering::Relaxed);
    }

    /// What happens to every clock when things get better.
    pub fn set_right(&self) {
        self.off.store(0, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Millis {
        Millis(self.time.now().0 + self.off.load(Ordering::Relaxed))
    }

    async fn sleep(&self, span: Duration) {
        self.time.pause(span.max(Duration::from_millis(u64::from(!span.is_zero())))).await;
    }
}

/// The true time as a clock: for the queue, which is nobody's process.
#[derive(Debug)]
pub struct TrueClock(pub Arc<Time>);

#[async_trait]
impl Clock for TrueClock {
    fn now(&self) -> Millis {
        self.0.now()
    }

    async fn sleep(&self, span: Duration) {
        self.0.pause(span).await;
    }
}

/// The ledger as serve reads it: the pointer may be that of a moment ago.
pub struct ServedLedger<L: ?Sized> {
    pub world: Arc<World>,
    pub inner: Arc<L>,
}

/// How long a pointer may be remembered.
const MOMENT: Duration = Duration::from_secs(1);

#[async_trait]
impl<L: LedgerReader + ?Sized> LedgerReader for ServedLedger<L> {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, LedgerError> {
        let item = self.inner.get(key).await?;
        if *key == pointer_key()
            && let Some(old) = self.world.oracle.pointer_before(self.world.time.now().minus(MOMENT))
            && self.world.strikes(Kind::StalePointer)
        {
            let value = JsonText::of(&old);
            return Ok(item.map(|item| Item { value, ..item }));
        }
        Ok(item)
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
