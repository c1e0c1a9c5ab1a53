//! Keeping deliveries coming: asking for channels and stopping them, polling while there is none, and fetching what
//! the sender says that it sent and that never came.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Poll;
use crate::config::after::{Closing, Lease, Sent, Template};
use crate::config::jq::Program;
use crate::config::{Action, Limits, TimeFormat, Webhook};
use crate::domain::message::Keep;
use crate::domain::{ConfigHash, Message, Millis, Mode, RawKey, SourceId};
use crate::metrics;
use crate::pipeline::call::{self, Answered};
use crate::pipeline::channels::{self, Channel};
use crate::pipeline::error::StageError;
use crate::pipeline::gaps::Gaps;
use crate::pipeline::normalize::read_time;
use crate::pipeline::webhook::store::{self, Taken};
use crate::pipeline::{errand, inbox, ledger};
use crate::ports::Precondition;
use crate::ports::queue::{Outgoing, send_all};

/// Pages of a sender's list that one look reads.
const PAGES: usize = 20;
/// Ids that are remembered as fetched.
const LATELY: usize = 500;

impl Poll {
    pub async fn keep(&self, source: &SourceId, what: Keep) -> Result<(), StageError> {
        let loaded = self.systems.current().await?;
        let declared = loaded.source(&source.name)?;
        let Some(hook) = &declared.webhook else { return Ok(()) };
        match what {
            Keep::Lease => match &hook.after.lease {
                Some(lease) => self.keep_lease(source, &declared.limits, lease).await,
                None => Ok(()),
            },
            Keep::Gaps => self.close_gaps(source, &declared.limits, hook, &loaded.system.hash).await,
        }
    }

    async fn keep_lease(&self, source: &SourceId, limits: &Limits, lease: &Lease) -> Result<(), StageError> {
        let (ledger, now) = (self.ledger.as_ref(), self.clock.now());
        let channels = channels::read(ledger, source).await?;
        if channels.poll_is_due(lease, now) {
            let cause = "webhook lease".to_owned();
            let message = Message::Sync { source: source.clone(), mode: Mode::Incremental, cause, trace: None };
            send_all(self.queue.as_ref(), vec![Outgoing::now(message)]).await?;
            channels::change(ledger, source, |channels| channels.polled(lease, now)).await?;
        }
        if channels.asking_is_due(now) {
            self.ask_for_channel(source, limits, lease, now).await?;
        }
        self.stop_old(source, limits, lease).await
    }

    async fn ask_for_channel(
        &self,
        source: &SourceId,
        limits: &Limits,
        lease: &Lease,
        now: Millis,
    ) -> Result<(), StageError> {
        let ledger = self.ledger.as_ref();
        let id = format!("{:016x}{:016x}", self.entropy.next(), self.entropy.next());
        let asked = channels::change(ledger, source, |channels| {
            // Somebody else may be asking by now.
            if !channels.asking_is_due(now) {
                return None;
            }
            let live = channels.live.clone().filter(|live| live.until > now);
            let channel = match (&lease.refresh, &live) {
                (Some(_), Some(live)) => Channel { since: now, until: now.plus(lease.life), ..live.clone() },
                _ => Channel { id: id.clone(), resource: Json::Null, since: now, until: now.plus(lease.life) },
            };
            channels.asks(channel.clone(), now);
            Some((channel, live))
        });
        let Some((channel, live)) = asked.await? else { return Ok(()) };
        let refreshes = lease.refresh.is_some() && (live.is_some() || lease.create.is_none());
        let Some(template) = lease.refresh.as_ref().filter(|_| refreshes).or(lease.create.as_ref()) else {
            return Ok(());
        };
        let came = self.ask_as(source, limits, lease, template, &channel, live.as_ref().unwrap_or(&channel)).await?;
        let rests = |tries| call::rest(tries, self.entropy.as_ref());
        let (why, after) = match came {
            Answered::Good(response) => match told(lease.read.as_ref(), &call::json_of(&response), channel.clone()) {
                Ok(_) if lease.confirm => return Ok(()),
                Ok(channel) => {
                    tracing::info!(%source, until = %channel.until, "the webhook's lease is prolonged");
                    let now = self.clock.now();
                    return channels::change(ledger, source, |channels| {
                        channels.is_there(channel.clone(), !refreshes, now);
                    })
                    .await;
                }
                Err(why) => (why, None),
            },
            Answered::Missing => ("the sender does not have it any more".to_owned(), None),
            Answered::Later { why, after } => (why, after),
            Answered::Refused(why) => (why, None),
        };
        tracing::warn!(%source, why, "the lease of a webhook could not be prolonged; it will be tried again");
        channels::change(ledger, source, |channels| {
            let rest = after.unwrap_or_else(|| rests(channels.tries + 4));
            channels.failed(why.clone(), rest, self.clock.now());
        })
        .await
    }

    async fn ask_as(
        &self,
        source: &SourceId,
        limits: &Limits,
        lease: &Lease,
        template: &Template,
        channel: &Channel,
        of: &Channel,
    ) -> Result<Answered, StageError> {
        let mut secrets = serde_json::Map::new();
        for (name, secret) in &lease.secrets {
            match self.systems.secret(secret).await {
                Ok(secret) => _ = secrets.insert(name.clone(), secret.expose().into()),
                Err(error) => return Ok(Answered::Later { why: error.to_string(), after: None }),
            }
        }
        let input = json!({
            "id": channel.id,
            "address": lease.address,
            "life": lease.life.as_secs(),
            "now": self.clock.now().0,
            "until": channel.until.0,
            "with": lease.with,
            "secret": secrets,
            "channel": { "id": of.id, "resource": of.resource },
        });
        match call::make(template, &input) {
            // A program's own words may quote a secret that it was given.
            Err(_) => {
                Ok(Answered::Refused("the programs of the lease's request give none that may be sent".to_owned()))
            }
            Ok(made) => match self.caller().send(source, limits, template, &made).await {
                Err(error) if error.is_final() => Ok(Answered::Refused(error.to_string())),
                Err(error) => Ok(Answered::Later { why: error.to_string(), after: None }),
                answered => answered,
            },
        }
    }

    /// Stops what was replaced. What can't be stopped by then ends by itself.
    async fn stop_old(&self, source: &SourceId, limits: &Limits, lease: &Lease) -> Result<(), StageError> {
        let channels = channels::read(self.ledger.as_ref(), source).await?;
        for old in channels.old {
            let over = match &lease.stop {
                Some(stop) if old.until > self.clock.now() => {
                    !matches!(self.ask_as(source, limits, lease, stop, &old, &old).await?, Answered::Later { .. })
                }
                _ => true,
            };
            if over {
                channels::change(self.ledger.as_ref(), source, |channels| channels.old.retain(|one| one.id != old.id))
                    .await?;
            }
        }
        Ok(())
    }

    async fn close_gaps(
        &self,
        source: &SourceId,
        limits: &Limits,
        hook: &Webhook,
        config: &ConfigHash,
    ) -> Result<(), StageError> {
        let Some(declared) = &hook.after.gaps else { return Ok(()) };
        let key = ledger::gaps_key(source);
        let seen: Option<ledger::Stored<Gaps>> = ledger::read(self.ledger.as_ref(), &key).await?;
        let mut gaps = seen.as_ref().map(|seen| seen.value.clone()).unwrap_or_default();
        let began = self.clock.now();
        let why = match &declared.how {
            Closing::Event(event) => self.ask_because_of(source, hook, config, event).await?,
            Closing::Sent(sent) => self.fetch_missed(source, limits, hook, config, sent, &mut gaps).await?,
        };
        if why.is_none() {
            gaps.at = began;
        }
        gaps.why = why;
        // Two that look at once both find the same, and store it once.
        Ok(self.ledger.transact(vec![ledger::put(key, &gaps, Precondition::None)]).await?)
    }

    /// Follows the rules that ask for something as if this event had come.
    async fn ask_because_of(
        &self,
        source: &SourceId,
        hook: &Webhook,
        config: &ConfigHash,
        event: &Json,
    ) -> Result<Option<String>, StageError> {
        let cause = RawKey::delivery(source, "gaps");
        for (index, rule) in hook.rules(event) {
            let asks = matches!(rule.action, Action::Fetch(_) | Action::Page(_));
            if asks {
                match errand::of(index, &rule.action, Some(event), &cause, config) {
                    Err(why) => return Ok(Some(why)),
                    Ok(wanted) => {
                        let (ledger, queue) = (self.ledger.as_ref(), self.queue.as_ref());
                        errand::ask(ledger, queue, source, &wanted, self.clock.now()).await?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Why it could not be looked to the end, if not.
    async fn fetch_missed(
        &self,
        source: &SourceId,
        limits: &Limits,
        hook: &Webhook,
        config: &ConfigHash,
        sent: &Sent,
        gaps: &mut Gaps,
    ) -> Result<Option<String>, StageError> {
        let mut cursor = Json::Null;
        for _ in 0..PAGES {
            let page = match self.ask(source, limits, &sent.list, &json!({ "cursor": cursor })).await? {
                Ok(page) => page,
                Err(why) => return Ok(Some(why)),
            };
            let page = match call::one(&sent.missed, &page) {
                Ok(page) => page,
                Err(why) => return Ok(Some(why)),
            };
            let mut new = false;
            for item in page["missed"].as_array().into_iter().flatten() {
                let Some(id) = item["id"].as_str().map(store::id_for_key) else { continue };
                let known = inbox::known(self.ledger.as_ref(), source, &id).await?.is_some();
                if known || gaps.lately.contains(&id) {
                    continue;
                }
                new = true;
                gaps.found += 1;
                self.meter.count(&metrics::GAPS, &[source.name.as_str(), "found"], 1);
                let answer = match self.ask(source, limits, &sent.get, item).await? {
                    Ok(answer) => answer,
                    Err(why) => return Ok(Some(why)),
                };
                match call::one(&sent.delivery, &answer) {
                    Ok(delivery) => self.store_missed(source, hook, config, &delivery).await?,
                    Err(why) => return Ok(Some(why)),
                }
                gaps.closed += 1;
                gaps.lately.push(id);
                self.meter.count(&metrics::GAPS, &[source.name.as_str(), "closed"], 1);
            }
            let over = gaps.lately.len().saturating_sub(LATELY);
            gaps.lately.drain(..over);
            cursor = page["cursor"].clone();
            // Lists are newest first: behind a page that is known all is.
            if cursor.is_null() || !new {
                return Ok(None);
            }
        }
        Ok(None)
    }

    async fn ask(
        &self,
        source: &SourceId,
        limits: &Limits,
        template: &Template,
        input: &Json,
    ) -> Result<Result<Json, String>, StageError> {
        let made = match call::make(template, input) {
            Ok(made) => made,
            Err(why) => return Ok(Err(why)),
        };
        Ok(match self.caller().send(source, limits, template, &made).await? {
            Answered::Good(response) => Ok(call::shown(&response)),
            Answered::Missing => Err("the sender does not list what it sent there".to_owned()),
            Answered::Later { why, .. } | Answered::Refused(why) => Err(why),
        })
    }

    /// As if it had come: the same names, the same key, the same way.
    async fn store_missed(
        &self,
        source: &SourceId,
        hook: &Webhook,
        config: &ConfigHash,
        delivery: &Json,
    ) -> Result<(), StageError> {
        let headers = delivery["headers"].as_object().into_iter().flatten();
        let headers = headers.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())));
        let mut headers: Vec<(String, String)> = headers.filter(|(name, _)| !store::is_private(name)).collect();
        // The payload is written as JSON here, however it was sent.
        headers.retain(|(name, _)| name != "content-type");
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        let body = match &delivery["body"] {
            Json::String(text) => text.clone().into_bytes().into(),
            other => other.to_string().into_bytes().into(),
        };
        let taken = Taken { source, headers: &headers, body: &body, of: None };
        let (_, key, raw) = taken.raw(hook, headers.clone(), self.clock.now(), self.entropy.as_ref());
        self.take_in(source, config, key, raw).await
    }
}

/// The channel as the sender's answer tells of it.
fn told(read: Option<&Program>, answer: &Json, channel: Channel) -> Result<Channel, String> {
    let Some(read) = read else { return Ok(channel) };
    let said = call::one(read, answer)?;
    let until = match &said["until"] {
        Json::Null => channel.until,
        Json::Number(number) => number.as_i64().map(Millis).ok_or("'until' of the lease's answer is no time")?,
        text => read_time(text, &TimeFormat::Rfc3339).map_err(|_| "'until' of the lease's answer is no time")?,
    };
    if until.since(channel.since) < Duration::from_secs(60) {
        return Err("the lease that was given is over already".to_owned());
    }
    let id = said["id"].as_str().map_or(channel.id, str::to_owned);
    Ok(Channel { id, resource: said["resource"].clone(), since: channel.since, until })
}
