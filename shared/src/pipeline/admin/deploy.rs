//! Putting a configuration into force.
//!
//! Always holds: a configuration is stored before it is pointed to; every declared entity has a generation
//! in the active version from then on, an empty one if it is new, so that readers and changes have a place.
//! A changed mapping changes no generation that exists: that is what `rebuild` or the next full run is for.

use std::collections::BTreeMap;

use super::Admin;
use crate::config::Bundle;
use crate::domain::{
    ConfigHash, Fence, Generation, GenerationId, Manifest, Millis, Pointer, SourceId, Version, VersionState,
};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, ConfigItem, Numbers, Stored};
use crate::pipeline::poll::spec;
use crate::pipeline::systems::Loaded;
use crate::ports::Precondition;
use crate::ports::entities::Gate;
use crate::ports::ledger::pointer_key;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Deployed {
    pub hash: ConfigHash,
    /// Whether another configuration was in force before.
    pub changed: bool,
    /// The version that is active now.
    pub version: Version,
}

impl Admin {
    pub async fn deploy(&self, bundle: &Bundle) -> Result<Deployed, StageError> {
        let loaded = self.systems.load(bundle).await?;
        let hash = loaded.system.hash.clone();
        self.blobs.put_if_absent(&Bundle::blob_key(&hash), bundle.encode().into()).await?;
        let seen: Option<Stored<ConfigItem>> = ledger::read(self.ledger.as_ref(), &ledger::config_key()).await?;
        let changed = seen.as_ref().is_none_or(|s| s.value.hash != hash);
        if changed {
            let item = ConfigItem { hash: hash.clone(), at: self.clock.now() };
            let write = ledger::put(ledger::config_key(), &item, ledger::unchanged(seen.as_ref()));
            self.ledger.transact(vec![write]).await?;
        }
        let version = self.give_each_entity_a_place(&loaded).await?;
        Ok(Deployed { hash, changed, version })
    }

    async fn give_each_entity_a_place(&self, loaded: &Loaded) -> Result<Version, StageError> {
        let pointer = ledger::stored_pointer(self.ledger.as_ref()).await?;
        let placed = pointer.as_ref().map(|p| p.value.generations.clone()).unwrap_or_default();
        let new: Vec<_> = loaded.system.entities.iter().filter(|e| !placed.contains_key(&e.name)).collect();
        if let (true, Some(pointer)) = (new.is_empty(), &pointer) {
            return Ok(pointer.value.version);
        }
        let numbers: Option<Stored<Numbers>> = ledger::read(self.ledger.as_ref(), &ledger::numbers_key()).await?;
        let last = numbers.as_ref().map(|n| n.value).unwrap_or_default();
        let version = if pointer.is_some() { last.version.next() } else { Version(0) };
        let fence = Fence(last.fence.0 + 1);
        let now = self.clock.now();
        let mut generations = placed;
        let mut writes = Vec::new();
        for entity in new {
            let id = GenerationId::new(&entity.name, version);
            let floor = Millis(0);
            self.entities.create(spec(entity, id.clone(), floor, None, Gate::Open, fence)).await?;
            generations.insert(entity.name.clone(), id.number);
            let source = SourceId::new(entity.source.as_str());
            let config = loaded.system.hash.clone();
            let generation = Generation { id: id.clone(), source, config, floor, listing: None, since: 0 };
            writes.push(ledger::put(ledger::generation_key(&id), &generation, Precondition::None));
        }
        let manifest = Manifest {
            version,
            state: VersionState::Active,
            generations: generations.clone(),
            run: None,
            created: now,
            activated: Some(now),
            deactivated: None,
            replayed: BTreeMap::new(),
            cursors: BTreeMap::new(),
        };
        let previous = pointer.as_ref().map(|p| p.value.version);
        if let Some(previous) = previous {
            let key = ledger::version_key(previous);
            if let Some(old) = ledger::read::<Manifest>(self.ledger.as_ref(), &key).await? {
                let mut left = old.value.clone();
                left.state = VersionState::Previous;
                left.deactivated = Some(now);
                writes.push(ledger::put(key, &left, ledger::unchanged(Some(&old))));
            }
        }
        let moved = Pointer { version, previous, generations, fence, at: now };
        writes.push(ledger::put(ledger::version_key(version), &manifest, Precondition::None));
        writes.push(ledger::put(
            ledger::numbers_key(),
            &Numbers { version, fence },
            ledger::unchanged(numbers.as_ref()),
        ));
        writes.push(ledger::put_marked(pointer_key(), &moved, fence.0, ledger::unchanged(pointer.as_ref())));
        self.ledger.transact(writes).await?;
        Ok(version)
    }
}
