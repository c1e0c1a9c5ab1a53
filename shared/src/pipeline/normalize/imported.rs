//! Rows that come without the record that they were made from: whose they are, as far as they say so.

use serde_json::Value as Json;

use super::hash::record_hash;
use super::owner::owner_part;
use super::reasons::{Code, too_large};
use crate::config::path::Base;
use crate::config::{Entity, FieldSource};
use crate::domain::{Effect, Key, KeyPart, Millis, Order, RecordChange, RejectReason, Row};

/// What a row of another installation's export does. It is older than anything that has the provider's order, and
/// hides none of its siblings.
pub fn imported(entity: &Entity, row: &Json, stated: Millis) -> Result<RecordChange, RejectReason> {
    let order = Order { provider: None, stated, hash: record_hash(row) };
    let made = Row::from_json(&entity.schema, row).map_err(|why| Code::WrongType.reason(None, why))?;
    if made.is_too_large() {
        return Err(too_large());
    }
    let owner = owner(entity, row, &made);
    Ok(RecordChange::new(owner, Effect::Upsert { order, rows: vec![made], complete: entity.owner_is_key }))
}

/// The key of the record that it came from, if its fields hold it; else the row belongs to itself, and stays until a
/// complete listing lacks it.
fn owner(entity: &Entity, row: &Json, made: &Row) -> Key {
    if entity.owner_is_key {
        return made.key.clone();
    }
    let parts: Option<Vec<KeyPart>> = entity
        .owner
        .iter()
        .enumerate()
        .map(|(index, path)| {
            let rule = entity.fields.iter().find(|rule| {
                matches!(&rule.from, FieldSource::Path(from) if rule.lookup.is_none() && from.steps == path.steps
                    && (from.base == Base::Record || (from.base == Base::Item && entity.each.is_empty())))
            })?;
            owner_part(entity, index, row.get(&rule.name)?, path).ok()
        })
        .collect();
    parts.and_then(Key::new).unwrap_or_else(|| made.key.clone())
}
