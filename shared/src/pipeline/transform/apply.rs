//! Applying one raw object to generations, each under the mapping that it was built with.
//!
//! Shared by everything that applies: a run's pages, live changes, and the catch-up of a switch, a rollback
//! or a rebuild. So all of them give the same rows for the same raw (P5).
//!
//! Always holds: a record is normalized once per generation; one raw object makes one merge per generation. What a
//! mapping rejects is kept before anything is merged: who is cut off in between may come back to other mappings, and
//! readers to this one (P10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::try_join_all;
use serde_json::Value as Json;

use crate::config::path::{Base, Path, Scope};
use crate::config::{Action, Entity};
use crate::domain::raw::RawFrom;
use crate::domain::run::RecordCounts;
use crate::domain::{
    ConfigHash, Counts, Effect, Generation, Key, Millis, Raw, RawKey, RecordChange, Reject, RejectReason, RunId,
    SourceName, StreamName,
};
use crate::mutants::{self, Mutant};
use crate::pipeline::backup::Line;
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;
use crate::pipeline::normalize::{self, Code, Normalized, Record};
use crate::pipeline::systems::{Loaded, Systems};
use crate::pipeline::webhook::event;
use crate::ports::connector::{Taken, answers_of};
use crate::ports::entities::Writer;
use crate::ports::ledger::MAX_WRITES;
use crate::ports::{EntityWriter, Ledger};

/// Rejects that are kept in full for one raw object of one entity; beyond that they are only counted.
pub(super) const REJECTS_KEPT: usize = 200;

/// What is to be applied, and where to.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub key: &'a RawKey,
    pub raw: &'a Raw,
    pub generations: &'a [Generation],
    pub writer: Writer,
    pub run: Option<&'a RunId>,
    pub now: Millis,
}

#[derive(Debug, Default)]
pub struct Applied {
    pub counts: Counts,
    pub rejects: Vec<Reject>,
    /// Why nothing at all could be read out of the raw object; it is among the rejects too.
    pub unreadable: Option<String>,
}

/// What one configuration reads out of a raw object.
struct Reading {
    loaded: Arc<Loaded>,
    records: Vec<Item>,
    /// Why nothing could be read.
    unreadable: Option<RejectReason>,
    /// Records that can't be read and are among the rejects already: they are no entity's in particular.
    told: BTreeSet<usize>,
}

struct Item {
    stream: StreamName,
    what: What,
}

enum What {
    Record {
        json: Json,
        hash: u64,
        late: bool,
    },
    /// The rule of the webhook that says so, and the body that it reads.
    Delete {
        rule: usize,
        body: Arc<Json>,
    },
    /// The key of a record that the source was asked for and does not have.
    Gone(Json),
    /// A line of another installation's export.
    Row(Line),
    Unreadable(RejectReason),
}

/// What became of a record over all entities that it feeds.
#[derive(Clone, Copy, Default)]
struct Fate {
    mapped: bool,
    rejected: bool,
}

pub async fn apply(
    systems: &Systems,
    ledger: &dyn Ledger,
    entities: &dyn EntityWriter,
    job: Job<'_>,
) -> Result<Applied, StageError> {
    let mut readings: BTreeMap<ConfigHash, Reading> = BTreeMap::new();
    for generation in job.generations {
        if !readings.contains_key(&generation.config) {
            let loaded = systems.get(&generation.config).await?;
            readings.insert(generation.config.clone(), read(loaded, job.raw)?);
        }
    }
    let mut applied = Applied::default();
    let mut fates: BTreeMap<usize, Fate> = BTreeMap::new();
    let mut merges = Vec::new();
    for generation in job.generations {
        let Some(reading) = readings.get_mut(&generation.config) else { continue };
        let loaded = reading.loaded.clone();
        let Some(entity) = loaded.system.entity(&generation.id.entity) else { continue };
        let name = entity.name.clone();
        let mut changes = changes_of(&job, entity, reading, &mut applied, &mut fates);
        if generation.confirmed.is_some() {
            // What began with an older listing would take them in.
            let rows = applied.counts.entities.entry(name.clone()).or_default();
            changes.retain(|change| {
                let older = rows_before(generation.floor, change);
                rows.superseded += older.unwrap_or(0);
                older.is_none()
            });
        }
        if !changes.is_empty() {
            let (writer, slot) = (job.writer, job.key.0.as_str());
            merges.push(
                async move {
                    let merged = entities.merge(&generation.id, writer, slot, &changes).await?;
                    Ok::<_, StageError>((name, merged))
                }
                .boxed(),
            );
        }
    }
    for reading in readings.values() {
        applied.counts.records = record_counts(reading, &fates);
        if let Some(reason) = &reading.unreadable {
            applied.rejects.push(reject(&job, reading, (&stream_of(job.raw), None), None, 0, reason.clone()));
            applied.unreadable = Some(reason.message.clone());
        }
    }
    let after_rows = mutants::on(Mutant::RejectsLate);
    if !after_rows {
        keep(ledger, &applied.rejects).await?;
    }
    for (name, merged) in try_join_all(merges).await? {
        let rows = applied.counts.entities.entry(name).or_default();
        rows.new += merged.new;
        rows.changed += merged.changed;
        rows.unchanged += merged.unchanged;
        rows.superseded += merged.superseded;
        rows.duplicate += merged.duplicate;
        rows.deleted += merged.deleted;
        rows.late += merged.late;
    }
    if after_rows {
        keep(ledger, &applied.rejects).await?;
    }
    Ok(applied)
}

async fn keep(ledger: &dyn Ledger, rejects: &[Reject]) -> Result<(), StageError> {
    let kept = if mutants::on(Mutant::RejectsForgotten) { &[] } else { rejects };
    for chunk in ledger::keep(kept).chunks(MAX_WRITES) {
        ledger.transact(chunk.to_vec()).await?;
    }
    Ok(())
}

/// How many rows an upsert makes that is older than a listing.
fn rows_before(floor: Millis, change: &RecordChange) -> Option<u64> {
    match &change.effect {
        Effect::Upsert { order, rows, .. } if order.stated < floor && !mutants::on(Mutant::ConfirmedFloor) => {
            Some(rows.len() as u64)
        }
        _ => None,
    }
}

fn changes_of(
    job: &Job<'_>,
    entity: &Entity,
    reading: &mut Reading,
    applied: &mut Applied,
    fates: &mut BTreeMap<usize, Fate>,
) -> Vec<RecordChange> {
    let mut changes = Vec::new();
    let rows = applied.counts.entities.entry(entity.name.clone()).or_default();
    let mut rejects = Vec::new();
    for (index, item) in reading.records.iter().enumerate().filter(|(_, item)| item.stream == entity.stream) {
        let fate = fates.entry(index).or_default();
        let mut gone = None;
        match &item.what {
            What::Record { json, hash, late } => {
                let record = Record { json, hash: *hash, stated: job.raw.head.stated };
                let Normalized { mut change, mapped, duplicates, rejected_rows, rejects: bad, .. } =
                    normalize::normalize(entity, &record);
                if let Some(RecordChange { effect: Effect::Upsert { order, complete, .. }, .. }) = &mut change {
                    if mutants::on(Mutant::LastArrivalWins) {
                        (order.provider, order.stated) = (None, job.now);
                    }
                    *complete &= !mutants::on(Mutant::ListingHidesNothing);
                }
                rows.mapped += mapped;
                rows.duplicate += duplicates;
                rows.rejected += rejected_rows;
                fate.mapped |= mapped > rejected_rows;
                fate.rejected |= !bad.is_empty();
                rejects.extend(bad.into_iter().map(|bad| (index, bad.key, bad.reason)));
                changes.extend(change.map(|change| RecordChange { late: *late, ..change }));
            }
            What::Delete { rule, body } => {
                gone = Some(delete(reading, &job.raw.head.source.name, *rule, entity, body));
            }
            What::Gone(key) => gone = Some(normalize::read_delete(entity, &whole(), None, key)),
            What::Row(line) if line.entity != entity.name => {}
            What::Row(line) => {
                rows.mapped += 1;
                match normalize::imported(entity, &line.row, job.raw.head.stated) {
                    Ok(change) => {
                        fate.mapped = true;
                        changes.push(change);
                    }
                    Err(reason) => {
                        (fate.rejected, rows.rejected) = (true, rows.rejected + 1);
                        rejects.push((index, Some(line.key.clone()), reason));
                    }
                }
            }
            What::Unreadable(reason) => {
                if reading.told.insert(index) {
                    rejects.push((index, None, reason.clone()));
                }
                fate.rejected = true;
            }
        }
        match gone {
            None => {}
            Some(Ok((owner, provider))) => {
                fate.mapped = true;
                changes.push(normalize::delete_change(owner, provider, job.raw.head.stated));
            }
            Some(Err(reason)) => {
                fate.rejected = true;
                rejects.push((index, None, reason));
            }
        }
    }
    let kept = rejects.into_iter().take(REJECTS_KEPT);
    let of_entity = (&entity.stream, Some(entity));
    applied.rejects.extend(kept.map(|(index, key, reason)| reject(job, reading, of_entity, key, index, reason)));
    changes
}

fn whole() -> Path {
    Path { base: Base::Item, steps: Vec::new() }
}

/// The key and order of the record that a delete rule speaks of, as this entity understands them.
fn delete(
    reading: &Reading,
    source: &SourceName,
    rule: usize,
    entity: &Entity,
    body: &Json,
) -> Result<(Key, Option<i64>), RejectReason> {
    let webhook = reading.loaded.system.sources.get(source).and_then(|s| s.webhook.as_ref());
    match webhook.and_then(|w| w.on.get(rule)).map(|rule| &rule.action) {
        Some(Action::Delete { key, provider, .. }) => normalize::read_delete(entity, key, provider.as_ref(), body),
        _ => unreachable!("only delete rules make deletes"),
    }
}

fn record_counts(reading: &Reading, fates: &BTreeMap<usize, Fate>) -> RecordCounts {
    let mut counts = RecordCounts::default();
    for index in 0..reading.records.len() {
        counts.fetched += 1;
        match fates.get(&index).copied().unwrap_or_default() {
            Fate { mapped: true, .. } => counts.mapped += 1,
            Fate { rejected: true, .. } => counts.rejected += 1,
            Fate { .. } => counts.filtered += 1,
        }
    }
    counts
}

/// Takes the records out of a raw object as this configuration understands it.
fn read(loaded: Arc<Loaded>, raw: &Raw) -> Result<Reading, StageError> {
    let read = match &raw.head.from {
        RawFrom::Page { stream, position, .. } => {
            loaded.connector(&raw.head.source.name)?.records(stream, position, &answers_of(raw)).map(|records| {
                let what = |taken: Taken| match taken.record {
                    Ok(json) => record(json, taken.late),
                    Err(why) => What::Unreadable(Code::RawUnreadable.reason(None, why)),
                };
                records.into_iter().map(|taken| Item { stream: stream.clone(), what: what(taken) }).collect()
            })
        }
        RawFrom::Delivery { timed, .. } => Ok(read_delivery(&loaded, raw, *timed)?),
        RawFrom::Object { stream, record, gone, .. } => Ok(vec![read_object(raw, stream, record, gone.as_ref())]),
        RawFrom::Rows { stream } => Ok(read_rows(raw, stream)),
    };
    Ok(match read {
        Ok(records) => Reading { loaded, records, unreadable: None, told: BTreeSet::new() },
        Err(error) => {
            let reason = Code::RawUnreadable.reason(None, error.to_string());
            Reading { loaded, records: Vec::new(), unreadable: Some(reason), told: BTreeSet::new() }
        }
    })
}

fn read_rows(raw: &Raw, stream: &StreamName) -> Vec<Item> {
    let lines = raw.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let items = lines.map(|line| match serde_json::from_slice(line) {
        Ok(line) => What::Row(line),
        Err(error) => What::Unreadable(Code::RawUnreadable.reason(None, error.to_string())),
    });
    items.map(|what| Item { stream: stream.clone(), what }).collect()
}

/// An object that a delivery was about, or that it is gone.
fn read_object(raw: &Raw, stream: &StreamName, path: &str, gone: Option<&Json>) -> Item {
    let what = match (gone, serde_json::from_slice::<Json>(&raw.body)) {
        (Some(key), _) => What::Gone(key.clone()),
        (None, Err(error)) => What::Unreadable(Code::RawUnreadable.reason(None, error.to_string())),
        (None, Ok(body)) => match Path::parse(path).ok().and_then(|path| path.get(&Scope::record(&body)).cloned()) {
            Some(json) => record(json, false),
            None => What::Unreadable(Code::DeliveryEmpty.reason(None, format!("the answer has no record at '{path}'"))),
        },
    };
    Item { stream: stream.clone(), what }
}

fn record(json: Json, late: bool) -> What {
    let hash = normalize::record_hash(&json);
    What::Record { json, hash, late }
}

/// What a delivery's rules say that it holds. Rules that only trigger a sync are not our business.
fn read_delivery(loaded: &Loaded, raw: &Raw, timed: bool) -> Result<Vec<Item>, StageError> {
    let Some(webhook) = &loaded.source(&raw.head.source.name)?.webhook else { return Ok(Vec::new()) };
    let Some(body) = event::read(&raw.head.headers, &raw.body).map(Arc::new) else { return Ok(Vec::new()) };
    let mut items = Vec::new();
    for (index, rule) in webhook.rules(&body) {
        match &rule.action {
            Action::Sync { .. } | Action::Fetch(_) | Action::Page(_) => {}
            Action::Upsert { stream, .. } | Action::Delete { stream, .. } if !timed => {
                let message = "the delivery does not say when it was sent, so it may only trigger a sync; \
                               declare `stated` in the source's webhook";
                let reason = Code::DeliveryUntimed.reason(None, message);
                items.push(Item { stream: stream.clone(), what: What::Unreadable(reason) });
            }
            Action::Upsert { stream, record: path } => match path.get(&Scope::record(&body)) {
                Some(Json::Array(list)) => {
                    items.extend(
                        list.iter().map(|json| Item { stream: stream.clone(), what: record(json.clone(), false) }),
                    );
                }
                Some(json) => items.push(Item { stream: stream.clone(), what: record(json.clone(), false) }),
                None => {
                    let message = format!("the delivery has no record at '{path}'");
                    let reason = Code::DeliveryEmpty.reason(None, message);
                    items.push(Item { stream: stream.clone(), what: What::Unreadable(reason) });
                }
            },
            Action::Delete { stream, .. } => {
                items.push(Item { stream: stream.clone(), what: What::Delete { rule: index, body: body.clone() } });
            }
        }
    }
    Ok(items)
}

fn stream_of(raw: &Raw) -> StreamName {
    match &raw.head.from {
        RawFrom::Page { stream, .. } | RawFrom::Rows { stream } | RawFrom::Object { stream, .. } => stream.clone(),
        RawFrom::Delivery { .. } => StreamName::new("webhook"),
    }
}

fn reject(
    job: &Job<'_>,
    reading: &Reading,
    (stream, entity): (&StreamName, Option<&Entity>),
    key: Option<String>,
    index: usize,
    reason: RejectReason,
) -> Reject {
    Reject {
        source: job.raw.head.source.clone(),
        stream: stream.clone(),
        entity: entity.map(|e| e.name.clone()),
        key,
        record: u32::try_from(index).unwrap_or(u32::MAX),
        reason,
        raw: job.key.clone(),
        config: reading.loaded.system.hash.clone(),
        run: job.run.cloned(),
        at: job.now,
    }
}
