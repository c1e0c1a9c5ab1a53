//! Going on errands: fetching an object that deliveries were about, or the pages behind a cursor.
//!
//! Always holds: raw is stored → its message is sent → the errand is struck out, or its cursor moves, unless it was
//! wanted again meanwhile. Killed in between, it is asked once more.

use std::time::Duration;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::Poll;
use crate::config::after::{Fetch, Paging};
use crate::config::{Action, Source};
use crate::domain::message::Arrival;
use crate::domain::raw::{RawFrom, RawHead};
use crate::domain::{Message, Millis, Raw, RawKey, SourceId};
use crate::pipeline::call::{self, Answered, Caller};
use crate::pipeline::errand::{self, Errand};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, Stored};
use crate::pipeline::webhook::stated;
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::upstream::Response;
use crate::ports::{Precondition, Write};

/// How long somebody who is silent is believed to be at it.
const HELD: Duration = Duration::from_secs(60);
/// Pages in one call.
const PAGES: usize = 20;

/// How an attempt ended.
enum Went {
    Done,
    /// There is more behind the cursor.
    More,
    Later {
        why: String,
        after: Option<Duration>,
    },
    Refused(String),
}

impl Poll {
    pub(in crate::pipeline) fn caller(&self) -> Caller<'_> {
        Caller {
            ledger: self.ledger.as_ref(),
            upstream: self.upstream.as_ref(),
            systems: &self.systems,
            clock: self.clock.as_ref(),
            entropy: self.entropy.as_ref(),
            meter: self.meter.as_ref(),
        }
    }

    /// Handles an errand's message. One that is not due yet, or that somebody else is at, is left to that one.
    pub async fn errand(&self, source: &SourceId, id: &str) -> Result<(), StageError> {
        let key = errand::key(source, id);
        let Some(seen) = ledger::read::<Errand>(self.ledger.as_ref(), &key).await? else { return Ok(()) };
        let now = self.clock.now();
        if seen.value.held > now {
            return Ok(());
        }
        if seen.value.due > now {
            return self.errand_at(source, id, seen.value.due).await;
        }
        let held = Errand { held: now.plus(HELD), ..seen.value };
        self.ledger.transact(vec![ledger::put(key, &held, Precondition::Matches(seen.revision))]).await?;
        let went = self.go(source, id, &held).await;
        let went = went.unwrap_or_else(|error| match error.is_final() {
            true => Went::Refused(error.to_string()),
            false => Went::Later { why: error.to_string(), after: None },
        });
        self.came_back(source, id, held, went).await
    }

    async fn go(&self, source: &SourceId, id: &str, errand: &Errand) -> Result<Went, StageError> {
        let loaded = self.systems.get(&errand.config).await?;
        let declared = loaded.source(&source.name)?;
        match declared.webhook.as_ref().and_then(|hook| hook.on.get(errand.rule)).map(|rule| &rule.action) {
            Some(Action::Fetch(fetch)) => self.fetch_object(source, declared, errand, fetch).await,
            Some(Action::Page(paging)) => self.fetch_pages(source, declared, id, errand, paging).await,
            _ => Ok(Went::Refused("the rule that wanted this is gone".to_owned())),
        }
    }

    async fn fetch_object(
        &self,
        source: &SourceId,
        declared: &Source,
        errand: &Errand,
        fetch: &Fetch,
    ) -> Result<Went, StageError> {
        let asked = self.clock.now();
        let answered = self.caller().send(source, &declared.limits, &fetch.request, &errand.made).await?;
        let (response, gone) = match (answered, &errand.key) {
            (Answered::Good(response), _) => (response, None),
            (Answered::Missing, Some(key)) => {
                (Response { status: 404, headers: Vec::new(), body: bytes::Bytes::new() }, Some(key.clone()))
            }
            (Answered::Missing, None) => {
                let why = "the source does not have it; with `key` in the rule it would be deleted";
                return Ok(Went::Refused(why.to_owned()));
            }
            (Answered::Later { why, after }, _) => return Ok(Went::Later { why, after }),
            (Answered::Refused(why), _) => return Ok(Went::Refused(why)),
        };
        let what = &format!("{:x}", Sha256::digest(&errand.made.path))[..16];
        let id = format!("fetch-{what}-{}-{:08x}", asked.0, self.entropy.next() & 0xffff_ffff);
        let record = fetch.record.to_string();
        let from = RawFrom::Object { id: id.clone(), stream: fetch.stream.clone(), record, gone };
        let kept = response.headers.into_iter().filter(|(name, _)| !super::fetch::NOT_KEPT.contains(&name.as_str()));
        let head = RawHead {
            source: source.clone(),
            stated: asked,
            from,
            headers: kept.collect(),
            sha256: format!("{:x}", Sha256::digest(&response.body)),
        };
        self.take_in(source, &errand.config, RawKey::delivery(source, &id), Raw { head, body: response.body }).await?;
        Ok(Went::Done)
    }

    /// Raw, then its message.
    pub(super) async fn take_in(
        &self,
        source: &SourceId,
        config: &crate::domain::ConfigHash,
        key: RawKey,
        raw: Raw,
    ) -> Result<(), StageError> {
        self.blobs.put_if_absent(&key.0, raw.encode()).await?;
        let (config, source) = (config.clone(), source.clone());
        let message = Message::Delivery { config, source, raw: key, trace: None, arrival: Arrival::First };
        Ok(send_all(self.queue.as_ref(), vec![Outgoing::now(message)]).await?)
    }

    async fn fetch_pages(
        &self,
        source: &SourceId,
        declared: &Source,
        id: &str,
        errand: &Errand,
        paging: &Paging,
    ) -> Result<Went, StageError> {
        let key = ledger::pages_key(source, id);
        let Some(hook) = &declared.webhook else { return Ok(Went::Refused("the webhook is gone".to_owned())) };
        for _ in 0..PAGES {
            let at: Option<Stored<Json>> = ledger::read(self.ledger.as_ref(), &key).await?;
            let cursor = at.as_ref().map_or(Json::Null, |at| at.value.clone());
            let input = json!({ "event": errand.event, "cursor": cursor });
            let made = match call::make(&paging.request, &input) {
                Ok(made) => made,
                Err(why) => return Ok(Went::Refused(why)),
            };
            let asked = self.clock.now();
            let response = match self.caller().send(source, &declared.limits, &paging.request, &made).await? {
                Answered::Good(response) => response,
                Answered::Missing => return Ok(Went::Refused("there are no such pages".to_owned())),
                Answered::Later { why, after } => return Ok(Went::Later { why, after }),
                Answered::Refused(why) => return Ok(Went::Refused(why)),
            };
            let body = call::json_of(&response);
            let next = match call::one(&paging.next, &body) {
                Ok(next) => next,
                Err(why) => return Ok(Went::Refused(why)),
            };
            let sha256 = format!("{:x}", Sha256::digest(&response.body));
            let place = format!("{id} {cursor} {}", next["cursor"]);
            let name = &format!("{:x}", Sha256::digest(place))[..32];
            let name = format!("page-{name}");
            let times = stated::read(&[], || Some(&body), hook.stated.as_ref(), asked);
            let from = RawFrom::Delivery { id: name.clone(), received: asked, timed: times.timed, of: None };
            let kept = vec![("content-type".to_owned(), "application/json".to_owned())];
            let head = RawHead { source: source.clone(), stated: times.stated, from, headers: kept, sha256 };
            let moves = next.get("cursor").is_some_and(|next| !next.is_null() && *next != cursor);
            // A page is named by its two ends, since its end may move; where nothing is new nothing is stored.
            let (raw, place) = (Raw { head, body: response.body }, RawKey::delivery(source, &name));
            if moves {
                let place = RawKey(format!("{place}-{}", &raw.head.sha256[..16]));
                self.take_in(source, &errand.config, place, raw).await?;
                let write = ledger::put(key.clone(), &next["cursor"], ledger::unchanged(at.as_ref()));
                self.ledger.transact(vec![write]).await?;
            }
            if !moves || next["more"] != true {
                return Ok(Went::Done);
            }
        }
        Ok(Went::More)
    }

    async fn came_back(&self, source: &SourceId, id: &str, went_as: Errand, went: Went) -> Result<(), StageError> {
        let key = errand::key(source, id);
        for _ in 0..10 {
            let Some(seen) = ledger::read::<Errand>(self.ledger.as_ref(), &key).await? else { return Ok(()) };
            let now = self.clock.now();
            let mut next = Errand { held: Millis(0), ..seen.value.clone() };
            let wanted_again = seen.value.asked != went_as.asked;
            let mut writes = Vec::new();
            match &went {
                Went::Done if !wanted_again => {
                    writes.push(Write::Delete { key: key.clone(), when: Precondition::Matches(seen.revision) });
                }
                Went::Done | Went::More => (next.due, next.tries, next.why) = (now, 0, None),
                Went::Later { why, after } => {
                    let rest = after.unwrap_or_else(|| call::rest(next.tries, self.entropy.as_ref()));
                    (next.due, next.tries, next.why) = (now.plus(rest), next.tries + 1, Some(why.clone()));
                    tracing::warn!(%source, path = next.made.path, why, "an errand will be tried again");
                }
                Went::Refused(why) => {
                    let reject =
                        errand::reject(source, &went_as.cause, &went_as.config, went_as.rule, why.clone(), now);
                    writes.extend(ledger::keep(&[reject]));
                    writes.push(Write::Delete { key: key.clone(), when: Precondition::Matches(seen.revision) });
                }
            }
            let stays = !matches!(&writes.last(), Some(Write::Delete { .. }));
            if stays {
                writes.push(ledger::put(key.clone(), &next, Precondition::Matches(seen.revision)));
            }
            match self.ledger.transact(writes).await {
                Ok(()) if stays => return self.errand_at(source, id, next.due).await,
                Ok(()) => return Ok(()),
                Err(error) if ledger::was_refused(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StageError::Busy(format!("errand {id} of '{source}' is wanted by too many at once")))
    }

    async fn errand_at(&self, source: &SourceId, id: &str, due: Millis) -> Result<(), StageError> {
        let message = Message::Errand { source: source.clone(), errand: id.to_owned() };
        let wait = due.since(self.clock.now());
        Ok(send_all(self.queue.as_ref(), vec![Outgoing::after(message, wait)]).await?)
    }
}
