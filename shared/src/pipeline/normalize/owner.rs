//! Whose rows they are, and how new: the record's key and the provider's order.
//!
//! Always holds: a record has the same owner key however its source writes it. Where the owner is the row's
//! key, its parts have the types of the key's fields; elsewhere a text that is an integer (`"42"`) is one.

use serde_json::Value as Json;

use super::convert::convert;
use super::reasons::{Code, kind, show};
use super::time::read_time;
use crate::config::path::{Path, Scope};
use crate::config::{Entity, OrderKind, ProviderOrder};
use crate::domain::{FieldType, Key, KeyPart, RejectReason, Value};

/// The record's own key, from the paths that the entity names.
pub fn owner_key(entity: &Entity, record: &Json) -> Result<Key, RejectReason> {
    let scope = Scope::record(record);
    let mut parts = Vec::with_capacity(entity.owner.len());
    for (index, path) in entity.owner.iter().enumerate() {
        let Some(value) = path.get(&scope) else {
            let message =
                format!("the record has nothing at '{path}', which is its key; expected an integer or a text");
            return Err(Code::OwnerMissing.reason(None, message));
        };
        parts.push(owner_part(entity, index, value, path)?);
    }
    Key::new(parts).ok_or_else(|| Code::OwnerMissing.reason(None, format!("'{}' names no owner", entity.name)))
}

/// One part of an owner key, from a value that stands at `place`.
pub(super) fn owner_part(entity: &Entity, index: usize, value: &Json, place: &Path) -> Result<KeyPart, RejectReason> {
    let part = match value {
        Json::Number(_) | Json::String(_) => match key_type(entity, index) {
            Some(kind) => typed(value, kind),
            None => typed(value, FieldType::Integer)
                .filter(|part| written_so(part, value))
                .or_else(|| typed(value, FieldType::String)),
        },
        _ => None,
    };
    part.filter(|part| !matches!(part, KeyPart::Text(text) if text.is_empty())).ok_or_else(|| {
        let expected = match key_type(entity, index) {
            Some(FieldType::Integer) => "an integer",
            _ => "an integer or a text that is not empty",
        };
        let found = format!("{} ({})", show(value), kind(value));
        let message = format!("the record's key at '{place}': found {found}; expected {expected}");
        Code::OwnerMissing.reason(None, message)
    })
}

/// The type of the key's field that this part is equal to, where the record's key is the row's.
fn key_type(entity: &Entity, index: usize) -> Option<FieldType> {
    if !entity.owner_is_key || entity.owner.len() != entity.schema.key.len() {
        return None;
    }
    let at = entity.schema.position(entity.schema.key.get(index)?)?;
    Some(entity.schema.fields[at].kind)
}

fn typed(value: &Json, kind: FieldType) -> Option<KeyPart> {
    match convert(value, kind, None).ok()? {
        Value::Int(value) => Some(KeyPart::Int(value)),
        Value::Text(text) => Some(KeyPart::Text(text)),
        _ => None,
    }
}

/// Whether a text is just how the integer is written, so that `"007"` and `"7"` stay two keys.
fn written_so(part: &KeyPart, value: &Json) -> bool {
    match (part, value) {
        (KeyPart::Int(number), Json::String(text)) => number.to_string() == *text,
        _ => true,
    }
}

/// The provider's order of a record; `None` where the entity declares none.
pub fn provider_order(entity: &Entity, record: &Json) -> Result<Option<i64>, RejectReason> {
    entity.order.as_ref().map(|order| read_order(order, record)).transpose()
}

pub(super) fn read_order(order: &ProviderOrder, json: &Json) -> Result<i64, RejectReason> {
    let unreadable =
        |problem: String| Code::OrderUnreadable.reason(None, format!("the order at '{}': {problem}", order.path));
    let value = order
        .path
        .get(&Scope::record(json))
        .ok_or_else(|| unreadable("found nothing; expected what says how new the record is".to_owned()))?;
    match &order.kind {
        OrderKind::Time(format) => {
            read_time(value, format).map(|time| time.0).map_err(|bad| unreadable(bad.to_string()))
        }
        OrderKind::Sequence => match convert(value, FieldType::Integer, None) {
            Ok(Value::Int(sequence)) => Ok(sequence),
            Ok(_) => Err(unreadable(format!("found {}; expected an integer", show(value)))),
            Err(problem) => Err(unreadable(problem.message)),
        },
    }
}
