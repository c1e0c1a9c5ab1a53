//! Cutting a merge into pieces that fit into a transaction each.
//!
//! Always holds: applying the pieces one after the other is applying the changes one after the other. A record that
//! is cut is a listing that hides nothing, once or more often, and then the same listing whole: the join is the record.

use std::collections::BTreeSet;

use teal::domain::{Absence, Effect, Key, RecordChange, Row};
use teal::ports::Fault;
use teal::ports::entities::Writer;

use super::super::MAX_ACTIONS;
use super::generation::Plan;
use super::keys::{self, Layout};
use super::merge::{Change, ChangeEffect, NewRow};
use super::values::{self, indexed};
use crate::fault::permanent;

/// An item has 400 KB at most, names of attributes included.
const LARGEST_ROW: usize = 390_000;
/// A transaction has 4 MB at most.
pub const MOST_BYTES: usize = 3_500_000;

pub struct Piece {
    pub changes: Vec<Change>,
    /// See `Merge`. Only a piece of one change has a bound.
    pub most_hidden: usize,
}

/// Entries of the records and of the rows that they have now.
pub fn touched_by(plan: &Plan, changes: &[Change]) -> BTreeSet<String> {
    let mut sorts = BTreeSet::new();
    for change in changes.iter().filter(|change| !change.is_too_old(plan)) {
        sorts.insert(change.owner_entry(plan));
        sorts.extend(change.rows().iter().map(|row| keys::row(&row.key)));
    }
    sorts
}

pub fn prepare(plan: &Plan, change: &RecordChange) -> Result<Change, Fault> {
    let effect = match &change.effect {
        Effect::Upsert { order, rows, complete } => ChangeEffect::Upsert {
            order: *order,
            rows: rows.iter().map(|row| new_row(plan, &change.owner, row)).collect::<Result<_, _>>()?,
            complete: *complete,
        },
        Effect::Delete { provider, stated } => ChangeEffect::Delete(Absence::deleted(*provider, *stated)),
    };
    Ok(Change { owner: keys::encode(&plan.id, &change.owner)?, effect, late: change.late })
}

fn new_row(plan: &Plan, owner: &Key, row: &Row) -> Result<NewRow, Fault> {
    let id = &plan.id;
    if plan.owner_is_key && row.key != *owner {
        let what = format!("row {} of {id} was made by record {owner}; there, a row's key is its record's", row.key);
        return Err(permanent(what));
    }
    let key = keys::encode(id, &row.key)?;
    let values = values::encode(id, &plan.schema, row)?;
    if values.len() > LARGEST_ROW {
        let what = format!(
            "row {} of {id} has {} KB, and an item of DynamoDB 400 at most; leave a field out of its mapping, or bound \
             it with max_length",
            row.key,
            values.len() / 1000
        );
        return Err(permanent(what));
    }
    let indexed = indexed(&plan.schema).filter(|(at, _)| !row.values[*at].is_null()).count();
    Ok(NewRow { key, hash: row.hash().0, values, indexed })
}

/// Cuts changes into pieces that should fit into a transaction each.
///
/// Where the key is the owner, changes of different keys have nothing to do with each other: sorted by shard, a
/// piece touches few heads, and pieces can go their ways together. Merges begin at different shards.
pub fn pieces(plan: &Plan, layout: Layout, slot: u64, writer: Writer, mut changes: Vec<Change>) -> Vec<Vec<Change>> {
    let room = match (layout, plan.owner_is_key) {
        (Layout::Small, _) => MAX_ACTIONS - 2,
        (_, true) => MAX_ACTIONS - 8,
        // Rows of one record may be in every shard.
        (_, false) => MAX_ACTIONS - 17,
    };
    if plan.owner_is_key {
        changes.sort_by_cached_key(|change| {
            let shard = layout.places(&keys::row(&change.owner)).last().unwrap_or(keys::FIRST);
            ((u64::from(shard) + slot % 16) % 16, change.owner.clone())
        });
    }
    // A build makes rows; a live change takes an old entry out of an index for each that it puts in.
    let entries = if matches!(writer, Writer::Build(_)) { 1 } else { 2 };
    let mut pieces: Vec<Vec<Change>> = Vec::new();
    let (mut actions, mut bytes) = (0, 0);
    for change in changes {
        let rows = change.rows();
        let more = rows.iter().map(|row| 1 + entries * row.indexed).sum::<usize>() + usize::from(!plan.owner_is_key);
        let more_bytes: usize = rows.iter().map(|row| row.values.len()).sum();
        // Changes of one key count one after the other.
        let goes_on = |piece: &Vec<Change>| {
            let same_key = plan.owner_is_key && piece.last().is_some_and(|last| last.owner == change.owner);
            same_key || (actions + more <= room && bytes + more_bytes <= MOST_BYTES)
        };
        match pieces.last_mut().filter(|piece| goes_on(piece)) {
            Some(piece) => {
                piece.push(change);
                (actions, bytes) = (actions + more, bytes + more_bytes);
            }
            None => {
                pieces.push(vec![change]);
                (actions, bytes) = (more, more_bytes);
            }
        }
    }
    pieces
}

pub fn split(plan: &Plan, mut piece: Piece) -> Result<Vec<Piece>, Fault> {
    let whole = |changes| Piece { changes, most_hidden: usize::MAX };
    if piece.changes.len() > 1 {
        let rest = piece.changes.split_off(piece.changes.len() / 2);
        return Ok(vec![whole(piece.changes), whole(rest)]);
    }
    let change = &piece.changes[0];
    match &change.effect {
        ChangeEffect::Upsert { order, rows, complete } if rows.len() > 1 || (!rows.is_empty() && *complete) => {
            let part = |rows: &[NewRow], complete| {
                let effect = ChangeEffect::Upsert { order: *order, rows: rows.to_vec(), complete };
                whole(vec![Change { owner: change.owner.clone(), effect, late: change.late }])
            };
            let (first, rest) = rows.split_at(rows.len().div_ceil(2));
            Ok(vec![part(first, false), part(rest, *complete)])
        }
        _ => {
            let few = MAX_ACTIONS / (2 + indexed(&plan.schema).count());
            let most_hidden = if piece.most_hidden == usize::MAX { few } else { piece.most_hidden / 2 };
            if most_hidden == 0 {
                let what = format!("what record {:?} of {} makes does not fit into DynamoDB", change.owner, plan.id);
                return Err(permanent(what));
            }
            Ok(vec![Piece { changes: piece.changes, most_hidden }])
        }
    }
}
