//! What was changed about the records of one kind, kept apart from the records themselves.
//!
//! Always holds: ids run from 1 without a gap, inserts take the next ones, a deleted id never comes back.
//! Memory grows with the changes, not with the records.

use std::collections::BTreeMap;

use serde_json::Value;

#[derive(Debug)]
pub struct Overlay {
    last: u64,
    edits: BTreeMap<u64, Edit>,
    /// By id, with when.
    deleted: Vec<(u64, i64)>,
}

#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// How often the record was edited: its edition.
    pub edition: u64,
    pub updated_at: i64,
    /// Members that stand over the generated ones (JSON merge patch).
    pub patch: Option<Value>,
}

impl Overlay {
    pub fn new(count: u64) -> Self {
        Self { last: count, edits: BTreeMap::new(), deleted: Vec::new() }
    }

    pub fn alive(&self, id: u64) -> bool {
        (1..=self.last).contains(&id) && self.find_deleted(id).is_err()
    }

    pub fn count(&self) -> u64 {
        self.last - self.deleted.len() as u64
    }

    pub fn edit_of(&self, id: u64) -> Option<&Edit> {
        self.edits.get(&id)
    }

    pub fn deleted_at(&self, id: u64) -> Option<i64> {
        self.find_deleted(id).ok().map(|index| self.deleted[index].1)
    }

    /// How many living records have an id up to this one.
    pub fn rank(&self, id: u64) -> u64 {
        let id = id.min(self.last);
        id - self.deleted.partition_point(|(gone, _)| *gone <= id) as u64
    }

    /// Living ids in order, without the first `skip`.
    pub fn ids_from(&self, skip: u64) -> impl Iterator<Item = u64> + '_ {
        // The number of deleted ids below the answer: those with at most `skip` living ones before them.
        let mut low = 0;
        let mut high = self.deleted.len();
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.deleted[middle].0 - 1 - middle as u64 <= skip { low = middle + 1 } else { high = middle }
        }
        let start = (skip + 1).saturating_add(low as u64);
        (start..=self.last).filter(|id| self.find_deleted(*id).is_err())
    }

    /// Living ids that were ever edited or inserted.
    pub fn edited(&self) -> impl Iterator<Item = u64> + '_ {
        self.edits.keys().copied().filter(|id| self.alive(*id))
    }

    /// Edits a living record; its time always grows.
    pub fn edit(&mut self, id: u64, before: i64, now: i64, patch: Option<&Value>) {
        let edit = self.edits.entry(id).or_insert_with(|| Edit { updated_at: before, ..Edit::default() });
        edit.edition += 1;
        edit.updated_at = now.max(edit.updated_at + 1);
        if let Some(patch) = patch {
            merge(edit.patch.get_or_insert(Value::Null), patch);
        }
    }

    /// Gives the record a newer time, and leaves everything else.
    pub fn touch(&mut self, id: u64, before: i64, now: i64) {
        let edit = self.edits.entry(id).or_insert_with(|| Edit { updated_at: before, ..Edit::default() });
        edit.updated_at = now.max(edit.updated_at + 1);
    }

    pub fn insert(&mut self, now: i64) -> u64 {
        self.last += 1;
        self.edits.insert(self.last, Edit { updated_at: now, ..Edit::default() });
        self.last
    }

    pub fn delete(&mut self, id: u64, before: i64, now: i64) {
        if let Err(index) = self.find_deleted(id) {
            let before = self.edits.get(&id).map_or(before, |edit| edit.updated_at);
            self.deleted.insert(index, (id, now.max(before + 1)));
        }
    }

    fn find_deleted(&self, id: u64) -> Result<usize, usize> {
        self.deleted.binary_search_by_key(&id, |(gone, _)| *gone)
    }
}

/// A JSON merge patch, but `null` is kept as a value: tests want to send nulls.
pub fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(target.entry(name.as_str()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipping_counts_living_records_only() {
        let mut overlay = Overlay::new(10);
        for id in [1, 2, 5, 10] {
            overlay.delete(id, 0, 7);
        }
        let living = [3, 4, 6, 7, 8, 9];
        for skip in 0..8 {
            let found: Vec<u64> = overlay.ids_from(skip).collect();
            assert_eq!(found, living[living.len().min(usize::try_from(skip).unwrap())..], "skipping {skip}");
        }
        for (index, id) in living.iter().enumerate() {
            assert_eq!(overlay.rank(*id), index as u64 + 1);
        }
        assert_eq!(overlay.count(), 6);
        assert_eq!(overlay.insert(9), 11);
        assert!(!overlay.alive(10) && overlay.alive(11));
    }

    #[test]
    fn a_records_time_grows_even_when_the_clock_stands_still() {
        let mut overlay = Overlay::new(3);
        overlay.edit(2, 100, 50, None);
        overlay.edit(2, 100, 50, None);
        assert_eq!(overlay.edit_of(2).unwrap().updated_at, 102);
        overlay.delete(2, 100, 50);
        assert_eq!(overlay.deleted_at(2), Some(103));
    }
}
