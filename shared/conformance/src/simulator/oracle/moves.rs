//! P3, P4 and P6 at the moment when the pointer moves: what readers see from now on is whole.

use teal::domain::{Generation, GenerationId, Key, Manifest, Millis, Outcome, Pointer, Run, RunId, VersionState};
use teal::pipeline::ledger::{self, StreamProgress};
use teal::ports::EntityReader;

use super::super::system::{MAX_SHRINK, SOURCES, stream_of};
use super::model::Parsed;
use super::rest::is_mappable;
use super::{Oracle, Promise, State, at_once, progress_of, source_of};

impl Oracle {
    pub(super) fn pointer_moved(&self, pointer: Pointer) {
        let now = self.time.now();
        let before = self.state().pointers.last().map(|(_, pointer)| pointer.clone());
        self.manifest_agrees(&pointer, before.as_ref());
        let own: Vec<GenerationId> = pointer
            .generation_ids()
            .into_iter()
            .filter(|id| before.as_ref().is_none_or(|b| b.generations.get(&id.entity) != Some(&id.number)))
            .collect();
        for id in &own {
            self.generation_is_whole(id, &pointer, before.as_ref());
        }
        let mut state = self.state();
        for id in before
            .iter()
            .flat_map(Pointer::generation_ids)
            .filter(|id| pointer.generations.get(&id.entity) != Some(&id.number))
        {
            state.generations.entry(id).or_default().left = Some(now);
        }
        for id in pointer.generation_ids() {
            state.generations.entry(id).or_default().shown.get_or_insert(now);
        }
        state.pointers.push((now, pointer));
    }

    fn manifest_agrees(&self, pointer: &Pointer, before: Option<&Pointer>) {
        let version = pointer.version;
        let Some(manifest) = self.item::<Manifest>(&ledger::version_key(version)) else {
            return self.violated(Promise::P3, || format!("{version} became active and has no manifest"));
        };
        self.expect(manifest.generations == pointer.generations, Promise::P3, || {
            format!("the pointer names other generations than the manifest of {version}")
        });
        self.expect(manifest.state == VersionState::Active, Promise::P3, || {
            format!("{version} became active and its manifest says {:?}", manifest.state)
        });
        let Some(before) = before else { return };
        self.expect(pointer.fence > before.fence, Promise::P3, || {
            format!("the pointer moved under fence {}, older than {}", pointer.fence, before.fence)
        });
        let left: Option<Manifest> = self.item(&ledger::version_key(before.version));
        self.expect(left.is_some_and(|left| left.state == VersionState::Previous), Promise::P3, || {
            format!("{} was left and can't be gone back to", before.version)
        });
    }

    fn generation_is_whole(&self, id: &GenerationId, pointer: &Pointer, before: Option<&Pointer>) {
        let Some(generation) = self.generation(id) else {
            return self.violated(Promise::P3, || format!("{id} is shown and nobody knows what it was made from"));
        };
        let Ok(head) = at_once(self.entities.head(id)) else {
            return self.violated(Promise::P3, || format!("{id} is shown and is not there"));
        };
        let first = self.state().generations.get(id).is_none_or(|seen| seen.left.is_none());
        if let Some(listing) = generation.listing.as_ref().filter(|_| first) {
            let run: Option<Run> = self.item(&ledger::run_key(listing));
            self.listing_is_complete(id, &generation, run.as_ref());
            if let (Some(run), Some(before)) = (&run, before) {
                self.guard_was_heard(id, head.rows, run, pointer, before);
                self.is_not_behind(id, &generation, pointer, before);
            }
        }
        let mut state = self.state();
        if state.as_was.contains(&pointer.version) {
            state.generations.entry(id.clone()).or_default().gap = true;
            return;
        }
        self.nothing_is_left_out(&state, id, &generation);
        drop(state);
        self.nothing_is_missing(id, &generation);
    }

    /// P3: a listing that was not complete, or whose pages are not all in, is shown to nobody.
    fn listing_is_complete(&self, id: &GenerationId, generation: &Generation, run: Option<&Run>) {
        let Some(run) = run else {
            return self.violated(Promise::P3, || format!("{id} is shown and its run is unknown"));
        };
        let (source, stream) = (source_of(id.entity.as_str()), stream_of(id.entity.as_str()));
        let progress: Option<StreamProgress> = self.item(&progress_of(&run.id, source, stream));
        self.expect(progress.as_ref().is_some_and(|p| p.ended), Promise::P3, || {
            format!("{id} is shown, and source {} was not listed to its end by run {}", SOURCES[source], run.id)
        });
        let failed = matches!(run.outcome, Some(Outcome::PartialError | Outcome::PartialQuota));
        self.expect(!failed, Promise::P3, || format!("{id} is shown, and run {} ended {:?}", run.id, run.outcome));
        let state = self.state();
        let merged = state.generations.get(id).map(|seen| &seen.merged);
        for slot in self.slots_of(&run.id, &generation.source) {
            let page = state.raw.get(&slot).filter(|page| page.is_about(id.entity.as_str()));
            let has_records = page.and_then(Parsed::records).is_some_and(|count| count > 0);
            let is_in = merged.is_some_and(|merged| merged.contains(&slot));
            self.expect(is_in || !has_records, Promise::P3, || {
                format!("{id} is shown, and page {slot} of its listing is not in it")
            });
        }
    }

    pub(super) fn slots_of(&self, run: &teal::domain::RunId, source: &teal::domain::SourceId) -> Vec<String> {
        let prefix = format!("slot#{source}#");
        let slots = self.items::<ledger::Slot>(&ledger::run_part(run), &prefix);
        slots.into_iter().map(|(_, slot)| slot.raw.0).collect()
    }

    /// P3: what shrank past the guard is shown only on somebody's word.
    fn guard_was_heard(&self, id: &GenerationId, rows: u64, listing: &Run, pointer: &Pointer, before: &Pointer) {
        let Some(old) = before.generation(&id.entity).and_then(|old| at_once(self.entities.head(&old)).ok()) else {
            return;
        };
        let manifest: Option<Manifest> = self.item(&ledger::version_key(pointer.version));
        let builder = manifest.and_then(|m| m.run).and_then(|run| self.run(&run));
        let forced =
            listing.force || builder.is_some_and(|run| run.force || run.state == teal::domain::RunState::Ended);
        #[expect(clippy::cast_precision_loss, reason = "a share of a few rows")]
        let least = old.rows as f64 * (1.0 - MAX_SHRINK);
        // Deletes that came by webhook since the sizes were compared are nobody's guess.
        let told = self.state().changes.values().filter(|change| change.makes_rows).count() as u64;
        #[expect(clippy::cast_precision_loss, reason = "a share of a few rows")]
        let enough = (rows + told) as f64 >= least;
        self.expect(enough || forced, Promise::P3, || {
            format!("{id} is shown with {rows} rows instead of {}, past the guard", old.rows)
        });
    }

    /// P4: what is shown for the first time has a newer listing of its own, or the one that readers had.
    fn is_not_behind(&self, id: &GenerationId, generation: &Generation, pointer: &Pointer, before: &Pointer) {
        let builder = self.item::<Manifest>(&ledger::version_key(pointer.version)).and_then(|manifest| manifest.run);
        let had = before.generation_ids().into_iter().filter_map(|other| self.generation(&other));
        let had = had.filter(|other| other.source == generation.source && other.listing.is_some());
        let had = had.max_by_key(|other| other.id.number).and_then(|other| other.listing);
        let begun = |run: &Option<RunId>| run.as_ref().and_then(|run| Some(self.state().runs.get(run)?.created));
        let is_newer = generation.listing == builder && begun(&builder) > begun(&had);
        self.expect(is_newer || generation.listing == had, Promise::P4, || {
            format!("{id} is made of listing {:?}, and readers came from {had:?}", generation.listing)
        });
    }

    /// P4: every change that readers had, and that the listing may not have, is in what they see now.
    fn nothing_is_left_out(&self, state: &State, id: &GenerationId, generation: &Generation) {
        let Some(seen) = state.generations.get(id).filter(|seen| !seen.gap) else { return };
        let since = Self::may_lack_since(state, id, generation);
        let source = source_of(id.entity.as_str());
        for (other, theirs) in state.generations.iter().filter(|(other, _)| other.entity == id.entity) {
            for raw in theirs.live.difference(&seen.merged) {
                let is_change =
                    state.changes.get(raw).is_some_and(|change| change.makes_rows && change.source == source);
                let is_change = is_change && !state.is_outdated(raw, generation);
                if is_change && state.live.get(raw).is_some_and(|live| *live > since) {
                    return self.violated(Promise::P4, || format!("{id} is shown without {raw}, which {other} has"));
                }
            }
        }
    }

    /// The time before which everything is in a generation, by its listing or because readers saw it.
    pub(super) fn may_lack_since(state: &State, id: &GenerationId, generation: &Generation) -> Millis {
        let seen = state.generations.get(id);
        let listed = generation.listing.as_ref().and_then(|run| state.runs.get(run)).map(|run| run.created);
        // What no listing began has nothing from before readers saw it.
        let shown = seen.and_then(|seen| seen.shown).unwrap_or(Millis(i64::MAX));
        seen.and_then(|seen| seen.left).or(listed).unwrap_or(shown)
    }

    /// P6: a record that was there all the time is there.
    pub(super) fn nothing_is_missing(&self, id: &GenerationId, generation: &Generation) {
        let entity = id.entity.as_str();
        let source = source_of(entity);
        if entity == "parts" {
            return;
        }
        let mapping = self.mapping(generation);
        let from = {
            let state = self.state();
            let Some(listing) = generation.listing.as_ref().and_then(|run| state.runs.get(run)) else { return };
            if listing.lied || state.generations.get(id).is_none_or(|seen| seen.gap) {
                return;
            }
            listing.created
        };
        let sources = super::lock(&self.sources);
        let there: Vec<u64> = sources.all[source]
            .source
            .there_over(from, self.time.now(), |record| is_mappable(record, entity, mapping))
            .collect();
        drop(sources);
        for record in there {
            let key = Key::int(record.cast_signed());
            let row = at_once(self.entities.get(id, &key)).expect("the world's own entities can be read");
            if row.is_none() {
                return self.violated(Promise::P6, || {
                    format!("{id} has no row {record}, which the source had all the time since it was listed")
                });
            }
        }
    }

    pub(super) fn is_of_a_lie(&self, state: &State, generation: &Generation) -> bool {
        generation.listing.as_ref().and_then(|run| state.runs.get(run)).is_some_and(|run| run.lied)
    }

    pub(super) fn rev_of(&self, id: &GenerationId, record: u64) -> Option<u64> {
        let key = Key::int(record.cast_signed());
        let row = at_once(self.entities.get(id, &key)).expect("the world's own entities can be read")?;
        let schema = at_once(self.entities.head(id)).ok()?.schema;
        row.to_json(&schema)["rev"].as_u64()
    }
}
