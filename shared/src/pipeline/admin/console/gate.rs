//! What people ask of the gate: what it refused, and secrets that senders proposed.

use serde_json::{Value as Json, json};

use super::ask::{Ask, CandidateAsk};
use super::{Answer, Console, Failed};
use crate::domain::{Secret, SourceId, SourceName};
use crate::pipeline::api::{ApiResponse, Code, Problem};
use crate::pipeline::webhook::candidate::{self, Found};
use crate::pipeline::webhook::quarantine::{PREFIX, Quarantined};
use crate::ports::BlobError;

const REFUSED: usize = 50;
/// Objects that are looked at: more than a day's quota of many sources.
const LOOKED_AT: usize = 20_000;
const PAGE: usize = 1000;

impl Console {
    /// The newest first. Bodies are left out.
    pub(super) async fn refused(&self, ask: &Ask<'_>) -> Answer {
        ask.reads(&["source", "limit"])?;
        let (source, limit) = (ask.text("source"), ask.number("limit")?.unwrap_or(REFUSED));
        let mut keys: Vec<String> = Vec::new();
        while keys.len() < LOOKED_AT {
            let page = self.blobs.list(PREFIX, keys.last().map(String::as_str), PAGE).await?;
            let over = page.len() < PAGE;
            keys.extend(page);
            if over {
                break;
            }
        }
        let of = |key: &&String| source.as_ref().is_none_or(|source| key.rsplit('-').next() == Some(source.as_str()));
        let mut shown = Vec::new();
        for key in keys.iter().rev().filter(of).take(limit) {
            match self.blobs.get(key).await {
                Ok(bytes) => shown.push(view(key, &bytes, false)?),
                // Its day is over just now.
                Err(BlobError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ApiResponse::json(200, &json!({ "refused": shown })))
    }

    pub(super) async fn refused_one(&self, ask: &Ask<'_>, id: &str) -> Answer {
        ask.reads(&[])?;
        let none = || Problem::new(Code::NoDelivery, format!("nothing that was refused has the id '{id}'"));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if id.is_empty() || !id.bytes().all(plain) {
            return Err(none().into());
        }
        let key = format!("{PREFIX}{id}");
        match self.blobs.get(&key).await {
            Ok(bytes) => Ok(ApiResponse::json(200, &view(&key, &bytes, true)?)),
            Err(BlobError::Missing(_)) => Err(none().into()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn await_candidate(&self, ask: &Ask<'_>) -> Answer {
        let (source, name) = self.hooked(ask).await?;
        self.audit(ask.caller, format!("await a secret of {name}")).await?;
        let until = candidate::wait(self.ledger.as_ref(), &source, self.clock.now()).await?;
        Ok(ApiResponse::json(200, &json!({ "source": name, "until": until.to_string() })))
    }

    /// Shows the candidate, once; it is for whoever puts it where secrets are kept.
    pub(super) async fn take_candidate(&self, ask: &Ask<'_>) -> Answer {
        let (source, name) = self.hooked(ask).await?;
        self.audit(ask.caller, format!("take the secret that {name} proposed")).await?;
        let found = candidate::take(self.ledger.as_ref(), &source, self.clock.now()).await?;
        Ok(ApiResponse::json(
            200,
            &match &found {
                Found::Nothing => json!({ "source": name }),
                Found::Awaiting { until } => json!({ "source": name, "until": until.to_string() }),
                Found::Candidate(secret) => json!({ "source": name, "secret": Secret::expose(secret) }),
            },
        ))
    }

    async fn hooked(&self, ask: &Ask<'_>) -> Result<(SourceId, SourceName), Failed> {
        let CandidateAsk { source } = ask.body()?;
        let loaded = self.admin.systems.current().await?;
        let name = SourceName::new(&source);
        if !loaded.source(&name)?.webhook.as_ref().is_some_and(|hook| hook.verify.gate.captures()) {
            let detail = format!("the sender of '{source}' proposes no secret; its secret is yours to choose");
            return Err(Problem::new(Code::Impossible, detail).into());
        }
        Ok((SourceId::new(&source), name))
    }
}

fn view(key: &str, bytes: &[u8], whole: bool) -> Result<Json, Failed> {
    let unreadable = || Problem::new(Code::Internal, format!("'{key}' is not as this version of Teal writes it"));
    let kept: Quarantined = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
    let mut shown = json!(kept);
    shown["id"] = key.strip_prefix(PREFIX).unwrap_or(key).into();
    if let (false, Some(members)) = (whole, shown.as_object_mut()) {
        members.insert("received".to_owned(), kept.received.to_string().into());
        members.retain(|name, _| !matches!(name.as_str(), "headers" | "body" | "sha256"));
    }
    Ok(shown)
}
