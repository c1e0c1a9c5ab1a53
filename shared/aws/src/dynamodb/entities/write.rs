//! A merge: in pieces that fit into a transaction, each read, merged and written, and again if somebody was
//! quicker.
//!
//! Always holds: a piece is whole or not there. Killed in between, a merge leaves some pieces; the same merge again
//! completes them and counts as it would have, because every row knows the slot that brought it.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use sha2::{Digest, Sha256};
use teal::domain::row::first_eight;
use teal::domain::{GenerationId, Millis, RecordChange};
use teal::ports::entities::{Gate, Merged, Writer};
use teal::ports::fault::FaultKind;
use teal::ports::{EntitiesError, Fault};

use super::super::action::{ABSENT, Action};
use super::super::{Item, ItemId, MAX_ACTIONS, Transacted, n, s, together};
use super::entry::Entry;
use super::generation::{Plan, Root, damaged, gate_name, totals};
use super::keys;
use super::merge::{Change, Loaded, Merge};
use super::pieces::{MOST_BYTES, Piece, pieces, prepare, split, touched_by};
use super::values::{self, indexed};
use super::{DynamoEntities, Found};

/// Rows with which a small generation grows.
pub const LARGE: i128 = 2000;
/// Pieces that are under way together, where they can't touch the same entries.
const PIECES_AT_ONCE: usize = 4;

/// What became of one attempt to write a piece.
enum Attempt {
    Done {
        merged: Merged,
        unfinished: bool,
    },
    TooLarge,
    /// Somebody was quicker, or a gate is on its way.
    Again,
}

impl DynamoEntities {
    pub(super) async fn merge_all(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        let (plan, layout) = match self.known(id).filter(|_| !changes.is_empty()) {
            Some(known) => known,
            None => {
                let (plan, root) = self.open(id).await?;
                writer.check(id, (root.gate, root.fence), root.confirmed, [])?;
                (plan, root.layout)
            }
        };
        let slot = first_eight(&Sha256::digest(slot));
        let changes = changes.iter().map(|change| prepare(&plan, change)).collect::<Result<Vec<_>, _>>()?;
        let pieces = pieces(&plan, layout, slot, writer, changes);
        let at_once = if plan.owner_is_key { PIECES_AT_ONCE } else { 1 };
        let pieces = pieces.into_iter().map(|piece| self.piece(&plan, writer, slot, piece).boxed()).collect();
        Ok(together(pieces, at_once).await?.into_iter().fold(Merged::default(), plus))
    }

    /// Writes one piece, in as many transactions as it turns out to need.
    async fn piece(
        &self,
        plan: &Plan,
        writer: Writer,
        slot: u64,
        changes: Vec<Change>,
    ) -> Result<Merged, EntitiesError> {
        let clients = &self.table.clients;
        let mut sum = Merged::default();
        let mut left = vec![Piece { changes, most_hidden: usize::MAX }];
        let mut trying = clients.patience.begin();
        while let Some(piece) = left.last() {
            match self.attempt(plan, writer, slot, piece).await? {
                Attempt::Done { merged, unfinished } => {
                    sum = plus(sum, merged);
                    if !unfinished {
                        left.pop();
                    }
                    trying = clients.patience.begin();
                }
                Attempt::TooLarge => {
                    let piece = left.pop().expect("it is the last one");
                    left.extend(split(plan, piece)?.into_iter().rev());
                }
                Attempt::Again if trying.again(&*clients.clock, &*clients.entropy).await => {}
                Attempt::Again => {
                    let what = format!("{} is written by many at once, or its gates are being set; try again", plan.id);
                    return Err(Fault::new(FaultKind::Transient, what).into());
                }
            }
        }
        Ok(sum)
    }

    async fn attempt(&self, plan: &Plan, writer: Writer, slot: u64, piece: &Piece) -> Result<Attempt, EntitiesError> {
        let wanted = touched_by(plan, &piece.changes);
        let found = self.look_up(&plan.id, &wanted).await?;
        if found.plan.made != plan.made {
            let what = format!("{} was dropped and made again meanwhile; nothing more was merged", plan.id);
            return Err(Fault::new(FaultKind::Transient, what).into());
        }
        let root = found.root.clone();
        let stated = piece.changes.iter().map(Change::stated);
        writer.check(&plan.id, (root.gate, root.fence), root.confirmed, stated.clone())?;
        let earliest = stated.min().unwrap_or(root.confirmed);
        if found.first_head.as_ref().is_some_and(|head| totals(head).0 >= LARGE) {
            self.grow(&plan.id, &root).await?;
            return Ok(Attempt::Again);
        }
        let mut entries = loaded(found, wanted)?;
        let others = rows_of_records(plan, &piece.changes, &entries);
        if !others.is_empty() {
            let more = self.look_up(&plan.id, &others).await?;
            if more.root.layout != root.layout || more.plan.made != plan.made {
                return Ok(Attempt::Again);
            }
            entries.extend(loaded(more, others)?);
        }
        let base = self.base(plan, &root, &piece.changes, &entries).await?;
        let mut merge = Merge {
            plan,
            slot,
            entries,
            base,
            most_hidden: piece.most_hidden,
            merged: Merged::default(),
            relied_on: BTreeSet::new(),
            unfinished: false,
        };
        piece.changes.iter().for_each(|change| merge.apply(change));
        let actions = self.actions(&merge, &root, (writer, earliest))?;
        let bytes: usize = merge.entries.values().map(written_bytes).sum();
        if actions.len() > MAX_ACTIONS || bytes > MOST_BYTES {
            return Ok(Attempt::TooLarge);
        }
        let done = Attempt::Done { merged: merge.merged, unfinished: merge.unfinished };
        if actions.is_empty() {
            return Ok(done);
        }
        match self.table.transact(&actions).await? {
            Transacted::Done => Ok(done),
            Transacted::Refused(_) => Ok(Attempt::Again),
        }
    }

    /// Hashes of what readers have now, for rows that a generation that is being built doesn't have yet.
    async fn base(
        &self,
        plan: &Plan,
        root: &Root,
        changes: &[Change],
        entries: &BTreeMap<String, Loaded>,
    ) -> Result<BTreeMap<String, u64>, EntitiesError> {
        let Some(base) = plan.base.as_ref().filter(|_| root.gate == Gate::Building) else { return Ok(BTreeMap::new()) };
        let mut new: BTreeSet<String> = changes.iter().flat_map(Change::rows).map(|row| keys::row(&row.key)).collect();
        new.retain(|sort| entries.get(sort).is_some_and(|entry| entry.before.visible_hash().is_none()));
        let found = match self.look_up(base, &new).await {
            Ok(found) => found.items,
            Err(EntitiesError::NoGeneration(_)) => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let mut hashes = BTreeMap::new();
        for (sort, (_, item)) in found {
            let key = &sort[keys::ROW.len()..];
            let entry = Entry::parse(key, &item).ok_or_else(|| damaged(base, &format!("row {key:?}")))?;
            hashes.extend(entry.visible_hash().map(|hash| (key.to_owned(), hash)));
        }
        Ok(hashes)
    }

    /// The transaction that makes what is stored what the merge came to; empty when it is so already.
    fn actions(&self, merge: &Merge<'_>, root: &Root, writer: (Writer, Millis)) -> Result<Vec<Action>, EntitiesError> {
        let plan = merge.plan;
        let mut actions = Vec::new();
        let mut heads: BTreeMap<u8, Shift> = BTreeMap::new();
        let (mut touched, mut makes_in_first) = (None, false);
        for (sort, entry) in &merge.entries {
            let Loaded { shard, before, after } = entry;
            let id = ItemId::new(self.shard(&plan.id, *shard), sort);
            if before == after {
                if merge.relied_on.contains(sort) {
                    actions.push(unchanged(Action::check(id), before));
                }
                continue;
            }
            touched.get_or_insert(*shard);
            makes_in_first |= before.revision == 0 && *shard == keys::FIRST;
            let key = &sort[keys::ROW.len()..];
            actions.push(unchanged(Action::put(&id, after.to_item(key, before.revision + 1)), before));
            self.index(plan, key, entry, &mut actions)?;
            if before.visible_hash() != after.visible_hash() {
                heads.entry(*shard).or_default().moves(before.visible_hash(), after.visible_hash());
            }
        }
        let Some(touched) = touched else { return Ok(Vec::new()) };
        let gated = |action: Action, shard: u8| {
            let action = lets_in(action, root.made, writer);
            let only_if_open = makes_in_first && shard == keys::FIRST;
            if only_if_open { action.when("attribute_not_exists(#full)").names(&["full"]) } else { action }
        };
        for (at, (shard, shift)) in heads.iter().enumerate() {
            let add = Action::update(self.head(&plan.id, *shard), "ADD #rows :rows, #sum :sum, #seq :seq")
                .names(&["rows", "sum", "seq"])
                .value("rows", n(shift.rows))
                .value("sum", n(shift.sum))
                .value("seq", n(u8::from(at == 0)));
            actions.push(gated(add, *shard));
        }
        if makes_in_first && !heads.contains_key(&keys::FIRST) {
            actions.push(gated(Action::check(self.head(&plan.id, keys::FIRST)), keys::FIRST));
        } else if heads.is_empty() {
            actions.push(gated(Action::check(self.head(&plan.id, touched)), touched));
        }
        Ok(actions)
    }

    /// What of the indexes changes with a row.
    fn index(&self, plan: &Plan, key: &str, entry: &Loaded, actions: &mut Vec<Action>) -> Result<(), EntitiesError> {
        let entries_of = |entry: &Entry| -> Result<BTreeSet<String>, Fault> {
            let Some(row) = entry.row.as_ref().filter(|row| row.visible) else { return Ok(BTreeSet::new()) };
            let values = values::decode(&plan.schema, &row.values);
            let values = values.ok_or_else(|| damaged(&plan.id, &format!("row {key:?}")))?;
            let fields = indexed(&plan.schema);
            Ok(fields.filter_map(|(at, field)| Some(keys::index_value(&field.name, &values[at])? + key)).collect())
        };
        let (before, after) = (entries_of(&entry.before)?, entries_of(&entry.after)?);
        let partition = self.shard(&plan.id, entry.shard);
        actions.extend(before.difference(&after).map(|sort| Action::delete(ItemId::new(&partition, sort))));
        actions.extend(after.difference(&before).map(|sort| Action::put(&ItemId::new(&partition, sort), Item::new())));
        Ok(())
    }
}

/// What a transaction adds to a head.
#[derive(Default)]
struct Shift {
    rows: i64,
    /// DynamoDB counts in 38 digits and doesn't wrap; who reads the sum wraps it.
    sum: i128,
}

impl Shift {
    fn moves(&mut self, before: Option<u64>, after: Option<u64>) {
        self.rows += i64::from(after.is_some()) - i64::from(before.is_some());
        self.sum += i128::from(after.unwrap_or(0)) - i128::from(before.unwrap_or(0));
    }
}

/// The entry is as it was read.
fn unchanged(action: Action, before: &Entry) -> Action {
    match before.revision {
        0 => action.when(ABSENT),
        revision => action.when("#rev = :read").names(&["rev"]).value("read", n(revision)),
    }
}

/// The head lets this writer in, whose earliest change was stated then.
fn lets_in(action: Action, made: u64, (writer, earliest): (Writer, Millis)) -> Action {
    let action = action.names(&["made", "gate"]).value("made", n(made)).value("open", s(gate_name(Gate::Open)));
    let live = |knows: Millis| {
        let action = action.clone().names(&["confirmed"]).value("knows", n(knows.0));
        action.when("#made = :made AND #gate = :open AND #confirmed <= :knows")
    };
    match writer {
        Writer::Live => live(earliest),
        Writer::Late(until) => live(earliest.max(until)),
        Writer::Build(fence) => action
            .when("#made = :made AND #gate <> :open AND #fence <= :fence")
            .names(&["fence"])
            .value("fence", n(fence.0)),
    }
}

fn loaded(found: Found, wanted: BTreeSet<String>) -> Result<BTreeMap<String, Loaded>, Fault> {
    let Found { plan, root, mut items, .. } = found;
    let mut entries = BTreeMap::new();
    for sort in wanted {
        let key = &sort[keys::ROW.len()..];
        let (shard, before) = match items.remove(&sort) {
            Some((shard, item)) => {
                let entry = Entry::parse(key, &item);
                (shard, entry.ok_or_else(|| damaged(&plan.id, &format!("entry {sort:?}")))?)
            }
            None => (root.layout.places(&sort).last().expect("every layout has a place"), Entry::default()),
        };
        entries.insert(sort, Loaded { shard, after: before.clone(), before });
    }
    Ok(entries)
}

/// Rows, not read yet, that records made which are spoken against.
fn rows_of_records(plan: &Plan, changes: &[Change], entries: &BTreeMap<String, Loaded>) -> BTreeSet<String> {
    let spoken = changes.iter().filter(|change| !change.is_too_old(plan) && change.speaks_against(plan));
    let owners = spoken.filter_map(|change| entries.get(&change.owner_entry(plan)));
    let rows = owners.flat_map(|owner| &owner.before.made).map(|key| keys::row(key));
    rows.filter(|sort| !entries.contains_key(sort)).collect()
}

fn written_bytes(entry: &Loaded) -> usize {
    if entry.before == entry.after {
        return 0;
    }
    let made: usize = entry.after.made.iter().map(String::len).sum();
    entry.after.row.as_ref().map_or(0, |row| row.values.len()) + made
}

fn plus(a: Merged, b: Merged) -> Merged {
    Merged {
        new: a.new + b.new,
        changed: a.changed + b.changed,
        unchanged: a.unchanged + b.unchanged,
        superseded: a.superseded + b.superseded,
        duplicate: a.duplicate + b.duplicate,
        deleted: a.deleted + b.deleted,
        late: a.late + b.late,
    }
}
