//! What the provider's word that a record is gone does to an entity.

use serde_json::Value as Json;

use super::owner::{owner_part, read_order};
use super::reasons::Code;
use crate::config::path::{Path, Scope};
use crate::config::{Entity, ProviderOrder};
use crate::domain::{Effect, Key, Millis, RecordChange, RejectReason};

/// The rows of `owner` go, unless they are newer than the delete.
#[must_use]
pub fn delete_change(owner: Key, provider: Option<i64>, stated: Millis) -> RecordChange {
    RecordChange::new(owner, Effect::Delete { provider, stated })
}

/// Reads the gone record's key, and the delete's order where it carries one, from a webhook's body. For a
/// key of several parts the body holds them as a list, in the order of the entity's owner.
pub fn read_delete(
    entity: &Entity,
    key: &Path,
    provider: Option<&ProviderOrder>,
    body: &Json,
) -> Result<(Key, Option<i64>), RejectReason> {
    let missing = |found: &str| {
        let message = format!(
            "the delete's body has {found} at '{key}'; expected the {} part(s) of the gone record's key",
            entity.owner.len()
        );
        Code::OwnerMissing.reason(None, message)
    };
    let value = key.get(&Scope::record(body)).ok_or_else(|| missing("nothing"))?;
    let values = match value {
        Json::Array(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    };
    if values.len() != entity.owner.len() {
        return Err(missing(&format!("{} part(s)", values.len())));
    }
    let parts = values.iter().enumerate().map(|(index, value)| owner_part(entity, index, value, key));
    let owner = Key::new(parts.collect::<Result<_, _>>()?).ok_or_else(|| missing("nothing"))?;
    let provider = provider.map(|order| read_order(order, body)).transpose()?;
    Ok((owner, provider))
}
