//! A secret that a sender proposed, and whether one is awaited.
//!
//! ```text
//! nothing ── the owner awaits one ──► awaiting ── the first proposal ──► candidate ── the owner takes it ──► nothing
//! ```
//!
//! Owns that item of the ledger. Owns no key: the owner puts what was taken where secrets are kept, and that is the
//! confirmation.
//!
//! Always holds: only the owner begins it; the first proposal stays and no later one replaces it; a candidate proves
//! nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Webhook, unavailable};
use crate::domain::{Millis, Secret, SourceId};
use crate::pipeline::api::Problem;
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, Stored};
use crate::ports::{ItemKey, Ledger, LedgerReader, Precondition, Write};

/// How long a proposal is awaited, and then how long it is kept.
pub const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Candidate {
    until: Millis,
    /// In clear: it is no key of anything yet, and its owner has to read it.
    secret: Option<String>,
}

/// What the owner finds.
#[derive(Debug)]
pub enum Found {
    Nothing,
    Awaiting {
        until: Millis,
    },
    /// It is kept no longer: who took it has the only one.
    Candidate(Secret),
}

fn key(source: &SourceId) -> ItemKey {
    ItemKey::new(ledger::lease_key(source).part, "candidate")
}

async fn read(
    ledger: &dyn LedgerReader,
    source: &SourceId,
    now: Millis,
) -> Result<Option<Stored<Candidate>>, StageError> {
    let stored = ledger::read::<Candidate>(ledger, &key(source)).await?;
    Ok(stored.filter(|stored| now <= stored.value.until))
}

pub(super) async fn is_awaited(source: &SourceId, stage: &Webhook, now: Millis) -> Result<bool, Problem> {
    let found = read(stage.ledger.as_ref(), source, now).await.map_err(|error| unavailable(source, &error))?;
    Ok(found.is_some_and(|stored| stored.value.secret.is_none()))
}

/// Whether it is kept; if not, somebody else was first.
pub(super) async fn keep(source: &SourceId, stage: &Webhook, secret: String, now: Millis) -> Result<bool, Problem> {
    let down = |error: &dyn std::fmt::Display| unavailable(source, error);
    let stored = read(stage.ledger.as_ref(), source, now).await.map_err(|error| down(&error))?;
    let Some(stored) = stored.filter(|stored| stored.value.secret.is_none()) else { return Ok(false) };
    let candidate = Candidate { until: now.plus(PATIENCE), secret: Some(secret) };
    let write = ledger::put(key(source), &candidate, ledger::unchanged(Some(&stored)));
    match stage.ledger.transact(vec![write]).await {
        Ok(()) => Ok(true),
        Err(error) if ledger::was_refused(&error) => Ok(false),
        Err(error) => Err(down(&error)),
    }
}

/// Begins to await a proposal; one that was there is forgotten. Says until when.
pub async fn wait(ledger: &dyn Ledger, source: &SourceId, now: Millis) -> Result<Millis, StageError> {
    let until = now.plus(PATIENCE);
    let item = ledger::put(key(source), &Candidate { until, secret: None }, Precondition::None);
    ledger.transact(vec![item]).await?;
    Ok(until)
}

/// Shows the candidate, once.
pub async fn take(ledger: &dyn Ledger, source: &SourceId, now: Millis) -> Result<Found, StageError> {
    let Some(stored) = read(ledger, source, now).await? else { return Ok(Found::Nothing) };
    let when = ledger::unchanged(Some(&stored));
    let Candidate { until, secret } = stored.value;
    let Some(secret) = secret else { return Ok(Found::Awaiting { until }) };
    ledger.transact(vec![Write::Delete { key: key(source), when }]).await?;
    Ok(Found::Candidate(Secret::new(secret)))
}
