//! One generation: registers that only grow, and what follows from them.
//!
//! Owns merging and counting. Two registers: per row the newest upsert that any record made of it (of
//! equal orders the greater owner's, then the one with the greater hash), per owner its absence. A row is visible when its upsert is stated no earlier than the floor and its owner's
//! absence doesn't hide it; that is computed, never stored.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use teal::domain::{
    Absence, Effect, Fence, GenerationId, Key, Millis, Order, RecordChange, Row, RowHash, Schema, visible,
};
use teal::ports::entities::{Gate, GenerationSpec, Head, Merged};

#[derive(Debug)]
pub struct Generation {
    spec: GenerationSpec,
    pub gate: Gate,
    pub fence: Fence,
    pub confirmed: Millis,
    pub dropping: bool,
    sequence: u64,
    upserts: BTreeMap<Key, Upsert>,
    absences: BTreeMap<Key, Absence>,
    /// Every key that an owner ever made, so that re-evaluating one doesn't walk through all rows.
    made_by: BTreeMap<Key, BTreeSet<Key>>,
}

/// The newest upsert of a row.
#[derive(Debug)]
struct Upsert {
    order: Order,
    owner: Key,
    row: Row,
    hash: RowHash,
    /// Where it came from and how it was counted: the same slot again is counted the same again.
    slot: String,
    counted: Counted,
}

#[derive(Clone, Copy, Debug)]
enum Counted {
    New,
    Changed,
    Unchanged,
    Superseded,
    Duplicate,
}

impl Generation {
    pub fn new(spec: GenerationSpec) -> Self {
        Self {
            gate: spec.gate,
            fence: spec.fence,
            confirmed: Millis::default(),
            dropping: false,
            sequence: 0,
            upserts: BTreeMap::new(),
            absences: BTreeMap::new(),
            made_by: BTreeMap::new(),
            spec,
        }
    }

    pub fn schema(&self) -> &Schema {
        &self.spec.schema
    }

    pub fn base(&self) -> Option<&GenerationId> {
        self.spec.base.as_ref().filter(|base| **base != self.spec.id)
    }

    pub fn head(&self) -> Head {
        let hashes = self.upserts.values().filter(|upsert| self.shows(upsert)).map(|upsert| upsert.hash.0);
        let (rows, sum) = hashes.fold((0, 0u64), |(rows, sum), hash| (rows + 1, sum.wrapping_add(hash)));
        Head {
            gate: self.gate,
            fence: self.fence,
            sequence: self.sequence,
            rows,
            sum,
            schema: Arc::clone(&self.spec.schema),
        }
    }

    pub fn visible_row(&self, key: &Key) -> Option<&Row> {
        self.upserts.get(key).filter(|upsert| self.shows(upsert)).map(|upsert| &upsert.row)
    }

    pub fn visible_after(&self, after: Option<&Key>) -> impl Iterator<Item = &Row> {
        self.shown_after(after).map(|upsert| &upsert.row)
    }

    pub fn hashes_after(&self, after: Option<&Key>) -> impl Iterator<Item = (&Key, RowHash)> {
        self.shown_after(after).map(|upsert| (&upsert.row.key, upsert.hash))
    }

    fn shown_after(&self, after: Option<&Key>) -> impl Iterator<Item = &Upsert> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.upserts.range::<Key, _>((start, Bound::Unbounded));
        rest.map(|(_, upsert)| upsert).filter(|upsert| self.shows(upsert))
    }

    pub fn holds(&self, change: &RecordChange) -> bool {
        let Effect::Upsert { rows, complete: true, .. } = &change.effect else { return false };
        let is_there = |row: &Row| {
            let stored = self.upserts.get(&row.key).filter(|upsert| self.shows(upsert));
            stored.is_some_and(|upsert| upsert.owner == change.owner && upsert.hash == row.hash())
        };
        rows.iter().all(is_there)
    }

    /// Forgets up to `limit` rows, and says whether some are left.
    pub fn forget_rows(&mut self, limit: usize) -> bool {
        for _ in 0..limit {
            self.upserts.pop_first();
        }
        !self.upserts.is_empty()
    }

    pub fn merge(&mut self, base: Option<&Self>, slot: &str, changes: &[RecordChange]) -> Merged {
        let mut merged = Merged::default();
        let mut before = BTreeMap::new();
        for change in changes {
            for key in self.keys_touched_by(change) {
                let hash = self.visible_hash(&key);
                before.entry(key).or_insert(hash);
            }
            match &change.effect {
                Effect::Upsert { order, rows, .. } if order.stated < self.spec.floor => {
                    merged.superseded += rows.len() as u64;
                }
                Effect::Upsert { order, rows, complete } => {
                    for row in rows {
                        let counted = self.upsert(base, slot, &change.owner, *order, row, &mut merged);
                        merged.count(counted, change.late);
                    }
                    if *complete {
                        merged.deleted += self.speak_against(&change.owner, Absence::listed(*order));
                    }
                }
                Effect::Delete { provider, stated } => {
                    merged.deleted += self.speak_against(&change.owner, Absence::deleted(*provider, *stated));
                }
            }
        }
        if before.iter().any(|(key, hash)| self.visible_hash(key) != *hash) {
            self.sequence += 1;
        }
        merged
    }

    fn upsert(
        &mut self,
        base: Option<&Self>,
        slot: &str,
        owner: &Key,
        order: Order,
        row: &Row,
        merged: &mut Merged,
    ) -> Counted {
        let hash = row.hash();
        if let Some(there) = self.upserts.get(&row.key) {
            // The order decides; between equals the owner, then the hash: never who came first.
            let standing = (there.order, &there.owner, there.hash.0).cmp(&(order, owner, hash.0));
            let is_the_same = standing.is_eq() && there.slot == slot;
            match (standing, there.order == order) {
                _ if is_the_same => return there.counted,
                (Ordering::Less, _) => {}
                (_, true) => return Counted::Duplicate,
                (_, false) => return Counted::Superseded,
            }
        }
        let before = self.visible_hash(&row.key);
        let absence = self.absences.get(owner).copied().unwrap_or_default();
        let counted = if visible(&order, &absence, self.spec.floor) {
            let building = self.gate == Gate::Building;
            let compared = before.or_else(|| base.filter(|_| building).and_then(|base| base.visible_hash(&row.key)));
            match compared {
                None => Counted::New,
                Some(other) if other == hash => Counted::Unchanged,
                Some(_) => Counted::Changed,
            }
        } else {
            // The newest upsert belongs to a record that is gone: the row that was visible goes with it.
            merged.deleted += u64::from(before.is_some());
            Counted::Superseded
        };
        self.made_by.entry(owner.clone()).or_default().insert(row.key.clone());
        let upsert = Upsert { order, owner: owner.clone(), row: row.clone(), hash, slot: slot.to_owned(), counted };
        self.upserts.insert(row.key.clone(), upsert);
        counted
    }

    /// Joins what is known against an owner's rows, and counts the visible ones that go. A row that another
    /// record took over since stays as it is and so counts on neither side.
    fn speak_against(&mut self, owner: &Key, absence: Absence) -> u64 {
        let visible_rows = |generation: &Self| {
            let made = generation.made_by.get(owner).into_iter().flatten();
            made.filter_map(|key| generation.upserts.get(key)).filter(|upsert| generation.shows(upsert)).count() as u64
        };
        let before = visible_rows(self);
        let known = self.absences.entry(owner.clone()).or_default();
        *known = known.join(absence);
        before - visible_rows(self)
    }

    fn keys_touched_by(&self, change: &RecordChange) -> BTreeSet<Key> {
        let mut keys = self.made_by.get(&change.owner).cloned().unwrap_or_default();
        if let Effect::Upsert { rows, .. } = &change.effect {
            keys.extend(rows.iter().map(|row| row.key.clone()));
        }
        keys
    }

    fn shows(&self, upsert: &Upsert) -> bool {
        let absence = self.absences.get(&upsert.owner).copied().unwrap_or_default();
        visible(&upsert.order, &absence, self.spec.floor)
    }

    fn visible_hash(&self, key: &Key) -> Option<RowHash> {
        self.upserts.get(key).filter(|upsert| self.shows(upsert)).map(|upsert| upsert.hash)
    }
}

trait Tally {
    fn count(&mut self, counted: Counted, late: bool);
}

impl Tally for Merged {
    fn count(&mut self, counted: Counted, late: bool) {
        self.late += u64::from(late && matches!(counted, Counted::New | Counted::Changed));
        *match counted {
            Counted::New => &mut self.new,
            Counted::Changed => &mut self.changed,
            Counted::Unchanged => &mut self.unchanged,
            Counted::Superseded => &mut self.superseded,
            Counted::Duplicate => &mut self.duplicate,
        } += 1;
    }
}
