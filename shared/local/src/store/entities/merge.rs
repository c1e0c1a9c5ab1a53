//! Merging changes into a generation: `domain::order` over two tables.
//!
//! Always holds, after every change: a row is the greatest upsert that any record made of it, an owner's
//! line the join of all that was said against it, and `_visible` what the two of them say. Since both only
//! grow, the order and the repetition of changes leave no trace in the rows.
//!
//! Two records may make the same row with the same order. Then the greater owner wins, then the greater
//! row hash: any rule would do, as long as it doesn't ask who came first.

use std::cmp::Ordering;

use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension};
use teal::domain::{Absence, Millis, Order, visible};
use teal::ports::entities::{Gate, Merged, Writer};
use teal::ports::fault::{Fault, FaultKind};

use super::Outcome;
use super::plan::{Plan, table};
use super::prepare::{Change, ChangeEffect, ChangeRow};
use super::stored::{self, Stored};
use crate::sqlite::permanent;

pub fn merge(db: &Connection, plan: &Plan, writer: Writer, slot: i64, changes: Vec<Change>) -> Outcome<Merged> {
    let before = stored::must_find(db, &plan.id)?;
    if before.incarnation != plan.incarnation {
        let what = format!("{} was dropped and made again meanwhile; nothing was merged", plan.id);
        return Err(Fault::new(FaultKind::Transient, what).into());
    }
    writer.check(
        &plan.id,
        (before.gate, before.fence),
        before.confirmed,
        changes.iter().map(|change| change.stated),
    )?;
    let mut merge = Merge::new(db, plan, slot, &before)?;
    for change in &changes {
        merge.apply(change)?;
    }
    let Merge { merged, after, .. } = merge;
    // The sum of hashes, which the keys are part of, stands for the set of visible rows.
    let moved = (before.rows, before.sum) != (after.rows, after.sum);
    db.prepare_cached(
        "UPDATE _generations SET sequence = ?1, rows = ?2, sum = ?3, absences = ?4 WHERE incarnation = ?5",
    )?
    .execute((
        (before.sequence + u64::from(moved)).cast_signed(),
        after.rows.cast_signed(),
        after.sum.cast_signed(),
        after.absences.cast_signed(),
        plan.incarnation,
    ))?;
    Ok(merged)
}

/// How a row was counted; the number is what `_effect` keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    New = 0,
    Changed = 1,
    Unchanged = 2,
    Superseded = 3,
    /// Never kept: it is somebody else's line that stays.
    Duplicate = 4,
}

impl Counted {
    /// Back from `_effect`.
    fn kept(effect: i64) -> Option<Self> {
        let kept = [Self::New, Self::Changed, Self::Unchanged, Self::Superseded];
        kept.into_iter().find(|counted| *counted as i64 == effect)
    }
}

/// What is stored of a row, as far as a new upsert of it needs to know.
struct Existing {
    /// How the new upsert compares to it.
    ordering: Ordering,
    same_order: bool,
    hash: i64,
    visible: bool,
    slot: i64,
    counted: Counted,
    /// Whether the indexed fields hold the very same values as the new upsert's.
    same_indexed: bool,
}

struct Merge<'db> {
    plan: &'db Plan,
    slot: i64,
    merged: Merged,
    /// The generation's line as the changes move it.
    after: Stored,
    find: CachedStatement<'db>,
    put: CachedStatement<'db>,
    advance: CachedStatement<'db>,
    change: CachedStatement<'db>,
    hide: CachedStatement<'db>,
    of_owner: CachedStatement<'db>,
    absence: CachedStatement<'db>,
    put_absence: CachedStatement<'db>,
    /// The visible hash of a row in the generation that this one is compared with while it builds.
    base: Option<CachedStatement<'db>>,
}

impl<'db> Merge<'db> {
    fn new(db: &'db Connection, plan: &'db Plan, slot: i64, before: &Stored) -> Outcome<Self> {
        let base = match &plan.base {
            Some(base) if before.gate == Gate::Building && stored::find(db, base)?.is_some() => {
                Some(db.prepare_cached(&format!("SELECT _hash FROM {} WHERE _key = ?1 AND _visible = 1", table(base)))?)
            }
            _ => None,
        };
        Ok(Self {
            plan,
            slot,
            merged: Merged::default(),
            after: before.clone(),
            find: db.prepare_cached(&plan.sql.find)?,
            put: db.prepare_cached(&plan.sql.put)?,
            advance: db.prepare_cached(&plan.sql.advance)?,
            change: db.prepare_cached(&plan.sql.change)?,
            hide: db.prepare_cached(&plan.sql.hide)?,
            of_owner: db.prepare_cached(&plan.sql.of_owner)?,
            absence: db.prepare_cached(&plan.sql.absence)?,
            put_absence: db.prepare_cached(&plan.sql.put_absence)?,
            base,
        })
    }

    fn apply(&mut self, change: &Change) -> Outcome<()> {
        match &change.effect {
            ChangeEffect::Upsert { order, rows, .. } if order.stated < self.plan.floor => {
                self.merged.superseded += rows.len() as u64;
                Ok(())
            }
            ChangeEffect::Upsert { order, rows, complete } => {
                let absence = self.absence_of(&change.owner)?;
                let encoded = order.encode();
                for row in rows {
                    let counted = self.upsert(&change.owner, order, &encoded, row, absence.as_ref())?;
                    self.count(counted, change.late);
                }
                // Where the key is the owner, the one row's own order says what the listing would.
                let says_it_itself = self.plan.owner_is_key && !rows.is_empty();
                if *complete && !says_it_itself {
                    self.speak_against(&change.owner, absence, Absence::listed(*order))?;
                }
                Ok(())
            }
            ChangeEffect::Delete(absence) => {
                let before = self.absence_of(&change.owner)?;
                self.speak_against(&change.owner, before, *absence)
            }
        }
    }

    fn upsert(
        &mut self,
        owner: &str,
        order: &Order,
        encoded: &[u8; 25],
        row: &ChangeRow,
        absence: Option<&Absence>,
    ) -> Outcome<Counted> {
        let existing = self.existing(owner, encoded, row)?;
        if let Some(existing) = existing.as_ref().filter(|existing| existing.ordering.is_le()) {
            return Ok(match existing.same_order {
                false => Counted::Superseded,
                true if existing.ordering.is_eq() && existing.slot == self.slot => existing.counted,
                true => Counted::Duplicate,
            });
        }
        let before = existing.as_ref().filter(|existing| existing.visible).map(|existing| existing.hash);
        let visible = absence.is_none_or(|absence| visible(order, absence, self.plan.floor));
        let counted = if visible { self.compare(before, row)? } else { Counted::Superseded };
        self.leave(before);
        if visible {
            self.after.rows += 1;
            self.after.sum = self.after.sum.wrapping_add(row.hash.cast_unsigned());
        } else {
            self.merged.deleted += u64::from(before.is_some());
        }
        let same_values = existing.as_ref().is_some_and(|existing| existing.hash == row.hash);
        let same_indexed = existing.is_some_and(|existing| existing.same_indexed);
        let statement = match (same_values, same_indexed) {
            (true, _) => &mut self.advance,
            (false, true) => &mut self.change,
            (false, false) => &mut self.put,
        };
        statement.raw_bind_parameter(1, row.key.as_str())?;
        if !self.plan.owner_is_key {
            statement.raw_bind_parameter(2, owner)?;
        }
        statement.raw_bind_parameter(3, encoded.as_slice())?;
        statement.raw_bind_parameter(4, row.hash)?;
        statement.raw_bind_parameter(5, visible)?;
        statement.raw_bind_parameter(6, self.slot)?;
        statement.raw_bind_parameter(7, counted as i64)?;
        if !same_values {
            let fields = self.plan.schema.fields.iter();
            for (at, (value, field)) in row.values.iter().zip(fields).enumerate() {
                if !(same_indexed && field.index) {
                    statement.raw_bind_parameter(at + 8, value)?;
                }
            }
        }
        statement.raw_execute()?;
        Ok(counted)
    }

    fn existing(&mut self, owner: &str, encoded: &[u8; 25], row: &ChangeRow) -> Outcome<Option<Existing>> {
        let plan = self.plan;
        let mut rows = self.find.query([row.key.as_str()])?;
        let Some(stored) = rows.next()? else { return Ok(None) };
        let order = encoded.as_slice().cmp(stored.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
        let hash: i64 = stored.get(2)?;
        let tie = || -> Outcome<Ordering> {
            let by_owner = owner.cmp(stored.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
            Ok(by_owner.then(row.hash.cast_unsigned().cmp(&hash.cast_unsigned())))
        };
        Ok(Some(Existing {
            ordering: if order.is_eq() { tie()? } else { order },
            same_order: order.is_eq(),
            hash,
            visible: stored.get(3)?,
            slot: stored.get(4)?,
            counted: Counted::kept(stored.get(5)?).ok_or_else(|| damaged(plan))?,
            same_indexed: same_indexed(plan, row, stored)?,
        }))
    }

    /// What a row that becomes visible is counted as.
    fn compare(&mut self, before: Option<i64>, row: &ChangeRow) -> Outcome<Counted> {
        let compared = match (before, &mut self.base) {
            (Some(hash), _) => Some(hash),
            (None, Some(base)) => base.query_row([row.key.as_str()], |row| row.get(0)).optional()?,
            (None, None) => None,
        };
        Ok(match compared {
            None => Counted::New,
            Some(hash) if hash == row.hash => Counted::Unchanged,
            Some(_) => Counted::Changed,
        })
    }

    /// Joins what is said against an owner, and hides the visible rows that it speaks against.
    fn speak_against(&mut self, owner: &str, before: Option<Absence>, said: Absence) -> Outcome<()> {
        let known = before.unwrap_or_default().join(said);
        if before == Some(known) {
            return Ok(());
        }
        self.after.absences += u64::from(before.is_none());
        let listed = known.listed.map(|order| order.encode());
        self.put_absence.execute((
            owner,
            listed.as_ref().map(|order| order.as_slice()),
            known.deleted.map(|(provider, _)| provider),
            known.deleted.map(|(_, stated)| stated.0),
            known.deleted_at.map(|stated| stated.0),
        ))?;
        let mut gone = Vec::new();
        let mut rows = self.of_owner.query([owner])?;
        while let Some(row) = rows.next()? {
            if known.hides(&order_of(self.plan, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?) {
                gone.push((row.get::<_, String>(0)?, row.get::<_, i64>(2)?));
            }
        }
        drop(rows);
        for (key, hash) in gone {
            self.hide.execute([key])?;
            self.leave(Some(hash));
            self.merged.deleted += 1;
        }
        Ok(())
    }

    fn absence_of(&mut self, owner: &str) -> Outcome<Option<Absence>> {
        if self.after.absences == 0 {
            return Ok(None);
        }
        let mut rows = self.absence.query([owner])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let listed = row.get_ref(0)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
        let deleted: Option<i64> = row.get(1)?;
        let deleted_stated: Option<i64> = row.get(2)?;
        Ok(Some(Absence {
            listed: listed.map(|listed| order_of(self.plan, listed)).transpose()?,
            deleted: deleted.zip(deleted_stated.map(Millis)),
            deleted_at: row.get::<_, Option<i64>>(3)?.map(Millis),
        }))
    }

    /// Takes a row that was visible with this hash out of the head.
    fn leave(&mut self, visible_hash: Option<i64>) {
        if let Some(hash) = visible_hash {
            self.after.rows = self.after.rows.wrapping_sub(1);
            self.after.sum = self.after.sum.wrapping_sub(hash.cast_unsigned());
        }
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

/// Bit by bit: what only compares as equal must be stored anew.
fn same_indexed(plan: &Plan, row: &ChangeRow, stored: &rusqlite::Row<'_>) -> rusqlite::Result<bool> {
    let indexed = plan.schema.fields.iter().zip(&row.values).filter(|(field, _)| field.index);
    for (column, (_, value)) in (6..).zip(indexed) {
        let same = match (stored.get_ref(column)?, value) {
            (ValueRef::Null, SqlValue::Null) => true,
            (ValueRef::Integer(stored), SqlValue::Integer(value)) => stored == *value,
            (ValueRef::Real(stored), SqlValue::Real(value)) => stored.to_bits() == value.to_bits(),
            (ValueRef::Text(stored), SqlValue::Text(value)) => stored == value.as_bytes(),
            _ => false,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn order_of(plan: &Plan, encoded: &[u8]) -> Result<Order, Fault> {
    Order::decode(encoded).ok_or_else(|| damaged(plan))
}

fn damaged(plan: &Plan) -> Fault {
    permanent(format!("{} holds bookkeeping that Teal didn't write; was the file changed by hand?", plan.id))
}
