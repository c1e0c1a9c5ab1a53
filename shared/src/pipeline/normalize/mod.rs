//! What a record makes of an entity: raw JSON and a mapping in, rows and rejects out.
//!
//! Owns the way from a record to rows: owner and order, the items that make a row each, fields with their
//! conversion and bounds, rows with equal keys. Owns no store, no reject list and no counting over records.
//!
//! Always holds: normalizing is a pure function of record, stated time and mapping, whatever the order of
//! the record's members. It never panics, copies nothing but the values of rows, and compiles nothing.
//! `mapped` = rows of the change + `duplicates` + `rejected_rows`. A change that isn't `complete` lost a row
//! to a reject, and so hides nothing.

mod convert;
mod delete;
mod field;
mod hash;
mod imported;
mod items;
mod owner;
mod reasons;
#[cfg(test)]
mod tests;
mod time;

use serde_json::Value as Json;

use crate::config::Entity;
use crate::config::path::Scope;
use crate::domain::{Effect, Key, Millis, Order, RecordChange, RejectReason};

pub use delete::{delete_change, read_delete};
pub use hash::record_hash;
pub use imported::imported;
pub use owner::{owner_key, provider_order};
pub use reasons::Code;
pub use time::{BadTime, read_time};

/// A record with what every entity needs of it, made once.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub json: &'a Json,
    /// [`record_hash`] of `json`.
    pub hash: u64,
    pub stated: Millis,
}

impl<'a> Record<'a> {
    #[must_use]
    pub fn new(json: &'a Json, stated: Millis) -> Self {
        Self { json, hash: record_hash(json), stated }
    }
}

/// What one record makes of one entity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normalized {
    /// `None` when the record has no owner key or no order: then nothing can be said about its rows.
    pub change: Option<RecordChange>,
    /// Rows that the record should have made. A reject of the whole record, or of a list in it, counts as one.
    pub mapped: u64,
    /// Rows that the record has twice.
    pub duplicates: u64,
    /// Rows, of those mapped, that came to nothing. One row may have several rejects.
    pub rejected_rows: u64,
    pub rejects: Vec<Rejected>,
    /// The record has nothing for this entity: no row, and none rejected.
    pub filtered: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// The row's key as far as it could be read, or else the record's, as shown to people.
    pub key: Option<String>,
    pub reason: RejectReason,
}

/// Makes the rows that `record` has for `entity`.
#[must_use]
pub fn normalize(entity: &Entity, record: &Record<'_>) -> Normalized {
    let scope = Scope::record(record.json);
    let mut out = Normalized::default();
    let owner = match owner_key(entity, record.json) {
        Ok(owner) => owner,
        Err(reason) => return whole_record_rejected(out, None, reason),
    };
    let provider = match provider_order(entity, record.json) {
        Ok(provider) => provider,
        Err(reason) => return whole_record_rejected(out, Some(&owner), reason),
    };
    let order = Order { provider, stated: record.stated, hash: record.hash };
    let rows = items::rows(entity, &owner, &scope, &mut out);
    out.mapped = rows.len() as u64 + out.duplicates + out.rejected_rows;
    out.filtered = out.mapped == 0;
    let complete = out.rejected_rows == 0;
    out.change = Some(RecordChange::new(owner, Effect::Upsert { order, rows, complete }));
    out
}

fn whole_record_rejected(mut out: Normalized, owner: Option<&Key>, reason: RejectReason) -> Normalized {
    out.mapped = 1;
    out.rejected_rows = 1;
    out.rejects.push(Rejected { key: owner.map(Key::to_string), reason });
    out
}
