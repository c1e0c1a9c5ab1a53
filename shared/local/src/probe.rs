//! Watching a Teal write, for tests that kill it: each write of a stage is announced to a file before and after
//! it, and the process can be told to die at any of these points.
//!
//! Owns thin wrappers around the ports that write. Owns no behaviour: without [`ProbeOptions`] the ports are
//! handed on as they are.
//!
//! An event is one line, `<stage> <operation> before|after`, with one system call, so that what a killed process
//! did last can be read. Operations that differ in what they write differ in their names:
//! `ledger.transact(run+lease)`, `queue.send(page)`. What the host does with a message of the stage is
//! `queue.receive after` and `queue.delete before`.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use teal::domain::{Fence, GenerationId, Message, Millis, RecordChange};
use teal::ports::blobs::Put;
use teal::ports::entities::{Dropped, Gate, GenerationSpec, Merged, Writer};
use teal::ports::ledger::Item;
use teal::ports::{
    Arrived, BlobAdmin, BlobError, BlobWriter, EntitiesError, EntityAdmin, EntityWriter, Fault, Intake, ItemKey,
    Ledger, LedgerError, LedgerReader, Outgoing, QueueSender, Write,
};

use crate::app::LocalError;

/// Where events go, and at which of them the process dies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeOptions {
    /// Lines are appended to it.
    pub file: Option<PathBuf>,
    pub die: Option<DieAt>,
}

/// The `nth` time (from 1) that this process announces one of these events. Written as a line of the file, then
/// the number; `poll|transform` is either stage, for what the one does that comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DieAt {
    pub events: Vec<String>,
    pub nth: u64,
}

impl FromStr for DieAt {
    type Err = BadDieAt;

    fn from_str(text: &str) -> Result<Self, BadDieAt> {
        let bad = || BadDieAt(text.to_owned());
        let words: Vec<&str> = text.split(' ').collect();
        let [stages, operation, phase @ ("before" | "after"), nth] = words[..] else { return Err(bad()) };
        let nth = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(bad)?;
        Ok(Self { events: stages.split('|').map(|stage| format!("{stage} {operation} {phase}")).collect(), nth })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' names no point to die at; write '<stage> <operation> before|after <nth>'")]
pub struct BadDieAt(String);

/// Hands out ports, wrapped if somebody watches.
#[derive(Clone, Default)]
pub struct Probes(Option<Arc<Probe>>);

struct Probe {
    file: Option<File>,
    die: Option<DieAt>,
    /// How often the events to die at came. Also keeps the lines in the order of the events.
    seen: Mutex<u64>,
}

/// One stage's end of the probe.
#[derive(Clone)]
pub struct StageProbe {
    probe: Option<Arc<Probe>>,
    stage: &'static str,
}

impl Probes {
    pub fn open(options: Option<&ProbeOptions>) -> Result<Self, LocalError> {
        let Some(ProbeOptions { file, die }) = options else { return Ok(Self(None)) };
        let open = |path: &PathBuf| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.map_err(|error| LocalError::Io { path: path.clone(), error })
        };
        let file = file.as_ref().map(open).transpose()?;
        Ok(Self(Some(Arc::new(Probe { file, die: die.clone(), seen: Mutex::new(0) }))))
    }

    #[must_use]
    pub fn stage(&self, stage: &'static str) -> StageProbe {
        StageProbe { probe: self.0.clone(), stage }
    }
}

impl Probe {
    fn announce(&self, event: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut file) = self.file.as_ref() {
            // A probe that can't write must not change what it watches; its reader misses the line.
            let _ = file.write_all(format!("{event}\n").as_bytes());
        }
        if let Some(die) = self.die.as_ref().filter(|die| die.events.iter().any(|one| one == event)) {
            *seen += 1;
            if *seen == die.nth {
                std::process::abort();
            }
        }
    }
}

impl StageProbe {
    #[must_use]
    pub fn ledger(&self, inner: &Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        if self.is_off() { inner.clone() } else { Arc::new(Watched { inner: inner.clone(), probe: self.clone() }) }
    }

    #[must_use]
    pub fn blobs(&self, inner: &Arc<dyn BlobWriter>) -> Arc<dyn BlobWriter> {
        if self.is_off() { inner.clone() } else { Arc::new(Watched { inner: inner.clone(), probe: self.clone() }) }
    }

    #[must_use]
    pub fn intake(&self, inner: &Arc<dyn Intake>) -> Arc<dyn Intake> {
        if self.is_off() { inner.clone() } else { Arc::new(Watched { inner: inner.clone(), probe: self.clone() }) }
    }

    #[must_use]
    pub fn blob_admin(&self, inner: &Arc<dyn BlobAdmin>) -> Arc<dyn BlobAdmin> {
        if self.is_off() { inner.clone() } else { Arc::new(Watched { inner: inner.clone(), probe: self.clone() }) }
    }

    #[must_use]
    pub fn writer(&self, inner: &Arc<dyn EntityWriter>) -> Arc<dyn EntityWriter> {
        if self.is_off() { inner.clone() } else { Arc::new(Watched { inner: inner.clone(), probe: self.clone() }) }
    }

    #[must_use]
    pub fn entities(&self, inner: &Arc<dyn EntityAdmin>) -> Arc<dyn EntityAdmin> {
        if self.is_off() { inner.clone() } else { Arc::new(Watched { inner: inner.clone(), probe: self.clone() }) }
    }

    #[must_use]
    pub fn queue(&self, inner: &Arc<dyn QueueSender>) -> Arc<dyn QueueSender> {
        if self.is_off() { inner.clone() } else { Arc::new(Watched { inner: inner.clone(), probe: self.clone() }) }
    }

    /// What a worker makes of a batch of this stage's queue.
    pub async fn handling<T>(self, work: impl Future<Output = T>) -> T {
        self.announce("queue.receive", "after");
        let done = work.await;
        self.announce("queue.delete", "before");
        done
    }

    fn is_off(&self) -> bool {
        self.probe.is_none()
    }

    async fn around<T>(&self, operation: &str, work: impl Future<Output = T>) -> T {
        self.announce(operation, "before");
        let done = work.await;
        self.announce(operation, "after");
        done
    }

    fn announce(&self, operation: &str, phase: &str) {
        if let Some(probe) = &self.probe {
            probe.announce(&format!("{} {operation} {phase}", self.stage));
        }
    }
}

/// A port of one stage, watched.
struct Watched<P: ?Sized> {
    inner: Arc<P>,
    probe: StageProbe,
}

#[async_trait]
impl LedgerReader for Watched<dyn Ledger> {
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
impl Ledger for Watched<dyn Ledger> {
    async fn transact(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        let kinds: BTreeSet<&str> = writes
            .iter()
            .filter(|write| !matches!(write, Write::Check { .. }))
            .map(|write| kind(write.key()))
            .collect();
        self.probe.around(&named("ledger.transact", &kinds), self.inner.transact(writes)).await
    }
}

#[async_trait]
impl BlobWriter for Watched<dyn BlobWriter> {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, BlobError> {
        self.probe.around("blobs.put", self.inner.put_if_absent(key, bytes)).await
    }
}

#[async_trait]
impl Intake for Watched<dyn Intake> {
    async fn take_in(&self, arrived: Arrived) -> Result<Put, BlobError> {
        self.probe.around("intake.take_in", self.inner.take_in(arrived)).await
    }
}

#[async_trait]
impl BlobAdmin for Watched<dyn BlobAdmin> {
    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.probe.around("blobs.delete", self.inner.delete(key)).await
    }
}

#[async_trait]
impl EntityWriter for Watched<dyn EntityWriter> {
    async fn merge(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        let operation = match writer {
            Writer::Live | Writer::Late(_) => "entities.merge(live)",
            Writer::Build(_) => "entities.merge(build)",
        };
        self.probe.around(operation, self.inner.merge(id, writer, slot, changes)).await
    }

    async fn holds(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError> {
        self.inner.holds(id, changes).await
    }
}

#[async_trait]
impl EntityAdmin for Watched<dyn EntityAdmin> {
    async fn create(&self, spec: GenerationSpec) -> Result<(), EntitiesError> {
        self.probe.around("entities.create", self.inner.create(spec)).await
    }

    async fn set_gates(&self, ids: &[GenerationId], gate: Gate, fence: Fence) -> Result<(), EntitiesError> {
        let operation = match gate {
            Gate::Building => "entities.set_gates(building)",
            Gate::Open => "entities.set_gates(open)",
            Gate::Closed => "entities.set_gates(closed)",
        };
        self.probe.around(operation, self.inner.set_gates(ids, gate, fence)).await
    }

    async fn confirm(&self, ids: &[GenerationId], until: Millis, fence: Fence) -> Result<(), EntitiesError> {
        self.probe.around("entities.confirm", self.inner.confirm(ids, until, fence)).await
    }

    async fn drop_slice(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError> {
        self.probe.around("entities.drop_slice", self.inner.drop_slice(id, limit)).await
    }

    async fn generations(&self) -> Result<Vec<GenerationId>, EntitiesError> {
        self.inner.generations().await
    }
}

#[async_trait]
impl QueueSender for Watched<dyn QueueSender> {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), Fault>> {
        let kinds: BTreeSet<&str> = messages.iter().map(|outgoing| message_kind(&outgoing.message)).collect();
        if kinds.is_empty() {
            return self.inner.send(messages).await;
        }
        self.probe.around(&named("queue.send", &kinds), self.inner.send(messages)).await
    }
}

fn named(operation: &str, kinds: &BTreeSet<&str>) -> String {
    let kinds: Vec<&str> = kinds.iter().copied().collect();
    format!("{operation}({})", kinds.join("+"))
}

/// What a ledger item is, without whose it is.
fn kind(key: &ItemKey) -> &str {
    let first = |text| str::split(text, '#').next().unwrap_or(text);
    match first(key.part.as_str()) {
        "system" | "source" => first(key.sort.as_str()),
        "run" if key.part != "run" => first(key.sort.as_str()),
        part => part,
    }
}

fn message_kind(message: &Message) -> &'static str {
    match message {
        Message::Sync { .. } => "sync",
        Message::Continue { .. } => "continue",
        Message::Page { .. } => "page",
        Message::Delivery { .. } => "delivery",
        Message::Replay { .. } => "replay",
        Message::Settle { .. } => "settle",
        Message::Errand { .. } => "errand",
        Message::Keep { .. } => "keep",
    }
}

#[cfg(test)]
mod tests {
    use teal::ports::Precondition;
    use tempfile::TempDir;

    use super::*;
    use crate::store::{StoreOptions, TealDb};

    fn ledger(dir: &TempDir) -> Arc<dyn Ledger> {
        TealDb::open(dir.path().join("teal.db"), StoreOptions::default()).unwrap()
    }

    fn delete(part: &str, sort: &str) -> Write {
        Write::Delete { key: ItemKey::new(part, sort), when: Precondition::None }
    }

    #[test]
    fn a_point_is_a_line_of_the_file_and_a_number() {
        let parsed: DieAt = "poll ledger.transact(run+lease) after 3".parse().unwrap();
        assert_eq!(parsed, DieAt { events: vec!["poll ledger.transact(run+lease) after".into()], nth: 3 });
        let either: DieAt = "poll|transform queue.send(settle) after 1".parse().unwrap();
        assert_eq!(either.events, ["poll queue.send(settle) after", "transform queue.send(settle) after"]);
        for wrong in
            ["", "poll blobs.put after", "poll blobs.put after 0", "poll blobs.put during 1", "poll  after 1 1"]
        {
            assert!(wrong.parse::<DieAt>().unwrap_err().to_string().contains(wrong));
        }
    }

    #[tokio::test]
    async fn each_write_is_announced_by_what_it_writes_and_reads_are_not() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("events");
        let options = ProbeOptions { file: Some(file.clone()), die: None };
        let probe = Probes::open(Some(&options)).unwrap().stage("poll");
        let ledger = probe.ledger(&ledger(&dir));
        let check = Write::Check { key: ItemKey::new("system", "switch"), when: Precondition::None };
        let writes = vec![delete("run#7", "slot#-/-/blue#talents#1"), delete("run", "7"), check];
        probe.clone().handling(ledger.transact(writes)).await.unwrap();
        ledger.get(&ItemKey::new("system", "pointer")).await.unwrap();
        ledger.transact(vec![delete("source#-/-/blue", "lease"), delete("log#-/-/blue", "1")]).await.unwrap();
        let expected = "\
poll queue.receive after
poll ledger.transact(run+slot) before
poll ledger.transact(run+slot) after
poll queue.delete before
poll ledger.transact(lease+log) before
poll ledger.transact(lease+log) after
";
        assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    }

    #[test]
    fn without_options_a_port_is_handed_on_as_it_is() {
        let dir = TempDir::new().unwrap();
        let ledger = ledger(&dir);
        let same = Probes::open(None).unwrap().stage("poll").ledger(&ledger);
        assert!(Arc::ptr_eq(&ledger, &same));
    }
}
