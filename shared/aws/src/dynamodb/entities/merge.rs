//! Merging changes into entries that were read: `domain::order`, without a request.
//!
//! Always holds, after every change: a row is the greatest upsert that any record made of it (of equal orders the
//! greater owner's, then the one with the greater hash), a record's absence the join of all that was said against
//! it, and `visible` what the two of them say.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use teal::domain::{Absence, Millis, Order, visible};
use teal::ports::entities::Merged;

use super::entry::{Counted, Entry, StoredRow};
use super::generation::Plan;
use super::keys;

/// A record's change with keys encoded, hashes made and values written.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record's key, encoded.
    pub owner: String,
    pub effect: ChangeEffect,
    pub late: bool,
}

#[derive(Clone, Debug)]
pub enum ChangeEffect {
    Upsert { order: Order, rows: Vec<NewRow>, complete: bool },
    Delete(Absence),
}

#[derive(Clone, Debug)]
pub struct NewRow {
    pub key: String,
    pub hash: u64,
    pub values: String,
    /// Entries of the indexes, for the estimate of how much it is to write.
    pub indexed: usize,
}

impl Change {
    /// When the source stated it.
    pub fn stated(&self) -> Millis {
        match &self.effect {
            ChangeEffect::Upsert { order, .. } => order.stated,
            ChangeEffect::Delete(absence) => {
                absence.deleted.map(|(_, stated)| stated).or(absence.deleted_at).unwrap_or_default()
            }
        }
    }

    /// What a record's entry is called.
    pub fn owner_entry(&self, plan: &Plan) -> String {
        owner_entry(plan, &self.owner)
    }

    /// Whether it says something against rows that it doesn't hold.
    pub fn speaks_against(&self, plan: &Plan) -> bool {
        match &self.effect {
            // Where the key is the owner, the one row's own order says what the listing would.
            ChangeEffect::Upsert { rows, complete, .. } => *complete && (rows.is_empty() || !plan.owner_is_key),
            ChangeEffect::Delete(_) => true,
        }
    }

    /// From before the floor: it leaves no trace.
    pub fn is_too_old(&self, plan: &Plan) -> bool {
        matches!(&self.effect, ChangeEffect::Upsert { order, .. } if order.stated < plan.floor)
    }

    pub fn rows(&self) -> &[NewRow] {
        match &self.effect {
            ChangeEffect::Upsert { rows, .. } => rows,
            ChangeEffect::Delete(_) => &[],
        }
    }
}

pub fn owner_entry(plan: &Plan, owner: &str) -> String {
    if plan.owner_is_key { keys::row(owner) } else { keys::record(owner) }
}

/// An entry that was read, and what became of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Where it is, or would be made.
    pub shard: u8,
    pub before: Entry,
    pub after: Entry,
}

pub struct Merge<'a> {
    pub plan: &'a Plan,
    pub slot: u64,
    /// By sort key; every entry that the changes can touch.
    pub entries: BTreeMap<String, Loaded>,
    /// Hashes of the rows that readers have now, by key, where they count.
    pub base: BTreeMap<String, u64>,
    /// Most rows that one record may lose at once.
    pub most_hidden: usize,
    pub merged: Merged,
    /// Records whose absence a stored row rests on.
    pub relied_on: BTreeSet<String>,
    /// More rows were to be hidden than may be at once: the same change has more to do.
    pub unfinished: bool,
}

impl Merge<'_> {
    pub fn apply(&mut self, change: &Change) {
        if change.is_too_old(self.plan) {
            self.merged.superseded += change.rows().len() as u64;
            return;
        }
        match &change.effect {
            ChangeEffect::Upsert { order, rows, .. } => {
                for row in rows {
                    let counted = self.upsert(change, *order, row);
                    self.count(counted, change.late);
                }
                if change.speaks_against(self.plan) {
                    self.speak_against(change, Absence::listed(*order));
                }
            }
            ChangeEffect::Delete(absence) => self.speak_against(change, *absence),
        }
    }

    fn upsert(&mut self, change: &Change, order: Order, row: &NewRow) -> Counted {
        let owner_entry = change.owner_entry(self.plan);
        let absence = self.entries[&owner_entry].after.absence;
        let sort = keys::row(&row.key);
        let there = self.entries[&sort].after.row.as_ref();
        if let Some(there) = there {
            let standing = (there.order, &there.owner, there.hash).cmp(&(order, &change.owner, row.hash));
            match standing {
                Ordering::Less => {}
                Ordering::Equal if there.slot == self.slot => return there.counted,
                _ if there.order == order => return Counted::Duplicate,
                _ => return Counted::Superseded,
            }
        }
        let before = there.and_then(StoredRow::visible_hash);
        let visible = absence.is_none_or(|absence| visible(&order, &absence, self.plan.floor));
        let counted = match before.or_else(|| self.base.get(&row.key).copied()) {
            _ if !visible => Counted::Superseded,
            None => Counted::New,
            Some(hash) if hash == row.hash => Counted::Unchanged,
            Some(_) => Counted::Changed,
        };
        if !visible {
            // The newest upsert belongs to a record that is gone: the row that was visible goes with it.
            self.merged.deleted += u64::from(before.is_some());
        }
        let (owner, values) = (change.owner.clone(), row.values.clone());
        let stored = StoredRow { order, owner, hash: row.hash, visible, slot: self.slot, counted, values };
        self.entry(&sort).row = Some(stored);
        if visible && !self.plan.owner_is_key {
            self.entry(&owner_entry).made.insert(row.key.clone());
        }
        self.relied_on.insert(owner_entry);
        counted
    }

    /// Joins what is said against a record, and hides the visible rows that it speaks against.
    fn speak_against(&mut self, change: &Change, said: Absence) {
        let owner_entry = change.owner_entry(self.plan);
        let owner = &self.entries[&owner_entry].after;
        let known = owner.absence.unwrap_or_default().join(said);
        if owner.absence == Some(known) {
            return;
        }
        let made: Vec<String> =
            if self.plan.owner_is_key { vec![change.owner.clone()] } else { owner.made.iter().cloned().collect() };
        let shown = |merge: &Self, key: &String| {
            let row = merge.entries.get(&keys::row(key)).and_then(|entry| entry.after.row.as_ref());
            row.filter(|row| row.visible && row.owner == change.owner).map(|row| row.order)
        };
        let mut gone: Vec<&String> =
            made.iter().filter(|key| shown(self, key).is_some_and(|order| known.hides(&order))).collect();
        if gone.len() > self.most_hidden {
            gone.truncate(self.most_hidden);
            self.unfinished = true;
        }
        self.merged.deleted += gone.len() as u64;
        for key in gone {
            if let Some(row) = &mut self.entry(&keys::row(key)).row {
                row.visible = false;
            }
        }
        if self.unfinished {
            // Said only once it holds: whoever comes again has to find the rest.
            self.relied_on.insert(owner_entry);
            return;
        }
        let still = made.into_iter().filter(|key| shown(self, key).is_some()).collect();
        let own_key = self.plan.owner_is_key;
        let entry = self.entry(&owner_entry);
        entry.absence = Some(known);
        if !own_key {
            entry.made = still;
        }
    }

    fn entry(&mut self, sort: &str) -> &mut Entry {
        &mut self.entries.get_mut(sort).expect("every entry that a change can touch was read").after
    }

    fn count(&mut self, counted: Counted, late: bool) {
        self.merged.late += u64::from(late && matches!(counted, Counted::New | Counted::Changed));
        *match counted {
            Counted::New => &mut self.merged.new,
            Counted::Changed => &mut self.merged.changed,
            Counted::Unchanged => &mut self.merged.unchanged,
            Counted::Superseded => &mut self.merged.superseded,
            Counted::Duplicate => &mut self.merged.duplicate,
        } += 1;
    }
}
