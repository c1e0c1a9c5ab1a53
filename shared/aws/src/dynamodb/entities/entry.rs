//! What is kept under one key: a row, what is known against a record, or both where the record's key is the
//! row's.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use teal::domain::{Absence, Millis, Order};

use super::super::{Item, n, number, s, string};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    pub row: Option<StoredRow>,
    pub absence: Option<Absence>,
    /// Keys of the record's visible rows, where they are not its own.
    pub made: BTreeSet<String>,
    /// 0 where nothing is stored.
    pub revision: u64,
}

/// The newest upsert that any record made of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRow {
    pub order: Order,
    /// The record that made it, encoded.
    pub owner: String,
    pub hash: u64,
    /// Always `domain::order::visible` of what is stored.
    pub visible: bool,
    /// Which raw object it came from, as a hash of its name, and how that merge counted it.
    pub slot: u64,
    pub counted: Counted,
    /// See `values`.
    pub values: String,
}

/// How a row was counted; the number is what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    New = 0,
    Changed = 1,
    Unchanged = 2,
    Superseded = 3,
    /// Never stored: it is somebody else's state that stays.
    Duplicate = 4,
}

impl StoredRow {
    pub fn visible_hash(&self) -> Option<u64> {
        self.visible.then_some(self.hash)
    }
}

impl Entry {
    pub fn visible_hash(&self) -> Option<u64> {
        self.row.as_ref().and_then(StoredRow::visible_hash)
    }

    /// `key` is the row's, encoded: an owner that is the key is not written down twice.
    pub fn to_item(&self, key: &str, revision: u64) -> Item {
        let mut item = Item::from([("rev".to_owned(), n(revision))]);
        let mut set = |name: &str, value| item.insert(name.to_owned(), value);
        if let Some(row) = &self.row {
            set("order", binary(&row.order));
            if row.owner != key {
                set("owner", s(&row.owner));
            }
            set("hash", n(row.hash));
            set("visible", AttributeValue::Bool(row.visible));
            set("slot", n(row.slot));
            set("effect", n(row.counted as u8));
            set("values", s(&row.values));
        }
        if let Some(absence) = self.absence {
            if let Some(listed) = absence.listed {
                set("listed", binary(&listed));
            }
            if let Some((provider, stated)) = absence.deleted {
                set("deleted", n(provider));
                set("deleted_stated", n(stated.0));
            }
            if let Some(stated) = absence.deleted_at {
                set("deleted_at", n(stated.0));
            }
        }
        if !self.made.is_empty() {
            set("made", AttributeValue::Ss(self.made.iter().cloned().collect()));
        }
        item
    }

    /// `None` for what [`Entry::to_item`] never makes.
    pub fn parse(key: &str, item: &Item) -> Option<Self> {
        let row = match item.get("order") {
            None => None,
            Some(order) => Some(StoredRow {
                order: order_of(order)?,
                owner: string(item, "owner").unwrap_or(key).to_owned(),
                hash: number(item, "hash")?,
                visible: *item.get("visible")?.as_bool().ok()?,
                slot: number(item, "slot")?,
                counted: counted_of(number(item, "effect")?)?,
                values: string(item, "values")?.to_owned(),
            }),
        };
        let absence = Absence {
            listed: match item.get("listed") {
                None => None,
                Some(order) => Some(order_of(order)?),
            },
            deleted: number(item, "deleted").zip(number(item, "deleted_stated").map(Millis)),
            deleted_at: number(item, "deleted_at").map(Millis),
        };
        let made = item.get("made").and_then(|made| made.as_ss().ok());
        Some(Self {
            row,
            absence: Some(absence).filter(|absence| *absence != Absence::default()),
            made: made.into_iter().flatten().cloned().collect(),
            revision: number(item, "rev")?,
        })
    }
}

fn binary(order: &Order) -> AttributeValue {
    AttributeValue::B(Blob::new(order.encode()))
}

fn order_of(value: &AttributeValue) -> Option<Order> {
    Order::decode(value.as_b().ok()?.as_ref())
}

fn counted_of(effect: u8) -> Option<Counted> {
    let stored = [Counted::New, Counted::Changed, Counted::Unchanged, Counted::Superseded];
    stored.into_iter().find(|counted| *counted as u8 == effect)
}
