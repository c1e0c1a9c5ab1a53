//! Which items the ledger holds: their keys, their types, and reading and writing them typed.
//!
//! Layout, `part` / `sort`:
//!
//! ```text
//! system              pointer                          Pointer: the active version
//!                     config                           the configuration in force
//!                     building                         the one version that is being built
//!                     numbers                          last version and last fence given out
//!                     switch                           lease of whoever moves the pointer
//! version             {n:08}                           Manifest
//! generation          {entity}#{n:08}                  Generation
//! run                 {run}                            Run
//! run#{run}           stream#{source}#{stream}         StreamProgress
//!                     slot#{source}#{stream}#{k:08}    Slot: the page that counts
//!                     done#{source}#{stream}#{k:08}    that page is applied
//!                     counts                           numbers of domain::Counts
//!                     settling                         how far verification and catch-up are
//! source#{source}     lease                            who syncs it now
//!                     limit                            when the next request may go out
//!                     next                             a sync that waits for the lease
//!                     request                          Request: what asked for the last run
//!                     sweep                            how far upkeep is in looking for lost deliveries
//!                     cursor#{stream}                  where the next incremental run starts
//!                     pages#{stream}#{mode}            what its pages are known by
//!                     log                              next number of its change log
//! log#{source}        {n:012}                          LogEntry
//! seen#{source}       {raw}                            when it was entered in the change log, or put aside
//! dedupe#{source}     {hash of an id}                  Known: the delivery that has this id
//! inbox#{source}      {time, newest first}#{raw}       Entry: what became of a delivery
//! errand#{source}     {rule}#{hash}                    Errand: what is to be asked for
//! source#{source}     cursor-of#{hash}                 how far a paging errand is
//!                     lease-of-webhook                 Channels: the webhook's lease
//!                     gaps                             Gaps: when it was last looked for what never came
//! reject              {raw}#{entity}#{configuration:.12}#{record:06}#{n}   Reject
//! run#{run}           restore                          Restore: what a restoring run restores
//! backup              progress                         the backup that is being made, and how far it is
//!                     last                             the last one that was made
//! backup#{id}         {n:06}                           a part of one that is being made or uploaded
//! audit               {time}#{nonce}                   who did what
//! ```

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::domain::{
    ConfigHash, Counts, EntityName, Fence, Generation, GenerationId, Manifest, Millis, Mode, Pointer, RawKey, Reject,
    Run, RunId, SourceId, StreamName, TraceParent, Version,
};
use crate::mutants::{self, Mutant};
use crate::ports::fault::FaultKind;
use crate::ports::ledger::{ItemKey, JsonText, LedgerReader, Precondition, Write, pointer_key};
use crate::ports::{Fault, LedgerError};

/// An item read and understood.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    pub value: T,
    pub revision: u64,
    pub mark: u64,
}

pub async fn read<T: DeserializeOwned>(
    ledger: &dyn LedgerReader,
    key: &ItemKey,
) -> Result<Option<Stored<T>>, LedgerError> {
    let Some(item) = ledger.get(key).await? else { return Ok(None) };
    Ok(Some(Stored { value: understand(key, &item.value)?, revision: item.revision, mark: item.mark }))
}

pub(in crate::pipeline) fn understand<T: DeserializeOwned>(key: &ItemKey, value: &JsonText) -> Result<T, LedgerError> {
    value.read().map_err(|error| {
        let what = format!("ledger item '{}/{}' is not as this version of Teal writes it", key.part, key.sort);
        LedgerError::Fault(Fault::new(FaultKind::Permanent, what).because(error))
    })
}

/// Every item of a part whose sort starts with `prefix`, read a page at a time.
pub async fn read_all<T: DeserializeOwned>(
    ledger: &dyn LedgerReader,
    part: &str,
    prefix: &str,
) -> Result<Vec<(String, T)>, LedgerError> {
    let mut out: Vec<(String, T)> = Vec::new();
    loop {
        let items = ledger.list(part, prefix, out.last().map(|(sort, _)| sort.as_str()), PAGE).await?;
        let last = items.len() < PAGE;
        for item in items {
            let value = understand(&item.key, &item.value)?;
            out.push((item.key.sort, value));
        }
        if last {
            return Ok(out);
        }
    }
}

/// Items asked for at once.
pub const PAGE: usize = 500;

pub fn put<T: Serialize>(key: ItemKey, value: &T, when: Precondition) -> Write {
    put_marked(key, value, 0, when)
}

pub fn put_marked<T: Serialize>(key: ItemKey, value: &T, mark: u64, when: Precondition) -> Write {
    let value = JsonText::of(value);
    let when = if mutants::on(Mutant::UnconditionalWrite) { Precondition::None } else { when };
    Write::Put { key, value, mark, when }
}

/// The precondition that nothing has changed since `stored` was read.
#[must_use]
pub fn unchanged<T>(stored: Option<&Stored<T>>) -> Precondition {
    stored.map_or(Precondition::Absent, |s| Precondition::Matches(s.revision))
}

/// Refuses the whole transaction when somebody newer than `fence` has taken the lease.
#[must_use]
pub fn fenced(lease: ItemKey, fence: Fence) -> Write {
    let fence = if mutants::on(Mutant::LeaseWithoutFence) { u64::MAX } else { fence.0 };
    Write::Check { key: lease, when: Precondition::NoneNewer(fence) }
}

#[must_use]
pub fn was_refused(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Refused { .. })
}

// ---- types of items ------------------------------------------------------------------------------

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigItem {
    pub hash: ConfigHash,
    pub at: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Building {
    pub version: Version,
    pub run: RunId,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    pub version: Version,
    pub fence: Fence,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamProgress {
    /// Where the next page is asked for; `None` before the first.
    pub position: Option<Json>,
    /// Pages stored so far.
    pub slots: u64,
    pub ended: bool,
    /// What the complete listing leaves for the next incremental run.
    pub cursor: Option<Json>,
    /// Revision of the cursor that an incremental listing started from: it moves that one and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_from: Option<u64>,
    /// For finding a listing that goes in circles: a position, and after how many pages to take a new one.
    #[serde(default)]
    pub anchor: Option<u64>,
    #[serde(default)]
    pub anchor_at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub raw: RawKey,
}

/// A sync that was asked for while another one ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextSync {
    pub mode: Mode,
    pub cause: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

/// Which message started the last run of a source, so that it starts none when it is delivered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: String,
    pub run: RunId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub at: Millis,
    pub who: String,
    pub what: String,
}

// ---- keys ----------------------------------------------------------------------------------------

pub const SYSTEM: &str = "system";
pub const VERSION: &str = "version";
pub const GENERATION: &str = "generation";
pub const RUN: &str = "run";
pub const REJECT: &str = "reject";
pub const AUDIT: &str = "audit";
pub const BACKUP: &str = "backup";

#[must_use]
pub fn config_key() -> ItemKey {
    ItemKey::new(SYSTEM, "config")
}

#[must_use]
pub fn building_key() -> ItemKey {
    ItemKey::new(SYSTEM, "building")
}

#[must_use]
pub fn numbers_key() -> ItemKey {
    ItemKey::new(SYSTEM, "numbers")
}

#[must_use]
pub fn switch_lease_key() -> ItemKey {
    ItemKey::new(SYSTEM, "switch")
}

#[must_use]
pub fn version_key(version: Version) -> ItemKey {
    ItemKey::new(VERSION, format!("{:08}", version.0))
}

#[must_use]
pub fn generation_key(id: &GenerationId) -> ItemKey {
    ItemKey::new(GENERATION, format!("{}#{:08}", id.entity, id.number))
}

#[must_use]
pub fn run_key(run: &RunId) -> ItemKey {
    ItemKey::new(RUN, run.as_str())
}

#[must_use]
pub fn run_part(run: &RunId) -> String {
    format!("run#{run}")
}

#[must_use]
pub fn stream_key(run: &RunId, source: &SourceId, stream: &StreamName) -> ItemKey {
    ItemKey::new(run_part(run), format!("stream#{source}#{stream}"))
}

#[must_use]
pub fn slot_prefix(source: &SourceId, stream: &StreamName) -> String {
    format!("slot#{source}#{stream}#")
}

#[must_use]
pub fn slot_key(run: &RunId, source: &SourceId, stream: &StreamName, slot: u64) -> ItemKey {
    ItemKey::new(run_part(run), format!("{}{slot:08}", slot_prefix(source, stream)))
}

#[must_use]
pub fn done_key(run: &RunId, source: &SourceId, stream: &StreamName, slot: u64) -> ItemKey {
    ItemKey::new(run_part(run), format!("done#{source}#{stream}#{slot:08}"))
}

/// Before the pages of a run that were held back.
pub const HELD: &str = "held#";

#[must_use]
pub fn held_key(run: &RunId, source: &SourceId, stream: &StreamName, slot: u64) -> ItemKey {
    ItemKey::new(run_part(run), format!("{HELD}{source}#{stream}#{slot:08}"))
}

/// That a run found something which readers don't have.
#[must_use]
pub fn differs_key(run: &RunId) -> ItemKey {
    ItemKey::new(run_part(run), "differs")
}

#[must_use]
pub fn counts_key(run: &RunId) -> ItemKey {
    ItemKey::new(run_part(run), "counts")
}

#[must_use]
pub fn settling_key(run: &RunId) -> ItemKey {
    ItemKey::new(run_part(run), "settling")
}

#[must_use]
pub fn restore_key(run: &RunId) -> ItemKey {
    ItemKey::new(run_part(run), "restore")
}

/// Where the parts of a backup are noted, until its manifest has them.
#[must_use]
pub fn backup_part(id: &str) -> String {
    format!("backup#{id}")
}

fn source_part(source: &SourceId) -> String {
    format!("source#{source}")
}

#[must_use]
pub fn lease_key(source: &SourceId) -> ItemKey {
    ItemKey::new(source_part(source), "lease")
}

/// The lease under which a run writes: its source's, or for a rebuild, which asks no source, one of its own.
#[must_use]
pub fn run_lease_key(run: &Run) -> ItemKey {
    match (run.mode, run.sources.first()) {
        (Mode::Full | Mode::Incremental, Some(source)) => lease_key(source),
        _ => ItemKey::new(SYSTEM, "rebuild"),
    }
}

#[must_use]
pub fn limit_key(source: &SourceId) -> ItemKey {
    ItemKey::new(source_part(source), "limit")
}

#[must_use]
pub fn next_key(source: &SourceId) -> ItemKey {
    ItemKey::new(source_part(source), "next")
}

#[must_use]
pub fn request_key(source: &SourceId) -> ItemKey {
    ItemKey::new(source_part(source), "request")
}

#[must_use]
pub fn sweep_key(source: &SourceId) -> ItemKey {
    ItemKey::new(source_part(source), "sweep")
}

#[must_use]
pub fn cursor_key(source: &SourceId, stream: &StreamName) -> ItemKey {
    ItemKey::new(source_part(source), format!("cursor#{stream}"))
}

/// What a source gave with the pages of a stream to recognise them by.
#[must_use]
pub fn pages_known_key(source: &SourceId, stream: &StreamName, mode: Mode) -> ItemKey {
    ItemKey::new(source_part(source), format!("pages#{stream}#{}", mode.as_str()))
}

#[must_use]
pub fn log_head_key(source: &SourceId) -> ItemKey {
    ItemKey::new(source_part(source), "log")
}

#[must_use]
pub fn log_part(source: &SourceId) -> String {
    format!("log#{source}")
}

#[must_use]
pub fn log_key(source: &SourceId, number: u64) -> ItemKey {
    ItemKey::new(log_part(source), format!("{number:012}"))
}

#[must_use]
pub fn leaving_part(source: &SourceId) -> String {
    format!("leaving#{source}")
}

#[must_use]
pub fn leaving_key(source: &SourceId, raw: &RawKey) -> ItemKey {
    ItemKey::new(leaving_part(source), raw.0.clone())
}

#[must_use]
pub fn seen_key(source: &SourceId, raw: &RawKey) -> ItemKey {
    ItemKey::new(format!("seen#{source}"), raw.0.clone())
}

#[must_use]
pub fn dedupe_key(source: &SourceId, id: &str) -> ItemKey {
    ItemKey::new(format!("dedupe#{source}"), id)
}

#[must_use]
pub fn inbox_part(source: &SourceId) -> String {
    format!("inbox#{source}")
}

#[must_use]
pub fn errand_part(source: &SourceId) -> String {
    format!("errand#{source}")
}

#[must_use]
pub fn pages_key(source: &SourceId, errand: &str) -> ItemKey {
    ItemKey::new(source_part(source), format!("cursor-of#{errand}"))
}

#[must_use]
pub fn channels_key(source: &SourceId) -> ItemKey {
    ItemKey::new(source_part(source), "lease-of-webhook")
}

#[must_use]
pub fn gaps_key(source: &SourceId) -> ItemKey {
    ItemKey::new(source_part(source), "gaps")
}

/// How the keys begin of what one mapping rejects of a raw object. Each mapping has its own: what readers see may
/// follow any of them again.
#[must_use]
pub fn rejects_of(raw: &str, entity: Option<&EntityName>, config: &ConfigHash) -> String {
    format!("{raw}#{}#{}#", entity.map_or("-", EntityName::as_str), config.short())
}

/// Rejects of one raw object with their keys. The same reject always has the same one, whatever else was tried, so
/// that repeating the work repeats no reject.
#[must_use]
pub fn keyed(rejects: &[Reject]) -> Vec<(ItemKey, &Reject)> {
    let mut before: BTreeMap<_, usize> = BTreeMap::new();
    let key_of = |reject: &Reject| {
        let nth = before.entry((reject.entity.clone(), reject.config.clone(), reject.record)).or_default();
        let prefix = rejects_of(&reject.raw.0, reject.entity.as_ref(), &reject.config);
        let key = ItemKey::new(REJECT, format!("{prefix}{:06}#{nth}", reject.record));
        *nth += 1;
        key
    };
    rejects.iter().map(key_of).zip(rejects).collect()
}

/// Keeps rejects of one raw object.
#[must_use]
pub fn keep(rejects: &[Reject]) -> Vec<Write> {
    keyed(rejects).into_iter().map(|(key, reject)| put(key, reject, Precondition::None)).collect()
}

// ---- reading what many need -----------------------------------------------------------------------

pub async fn pointer(ledger: &dyn LedgerReader) -> Result<Option<Pointer>, LedgerError> {
    Ok(stored_pointer(ledger).await?.map(|stored| stored.value))
}

pub async fn stored_pointer(ledger: &dyn LedgerReader) -> Result<Option<Stored<Pointer>>, LedgerError> {
    read(ledger, &pointer_key()).await
}

pub async fn manifest(ledger: &dyn LedgerReader, version: Version) -> Result<Option<Manifest>, LedgerError> {
    Ok(read(ledger, &version_key(version)).await?.map(|stored| stored.value))
}

/// Every version that is still known, oldest first.
pub async fn manifests(ledger: &dyn LedgerReader) -> Result<Vec<Manifest>, LedgerError> {
    Ok(read_all(ledger, VERSION, "").await?.into_iter().map(|(_, manifest)| manifest).collect())
}

pub async fn generation(ledger: &dyn LedgerReader, id: &GenerationId) -> Result<Option<Generation>, LedgerError> {
    Ok(read(ledger, &generation_key(id)).await?.map(|stored| stored.value))
}

pub async fn run(ledger: &dyn LedgerReader, id: &RunId) -> Result<Option<Stored<Run>>, LedgerError> {
    read(ledger, &run_key(id)).await
}

/// Puts what only the run knows on the log lines of whoever works on it.
pub fn note(run: &Run) {
    let span = tracing::Span::current();
    span.record("run", run.id.as_str());
    if let Some(version) = run.builds {
        span.record("version", tracing::field::display(version));
    }
    if let Some(trace) = &run.trace {
        span.record("trace", trace.trace_id());
    }
}

/// The last `limit` runs, newest first. Upkeep keeps their number small.
pub async fn recent_runs(ledger: &dyn LedgerReader, limit: usize) -> Result<Vec<Run>, LedgerError> {
    let runs = read_all(ledger, RUN, "").await?;
    Ok(runs.into_iter().rev().take(limit).map(|(_, run)| run).collect())
}

pub async fn counts(ledger: &dyn LedgerReader, run: &RunId) -> Result<Counts, LedgerError> {
    let counters: Option<Stored<BTreeMap<String, i64>>> = read(ledger, &counts_key(run)).await?;
    Ok(counters.map(|c| Counts::from_counters(&c.value)).unwrap_or_default())
}

/// How many pages of the run are applied.
pub async fn pages_done(ledger: &dyn LedgerReader, run: &RunId) -> Result<u64, LedgerError> {
    Ok(counts(ledger, run).await?.pages)
}
