//! Errands: what has to be asked for because a delivery said so.
//!
//! Owns the items, one for each rule and object, and making them. Owns no asking: that is poll's.
//!
//! Always holds: an item is there from the first delivery that wants it until an answer to a question that was asked
//! after the last one is stored and queued. So many deliveries about one object are one question, and the newest of
//! them is never answered with something older.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::call::{self, Made};
use super::error::StageError;
use super::ledger::{self, Stored};
use super::normalize::Code;
use crate::config::Action;
use crate::config::path::Scope;
use crate::domain::{ConfigHash, Message, Millis, RawKey, Reject, SourceId, StreamName};
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::{ItemKey, Ledger, Precondition, QueueSender};

/// Largest event that is kept for a question: an item has a bound.
const MOST_KEPT: usize = 16 * 1024;
/// What waits this much longer than it should was lost on its way.
pub const LOST: std::time::Duration = std::time::Duration::from_secs(120);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    pub config: ConfigHash,
    /// Which rule of the webhook.
    pub rule: usize,
    /// The delivery that was the first to want it.
    pub cause: RawKey,
    /// What is asked for; with a cursor the first page.
    pub made: Made,
    /// For paging: what the programs see.
    pub event: Option<Json>,
    /// The key of the record, should the source not have it any more.
    pub key: Option<Json>,
    /// How often it was wanted.
    pub asked: u64,
    /// When it is due.
    pub due: Millis,
    pub tries: u32,
    /// Why the last attempt failed.
    pub why: Option<String>,
    /// Somebody is at it until then.
    pub held: Millis,
}

/// What a delivery wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    id: String,
    errand: Errand,
    wait: std::time::Duration,
}

impl Wanted {
    #[must_use]
    pub fn shown(&self) -> String {
        self.errand.made.path.clone()
    }
}

#[must_use]
pub fn key(source: &SourceId, errand: &str) -> ItemKey {
    ItemKey::new(ledger::errand_part(source), errand)
}

/// What a rule wants because of an event; the error says why that can't be asked for.
pub fn of(
    rule: usize,
    action: &Action,
    event: Option<&Json>,
    cause: &RawKey,
    config: &ConfigHash,
) -> Result<Wanted, String> {
    let event = event.unwrap_or(&Json::Null);
    let (made, kept, key, wait, base) = match action {
        Action::Fetch(fetch) => {
            let key = fetch.key.as_ref().and_then(|key| key.get(&Scope::record(event))).cloned();
            (call::make(&fetch.request, event)?, None, key, fetch.wait, &fetch.request.base)
        }
        Action::Page(paging) => {
            if event.to_string().len() > MOST_KEPT {
                return Err(format!("an event that asks for pages may have {MOST_KEPT} bytes"));
            }
            let input = json!({ "event": event, "cursor": null });
            (call::make(&paging.request, &input)?, Some(event.clone()), None, paging.wait, &paging.request.base)
        }
        Action::Sync { .. } | Action::Upsert { .. } | Action::Delete { .. } => {
            return Err("this rule asks for nothing".to_owned());
        }
    };
    let what = format!("{base} {} {}", made.path, made.body.as_ref().map(Json::to_string).unwrap_or_default());
    let id = format!("{rule:03}#{}", &format!("{:x}", Sha256::digest(what))[..32]);
    let errand = Errand {
        config: config.clone(),
        rule,
        cause: cause.clone(),
        made,
        event: kept,
        key,
        asked: 1,
        due: Millis(0),
        tries: 0,
        why: None,
        held: Millis(0),
    };
    Ok(Wanted { id, errand, wait })
}

/// Makes the item and queues it, or adds to the one that waits already.
pub async fn ask(
    ledger: &dyn Ledger,
    queue: &dyn QueueSender,
    source: &SourceId,
    wanted: &Wanted,
    now: Millis,
) -> Result<(), StageError> {
    let key = key(source, &wanted.id);
    let seen: Option<Stored<Errand>> = ledger::read(ledger, &key).await?;
    let next = match &seen {
        None => Errand { due: now.plus(wanted.wait), ..wanted.errand.clone() },
        Some(seen) => Errand {
            asked: seen.value.asked + 1,
            config: wanted.errand.config.clone(),
            due: seen.value.due,
            tries: seen.value.tries,
            why: seen.value.why.clone(),
            held: seen.value.held,
            cause: seen.value.cause.clone(),
            ..wanted.errand.clone()
        },
    };
    // Refused: the delivery comes again, and finds what is there then.
    ledger.transact(vec![ledger::put(key, &next, ledger::unchanged(seen.as_ref()))]).await?;
    if seen.is_none_or(|seen| seen.value.held < now && seen.value.due.plus(LOST) < now) {
        let message = Message::Errand { source: source.clone(), errand: wanted.id.clone() };
        send_all(queue, vec![Outgoing::after(message, wanted.wait)]).await?;
    }
    Ok(())
}

/// Queues again what was due long ago and nobody is at. Says how many.
pub async fn wake(
    ledger: &dyn Ledger,
    queue: &dyn QueueSender,
    source: &SourceId,
    now: Millis,
) -> Result<u64, StageError> {
    let mut woken = 0;
    for (id, errand) in ledger::read_all::<Errand>(ledger, &ledger::errand_part(source), "").await? {
        if errand.held < now && errand.due.plus(LOST) < now {
            // Not again in the next round.
            let next = Errand { due: now, ..errand.clone() };
            let key = key(source, &id);
            let Some(seen) = ledger::read::<Errand>(ledger, &key).await?.filter(|seen| seen.value == errand) else {
                continue;
            };
            match ledger.transact(vec![ledger::put(key, &next, Precondition::Matches(seen.revision))]).await {
                Err(error) if ledger::was_refused(&error) => continue,
                done => done?,
            }
            send_all(queue, vec![Outgoing::now(Message::Errand { source: source.clone(), errand: id })]).await?;
            woken += 1;
        }
    }
    Ok(woken)
}

/// What a delivery wanted and can't have.
#[must_use]
pub fn reject(source: &SourceId, cause: &RawKey, config: &ConfigHash, rule: usize, why: String, at: Millis) -> Reject {
    Reject {
        source: source.clone(),
        stream: StreamName::new("webhook"),
        entity: None,
        key: None,
        record: u32::try_from(rule).unwrap_or(u32::MAX),
        reason: Code::NotFetched.reason(None, why),
        raw: cause.clone(),
        config: config.clone(),
        run: None,
        at,
    }
}
