//! P7, P8 and P13: what a run says of itself is what it did, and it never goes back.

use std::collections::BTreeMap;

use teal::domain::{Counts, GenerationId, Millis, Mode, Outcome, Pointer, RawKey, Run, RunId, RunState, SourceId};
use teal::pipeline::ledger::{self, Slot, StreamProgress};
use teal::ports::ledger::JsonText;

use super::super::system::SOURCES;
use super::{Change, Oracle, Promise, progress_of, source_of};

/// What was seen of a run.
#[derive(Debug)]
pub(super) struct RunSeen {
    pub created: Millis,
    pub sources: Vec<usize>,
    pub fetched: Option<Millis>,
    /// As it ended.
    pub ended: Option<Run>,
    /// How often each page was given to it.
    pub pages: BTreeMap<String, u32>,
    /// The source listed less than it had, and called it all.
    pub lied: bool,
    /// The source sent it in circles.
    pub sent_round: bool,
    /// What had gone wrong when it began.
    troubles: u64,
    /// Slots that its streams had filled.
    slots: BTreeMap<String, u64>,
}

impl RunSeen {
    pub fn new(created: Millis, troubles: u64) -> Self {
        Self {
            created,
            sources: Vec::new(),
            fetched: None,
            ended: None,
            pages: BTreeMap::new(),
            lied: false,
            sent_round: false,
            troubles,
            slots: BTreeMap::new(),
        }
    }
}

impl Oracle {
    pub(super) fn run_written(&self, run: &Run) {
        let now = self.time.now();
        let troubles = (self.troubles)();
        {
            let mut state = self.state();
            let seen = state.runs.entry(run.id.clone()).or_insert_with(|| RunSeen::new(now, troubles));
            if seen.sources.is_empty() {
                let position = |source: &SourceId| SOURCES.iter().position(|name| source.name.as_str() == *name);
                seen.sources = run.sources.iter().filter_map(position).collect();
            }
            if !matches!(run.state, RunState::Fetching | RunState::WaitingQuota { .. }) {
                seen.fetched = seen.fetched.or(Some(now));
            }
            if let Some(ended) = &seen.ended {
                let is_only_tidied = Run { tidied: true, ..ended.clone() } == *run;
                drop(state);
                return self.expect(is_only_tidied, Promise::P8, || {
                    format!("run {} was written again after it had ended", run.id)
                });
            }
            seen.ended = (run.state == RunState::Ended).then(|| run.clone());
        }
        if run.state == RunState::Ended {
            self.run_ended(run, troubles);
        }
    }

    pub(super) fn progress_written(&self, run: &RunId, sort: &str, value: &JsonText) {
        if let Some(stream) = sort.strip_prefix("stream#") {
            let progress = value.read::<StreamProgress>().expect("progress is as it is written");
            let mut state = self.state();
            let Some(seen) = state.runs.get_mut(run) else { return };
            let before = seen.slots.insert(stream.to_owned(), progress.slots).unwrap_or(0);
            drop(state);
            self.expect(progress.slots >= before, Promise::P8, || {
                format!("stream {stream} of run {run} went back from {before} pages to {}", progress.slots)
            });
            for slot in before..progress.slots {
                let key = teal::ports::ItemKey::new(ledger::run_part(run), format!("slot#{stream}#{slot:08}"));
                self.expect(self.item::<Slot>(&key).is_some(), Promise::P8, || {
                    format!("run {run} moved behind page {slot} of {stream}, which is in no slot")
                });
            }
        } else if sort.starts_with("slot#") {
            let slot = value.read::<Slot>().expect("a slot is as it is written");
            let is_stored = self.state().raw.contains_key(&slot.raw.0);
            self.expect(is_stored, Promise::P8, || format!("slot {sort} of run {run} names a page that is not stored"));
            self.change_slotted(run, &slot.raw);
        }
    }

    /// A page of an incremental run is a change.
    fn change_slotted(&self, id: &RunId, raw: &RawKey) {
        let Some(run) = self.run(id).filter(|run| run.mode == Mode::Incremental) else { return };
        let source = run.sources.first().and_then(|s| SOURCES.iter().position(|name| s.name.as_str() == *name));
        let Some(source) = source else { return };
        let has_records = self.records_in(raw).is_some_and(|count| count > 0);
        let change = Change { source, at: self.time.now(), makes_rows: has_records, is_delivery: false };
        self.state().changes.entry(raw.0.clone()).or_insert(change);
    }

    fn run_ended(&self, run: &Run, troubles: u64) {
        let id = &run.id;
        let counts: Counts = super::at_once(ledger::counts(self.ledger.as_ref(), id)).expect("counts can be read");
        self.expect(counts.add_up(), Promise::P7, || format!("the counts of run {id} do not add up: {counts:?}"));
        let Some(outcome) = run.outcome else {
            return self.violated(Promise::P7, || format!("run {id} ended without an outcome"));
        };
        let (mut pages, mut records) = (0, 0);
        for source in &run.sources {
            for (sort, _) in self.items::<bool>(&ledger::run_part(id), &format!("done#{source}#")) {
                let key = teal::ports::ItemKey::new(ledger::run_part(id), sort.replacen("done#", "slot#", 1));
                let slot: Option<Slot> = self.item(&key);
                pages += 1;
                records += slot.and_then(|slot| self.records_in(&slot.raw)).unwrap_or(0);
            }
        }
        self.expect(counts.pages == pages, Promise::P7, || {
            format!("run {id} counts {} pages and applied {pages}", counts.pages)
        });
        self.expect(counts.records.fetched == records, Promise::P7, || {
            format!("run {id} counts {} records, and its pages hold {records}", counts.records.fetched)
        });
        if run.mode == Mode::Rebuild {
            self.expect(counts.requests == 0, Promise::P13, || {
                format!("rebuild {id} made {} requests", counts.requests)
            });
        }
        let is_empty = records == 0 && run.mode != Mode::Incremental;
        if outcome.is_success() {
            self.expect((outcome == Outcome::CompleteEmpty) == is_empty, Promise::P7, || {
                format!("run {id} ended {outcome} with {records} records")
            });
            self.was_complete(run, pages);
        }
        self.asked_no_page_too_often(run, troubles);
    }

    /// What calls itself complete listed every stream to its end, and readers have what the source had.
    fn was_complete(&self, run: &Run, pages: u64) {
        let id = &run.id;
        let mut slots = 0;
        for source in &run.sources {
            let index = SOURCES.iter().position(|name| source.name.as_str() == *name).expect("runs are of our sources");
            for stream in self.shape.streams(index) {
                let progress: Option<StreamProgress> = self.item(&progress_of(id, index, stream));
                let listed = progress.as_ref().is_some_and(|progress| progress.ended);
                let nothing_to_ask = run.mode != Mode::Full && progress.is_none();
                slots += progress.map_or(0, |progress| progress.slots);
                self.expect(listed || nothing_to_ask, Promise::P7, || {
                    format!("run {id} ended as complete, and {}.{stream} was not listed to its end", SOURCES[index])
                });
            }
            if run.mode != Mode::Rebuild {
                self.shows_what_there_was(run, index);
            }
        }
        self.expect(pages == slots, Promise::P7, || {
            format!("run {id} ended as complete with {pages} of its {slots} pages applied")
        });
    }

    /// Every record that has not changed since before the run began is there, in a state no older. Not where
    /// clocks that are wrong, or times that are rounded, leave open which of two states is newer.
    fn shows_what_there_was(&self, run: &Run, source: usize) {
        let state = self.state();
        let Some(seen) = state.runs.get(&run.id).filter(|seen| !seen.lied) else { return };
        let Some((_, pointer)) = state.pointers.last() else { return };
        let sources = super::lock(&self.sources);
        let truth = &sources.all[source].source;
        if !self.true_clocks || truth.round > 1 {
            return;
        }
        // Whoever goes back to an older version in the middle of a run has to wait for the next one.
        let number = |pointer: &Pointer, id: &GenerationId| pointer.generations.get(&id.entity).copied();
        let went_back = state.pointers.windows(2).any(|pair| {
            let own = pair[1].1.generation_ids().into_iter().filter(|id| source_of(id.entity.as_str()) == source);
            pair[1].0 >= seen.created && own.into_iter().any(|id| number(&pair[0].1, &id) > Some(id.number))
        });
        if went_back {
            return;
        }
        let expected: Vec<_> = truth.unchanged_over(seen.created, self.time.now()).cloned().collect();
        drop(sources);
        for id in pointer.generation_ids() {
            let entity = id.entity.as_str();
            if source_of(entity) != source || entity == "parts" || state.generations.get(&id).is_none_or(|g| g.gap) {
                continue;
            }
            let Some(generation) = self.generation(&id) else { continue };
            let mapping = self.mapping(&generation);
            let is_its_business = match run.mode {
                Mode::Incremental => generation.listing.is_some() && !self.is_of_a_lie(&state, &generation),
                _ => run.builds.is_some_and(|built| built.0 == id.number),
            };
            if !is_its_business {
                continue;
            }
            for record in &expected {
                let rev = self.rev_of(&id, record.id);
                let holds = match rev {
                    Some(rev) => rev >= record.rev,
                    None => !super::rest::is_mappable(record, entity, mapping),
                };
                if !holds && super::rest::is_mappable(record, entity, mapping) {
                    return self.violated(Promise::P7, || {
                        format!(
                            "run {} ended as complete, and {id} has {} in state {rev:?}; the source had it in state {} \
                             since before the run began",
                            run.id, record.id, record.rev
                        )
                    });
                }
            }
        }
    }

    /// P8: a page is asked for again only when something went wrong, and then one of each stream that is being read.
    fn asked_no_page_too_often(&self, run: &Run, troubles: u64) {
        let state = self.state();
        let Some(seen) = state.runs.get(&run.id) else { return };
        let again: u64 = seen.pages.values().map(|times| u64::from(*times) - 1).sum();
        // Listings by number read pages again that records were deleted from.
        let by_number = run.sources.contains(&SourceId::new(SOURCES[1]));
        let streams = seen.sources.iter().map(|source| self.shape.streams(*source).len() as u64).max().unwrap_or(1);
        let trouble = troubles - seen.troubles;
        self.expect(again <= trouble * streams || by_number || seen.sent_round, Promise::P8, || {
            format!("run {} fetched {again} pages again, and only {trouble} things went wrong", run.id)
        });
    }

    /// How many records a stored page holds.
    pub(super) fn records_in(&self, raw: &RawKey) -> Option<u64> {
        self.state().raw.get(&raw.0)?.records()
    }
}
