//! P1, P4, P5, P6, P10 and P12 when everything is at rest: nothing waits, and what is stored follows from what
//! came in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use teal::domain::{Generation, GenerationId, Key, Manifest, Pointer, Reject, Run, RunState, SourceId, VersionState};
use teal::pipeline::lease::Lease;
use teal::pipeline::ledger;
use teal::ports::EntityReader;
use teal::ports::entities::{Gate, ListQuery};

use super::super::source::Record;
use super::super::system::{Mapping, SOURCES};
use super::model::Model;
use super::{Oracle, Promise, at_once, source_of};

/// Whether a record makes a row of an entity.
pub(in crate::simulator) fn is_mappable(record: &Record, entity: &str, mapping: Mapping) -> bool {
    matches!(entity, "tags" | "marks")
        || record.name.as_ref().is_some_and(|name| name.chars().count() <= mapping.longest())
}

impl Oracle {
    /// Checks all that can be checked when nothing moves.
    pub fn at_rest(&self) {
        self.nothing_waits();
        let Some((_, pointer)) = self.state().pointers.last().cloned() else { return };
        self.gates_are_right(&pointer);
        for id in pointer.generation_ids() {
            let Some(generation) = self.generation(&id) else { continue };
            self.every_change_is_in(&id, &generation);
            self.nothing_is_missing(&id, &generation);
        }
        self.every_word_was_followed();
        let mut checked = BTreeSet::new();
        for (_, manifest) in self.items::<Manifest>(ledger::VERSION, "") {
            if matches!(manifest.state, VersionState::Active | VersionState::Previous | VersionState::Ready) {
                for id in manifest.generation_ids() {
                    if checked.insert(id.clone()) && !self.is_broken() {
                        self.follows_from_raw(
                            &id,
                            id.number == pointer.generations.get(&id.entity).copied().unwrap_or(0),
                        );
                    }
                }
            }
        }
    }

    /// P12: every queue is empty and every run has ended.
    fn nothing_waits(&self) {
        let bodies = self.queue.bodies();
        self.expect(bodies.is_empty(), Promise::P12, || format!("{} messages still wait: {bodies:?}", bodies.len()));
        for (_, run) in self.items::<Run>(ledger::RUN, "") {
            self.expect(run.state == RunState::Ended, Promise::P12, || {
                format!("run {} is still {:?}", run.id, run.state)
            });
        }
        let building: Option<ledger::Building> = self.item(&ledger::building_key());
        self.expect(building.is_none(), Promise::P12, || format!("{building:?} is still being built"));
        self.expect(self.no_sync_waits(), Promise::P12, || "a sync still waits for another one".to_owned());
        self.expect(self.nobody_moves(), Promise::P12, || "somebody still moves the pointer".to_owned());
    }

    /// Whether no sync waits for another one to end.
    pub fn no_sync_waits(&self) -> bool {
        SOURCES.iter().all(|source| self.item::<Json>(&ledger::next_key(&SourceId::new(source))).is_none())
    }

    /// Whether whoever moved the pointer last is done, gates and all.
    pub fn nobody_moves(&self) -> bool {
        let lease: Option<Lease> = self.item(&ledger::switch_lease_key());
        lease.is_none_or(|lease| lease.was_given_back())
    }

    /// P12: what readers see takes changes.
    fn gates_are_right(&self, pointer: &Pointer) {
        for id in pointer.generation_ids() {
            match at_once(self.entities.head(&id)) {
                Ok(head) => self.expect(head.gate == Gate::Open, Promise::P12, || {
                    format!("{id} is what readers see, and its gate is {:?}", head.gate)
                }),
                Err(error) => self.violated(Promise::P3, || format!("{id} is what readers see: {error}")),
            }
        }
    }

    /// P1, P10: what was accepted is in what readers see, unless a listing since has it.
    fn every_change_is_in(&self, id: &GenerationId, generation: &Generation) {
        let state = self.state();
        let Some(seen) = state.generations.get(id).filter(|seen| !seen.gap) else { return };
        let listed = generation.listing.as_ref().and_then(|run| state.runs.get(run)).map(|run| run.created);
        let Some(since) = listed.or(seen.shown) else { return };
        for (raw, change) in &state.changes {
            let belongs = change.makes_rows && change.source == source_of(id.entity.as_str());
            let belongs = belongs && state.raw.get(raw).is_none_or(|raw| raw.is_about(id.entity.as_str()));
            if belongs && !state.is_outdated(raw, generation) && change.at > since && !seen.merged.contains(raw) {
                let promise = if raw.contains("/hook/") { Promise::P1 } else { Promise::P4 };
                return self.violated(promise, || format!("{raw} was taken in, and {id} is without it"));
            }
        }
    }

    /// P1: who was told that something happened looked since.
    fn every_word_was_followed(&self) {
        let state = self.state();
        for (raw, change) in state.changes.iter().filter(|(_, change)| !change.makes_rows && change.is_delivery) {
            let looked =
                state.runs.values().any(|run| run.sources.contains(&change.source) && run.created >= change.at);
            let began = raw.rsplit('/').next().unwrap_or_default();
            let asked = || self.items::<Run>(ledger::RUN, "").iter().any(|(_, run)| run.cause.contains(began));
            if !looked && !asked() {
                return self.violated(Promise::P1, || format!("{raw} asked for a sync, and none began since"));
            }
        }
    }

    /// P5: the rows are those that the raw objects make, in whatever order those came.
    fn follows_from_raw(&self, id: &GenerationId, is_active: bool) {
        let Some(generation) = self.generation(id) else { return };
        let entity = id.entity.as_str();
        let mapping = self.mapping(&generation);
        let mut model = Model::default();
        {
            let state = self.state();
            let Some(seen) = state.generations.get(id) else { return };
            // What confirmed it counts, whether it is written down or not.
            let confirmed = generation.confirmed.as_ref().and(generation.listing.as_ref());
            let listed = confirmed.map(|run| self.slots_of(run, &generation.source)).unwrap_or_default();
            for raw in seen.merged.iter().chain(&listed) {
                let bytes = state.raw.get(raw).expect("what was merged was stored");
                model.take_parsed(raw, bytes, entity, mapping, generation.floor.0);
            }
        }
        let expected = model.visible();
        let actual = self.rows_of(id);
        if let Some(key) = first_difference(&expected, &actual) {
            return self.violated(Promise::P5, || {
                format!(
                    "{id} has row {key} as {:?}; the raw objects that were merged into it make {:?}",
                    actual.get(&key),
                    expected.get(&key)
                )
            });
        }
        if is_active {
            self.rejects_are_listed(&generation, &model);
            self.can_be_rebuilt(id, &generation);
        }
        let head = at_once(self.entities.head(id)).expect("it was read a moment ago");
        self.expect(head.rows == actual.len() as u64, Promise::P5, || {
            format!("{id} counts {} rows and has {}", head.rows, actual.len())
        });
    }

    fn rows_of(&self, id: &GenerationId) -> BTreeMap<i64, Map<String, Json>> {
        let Ok(head) = at_once(self.entities.head(id)) else { return BTreeMap::new() };
        let query = ListQuery { limit: usize::MAX, ..ListQuery::default() };
        let rows = at_once(self.entities.list(id, &query)).expect("it was read a moment ago");
        rows.into_iter()
            .filter_map(|row| match row.to_json(&head.schema) {
                Json::Object(members) => Some((members["id"].as_i64()?, members)),
                _ => None,
            })
            .collect()
    }

    /// P13: the raw objects that it was made from are kept.
    fn can_be_rebuilt(&self, id: &GenerationId, generation: &Generation) {
        let Some(listing) = &generation.listing else { return };
        let slots = self.slots_of(listing, &generation.source);
        self.expect(!slots.is_empty(), Promise::P13, || format!("nobody knows what {id} was listed from"));
        for raw in slots {
            let kept = at_once(teal::ports::BlobReader::get(self.blobs.as_ref(), &raw)).is_ok();
            self.expect(kept, Promise::P13, || format!("{raw} is gone, and {id} is made from it"));
        }
    }

    /// P10, as soon as a raw object is merged: whoever reads its rows can find those that it has none of.
    pub(super) fn nothing_vanishes(&self, id: &GenerationId, raw: &str) {
        let Some(generation) = self.generation(id) else { return };
        let (mapping, mut model) = (self.mapping(&generation), Model::default());
        if let Some(parsed) = self.state().raw.get(raw) {
            model.take_parsed(raw, parsed, id.entity.as_str(), mapping, generation.floor.0);
        }
        self.rejects_are_listed(&generation, &model);
    }

    /// P10: a row that could not be made is listed, with its raw object, for as long as that is kept.
    fn rejects_are_listed(&self, generation: &Generation, model: &Model) {
        for (raw, records) in &model.rejects {
            let kept = at_once(teal::ports::BlobReader::get(self.blobs.as_ref(), raw)).is_ok();
            let listed = self.items::<Reject>(
                ledger::REJECT,
                &ledger::rejects_of(raw, Some(&generation.id.entity), &generation.config),
            );
            self.expect(listed.len() >= records.len() || !kept, Promise::P10, || {
                let (all, some) = (records.len(), listed.len());
                format!("{raw} holds {all} rows of {} that can't be mapped, and {some} rejects say so", generation.id)
            });
        }
    }

    /// After a complete listing of everything, undisturbed: what readers see is what the sources have.
    pub fn is_the_truth(&self) {
        let state = self.state();
        let Some((_, pointer)) = state.pointers.last().cloned() else { return };
        drop(state);
        for id in pointer.generation_ids() {
            let entity = id.entity.as_str();
            let Some(generation) = self.generation(&id).filter(|_| entity != "parts") else { continue };
            let mapping = self.mapping(&generation);
            let sources = super::lock(&self.sources);
            let records = sources.all[source_of(entity)].source.records();
            let there: BTreeMap<u64, u64> =
                records.filter(|r| is_mappable(r, entity, mapping)).map(|r| (r.id, r.rev)).collect();
            drop(sources);
            let shown: BTreeMap<u64, u64> = self
                .rows_of(&id)
                .into_values()
                .filter_map(|row| Some((row["id"].as_u64()?, row["rev"].as_u64()?)))
                .collect();
            if shown != there {
                let wrong = there.iter().find(|(id, rev)| shown.get(id) != Some(rev)).map(|(id, _)| *id);
                let extra = shown.keys().find(|id| !there.contains_key(id)).copied();
                return self.violated(Promise::P6, || {
                    format!(
                        "after everything was listed, undisturbed, {id} differs from source {}: {wrong:?} is missing \
                         or old, {extra:?} should not be there",
                        SOURCES[source_of(entity)]
                    )
                });
            }
        }
    }

    /// Requests that the sources have had so far.
    pub fn pages_served(&self) -> u64 {
        self.state().runs.values().flat_map(|run| run.pages.values()).map(|times| u64::from(*times)).sum()
    }

    pub(super) fn visible_keys(&self, id: &GenerationId) -> BTreeSet<Key> {
        let hashes = at_once(self.entities.hashes(id, None, usize::MAX)).unwrap_or_default();
        hashes.into_iter().map(|(key, _)| key).collect()
    }
}

fn first_difference(a: &BTreeMap<i64, Map<String, Json>>, b: &BTreeMap<i64, Map<String, Json>>) -> Option<i64> {
    a.iter()
        .find(|(key, row)| b.get(key) != Some(row))
        .or_else(|| b.iter().find(|(key, _)| !a.contains_key(key)))
        .map(|(key, _)| *key)
}
