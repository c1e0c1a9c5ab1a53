//! Settling a run whose pages are all applied: verify, switch, and say how it ended.
//!
//! Always holds: every step may be repeated; a run is ended once, in one transaction with giving its lease
//! back. A build that is not complete or not believed never becomes visible (P3), and says why (P7).

use std::collections::BTreeMap;

use super::cut_over::Replay;
use super::{Settling, Switch};
use crate::domain::{
    Counts, Fence, Manifest, Message, Mode, Outcome, Run, RunId, RunState, SourceId, StreamName, Version, VersionState,
};
use crate::metrics;
use crate::mutants::{self, Mutant};
use crate::pipeline::error::StageError;
use crate::pipeline::lease;
use crate::pipeline::ledger::{self, NextSync, Stored, StreamProgress};
use crate::pipeline::poll::Budget;
use crate::ports::queue::{Outgoing, send_all};
use crate::ports::{Precondition, Write};

impl Switch {
    pub async fn settle(&self, id: &RunId, budget: &Budget) -> Result<(), StageError> {
        let Some(run) = ledger::run(self.ledger.as_ref(), id).await? else { return Ok(()) };
        ledger::note(&run.value);
        if run.value.state == RunState::Ended {
            return self.pass_notes_on().await;
        }
        if !self.is_sealed(&run.value).await? {
            // Whoever applies the last page sends this message again.
            return Ok(());
        }
        let Some(version) = run.value.builds else {
            self.end(run, None, Vec::new()).await?;
            return self.pass_notes_on().await;
        };
        if run.value.outcome.is_some() {
            let target = self.manifest(version).await?;
            return self.drop_build(run, target, None).await;
        }
        if run.value.mode == Mode::Full && self.holds_back(&run.value, version).await? {
            return Ok(());
        }
        let who = id.as_str();
        let early = if mutants::on(Mutant::ReadBeforeLease) { Some(self.manifest(version).await?) } else { None };
        let fence = self.take_lease(who).await?;
        let settled = match early {
            Some(target) => self.settle_build(run, target, fence, budget).await,
            None => self.settle_under(id, version, fence, budget).await,
        };
        let moved = matches!(settled, Ok(Settled::Moved));
        self.give_lease_back(who, fence, moved).await?;
        match settled? {
            Settled::Moved | Settled::Stays => self.pass_notes_on().await,
            Settled::OutOfBudget => {
                let message = Outgoing::now(Message::Settle { run: id.clone() });
                Ok(send_all(self.queue.as_ref(), vec![message]).await?)
            }
        }
    }

    /// Whether fetching is over and every page is applied.
    async fn is_sealed(&self, run: &Run) -> Result<bool, StageError> {
        Ok(match (&run.state, run.pages) {
            (RunState::Fetched | RunState::Settling, Some(pages)) => {
                let early = u64::from(mutants::on(Mutant::SealedEarly));
                ledger::pages_done(self.ledger.as_ref(), &run.id).await? + early >= pages
            }
            _ => false,
        })
    }

    pub(super) async fn manifest(&self, version: Version) -> Result<Manifest, StageError> {
        ledger::manifest(self.ledger.as_ref(), version).await?.ok_or(StageError::NoVersion(version))
    }

    /// Run and manifest are read under the lease: whoever had it before may have ended the one and moved to, and
    /// away from, the other.
    async fn settle_under(
        &self,
        id: &RunId,
        version: Version,
        fence: Fence,
        budget: &Budget,
    ) -> Result<Settled, StageError> {
        match ledger::run(self.ledger.as_ref(), id).await? {
            Some(run) if run.value.state != RunState::Ended => {
                let target = self.manifest(version).await?;
                self.settle_build(run, target, fence, budget).await
            }
            _ => Ok(Settled::Stays),
        }
    }

    async fn settle_build(
        &self,
        run: Stored<Run>,
        target: Manifest,
        fence: Fence,
        budget: &Budget,
    ) -> Result<Settled, StageError> {
        if target.activated.is_some() {
            // The one before us moved the pointer and died. It may have been moved on since: that stays.
            self.open_active(fence).await?;
            self.end(run, None, Vec::new()).await?;
            return Ok(Settled::Moved);
        }
        let Some(run) = self.mark_settling(run).await? else { return Ok(Settled::Stays) };
        let mut target = self.as_it_would_be(&target).await?;
        if let Some(why) = self.left_behind(&target).await? {
            self.drop_build(run, target.manifest, Some((Outcome::Failed, why))).await?;
            return Ok(Settled::Stays);
        }
        let mut from = BTreeMap::new();
        for generation in &target.own {
            let replayed = target.manifest.replayed.get(&generation.source.to_string());
            from.entry(generation.source.clone()).or_insert(replayed.copied().unwrap_or(generation.since));
        }
        let replayed = self.catch_up(&target, &mut from, fence).await?;
        target.manifest.replayed = from.iter().map(|(source, number)| (source.to_string(), *number)).collect();

        let key = ledger::settling_key(&run.value.id);
        let mut settling: Settling =
            ledger::read(self.ledger.as_ref(), &key).await?.map(|s: Stored<Settling>| s.value).unwrap_or_default();
        if settling.relation == 0 && settling.after.is_none() {
            let counts = ledger::counts(self.ledger.as_ref(), &run.value.id).await?;
            settling.verdict = self.compare_sizes(&target, Some(&counts)).await?;
        }
        let checked = self.check_relations(&target, &mut settling, budget).await?
            && self.count_gone(&target, &mut settling, budget).await?;
        self.ledger
            .transact(vec![
                ledger::put(key, &settling, Precondition::None),
                ledger::put(ledger::version_key(target.manifest.version), &target.manifest, Precondition::None),
                ledger::fenced(ledger::switch_lease_key(), fence),
            ])
            .await?;
        if !checked {
            return Ok(Settled::OutOfBudget);
        }
        if !settling.verdict.blocked.is_empty() && !run.value.force && !mutants::on(Mutant::GuardIgnored) {
            let version = target.manifest.version;
            let why = format!(
                "the guard stopped {version}: {}. Readers still see what they saw. Look at it with \
                 `teal versions --diff {version}`, switch to it all the same with `teal switch {version} --force`",
                settling.verdict.blocked.join("; "),
            );
            return self.leave_ready(run, target.manifest, Some((Outcome::Failed, why))).await;
        }
        if !run.value.switch {
            return self.leave_ready(run, target.manifest, None).await;
        }
        let mut also = self.cursors_of(&run.value).await?;
        also.push(Write::Delete { key: ledger::building_key(), when: Precondition::None });
        // Verification took the longer the more rows there are; what came in meanwhile must not wait for the gates.
        let replayed = replayed + self.catch_up(&target, &mut from, fence).await?;
        let replay = Replay::Rest { from, replayed };
        self.cut_over(&target, replay, fence, run.value.id.as_str(), also).await?;
        self.end(run, None, Vec::new()).await?;
        Ok(Settled::Moved)
    }

    /// `None` when somebody ended the run while we were away: whatever is written from here on is written only
    /// if the run is still as it is returned.
    async fn mark_settling(&self, run: Stored<Run>) -> Result<Option<Stored<Run>>, StageError> {
        if run.value.state == RunState::Settling || mutants::on(Mutant::ReadBeforeLease) {
            return Ok(Some(run));
        }
        let mut next = run.value.clone();
        next.state = RunState::Settling;
        let write = ledger::put(ledger::run_key(&next.id), &next, ledger::unchanged(Some(&run)));
        self.ledger.transact(vec![write]).await?;
        let marked = ledger::run(self.ledger.as_ref(), &next.id).await?;
        Ok(marked.filter(|run| run.value.state != RunState::Ended))
    }

    /// The build stays beside the active version, for somebody to look at and switch to.
    async fn leave_ready(
        &self,
        run: Stored<Run>,
        mut target: Manifest,
        failure: Option<(Outcome, String)>,
    ) -> Result<Settled, StageError> {
        target.state = VersionState::Ready;
        if let Some(cursors) = self.cursors_as_map(&run.value).await? {
            target.cursors = cursors;
        }
        let writes = vec![
            ledger::put(ledger::version_key(target.version), &target, Precondition::None),
            Write::Delete { key: ledger::building_key(), when: Precondition::None },
        ];
        self.end(run, failure, writes).await?;
        Ok(Settled::Stays)
    }

    /// Ends a run that can't be settled, with the reason. A build whose pointer has moved is complete all the
    /// same.
    pub async fn give_up(&self, id: &RunId, error: &StageError) -> Result<(), StageError> {
        let Some(run) = ledger::run(self.ledger.as_ref(), id).await? else { return Ok(()) };
        if !matches!(run.value.state, RunState::Fetched | RunState::Settling) {
            return Ok(());
        }
        let failure = Some((Outcome::Failed, error.to_string()));
        let target = match run.value.builds {
            Some(version) => ledger::manifest(self.ledger.as_ref(), version).await?,
            None => None,
        };
        match target {
            Some(target) if target.activated.is_none() => self.drop_build(run, target, failure).await,
            Some(_) => self.end(run, None, Vec::new()).await,
            None => self.end(run, failure, Vec::new()).await,
        }
    }

    /// A build that is not complete: nobody will ever see it.
    async fn drop_build(
        &self,
        run: Stored<Run>,
        target: Manifest,
        failure: Option<(Outcome, String)>,
    ) -> Result<(), StageError> {
        self.end(run, failure, dropped(target)).await?;
        self.pass_notes_on().await
    }

    /// Ends the run: outcome, last counts, lease, all at once.
    pub(super) async fn end(
        &self,
        run: Stored<Run>,
        failure: Option<(Outcome, String)>,
        mut writes: Vec<Write>,
    ) -> Result<(), StageError> {
        let mut next = run.value.clone();
        let counts = ledger::counts(self.ledger.as_ref(), &next.id).await?;
        if let Some((outcome, reason)) = failure {
            next.outcome = Some(outcome);
            next.reason = Some(reason);
        }
        if next.outcome.is_none() {
            let (outcome, reason) = outcome_of(&next, &counts);
            next.outcome = Some(outcome);
            next.reason = reason.or(next.reason);
        }
        let gone = self.rows_gone(&next).await?;
        if !gone.entities.is_empty() {
            writes.push(Write::Add { key: ledger::counts_key(&next.id), numbers: gone.to_counters() });
        }
        next.state = RunState::Ended;
        next.ended = Some(self.clock.now());
        let lease = ledger::run_lease_key(&next);
        writes.push(lease::give_back(lease, next.id.as_str(), next.fence));
        writes.push(ledger::put(ledger::run_key(&next.id), &next, ledger::unchanged(Some(&run))));
        self.ledger.transact(writes).await?;
        let (outcome, span) = (next.outcome.map_or("-", Outcome::as_str), self.clock.now().since(next.started));
        for source in &next.sources {
            let labels = [source.name.as_str(), next.mode.as_str()];
            self.meter.count(&metrics::RUN_OUTCOME, &[labels[0], labels[1], outcome], 1);
            self.meter.seconds(&metrics::RUN_DURATION, &labels, span);
        }
        tracing::info!(run = %next.id, outcome = ?next.outcome, reason = next.reason, "run ended");
        Ok(())
    }

    /// Rows of the version before that a complete build does not have any more.
    async fn rows_gone(&self, run: &Run) -> Result<Counts, StageError> {
        let mut gone = Counts::default();
        if !run.outcome.is_some_and(Outcome::is_success) || run.builds.is_none() {
            return Ok(gone);
        }
        let key = ledger::settling_key(&run.id);
        let settling: Option<Stored<Settling>> = ledger::read(self.ledger.as_ref(), &key).await?;
        for (entity, verdict) in settling.map(|s| s.value.verdict.entities).unwrap_or_default() {
            if verdict.gone > 0 {
                gone.entities.entry(entity).or_default().deleted = verdict.gone;
            }
        }
        Ok(gone)
    }

    /// The cursors that a complete full listing leaves; they count from the moment that it is visible.
    pub(super) async fn cursors_of(&self, run: &Run) -> Result<Vec<Write>, StageError> {
        let mut writes = Vec::new();
        for (source, stream, cursor) in self.new_cursors(run).await? {
            writes.push(super::cut_over::set_cursor(ledger::cursor_key(&source, &stream), &cursor));
        }
        Ok(writes)
    }

    async fn cursors_as_map(&self, run: &Run) -> Result<Option<BTreeMap<String, serde_json::Value>>, StageError> {
        let cursors = self.new_cursors(run).await?;
        let map = cursors.into_iter().map(|(source, stream, cursor)| (format!("{source}#{stream}"), cursor));
        Ok(matches!(run.mode, Mode::Full | Mode::Restore).then(|| map.collect()))
    }

    async fn new_cursors(&self, run: &Run) -> Result<Vec<(SourceId, StreamName, serde_json::Value)>, StageError> {
        let mut out = Vec::new();
        if run.mode == Mode::Restore {
            // What the backup had, or null for none: to go on from what was there before would miss changes.
            for source in &run.sources {
                let key = ledger::stream_key(&run.id, source, &StreamName::new(""));
                let streams = ledger::read_all(self.ledger.as_ref(), &key.part, &key.sort).await?;
                out.extend(streams.into_iter().map(|(sort, stream): (String, StreamProgress)| {
                    let name = StreamName::new(&sort[key.sort.len()..]);
                    (source.clone(), name, stream.cursor.unwrap_or_default())
                }));
            }
        }
        if run.mode != Mode::Full {
            return Ok(out);
        }
        let loaded = self.systems.get(&run.config).await?;
        for source in &run.sources {
            for stream in loaded.system.streams(&source.name) {
                let key = ledger::stream_key(&run.id, source, &stream);
                let progress: Option<Stored<StreamProgress>> = ledger::read(self.ledger.as_ref(), &key).await?;
                if let Some(cursor) = progress.and_then(|p| p.value.cursor) {
                    out.push((source.clone(), stream, cursor));
                }
            }
        }
        Ok(out)
    }

    /// Syncs that waited for a run to end: sent first, struck out after, so that none is lost.
    pub async fn pass_notes_on(&self) -> Result<(), StageError> {
        let loaded = self.systems.current().await?;
        for name in loaded.system.sources.keys() {
            let source = SourceId::new(name.as_str());
            let key = ledger::next_key(&source);
            let Some(note) = ledger::read::<NextSync>(self.ledger.as_ref(), &key).await? else { continue };
            let NextSync { mode, cause, trace } = note.value.clone();
            if mutants::on(Mutant::NoteStruckFirst) {
                let strike = Write::Delete { key: key.clone(), when: ledger::unchanged(Some(&note)) };
                self.ledger.transact(vec![strike]).await?;
            }
            send_all(self.queue.as_ref(), vec![Outgoing::now(Message::Sync { source, mode, cause, trace })]).await?;
            let strike = Write::Delete { key, when: ledger::unchanged(Some(&note)) };
            match self.ledger.transact(vec![strike]).await {
                Err(error) if !ledger::was_refused(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The writes that let go of a build.
pub(super) fn dropped(mut build: Manifest) -> Vec<Write> {
    build.state = VersionState::Dropped;
    vec![
        ledger::put(ledger::version_key(build.version), &build, Precondition::None),
        Write::Delete { key: ledger::building_key(), when: Precondition::None },
    ]
}

enum Settled {
    Moved,
    Stays,
    OutOfBudget,
}

fn outcome_of(run: &Run, counts: &Counts) -> (Outcome, Option<String>) {
    if !counts.add_up() {
        let why = "the counts of the run do not add up; this is a fault of Teal, please report it".to_owned();
        return (Outcome::PartialError, Some(why));
    }
    if counts.records.fetched == 0 && run.mode != Mode::Incremental {
        return (Outcome::CompleteEmpty, None);
    }
    (Outcome::Complete, None)
}
