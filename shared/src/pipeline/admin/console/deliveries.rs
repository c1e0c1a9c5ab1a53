//! The inbox and what keeps it filled, as people ask for them.

use serde_json::{Value as Json, json};

use super::ask::{Ask, DeliveriesAsk, wrong};
use super::{Answer, Console, Failed, view};
use crate::config::Source;
use crate::domain::{Millis, Raw, RawKey, Run, SourceId};
use crate::pipeline::admin::deliveries::{DeliveryFilter, State};
use crate::pipeline::api::{ApiResponse, Code, Problem};
use crate::pipeline::errand::Errand;
use crate::pipeline::error::StageError;
use crate::pipeline::gaps::{self, Gaps};
use crate::pipeline::inbox::{self, Entry};
use crate::pipeline::webhook::event;
use crate::pipeline::{channels, ledger};

const DELIVERIES: usize = 50;
/// Longest body that is shown, in bytes.
const EXCERPT: usize = 16 * 1024;
/// Runs that are looked through for those that a delivery caused.
const RUNS: usize = 500;

impl Console {
    pub(super) async fn deliveries(&self, ask: &Ask<'_>) -> Answer {
        ask.reads(&["source", "state", "since", "until", "id", "limit"])?;
        let wanted = DeliveriesAsk {
            id: ask.text("id"),
            source: ask.text("source"),
            state: ask.text("state"),
            since: ask.text("since"),
            until: ask.text("until"),
        };
        let filter = self.filter(wanted)?;
        let limit = ask.number("limit")?.unwrap_or(DELIVERIES);
        let (admin, most) = (&self.admin, limit.saturating_add(1));
        let mut shown: Vec<Json> = if filter.state == Some(State::Waiting) {
            let waiting = admin.waiting(self.blobs.as_ref(), &filter, most).await?;
            waiting.iter().map(|(source, raw)| waits(source, raw)).collect()
        } else {
            admin.deliveries(&filter, most).await?.iter().map(|(source, entry)| entry_of(source, entry)).collect()
        };
        let more = shown.len() > limit;
        shown.truncate(limit);
        Ok(ApiResponse::json(200, &json!({ "deliveries": shown, "more": more })))
    }

    fn filter(&self, ask: DeliveriesAsk) -> Result<DeliveryFilter, Failed> {
        let DeliveriesAsk { id, source, state, since, until } = ask;
        let state = state.map(|word| {
            State::parse(&word)
                .ok_or_else(|| wrong(format!("there is no state '{word}'; there is {}", State::WORDS.join(", "))))
        });
        let time = |name: &str, text: Option<String>| {
            text.map(|text| self.time(&text).ok_or_else(|| wrong(format!("'{name}' must be a time such as 2030-01-31T14:00:00Z, or a span back from now such as 30m, 24h or 7d, not '{text}'")))).transpose()
        };
        Ok(DeliveryFilter {
            id,
            source,
            state: state.transpose()?,
            since: time("since", since)?,
            until: time("until", until)?,
        })
    }

    fn time(&self, text: &str) -> Option<Millis> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Some(Millis(time.as_millisecond()));
        }
        crate::config::duration(text).map(|span| self.clock.now().minus(span))
    }

    pub(super) async fn delivery(&self, ask: &Ask<'_>, id: &str) -> Answer {
        ask.reads(&[])?;
        let filter = DeliveryFilter { id: Some(id.to_owned()), ..DeliveryFilter::default() };
        let found = self.admin.deliveries(&filter, 2).await?;
        let exact = found.iter().find(|(_, entry)| inbox::name(&entry.raw) == id);
        let (source, raw, mut shown) = match (exact, &found[..]) {
            (Some((source, entry)), _) | (None, [(source, entry)]) => {
                (source.clone(), entry.raw.clone(), entry_of(source, entry))
            }
            (None, []) => match &self.admin.waiting(self.blobs.as_ref(), &filter, 2).await?[..] {
                [(source, raw)] => (source.clone(), raw.clone(), waits(source, raw)),
                [] => return Err(none(format!("there is no delivery '{id}'"))),
                _ => return Err(none(format!("several deliveries begin with '{id}'; give the whole id"))),
            },
            _ => return Err(none(format!("several deliveries begin with '{id}'; give the whole id"))),
        };
        shown["runs"] = self.caused_by(&source, &raw).await?;
        shown["raw_object"] = self.raw_of_delivery(&raw).await?;
        Ok(ApiResponse::json(200, &shown))
    }

    /// The runs whose cause it is, or is among.
    async fn caused_by(&self, source: &SourceId, raw: &RawKey) -> Result<Json, StageError> {
        let runs: Vec<Run> = ledger::recent_runs(self.ledger.as_ref(), RUNS).await?;
        let its =
            |run: &&Run| run.sources.contains(source) && run.cause.split(' ').any(|word| word == inbox::name(raw));
        Ok(runs.iter().filter(its).map(|run| json!({ "id": run.id, "outcome": run.outcome })).collect())
    }

    async fn raw_of_delivery(&self, raw: &RawKey) -> Result<Json, StageError> {
        let Ok(bytes) = self.blobs.get(&raw.0).await else { return Ok(Json::Null) };
        let raw = Raw::decode(&bytes)?;
        let mut shown = json!({
            "stated": raw.head.stated.to_string(), "bytes": raw.body.len(), "sha256": raw.head.sha256,
            "headers": raw.head.headers, "from": raw.head.from,
        });
        match event::read(&raw.head.headers, &raw.body).filter(|_| raw.body.len() <= EXCERPT) {
            Some(body) => shown["body"] = body,
            None => {
                let start = &raw.body[..raw.body.len().min(EXCERPT)];
                shown["excerpt"] = String::from_utf8_lossy(start).into();
            }
        }
        Ok(shown)
    }

    pub(super) async fn replay_deliveries(&self, ask: &Ask<'_>) -> Answer {
        let wanted: DeliveriesAsk = ask.body()?;
        let filter = self.filter(wanted)?;
        if filter.id.is_none() && filter.source.is_none() && filter.state.is_none() && filter.since.is_none() {
            return Err(wrong("say which: id, source, state or since").into());
        }
        self.audit(ask.caller, format!("replay deliveries {filter:?}")).await?;
        let sent = self.admin.replay_deliveries(self.blobs.as_ref(), &filter).await?;
        if sent == 0 && filter.id.is_some() {
            return Err(none("there is no such delivery".to_owned()));
        }
        Ok(ApiResponse::json(202, &json!({ "deliveries": sent })))
    }

    pub(super) async fn leases(&self, ask: &Ask<'_>) -> Answer {
        ask.reads(&[])?;
        let loaded = self.admin.systems.current().await?;
        let mut leases = Vec::new();
        for source in loaded.system.sources.values() {
            let lease = self.lease_of_webhook(source).await?;
            if !lease.is_null() {
                leases.push(lease);
            }
        }
        Ok(ApiResponse::json(200, &json!({ "leases": leases })))
    }

    pub(super) async fn lease_of_webhook(&self, source: &Source) -> Result<Json, StageError> {
        let declared = source.webhook.as_ref().is_some_and(|hook| hook.after.lease.is_some());
        if !declared {
            return Ok(Json::Null);
        }
        let now = self.clock.now();
        let channels = channels::read(self.ledger.as_ref(), &SourceId::new(source.name.as_str())).await?;
        Ok(json!({
            "source": source.name,
            "valid": channels.is_valid(now),
            "channel": channels.live.as_ref().map(|live| live.id.clone()),
            "until": view::time(channels.live.as_ref().map(|live| live.until)),
            "left_seconds": channels.left(now).as_secs(),
            "used": channels.used(now),
            "pending": channels.pending.is_some(),
            "failures": channels.tries,
            "why": channels.why,
            "next_try": view::time(Some(channels.rests).filter(|rests| *rests > now)),
            "polled_until": view::time(Some(channels.covered).filter(|covered| *covered > now)),
        }))
    }

    /// What a source's status says of its webhook beside the lease.
    pub(super) async fn health_of_webhook(&self, source: &Source) -> Result<Json, StageError> {
        let Some(hook) = &source.webhook else { return Ok(Json::Null) };
        let (ledger, id, now) = (self.ledger.as_ref(), SourceId::new(source.name.as_str()), self.clock.now());
        let gaps: Option<ledger::Stored<Gaps>> = ledger::read(ledger, &ledger::gaps_key(&id)).await?;
        let silence = match hook.after.silence {
            Some(times) => gaps::silence(ledger, &id, times, now).await?,
            None => None,
        };
        let errands: Vec<(String, Errand)> = ledger::read_all(ledger, &ledger::errand_part(&id), "").await?;
        let failing = errands
            .iter()
            .find_map(|(_, errand)| Some(json!({ "path": errand.made.path, "why": errand.why.as_ref()? })));
        Ok(json!({
            "lease": self.lease_of_webhook(source).await?,
            "gaps": gaps.map(|gaps| json!({ "looked": view::time(Some(gaps.value.at)), "found": gaps.value.found,
                                            "closed": gaps.value.closed, "why": gaps.value.why })),
            "silence": silence.map(|silence| json!({
                "last": silence.last.to_string(), "usual_gap_seconds": silence.usual.as_secs(),
                "ratio": silence.ratio, "silent": silence.ratio >= 1.0 })),
            "errands": errands.len(),
            "failing_errand": failing,
        }))
    }
}

fn none(detail: String) -> Failed {
    Problem::new(Code::NoDelivery, detail).into()
}

fn waits(source: &SourceId, raw: &RawKey) -> Json {
    json!({ "id": inbox::name(raw), "source": view::source(source), "state": "waiting", "verified": true, "raw": raw })
}

fn entry_of(source: &SourceId, entry: &Entry) -> Json {
    json!({
        "id": inbox::name(&entry.raw),
        "delivery": entry.id,
        "source": view::source(source),
        "state": entry.fate,
        "verified": true,
        "received": view::time(Some(entry.received)),
        "handled": view::time(Some(entry.handled)),
        "repeats": entry.repeats.as_ref().map(inbox::name),
        "differs": entry.differs,
        "of": entry.of.as_ref().map(inbox::name),
        "again": entry.again,
        "events": entry.events,
        "syncs": entry.syncs,
        "errands": entry.errands,
        "rejects": entry.rejects,
        "rows": entry.rows,
        "why": entry.why,
        "trace": entry.trace,
        "raw": entry.raw,
    })
}
