//! Asking a source for its pages, one after the other, within its limits.
//!
//! Owns attempts, backoff and what a refusal means for the run. A page counts from the transaction that
//! puts it into its slot; everything before that may happen twice, nothing after it.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Budget, Poll, Polled, Progress, page};
use crate::config::{Limits, Source};
use crate::domain::raw::{RawFrom, RawHead};
use crate::domain::{Millis, Mode, Outcome, Raw, RawKey, RunState, StreamName};
use crate::metrics;
use crate::mutants::{self, Mutant};
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE};
use crate::pipeline::ledger::{self, Slot, StreamProgress};
use crate::pipeline::limits::permit;
use crate::ports::Precondition;
use crate::ports::connector::{Answer, Connector, Next, RetryAfter};
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::upstream::Response;

/// First wait between attempts; it doubles each time, up to [`BACKOFF_MOST`].
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MOST: Duration = Duration::from_secs(10);
/// A source that asks to wait longer than this parks the run: waiting must cost nothing.
const WAIT_HERE: Duration = Duration::from_secs(5);
/// How long a run is parked when the source does not say.
const PATIENCE_LEAST: Duration = Duration::from_secs(10);
const PATIENCE_MOST: Duration = Duration::from_secs(900);
/// Answer headers that are secrets or say nothing about the data.
pub(super) const NOT_KEPT: [&str; 3] = ["set-cookie", "authorization", "proxy-authenticate"];

/// How one attempt, or all attempts, at a page ended.
enum Fetched {
    Page {
        method: String,
        url: String,
        response: Response,
        asked: Millis,
        next: Next,
    },
    Quota {
        until: Millis,
        why: String,
    },
    GaveUp {
        outcome: Outcome,
        why: String,
    },
    /// The host wants to stop, or time is up.
    OutOfBudget,
}

impl Poll {
    pub(super) async fn fetch(&self, mut at: Progress, budget: &Budget) -> Result<Polled, StageError> {
        let loaded = self.systems.get(&at.run.value.config).await?;
        let source = loaded.source(&at.source.name)?;
        let connector = loaded.connector(&at.source.name)?.as_ref();
        for (stream, mut progress) in self.streams_of(&at.run.value, &at.source).await? {
            while !progress.ended {
                let position = match &progress.position {
                    Some(position) => position.clone(),
                    None => match self.first_position(&at, connector, &stream, &mut progress).await? {
                        Some(position) => position,
                        None => break,
                    },
                };
                match self.page(&mut at, source, connector, &stream, &position, budget).await? {
                    Fetched::Page { method, url, response, asked, next } => {
                        let from = RawFrom::Page {
                            stream: stream.clone(),
                            slot: progress.slots,
                            position,
                            method,
                            url,
                            status: response.status,
                        };
                        let stored = self.store(&mut at, &stream, &mut progress, from, response, asked, next).await?;
                        if let Err(why) = stored {
                            return self.over(at, Some((Outcome::PartialError, why))).await;
                        }
                    }
                    Fetched::Quota { until, why } => return self.park(at, &source.limits, until, why).await,
                    Fetched::GaveUp { .. } if mutants::on(Mutant::IncompleteListing) => progress.ended = true,
                    Fetched::GaveUp { outcome, why } => {
                        let why = format!("stream '{stream}': {why}");
                        return self.over(at, Some((outcome, why))).await;
                    }
                    Fetched::OutOfBudget => {
                        self.ledger.transact(vec![at.requests_counted()]).await?;
                        return self.continue_later(&at.run.value).await;
                    }
                }
            }
        }
        self.over(at, None).await
    }

    async fn over(&self, at: Progress, failure: Option<(Outcome, String)>) -> Result<Polled, StageError> {
        let counted = at.requests_counted();
        self.fetched(at.run, failure, vec![counted]).await
    }

    /// `None` when an incremental run has nothing to ask of this stream.
    async fn first_position(
        &self,
        at: &Progress,
        connector: &dyn Connector,
        stream: &StreamName,
        progress: &mut StreamProgress,
    ) -> Result<Option<serde_json::Value>, StageError> {
        let mode = at.run.value.mode;
        let cursor = match mode {
            Mode::Incremental => {
                let key = ledger::cursor_key(&at.source, stream);
                let cursor = ledger::read::<serde_json::Value>(self.ledger.as_ref(), &key).await?;
                if !connector.incremental(stream) || cursor.is_none() {
                    return Ok(None);
                }
                progress.started_from = cursor.as_ref().map(|c| c.revision);
                cursor.map(|c| c.value)
            }
            Mode::Full | Mode::Rebuild | Mode::Restore => None,
        };
        Ok(Some(connector.begin(stream, mode, cursor.as_ref(), at.run.value.started)?))
    }

    /// One page, in as many attempts as the source's limits allow, each with a permit of its own.
    async fn page(
        &self,
        at: &mut Progress,
        source: &Source,
        connector: &dyn Connector,
        stream: &StreamName,
        position: &serde_json::Value,
        budget: &Budget,
    ) -> Result<Fetched, StageError> {
        let limits = &source.limits;
        let id = &at.source;
        let mut last = String::new();
        for attempt in 1..=limits.attempts.max(1) {
            if budget.is_spent(self.clock.now()) {
                return Ok(Fetched::OutOfBudget);
            }
            let began = self.clock.now();
            permit(self.ledger.as_ref(), self.clock.as_ref(), self.entropy.as_ref(), id, limits.per_second).await?;
            let waited = self.clock.now().since(began);
            if limits.per_second.is_some() {
                self.meter.seconds(&metrics::HTTP_WAIT, &[id.name.as_str(), "limit"], waited);
            }
            let mut request = connector.request(stream, position)?;
            request.timeout = limits.timeout;
            request.max_body = limits.max_body;
            let (method, url) = (request.method.to_string(), request.url.clone());
            let asked = self.clock.now();
            at.requests += 1;
            let answer = self.upstream.send(request).await;
            let status = answer.as_ref().map_or("fault", |answer| metrics::status_class(answer.status));
            self.meter.count(&metrics::HTTP_REQUESTS, &[id.name.as_str(), status], 1);
            let (after, quota) = match answer {
                Ok(response) => match connector.read(stream, position, &response) {
                    Answer::Page { next } => return Ok(Fetched::Page { method, url, response, asked, next }),
                    Answer::Refused { why } => return Ok(Fetched::GaveUp { outcome: Outcome::Failed, why }),
                    Answer::Retry { after, quota, why } => {
                        last = why;
                        (after.map(|after| self.wait_of(after)), quota)
                    }
                },
                Err(fault) if fault.is_retryable() => {
                    last = fault.to_string();
                    (None, false)
                }
                Err(fault) => return Ok(Fetched::GaveUp { outcome: Outcome::Failed, why: fault.to_string() }),
            };
            if let Some(wait) = after.filter(|after| *after > WAIT_HERE) {
                return Ok(Fetched::Quota { until: self.clock.now().plus(wait), why: last });
            }
            if attempt == limits.attempts.max(1) {
                if quota {
                    let until = self.clock.now().plus(self.patience(at.run.value.started));
                    return Ok(Fetched::Quota { until, why: last });
                }
                break;
            }
            let wait = after.unwrap_or_else(|| self.backoff(attempt));
            tracing::debug!(source = %id, %stream, attempt, wait_ms = wait.as_millis(), why = last, "asking again");
            self.meter.seconds(&metrics::HTTP_WAIT, &[id.name.as_str(), "backoff"], wait);
            self.clock.sleep(wait).await;
        }
        let why = format!("{last} ({} attempts)", limits.attempts.max(1));
        Ok(Fetched::GaveUp { outcome: Outcome::PartialError, why })
    }

    fn wait_of(&self, after: RetryAfter) -> Duration {
        match after {
            RetryAfter::Seconds(seconds) => Duration::from_secs(seconds),
            RetryAfter::At(time) => time.since(self.clock.now()),
        }
    }

    /// How long to leave a source alone that wants fewer requests and does not say until when: the longer the
    /// run has gone on, the longer.
    fn patience(&self, started: Millis) -> Duration {
        (self.clock.now().since(started) / 2).clamp(PATIENCE_LEAST, PATIENCE_MOST)
    }

    /// Exponential, with the upper half of it left to chance.
    fn backoff(&self, attempt: u32) -> Duration {
        let full = BACKOFF.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(BACKOFF_MOST);
        let half = u64::try_from(full.as_millis() / 2).unwrap_or(u64::MAX);
        Duration::from_millis(half + self.entropy.next() % (half + 1))
    }

    /// Stores a page: raw, then its slot, then the message. The inner error says why the listing can't go on.
    #[expect(clippy::too_many_arguments, reason = "one page with everything that is known of it")]
    async fn store(
        &self,
        at: &mut Progress,
        stream: &StreamName,
        progress: &mut StreamProgress,
        from: RawFrom,
        response: Response,
        asked: Millis,
        next: Next,
    ) -> Result<Result<(), String>, StageError> {
        let run = at.run.value.clone();
        let run = &run;
        let slot = progress.slots;
        let head = RawHead {
            source: at.source.clone(),
            // A clock that stepped back must not put a page before its own listing.
            stated: asked.max(run.started),
            headers: response.headers.into_iter().filter(|(name, _)| !NOT_KEPT.contains(&name.as_str())).collect(),
            sha256: format!("{:x}", Sha256::digest(&response.body)),
            from,
        };
        let raw = Raw { head, body: response.body };
        let key = RawKey::page(&at.source, &run.id, stream, slot, self.entropy.next());
        if mutants::on(Mutant::CursorBeforePage) {
            let moved = StreamProgress { slots: slot + 1, ..progress.clone() };
            let stream = ledger::stream_key(&run.id, &at.source, stream);
            self.ledger.transact(vec![ledger::put(stream, &moved, Precondition::None)]).await?;
        }
        self.blobs.put_if_absent(&key.0, raw.encode()).await?;

        progress.slots += 1;
        let circle = match next {
            Next::Page(position) => {
                let circle = goes_in_circles(progress, &position);
                progress.position = Some(position);
                circle
            }
            Next::End { cursor } => {
                progress.ended = true;
                progress.cursor = cursor;
                false
            }
        };
        let until = self.clock.now().plus(LEASE);
        self.ledger
            .transact(vec![
                lease::renew(ledger::run_lease_key(run), run.id.as_str(), run.fence, until, at.worker),
                ledger::put(
                    ledger::slot_key(&run.id, &at.source, stream, slot),
                    &Slot { raw: key },
                    Precondition::Absent,
                ),
                ledger::put(ledger::stream_key(&run.id, &at.source, stream), progress, Precondition::None),
                at.requests_counted(),
            ])
            .await?;
        at.requests = 0;
        send_all(self.queue.as_ref(), vec![Outgoing::now(page(&run.id, &at.source, stream, slot))]).await?;
        Ok(if circle {
            Err(format!("stream '{stream}': the listing goes in circles after {} pages", progress.slots))
        } else {
            Ok(())
        })
    }

    /// Waits for a quota without costing anything: the run keeps its pages, its lease and its place.
    async fn park(&self, at: Progress, limits: &Limits, until: Millis, why: String) -> Result<Polled, StageError> {
        let mut run = at.run.value.clone();
        if until.since(run.started) > limits.max_wait {
            if mutants::on(Mutant::CompleteOnQuota) {
                return self.over(at, None).await;
            }
            let why = format!("{why}; the source asks to wait until {until}, longer than max_wait allows");
            return self.over(at, Some((Outcome::PartialQuota, why))).await;
        }
        let wait = until.since(self.clock.now());
        self.meter.seconds(&metrics::HTTP_WAIT, &[at.source.name.as_str(), "quota"], wait);
        run.state = RunState::WaitingQuota { until };
        run.reason = Some(why);
        self.ledger
            .transact(vec![
                lease::renew(ledger::run_lease_key(&run), run.id.as_str(), run.fence, until.plus(LEASE), 0),
                ledger::put(ledger::run_key(&run.id), &run, ledger::unchanged(Some(&at.run))),
                at.requests_counted(),
            ])
            .await?;
        self.wake_at(&run.id, until).await?;
        Ok(Polled::WaitsUntil(until))
    }
}

/// Whether a listing came back to a position where it was. Keeps one position and takes a newer one at
/// twice the distance each time (Brent's method), so a circle of any length is found and nothing grows.
fn goes_in_circles(progress: &mut StreamProgress, position: &serde_json::Value) -> bool {
    if progress.anchor.as_ref() == Some(position) {
        return true;
    }
    if progress.slots >= progress.anchor_at {
        progress.anchor = Some(position.clone());
        progress.anchor_at = progress.slots * 2;
    }
    false
}
