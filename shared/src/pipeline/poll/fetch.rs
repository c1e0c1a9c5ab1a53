//! Asking a source for the pages of a stream, one after the other, within the source's limits.
//!
//! Owns attempts, backoff and what a refusal means for the run. A page counts from the transaction that
//! puts it into its slot; everything before that may happen twice, nothing after it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use sha2::{Digest, Sha256};

use super::conditional::Conditional;
use super::lanes::{Halt, Lanes};
use super::{Poll, Polled, Progress, page};
use crate::config::{Limits, Source};
use crate::domain::raw::{Part, RawFrom, RawHead};
use crate::domain::{Millis, Mode, Outcome, Raw, RawKey, RunState, StreamName};
use crate::metrics;
use crate::mutants::{self, Mutant};
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE};
use crate::pipeline::ledger::{self, Slot, StreamProgress};
use crate::pipeline::limits::permit;
use crate::pipeline::normalize;
use crate::ports::connector::{Answered, Next, Session, Step, Waiting};
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::upstream::{Request, Response};
use crate::ports::{Fault, Precondition, Write};

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

/// What the asking for a page came to.
enum Fetched {
    Page { answers: Vec<Answered>, next: Next },
    Moved(serde_json::Value),
    End { cursor: Option<serde_json::Value> },
    Halted(Halt),
}

impl Poll {
    /// Reads a stream from where it is to its end, or as far as it goes.
    pub(super) async fn read(
        &self,
        lanes: &Lanes<'_>,
        session: &mut dyn Session,
        stream: &StreamName,
        progress: StreamProgress,
    ) -> Result<Option<Halt>, StageError> {
        let mut pages = self.conditional(lanes, stream).await?;
        let halt = self.read_on(lanes, session, &mut pages, stream, progress).await;
        if matches!(halt, Ok(None)) {
            pages.ended();
        }
        self.remember(pages).await;
        halt
    }

    async fn read_on(
        &self,
        lanes: &Lanes<'_>,
        session: &mut dyn Session,
        pages: &mut Conditional,
        stream: &StreamName,
        mut progress: StreamProgress,
    ) -> Result<Option<Halt>, StageError> {
        let mut is_open = false;
        while !progress.ended {
            let position = match &progress.position {
                Some(position) => position.clone(),
                None => match self.first_position(lanes, stream, &mut progress).await? {
                    Some(position) => position,
                    None => break,
                },
            };
            if !is_open {
                session.open(stream, &position)?;
                is_open = true;
            }
            match self.page(lanes, session, pages, (stream, &position)).await? {
                Fetched::Page { answers, next } => {
                    let stored = self.store(lanes, pages, stream, &mut progress, position, (answers, next)).await?;
                    if let Err(why) = stored {
                        return Ok(Some(Halt::GaveUp { outcome: Outcome::PartialError, why }));
                    }
                }
                Fetched::Moved(position) => {
                    progress.position = Some(position);
                    self.moved(lanes, stream, &progress).await?;
                }
                Fetched::End { cursor } => {
                    (progress.ended, progress.cursor) = (true, cursor);
                    self.moved(lanes, stream, &progress).await?;
                }
                Fetched::Halted(Halt::GaveUp { .. }) if mutants::on(Mutant::IncompleteListing) => progress.ended = true,
                Fetched::Halted(Halt::GaveUp { outcome, why }) => {
                    return Ok(Some(Halt::GaveUp { outcome, why: format!("stream '{stream}': {why}") }));
                }
                Fetched::Halted(halt) => return Ok(Some(halt)),
            }
        }
        Ok(None)
    }

    /// Keeps where a stream is now, without a page.
    async fn moved(&self, lanes: &Lanes<'_>, stream: &StreamName, to: &StreamProgress) -> Result<(), StageError> {
        let at = lanes.at;
        let key = ledger::stream_key(&at.run.value.id, &at.source, stream);
        let _alone = lanes.writing.lock().await;
        let writes = vec![self.lease_renewed(at), ledger::put(key, to, Precondition::None), at.requests_counted()];
        Ok(self.ledger.transact(writes).await?)
    }

    /// The write that prolongs the lease of a run that is being worked on.
    fn lease_renewed(&self, at: &Progress) -> Write {
        let (run, until) = (&at.run.value, self.clock.now().plus(LEASE));
        lease::renew(ledger::run_lease_key(run), run.id.as_str(), run.fence, until, at.worker)
    }

    pub(super) async fn over(&self, at: Progress, failure: Option<(Outcome, String)>) -> Result<Polled, StageError> {
        let counted = at.requests_counted();
        self.fetched(at.run, failure, vec![counted]).await
    }

    /// `None` when an incremental run has nothing to ask of this stream.
    async fn first_position(
        &self,
        lanes: &Lanes<'_>,
        stream: &StreamName,
        progress: &mut StreamProgress,
    ) -> Result<Option<serde_json::Value>, StageError> {
        let (at, connector) = (lanes.at, lanes.connector);
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

    /// One page, with all that comes before it, in as many attempts as the source's limits allow. Each request
    /// has a permit of its own.
    async fn page(
        &self,
        lanes: &Lanes<'_>,
        session: &mut dyn Session,
        pages: &mut Conditional,
        (stream, position): (&StreamName, &serde_json::Value),
    ) -> Result<Fetched, StageError> {
        let (at, source) = (lanes.at, lanes.source);
        let most = source.limits.attempts.max(1);
        let mut attempt = 0;
        // What was answered is made use of, however little time there is: every call gets on.
        let mut answered = false;
        loop {
            if !answered && lanes.are_over(self.clock.now()) {
                return Ok(Fetched::Halted(Halt::Later(Duration::ZERO)));
            }
            let (wait, quota, why) = match session.step(self.clock.now())? {
                Step::Page { answers, next } => return Ok(Fetched::Page { answers, next }),
                Step::Moved(position) => return Ok(Fetched::Moved(position)),
                Step::End { cursor } => return Ok(Fetched::End { cursor }),
                Step::Refused { why } => return Ok(Fetched::Halted(Halt::GaveUp { outcome: Outcome::Failed, why })),
                Step::Exhausted { quota: true, why } => {
                    let until = self.clock.now().plus(self.patience(at.run.value.started));
                    return Ok(Fetched::Halted(Halt::Quota { until, why }));
                }
                Step::Misled { why } => {
                    session.open(stream, position)?;
                    (self.backoff(attempt + 1).min(WAIT_HERE), false, why)
                }
                Step::Exhausted { quota: false, why } => {
                    return Ok(Fetched::Halted(Halt::GaveUp { outcome: Outcome::PartialError, why }));
                }
                Step::Ask(request) => match self.ask_for_page(lanes, pages, request).await? {
                    Ok(response) => {
                        session.answer(self.clock.now(), response)?;
                        answered = true;
                        continue;
                    }
                    Err(fault) if fault.is_retryable() => {
                        (self.backoff(attempt + 1).min(WAIT_HERE), false, fault.to_string())
                    }
                    Err(fault) => {
                        return Ok(Fetched::Halted(Halt::GaveUp { outcome: Outcome::Failed, why: fault.to_string() }));
                    }
                },
                Step::Wait { wait, why: Waiting::Busy } => {
                    if wait > WAIT_HERE || lanes.end_within(self.clock.now(), wait) {
                        return Ok(Fetched::Halted(Halt::Later(wait)));
                    }
                    self.clock.sleep(wait).await;
                    continue;
                }
                Step::Wait { wait, why: Waiting::Quota(why) } => (wait, true, why),
                Step::Wait { wait, why: Waiting::Ill(why) } => (wait, false, why),
            };
            (attempt, answered) = (attempt + 1, false);
            if attempt == most && quota {
                let wait = wait.max(self.patience(at.run.value.started));
                return Ok(Fetched::Halted(Halt::Quota { until: self.clock.now().plus(wait), why }));
            }
            // The growing waits of somebody who is ill count as attempts, before they would park the run each time.
            if wait > if quota { WAIT_HERE } else { BACKOFF_MOST } {
                return Ok(Fetched::Halted(Halt::Quota { until: self.clock.now().plus(wait), why }));
            }
            if attempt == most {
                let why = format!("{why} ({most} attempts)");
                return Ok(Fetched::Halted(Halt::GaveUp { outcome: Outcome::PartialError, why }));
            }
            let source = &at.source;
            tracing::debug!(%source, %stream, attempt, wait_ms = wait.as_millis(), why, "asking again");
            self.meter.seconds(&metrics::HTTP_WAIT, &[source.name.as_str(), "backoff"], wait);
            self.clock.sleep(wait).await;
        }
    }

    pub(super) async fn send(
        &self,
        at: &Progress,
        source: &Source,
        mut request: Request,
    ) -> Result<Result<Response, Fault>, StageError> {
        let (id, limits) = (&at.source, &source.limits);
        let began = self.clock.now();
        permit(self.ledger.as_ref(), self.clock.as_ref(), self.entropy.as_ref(), id, limits.per_second).await?;
        let waited = self.clock.now().since(began);
        if limits.per_second.is_some() {
            self.meter.seconds(&metrics::HTTP_WAIT, &[id.name.as_str(), "limit"], waited);
        }
        request.timeout = limits.timeout;
        request.max_body = limits.max_body;
        at.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.upstream.send(request).await;
        let status = answer.as_ref().map_or("fault", |answer| metrics::status_class(answer.status));
        self.meter.count(&metrics::HTTP_REQUESTS, &[id.name.as_str(), status], 1);
        Ok(answer)
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
    async fn store(
        &self,
        lanes: &Lanes<'_>,
        pages: &mut Conditional,
        stream: &StreamName,
        progress: &mut StreamProgress,
        position: serde_json::Value,
        (mut answers, next): (Vec<Answered>, Next),
    ) -> Result<Result<(), String>, StageError> {
        let at = lanes.at;
        let run = &at.run.value;
        let slot = progress.slots;
        let asked = answers.iter().map(|answer| answer.asked).min().unwrap_or(run.started);
        let key = RawKey::page(&at.source, &run.id, stream, slot, self.entropy.next());
        pages.store(&key, &mut answers);
        let Some(Answered { method, url, response, .. }) = answers.pop() else {
            return Err(StageError::Impossible(format!("stream '{stream}': the connector gave a page of no answer")));
        };
        let mut body = BytesMut::new();
        let mut parts = Vec::new();
        for Answered { response, .. } in answers {
            body.extend_from_slice(&response.body);
            let (bytes, status) = (response.body.len(), response.status);
            parts.push(Part { bytes, status, headers: kept(response.headers) });
        }
        let body = if parts.is_empty() {
            response.body
        } else {
            body.extend_from_slice(&response.body);
            body.freeze()
        };
        let status = response.status;
        let head = RawHead {
            source: at.source.clone(),
            // A clock that stepped back must not put a page before its own listing.
            stated: asked.max(run.started),
            headers: kept(response.headers),
            sha256: format!("{:x}", Sha256::digest(&body)),
            from: RawFrom::Page { stream: stream.clone(), slot, position, method, url, status, parts },
        };
        let raw = Raw { head, body };
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
        {
            let _alone = lanes.writing.lock().await;
            let slot = ledger::slot_key(&run.id, &at.source, stream, slot);
            let writes = vec![
                self.lease_renewed(at),
                ledger::put(slot, &Slot { raw: key }, Precondition::Absent),
                ledger::put(ledger::stream_key(&run.id, &at.source, stream), progress, Precondition::None),
                at.requests_counted(),
            ];
            self.ledger.transact(writes).await?;
        }
        send_all(self.queue.as_ref(), vec![Outgoing::now(page(&run.id, &at.source, stream, slot))]).await?;
        Ok(if circle {
            Err(format!("stream '{stream}': the listing goes in circles after {} pages", progress.slots))
        } else {
            Ok(())
        })
    }

    /// Waits for a quota without costing anything: the run keeps its pages, its lease and its place.
    pub(super) async fn park(
        &self,
        at: Progress,
        limits: &Limits,
        until: Millis,
        why: String,
    ) -> Result<Polled, StageError> {
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

fn kept(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.into_iter().filter(|(name, _)| !NOT_KEPT.contains(&name.as_str())).collect()
}

/// Whether a listing came back to a position where it was. Keeps one position and takes a newer one at
/// twice the distance each time (Brent's method), so a circle of any length is found and nothing grows.
fn goes_in_circles(progress: &mut StreamProgress, position: &serde_json::Value) -> bool {
    let position = normalize::record_hash(position);
    if progress.anchor == Some(position) {
        return true;
    }
    if progress.slots >= progress.anchor_at {
        progress.anchor = Some(position);
        progress.anchor_at = progress.slots * 2;
    }
    false
}
