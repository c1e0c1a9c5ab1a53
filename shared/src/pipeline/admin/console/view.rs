//! How things look in answers: times in RFC 3339, sources by name, words instead of tagged enums.

use serde_json::{Value as Json, json};

use crate::domain::{Account, Millis, Reject, Run, RunState, SourceId};
use crate::pipeline::admin::VersionInfo;

pub(super) fn time(at: Option<Millis>) -> Json {
    at.map_or(Json::Null, |at| at.to_string().into())
}

/// Plain where a source has no accounts.
pub(super) fn source(id: &SourceId) -> String {
    if id.account == Account::default() { id.name.to_string() } else { id.to_string() }
}

pub(super) fn run(run: &Run) -> Json {
    let until = if let RunState::WaitingQuota { until } = run.state { Some(until) } else { None };
    json!({
        "id": run.id,
        "mode": run.mode,
        "sources": run.sources.iter().map(source).collect::<Vec<_>>(),
        "state": run.state.as_str(),
        "until": time(until),
        "builds": run.builds,
        "switch": run.switch,
        "force": run.force,
        "cause": run.cause,
        "started": time(Some(run.started)),
        "ended": time(run.ended),
        "pages": run.pages,
        "outcome": run.outcome,
        "reason": run.reason,
        "config": run.config,
    })
}

pub(super) fn version(info: &VersionInfo) -> Json {
    let manifest = &info.manifest;
    json!({
        "version": manifest.version,
        "state": manifest.state,
        "rows": info.rows,
        "generations": manifest.generations,
        "run": manifest.run,
        "created": time(Some(manifest.created)),
        "activated": time(manifest.activated),
        "deactivated": time(manifest.deactivated),
    })
}

pub(super) fn reject(id: &str, reject: &Reject) -> Json {
    json!({
        "id": id,
        "code": reject.reason.code,
        "field": reject.reason.field,
        "message": reject.reason.message,
        "source": source(&reject.source),
        "stream": reject.stream,
        "entity": reject.entity,
        "key": reject.key,
        "record": reject.record,
        "raw": reject.raw,
        "run": reject.run,
        "at": time(Some(reject.at)),
    })
}
