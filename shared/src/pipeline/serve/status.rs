//! What an operator wants to see at a glance: what is read, and how each source's last run ended.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Serve, moving, unreadable, unreadable_ledger};
use crate::domain::{Account, Pointer, Run, RunState, SourceId};
use crate::pipeline::api::{ApiResponse, Problem};
use crate::pipeline::ledger;
use crate::ports::EntitiesError;

/// Runs looked at: enough to hold a last one of every source.
const RUNS: usize = 200;

pub(super) async fn status(serve: &Serve) -> Result<ApiResponse, Problem> {
    let (pointer, entities) = counted(serve).await?;
    let body = json!({
        "version": pointer.version,
        "previous": pointer.previous,
        "since": pointer.at.to_string(),
        "at": serve.clock.now().to_string(),
        "entities": entities,
        "sources": sources(serve).await?,
    });
    Ok(ApiResponse::json(200, &body)
        .with("x-teal-version", pointer.version.0.to_string())
        .with("cache-control", "no-cache"))
}

/// The pointer and its generations' rows; asked again once when one went meanwhile.
async fn counted(serve: &Serve) -> Result<(Pointer, Map<String, Json>), Problem> {
    for _ in 0..2 {
        let pointer = serve.pointer().await?;
        match count(serve, &pointer).await {
            Ok(entities) => return Ok((pointer, entities)),
            Err(EntitiesError::NoGeneration(_)) => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
    Err(moving())
}

async fn count(serve: &Serve, pointer: &Pointer) -> Result<Map<String, Json>, EntitiesError> {
    let mut out = Map::new();
    for entity in pointer.generations.keys() {
        let Some(id) = pointer.generation(entity) else { continue };
        let head = serve.entities.head(&id).await?;
        out.insert(entity.to_string(), json!({ "rows": head.rows, "generation": id.number }));
    }
    Ok(out)
}

/// Per source its last run that ended, and the one that goes on.
async fn sources(serve: &Serve) -> Result<Map<String, Json>, Problem> {
    let ledger = serve.ledger.as_ref();
    let failed = |error| unreadable_ledger(&error);
    let mut found: BTreeMap<String, (Option<Run>, Option<Run>)> = BTreeMap::new();
    for run in ledger::recent_runs(ledger, RUNS).await.map_err(failed)? {
        for source in &run.sources {
            let (ended, going_on) = found.entry(shown(source)).or_default();
            let place = if run.ended.is_some() { ended } else { going_on };
            place.get_or_insert_with(|| run.clone());
        }
    }
    let mut out = Map::new();
    for (source, (ended, going_on)) in found {
        let mut entry = Map::new();
        for (name, run) in [("last_run", ended), ("running", going_on)] {
            let described = match run {
                None => Json::Null,
                Some(run) => {
                    let counts = ledger::counts(ledger, &run.id).await.map_err(failed)?;
                    describe(&run, &json!(counts))
                }
            };
            entry.insert(name.to_owned(), described);
        }
        out.insert(source, Json::Object(entry));
    }
    Ok(out)
}

fn describe(run: &Run, counts: &Json) -> Json {
    let mut out = json!({
        "id": run.id,
        "mode": run.mode,
        "state": run.state.as_str(),
        "cause": run.cause,
        "started": run.started.to_string(),
        "ended": run.ended.map(|at| at.to_string()),
        "outcome": run.outcome,
        "reason": run.reason,
        "counts": counts,
    });
    if let RunState::WaitingQuota { until } = run.state {
        out["until"] = until.to_string().into();
    }
    out
}

/// Plain where a source has no accounts.
fn shown(source: &SourceId) -> String {
    if source.account == Account::default() { source.name.to_string() } else { source.to_string() }
}
