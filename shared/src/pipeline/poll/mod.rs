//! poll: brings pages in. One run of one source, within one budget of time.
//!
//! Owns starting a run, asking for its pages, storing each in its slot, parking at a quota, and saying that
//! fetching is over. Owns no mapping: what is in a page is transform's business.
//!
//! Always holds, for each page: raw is durable → one transaction puts it into slot k, moves the stream's
//! position behind it and prolongs the lease, all under the run's fence → the `Page` message is sent. Killed
//! in between, the next poll goes on at the same position, fetches at most that one page again, and sends
//! the message of every slot that is not applied.

mod adopt;
mod conditional;
mod errand;
mod fetch;
mod keep;
mod lanes;
mod restore;
mod start;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub(in crate::pipeline) use restore::bundles;
pub use start::{Asked, Started};
pub(in crate::pipeline) use start::{WEBHOOK_CAUSE, spec};

use super::backup::Shelf;
use super::error::StageError;
use super::lease::{self, LEASE, Lease};
use super::ledger::{self, Stored, StreamProgress};
use super::systems::Systems;
use crate::domain::{Message, Millis, Mode, Outcome, Run, RunId, RunState, SourceId, StreamName};
use crate::metrics::Meter;
use crate::mutants::{self, Mutant};
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::{BlobReader, BlobWriter, Clock, EntityAdmin, Entropy, Ledger, QueueSender, Upstream, Write};

pub struct Poll {
    pub ledger: Arc<dyn Ledger>,
    pub entities: Arc<dyn EntityAdmin>,
    pub blobs: Arc<dyn BlobWriter>,
    /// Pages that a source says are as they were.
    pub raws: Arc<dyn BlobReader>,
    pub queue: Arc<dyn QueueSender>,
    pub upstream: Arc<dyn Upstream>,
    pub systems: Arc<Systems>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// Where restores come from.
    pub shelf: Arc<Shelf>,
    pub meter: Arc<dyn Meter>,
}

/// How long one call may work. Work that is left goes on in a later call.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    pub deadline: Option<Millis>,
    /// Set when the host wants to stop.
    pub stop: Arc<AtomicBool>,
}

impl Budget {
    #[must_use]
    pub fn is_spent(&self, now: Millis) -> bool {
        self.stop.load(Ordering::Relaxed) || self.deadline.is_some_and(|deadline| now >= deadline)
    }
}

/// What a call to [`Poll::proceed`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Every page is stored, or the run is over.
    Fetched,
    /// The budget is spent; a continuation is queued.
    Continues,
    /// The source asked to wait; a continuation is queued.
    WaitsUntil(Millis),
    /// Another call is at work on it, and goes on by itself.
    Elsewhere,
}

/// Where the fetching of one run stands, while a call works on it.
struct Progress {
    run: Stored<Run>,
    source: SourceId,
    worker: u64,
    /// Requests that were sent and are not in the run's counts yet.
    requests: AtomicU64,
}

impl Progress {
    /// The write that adds the requests to the run's counts. They count once: it has to be written.
    fn requests_counted(&self) -> Write {
        Write::Add {
            key: ledger::counts_key(&self.run.value.id),
            numbers: std::collections::BTreeMap::from([(
                "requests".to_owned(),
                i64::try_from(self.requests.swap(0, Ordering::Relaxed)).unwrap_or(0),
            )]),
        }
    }
}

impl Poll {
    /// Goes on with a run's fetching until it is over, the budget is spent or the source asks to wait.
    pub async fn proceed(&self, id: &RunId, budget: &Budget) -> Result<Polled, StageError> {
        let Some(run) = ledger::run(self.ledger.as_ref(), id).await? else {
            return Err(StageError::NoRun(id.clone()));
        };
        ledger::note(&run.value);
        match run.value.state {
            RunState::Ended | RunState::Settling => return Ok(Polled::Fetched),
            RunState::Fetched => {
                self.stay(&run).await?;
                self.send_missing(&run.value).await?;
                self.settle_if_sealed(&run.value).await?;
                return Ok(Polled::Fetched);
            }
            RunState::WaitingQuota { until } if self.clock.now() < until => {
                self.wake_at(id, until).await?;
                return Ok(Polled::WaitsUntil(until));
            }
            RunState::WaitingQuota { .. } | RunState::Fetching => {}
        }
        let worker = self.entropy.next() | 1;
        let Some(run) = self.take_over(run, worker).await? else { return Ok(Polled::Elsewhere) };
        let (key, fence) = (ledger::run_lease_key(&run.value), run.value.fence);
        let worked = self.work(run, worker, budget).await;
        if worked.is_err() {
            // The message comes again, and whoever gets it must be let in. If this fails, too, the lease runs out.
            let until = self.clock.now().plus(LEASE);
            let _ = self.ledger.transact(vec![lease::renew(key, id.as_str(), fence, until, 0)]).await;
        }
        worked
    }

    async fn work(&self, run: Stored<Run>, worker: u64, budget: &Budget) -> Result<Polled, StageError> {
        if run.value.outcome.is_some() {
            // A page of it can't be applied: what is fetched now would be thrown away.
            return self.fetched(run, None, Vec::new()).await;
        }
        self.create_generations(&run.value).await?;
        self.send_missing(&run.value).await?;
        match run.value.mode {
            Mode::Full | Mode::Incremental => {
                let source = run.value.sources.first().cloned().ok_or_else(|| {
                    StageError::Impossible(format!("run '{}' has no source; it was not written by Teal", run.value.id))
                })?;
                self.fetch(Progress { run, source, worker, requests: AtomicU64::new(0) }, budget).await
            }
            Mode::Rebuild if mutants::on(Mutant::RebuildAsks) => {
                let source = run.value.sources[0].clone();
                self.fetch(Progress { run, source, worker, requests: AtomicU64::new(0) }, budget).await
            }
            Mode::Rebuild => self.adopt(run, worker, budget).await,
            Mode::Restore => self.restore(run, worker, budget).await,
        }
    }

    /// Lets this call work on the run, or `None` when another one does. When the lease says that the last one
    /// fell silent, the run's fence is raised, so that whatever that one still writes is refused.
    async fn take_over(&self, run: Stored<Run>, worker: u64) -> Result<Option<Stored<Run>>, StageError> {
        let key = ledger::run_lease_key(&run.value);
        let now = self.clock.now();
        let seen = lease::read(self.ledger.as_ref(), &key).await?;
        let holder = run.value.id.to_string();
        let mut next = run.value.clone();
        next.state = RunState::Fetching;
        let mut writes = match seen.as_ref().filter(|s| s.value.is_held(now)).map(|s| &s.value) {
            Some(held) if held.holder != holder => {
                return Err(StageError::Busy(format!("{} has taken over", held.holder)));
            }
            Some(held) if held.worker != 0 => return Ok(None),
            Some(held) if held.fence == run.value.fence => {
                let lease = Lease { until: now.plus(LEASE), worker, ..held.clone() };
                vec![ledger::put_marked(key, &lease, held.fence.0, ledger::unchanged(seen.as_ref()))]
            }
            _ => {
                let numbers = ledger::read(self.ledger.as_ref(), &ledger::numbers_key()).await?;
                let (fence, writes) =
                    lease::take(key, seen.as_ref(), numbers.as_ref(), holder, now.plus(LEASE), worker);
                next.fence = fence;
                writes.into()
            }
        };
        let when = ledger::unchanged(Some(&run));
        if next != run.value {
            writes.push(ledger::put(ledger::run_key(&next.id), &next, when));
        }
        self.ledger.transact(writes).await?;
        // Read again for its revision. Whoever took over since has another fence, which is not ours to write under.
        let taken = ledger::run(self.ledger.as_ref(), &next.id).await?.ok_or(StageError::NoRun(next.id))?;
        let is_ours = taken.value.fence == next.fence && taken.value.state == RunState::Fetching;
        Ok((is_ours || mutants::on(Mutant::ForeignFence)).then_some(taken))
    }

    /// Prolongs the lease of a run that only waits for its pages to be applied, so that its missing messages
    /// are not sent again each time that somebody looks. Not of one that went on since it was read: it may have
    /// ended, and its lease been given back.
    async fn stay(&self, run: &Stored<Run>) -> Result<(), StageError> {
        let until = self.clock.now().plus(LEASE);
        let key = ledger::run_key(&run.value.id);
        let writes = vec![
            lease::renew(ledger::run_lease_key(&run.value), run.value.id.as_str(), run.value.fence, until, 0),
            Write::Check { key, when: ledger::unchanged(Some(run)) },
        ];
        match self.ledger.transact(writes).await {
            Err(error) if !ledger::was_refused(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Sends the `Page` message of every stored page that is not applied: the sending of some may have been
    /// lost with the process that stored them, and applying a page twice changes nothing.
    async fn send_missing(&self, run: &Run) -> Result<(), StageError> {
        if mutants::on(Mutant::PageSentOnce) {
            return Ok(());
        }
        for source in &run.sources {
            for (stream, progress) in self.known_streams(run, source).await? {
                if progress.slots == 0 {
                    continue;
                }
                let done: Vec<(String, serde_json::Value)> = ledger::read_all(
                    self.ledger.as_ref(),
                    &ledger::run_part(&run.id),
                    &format!("done#{source}#{stream}#"),
                )
                .await?;
                let done: std::collections::BTreeSet<u64> =
                    done.iter().filter_map(|(sort, _)| sort.rsplit('#').next()?.parse().ok()).collect();
                let missing: Vec<u64> = (0..progress.slots).filter(|slot| !done.contains(slot)).collect();
                for chunk in missing.chunks(100) {
                    let pages = chunk.iter().map(|slot| Outgoing::now(page(&run.id, source, &stream, *slot)));
                    send_all(self.queue.as_ref(), pages.collect()).await?;
                }
            }
        }
        Ok(())
    }

    /// What is known of the run's streams. Asks no configuration, so that a run can be ended whose
    /// configuration is gone.
    async fn known_streams(
        &self,
        run: &Run,
        source: &SourceId,
    ) -> Result<Vec<(StreamName, StreamProgress)>, StageError> {
        let prefix = ledger::stream_key(&run.id, source, &StreamName::new("")).sort;
        let items = ledger::read_all(self.ledger.as_ref(), &ledger::run_part(&run.id), &prefix).await?;
        Ok(items.into_iter().map(|(sort, progress)| (StreamName::new(&sort[prefix.len()..]), progress)).collect())
    }

    async fn streams_of(&self, run: &Run, source: &SourceId) -> Result<Vec<(StreamName, StreamProgress)>, StageError> {
        let loaded = self.systems.get(&run.config).await?;
        let mut out = Vec::new();
        for stream in loaded.system.streams(&source.name) {
            let key = ledger::stream_key(&run.id, source, &stream);
            let progress = ledger::read::<StreamProgress>(self.ledger.as_ref(), &key).await?;
            out.push((stream, progress.map(|p| p.value).unwrap_or_default()));
        }
        Ok(out)
    }

    /// Fetching is over, by the end of every listing or (with a `failure`) before it. What was stored is
    /// still applied; the run is settled when all of it is.
    async fn fetched(
        &self,
        run: Stored<Run>,
        failure: Option<(Outcome, String)>,
        mut writes: Vec<Write>,
    ) -> Result<Polled, StageError> {
        let mut next = run.value.clone();
        let mut pages = 0;
        for source in &next.sources {
            for (stream, progress) in self.known_streams(&next, source).await? {
                pages += progress.slots;
                if progress.ended && next.mode == Mode::Incremental {
                    writes.extend(self.moved_cursor(source, &stream, &progress).await?);
                }
            }
        }
        next.state = RunState::Fetched;
        next.pages = Some(pages);
        if let Some((outcome, reason)) = failure {
            next.outcome = Some(outcome);
            next.reason = Some(reason);
        }
        writes.push(lease::renew(
            ledger::run_lease_key(&next),
            next.id.as_str(),
            next.fence,
            self.clock.now().plus(LEASE),
            0,
        ));
        writes.push(ledger::put(ledger::run_key(&next.id), &next, ledger::unchanged(Some(&run))));
        self.ledger.transact(writes).await?;
        self.settle_if_sealed(&next).await?;
        Ok(Polled::Fetched)
    }

    /// The write that moves the cursor behind an incremental listing. None when the cursor is not the one that
    /// the listing started from: somebody went back to an older version meanwhile, and what that one lacks is
    /// still to be asked for.
    async fn moved_cursor(
        &self,
        source: &SourceId,
        stream: &StreamName,
        progress: &StreamProgress,
    ) -> Result<Option<Write>, StageError> {
        let Some(cursor) = &progress.cursor else { return Ok(None) };
        let key = ledger::cursor_key(source, stream);
        let known: Option<Stored<serde_json::Value>> = ledger::read(self.ledger.as_ref(), &key).await?;
        let is_the_same = known.as_ref().map(|known| known.revision) == progress.started_from;
        Ok(is_the_same.then(|| ledger::put(key, cursor, ledger::unchanged(known.as_ref()))))
    }

    /// Ends a run that can't go on, with the reason.
    pub async fn give_up(&self, id: &RunId, error: &StageError) -> Result<(), StageError> {
        let Some(run) = ledger::run(self.ledger.as_ref(), id).await? else { return Ok(()) };
        if matches!(run.value.state, RunState::Fetching | RunState::WaitingQuota { .. }) {
            self.fetched(run, Some((Outcome::Failed, error.to_string())), Vec::new()).await?;
        }
        Ok(())
    }

    async fn settle_if_sealed(&self, run: &Run) -> Result<(), StageError> {
        super::transform::settle_if_sealed(self.ledger.as_ref(), self.queue.as_ref(), run).await
    }

    async fn wake_at(&self, id: &RunId, until: Millis) -> Result<(), StageError> {
        let wait = until.since(self.clock.now());
        let message = Outgoing::after(Message::Continue { run: id.clone() }, wait);
        Ok(send_all(self.queue.as_ref(), vec![message]).await?)
    }

    /// Ends this call and lets the next one in, after a wait.
    async fn continue_later(&self, run: &Run, wait: Duration) -> Result<Polled, StageError> {
        let until = self.clock.now().plus(LEASE);
        let lease = lease::renew(ledger::run_lease_key(run), run.id.as_str(), run.fence, until, 0);
        self.ledger.transact(vec![lease]).await?;
        send_all(self.queue.as_ref(), vec![Outgoing::after(Message::Continue { run: run.id.clone() }, wait)]).await?;
        Ok(Polled::Continues)
    }
}

fn page(run: &RunId, source: &SourceId, stream: &StreamName, slot: u64) -> Message {
    Message::Page { run: run.clone(), source: source.clone(), stream: stream.clone(), slot }
}
