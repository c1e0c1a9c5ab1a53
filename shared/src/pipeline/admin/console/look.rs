//! Questions: nothing here changes anything.

use serde_json::{Map, Value as Json, json};

use super::ask::{Ask, wrong};
use super::{Answer, Console, view};
use crate::config::Source;
use crate::domain::raw::RawFrom;
use crate::domain::{
    EntityName, GenerationId, Key, Manifest, QueueName, Raw, Reject, Run, RunId, RunState, SourceId, SourceName,
    Version,
};
use crate::pipeline::admin::{RejectFilter, export_page};
use crate::pipeline::api::{ApiResponse, Code, Problem};
use crate::pipeline::error::StageError;
use crate::pipeline::lease;
use crate::pipeline::ledger::{self, Building, NextSync, Stored, StreamProgress};
use crate::pipeline::switch::Settling;
use crate::ports::EntitiesError;
use crate::ports::connector::answers_of;

const RUNS: usize = 20;
/// Enough to hold a last run of every source.
const RUNS_FOR_STATUS: usize = 200;
const REJECTS: usize = 50;
const EXAMPLES: usize = 3;
/// Longest record or body that is shown with a reject, in bytes.
const EXCERPT: usize = 16 * 1024;
const EXPORT_PAGE: usize = 1000;

impl Console {
    pub(super) async fn status(&self, ask: &Ask<'_>) -> Answer {
        ask.reads(&[])?;
        let ledger = self.ledger.as_ref();
        let loaded = self.admin.systems.current().await?;
        let pointer = ledger::pointer(ledger).await?.ok_or(StageError::NoConfig)?;
        let mut entities = Map::new();
        for id in pointer.generation_ids() {
            let rows = match self.admin.reader.head(&id).await {
                Ok(head) => Some(head.rows),
                Err(EntitiesError::NoGeneration(_)) => None,
                Err(error) => return Err(error.into()),
            };
            entities.insert(id.entity.to_string(), json!({ "rows": rows, "generation": id.number }));
        }
        let runs = ledger::recent_runs(ledger, RUNS_FOR_STATUS).await?;
        let mut sources = Map::new();
        for source in loaded.system.sources.values() {
            sources.insert(source.name.to_string(), self.source(source, &runs).await?);
        }
        let building: Option<Stored<Building>> = ledger::read(ledger, &ledger::building_key()).await?;
        let parked: Vec<Json> =
            runs.iter().filter(|run| matches!(run.state, RunState::WaitingQuota { .. })).map(view::run).collect();
        let rejects = self.admin.rejects(&RejectFilter::default(), 1000).await?.len();
        Ok(ApiResponse::json(
            200,
            &json!({
                "system": loaded.system.name,
                "config": loaded.system.hash,
                "at": self.clock.now().to_string(),
                "version": pointer.version,
                "previous": pointer.previous,
                "since": pointer.at.to_string(),
                "building": building.map(|b| json!(b.value)),
                "entities": entities,
                "sources": sources,
                "parked": parked,
                "rejects": rejects,
                "queues": self.queues().await?,
            }),
        ))
    }

    async fn source(&self, source: &Source, runs: &[Run]) -> Result<Json, StageError> {
        let ledger = self.ledger.as_ref();
        let id = SourceId::new(source.name.as_str());
        let now = self.clock.now();
        let of_it: Vec<&Run> = runs.iter().filter(|run| run.sources.contains(&id)).collect();
        let last = of_it.iter().find(|run| run.state == RunState::Ended).copied();
        let running = of_it.iter().find(|run| run.state != RunState::Ended).copied();
        let last = match last {
            Some(run) => {
                let mut shown = view::run(run);
                shown["counts"] = json!(ledger::counts(ledger, &run.id).await?);
                Some(shown)
            }
            None => None,
        };
        let held = lease::read(ledger, &ledger::lease_key(&id)).await?.map(|l| l.value).filter(|l| l.is_held(now));
        let waiting: Option<Stored<NextSync>> = ledger::read(ledger, &ledger::next_key(&id)).await?;
        let next = |schedule: &Option<crate::config::schedule::Schedule>| {
            view::time(schedule.as_ref().and_then(|schedule| schedule.next_after(now)))
        };
        Ok(json!({
            "last_run": last,
            "running": running.map(view::run),
            "next_full": next(&source.full),
            "next_incremental": next(&source.incremental),
            "lease": held.map(|lease| json!({ "holder": lease.holder, "until": lease.until.to_string() })),
            "waiting": waiting.map(|note| json!(note.value)),
            "webhook": source.webhook.as_ref().map(|webhook| format!("/hooks/{}", webhook.path)),
            "deliveries": self.health_of_webhook(source).await?,
        }))
    }

    async fn queues(&self) -> Result<Option<Json>, StageError> {
        let Some(depths) = &self.depths else { return Ok(None) };
        let mut out = Map::new();
        for queue in QueueName::ALL {
            out.insert(queue.as_str().to_owned(), json!(depths.depth(queue).await?));
        }
        Ok(Some(Json::Object(out)))
    }

    pub(super) async fn versions(&self, ask: &Ask<'_>) -> Answer {
        ask.reads(&[])?;
        let active = ledger::pointer(self.ledger.as_ref()).await?.map(|p| p.version);
        let versions: Vec<Json> = self.admin.versions().await?.iter().map(view::version).collect();
        Ok(ApiResponse::json(200, &json!({ "active": active, "versions": versions })))
    }

    pub(super) async fn diff(&self, ask: &Ask<'_>) -> Answer {
        ask.reads(&["from", "to", "examples"])?;
        let to = ask.version("to")?.ok_or_else(|| wrong("'to' is missing; name the version to compare with"))?;
        let from = match ask.version("from")? {
            Some(from) => from,
            None => ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?.version,
        };
        let examples = ask.number("examples")?.unwrap_or(EXAMPLES);
        Ok(ApiResponse::json(200, &json!(self.admin.diff(from, to, examples).await?)))
    }

    pub(super) async fn runs(&self, ask: &Ask<'_>) -> Answer {
        ask.reads(&["limit"])?;
        let limit = ask.number("limit")?.unwrap_or(RUNS);
        let mut runs = Vec::new();
        for run in ledger::recent_runs(self.ledger.as_ref(), limit).await? {
            let mut shown = view::run(&run);
            shown["counts"] = json!(ledger::counts(self.ledger.as_ref(), &run.id).await?);
            runs.push(shown);
        }
        Ok(ApiResponse::json(200, &json!({ "runs": runs })))
    }

    pub(super) async fn run(&self, ask: &Ask<'_>, id: &str) -> Answer {
        ask.reads(&[])?;
        let ledger = self.ledger.as_ref();
        let id = RunId::new(id);
        let run = ledger::run(ledger, &id).await?.ok_or_else(|| StageError::NoRun(id.clone()))?.value;
        let settling: Option<Stored<Settling>> = ledger::read(ledger, &ledger::settling_key(&id)).await?;
        let mut shown = view::run(&run);
        shown["counts"] = json!(ledger::counts(ledger, &id).await?);
        shown["verdict"] = settling.map_or(Json::Null, |settling| json!(settling.value.verdict));
        shown["streams"] = self.streams(&id).await?;
        shown["version"] = match run.builds {
            Some(version) => self.version_of(version).await?,
            None => Json::Null,
        };
        shown["active"] = json!(ledger::pointer(ledger).await?.map(|pointer| pointer.version));
        Ok(ApiResponse::json(200, &shown))
    }

    /// How far fetching is, per stream.
    async fn streams(&self, run: &RunId) -> Result<Json, StageError> {
        let streams: Vec<(String, StreamProgress)> =
            ledger::read_all(self.ledger.as_ref(), &ledger::run_part(run), "stream#").await?;
        let shown = streams.iter().map(|(sort, progress)| {
            let mut parts = sort.split('#').skip(1);
            let source = parts.next().unwrap_or_default();
            json!({
                "source": source.rsplit('/').next(),
                "stream": parts.next(),
                "pages": progress.slots,
                "ended": progress.ended,
            })
        });
        Ok(shown.collect())
    }

    async fn version_of(&self, version: Version) -> Result<Json, StageError> {
        let manifest = ledger::manifest(self.ledger.as_ref(), version).await?;
        let previous = ledger::pointer(self.ledger.as_ref()).await?.and_then(|pointer| pointer.previous);
        Ok(json!({ "version": version, "state": manifest.map(|m| m.state), "previous": previous }))
    }

    pub(super) async fn rejects(&self, ask: &Ask<'_>) -> Answer {
        ask.reads(&["entity", "source", "code", "run", "id", "limit"])?;
        let filter = RejectFilter {
            id: ask.text("id"),
            entity: ask.text("entity"),
            source: ask.text("source"),
            code: ask.text("code"),
            run: ask.text("run"),
        };
        let limit = ask.number("limit")?.unwrap_or(REJECTS);
        let mut found = self.admin.rejects(&filter, limit.saturating_add(1)).await?;
        if found.is_empty() {
            self.must_exist(&filter).await?;
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let rejects: Vec<Json> = found.iter().map(|(id, reject)| view::reject(id, reject)).collect();
        Ok(ApiResponse::json(200, &json!({ "rejects": rejects, "more": more })))
    }

    /// A filter that can't match anything names something that does not exist.
    pub(super) async fn must_exist(&self, filter: &RejectFilter) -> Result<(), super::Failed> {
        let loaded = self.admin.systems.current().await?;
        if let Some(source) = &filter.source {
            loaded.source(&SourceName::new(source))?;
        }
        if let Some(entity) = &filter.entity
            && loaded.system.entity(&EntityName::new(entity)).is_none()
        {
            let have: Vec<&str> = loaded.system.entities.iter().map(|e| e.name.as_str()).collect();
            let detail = format!("there is no entity '{entity}'; there is {}", have.join(", "));
            return Err(Problem::new(Code::NoEntity, detail).into());
        }
        Ok(())
    }

    pub(super) async fn reject(&self, ask: &Ask<'_>, id: &str) -> Answer {
        ask.reads(&[])?;
        let filter = RejectFilter { id: Some(id.to_owned()), ..RejectFilter::default() };
        let found = self.admin.rejects(&filter, 2).await?;
        let exact = found.iter().find(|(have, _)| have == id);
        let (id, reject) = match (exact, &found[..]) {
            (Some(one), _) | (None, [one]) => one,
            (None, []) => return Err(Problem::new(Code::NoReject, format!("there is no reject '{id}'")).into()),
            (None, _) => {
                let detail = format!("several rejects begin with '{id}'; give the whole id");
                return Err(Problem::new(Code::NoReject, detail).into());
            }
        };
        let mut shown = view::reject(id, reject);
        let (raw, record) = self.raw_of(reject).await?;
        shown["raw_object"] = raw;
        shown["record_json"] = record;
        Ok(ApiResponse::json(200, &shown))
    }

    /// Where the reject's raw came from, and the record at fault in it, both as far as they can be had.
    async fn raw_of(&self, reject: &Reject) -> Result<(Json, Json), StageError> {
        let Ok(bytes) = self.blobs.get(&reject.raw.0).await else { return Ok((Json::Null, Json::Null)) };
        let raw = Raw::decode(&bytes)?;
        let mut shown =
            json!({ "stated": raw.head.stated.to_string(), "bytes": raw.body.len(), "from": raw.head.from });
        let record = match &raw.head.from {
            RawFrom::Page { stream, position, .. } => {
                let loaded = self.admin.systems.current().await?;
                let connector = loaded.connector(&reject.source.name)?;
                let records = connector.records(stream, position, &answers_of(&raw));
                records.ok().and_then(|mut records| {
                    let at = reject.record as usize;
                    (at < records.len()).then(|| records.swap_remove(at))?.record.ok()
                })
            }
            RawFrom::Delivery { .. } | RawFrom::Object { .. } => serde_json::from_slice(&raw.body).ok(),
            RawFrom::Rows { .. } => {
                let line = raw.body.split(|byte| *byte == b'\n').nth(reject.record as usize);
                line.and_then(|line| serde_json::from_slice(line).ok())
            }
        };
        let record = record.filter(|record| record.to_string().len() <= EXCERPT);
        if record.is_none() {
            let start = &raw.body[..raw.body.len().min(EXCERPT)];
            shown["excerpt"] = String::from_utf8_lossy(start).into();
        }
        Ok((shown, record.unwrap_or(Json::Null)))
    }

    /// One page of the canonical export. The first page says which version it is of; the others ask for it.
    pub(super) async fn export(&self, ask: &Ask<'_>) -> Answer {
        ask.reads(&["version", "entity", "after"])?;
        let version = match ask.version("version")? {
            Some(version) => version,
            None => ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?.version,
        };
        let manifest: Manifest =
            ledger::manifest(self.ledger.as_ref(), version).await?.ok_or(StageError::NoVersion(version))?;
        let start = ask.text("entity");
        let after = ask.text("after");
        let after = after.map(|after| Key::decode(&after).map_err(|_| wrong("'after' is not from this export")));
        let mut after = after.transpose()?;
        let mut lines = Vec::new();
        let mut next = Json::Null;
        let mut ids: Vec<GenerationId> = manifest.generation_ids();
        ids.retain(|id| start.as_deref().is_none_or(|start| id.entity.as_str() >= start));
        for id in ids {
            let room = EXPORT_PAGE - lines.len();
            let page =
                export_page(self.admin.reader.as_ref(), &id, after.take(), room, |line| lines.push(line)).await?;
            if let Some(last) = page {
                next = json!({ "entity": id.entity, "after": last.encode() });
                break;
            }
        }
        Ok(ApiResponse::json(200, &json!({ "version": version, "lines": lines, "next": next })))
    }
}
