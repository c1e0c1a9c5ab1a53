//! Giving entities that were declared since a place in what readers see: an empty generation, in a version of
//! its own that shares everything else.
//!
//! Always holds: the pointer moves under the mover's lease here as everywhere, so nobody works out a target from
//! a pointer that is about to change. First a number and a manifest are taken, then the generations are made,
//! then the pointer moves; whoever dies in between leaves nothing that anybody could take for their own, and
//! upkeep drops it.

use std::collections::BTreeMap;

use super::Switch;
use crate::domain::{Fence, Generation, GenerationId, Manifest, Millis, Pointer, SourceId, Version, VersionState};
use crate::mutants::{self, Mutant};
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE};
use crate::pipeline::ledger::{self, Numbers, Stored};
use crate::pipeline::poll::spec;
use crate::pipeline::systems::Loaded;
use crate::ports::Precondition;
use crate::ports::entities::{Dropped, Gate};
use crate::ports::ledger::pointer_key;

/// One deployment may go on where another died: both do the same.
const WHO: &str = "deployment";
/// Rows dropped at once.
const SLICE: usize = 2000;
/// Generations that no listing began hide nothing.
const FLOOR: Millis = Millis(0);

impl Switch {
    /// Sees to it that the active version has a generation for each declared entity. Returns that version.
    pub async fn place_entities(&self, loaded: &Loaded) -> Result<Version, StageError> {
        if let Some(pointer) = ledger::pointer(self.ledger.as_ref()).await?
            && loaded.system.entities.iter().all(|entity| pointer.generations.contains_key(&entity.name))
        {
            return Ok(pointer.version);
        }
        if mutants::on(Mutant::DeployWithoutLease) {
            let numbers: Option<Stored<Numbers>> = ledger::read(self.ledger.as_ref(), &ledger::numbers_key()).await?;
            if let Some(numbers) = numbers {
                return self.place_under(loaded, numbers.value.fence).await;
            }
        }
        let fence = self.take_lease_patiently(WHO).await?;
        let placed = self.place_under(loaded, fence).await;
        self.give_lease_back(WHO, fence, placed.is_ok()).await?;
        placed
    }

    async fn place_under(&self, loaded: &Loaded, fence: Fence) -> Result<Version, StageError> {
        let pointer = ledger::stored_pointer(self.ledger.as_ref()).await?;
        let mut generations = pointer.as_ref().map(|p| p.value.generations.clone()).unwrap_or_default();
        let new: Vec<_> = loaded.system.entities.iter().filter(|e| !generations.contains_key(&e.name)).collect();
        if let (true, Some(pointer)) = (new.is_empty(), &pointer) {
            return Ok(pointer.value.version);
        }
        let numbers: Stored<Numbers> = ledger::read(self.ledger.as_ref(), &ledger::numbers_key())
            .await?
            .ok_or_else(|| StageError::Impossible("there is a lease, and no fence was ever given out".into()))?;
        // The first version is 0 however often somebody died on the way to it: nobody has seen it yet.
        let is_first = pointer.is_none();
        let (version, when) = match is_first {
            true => (Version(0), Precondition::None),
            false => (numbers.value.version.next(), Precondition::Absent),
        };
        let mut writes = Vec::new();
        for entity in &new {
            let id = GenerationId::new(&entity.name, version);
            generations.insert(entity.name.clone(), id.number);
            let source = SourceId::new(entity.source.as_str());
            let config = loaded.system.hash.clone();
            let key = ledger::generation_key(&id);
            let (listing, since, confirmed) = (None, 0, None);
            let generation = Generation { id, source, config, floor: FLOOR, listing, since, confirmed };
            writes.push(ledger::put(key, &generation, when));
        }
        let manifest = Manifest {
            version,
            state: VersionState::Building,
            generations,
            run: None,
            created: self.clock.now(),
            activated: None,
            deactivated: None,
            replayed: BTreeMap::new(),
            confirmed: 0,
            cursors: BTreeMap::new(),
        };
        writes.push(ledger::put(ledger::version_key(version), &manifest, when));
        let next = Numbers { version, ..numbers.value };
        writes.push(ledger::put(ledger::numbers_key(), &next, ledger::unchanged(Some(&numbers))));
        self.ledger.transact(writes).await?;
        for entity in new {
            let id = GenerationId::new(&entity.name, version);
            // Whoever died may have made one for another configuration.
            while is_first && self.admin.drop_slice(&id, SLICE).await? == Dropped::More {}
            self.admin.create(spec(entity, id, FLOOR, None, Gate::Open, fence)).await?;
        }
        self.show(pointer, version, fence).await
    }

    async fn show(
        &self,
        pointer: Option<Stored<Pointer>>,
        version: Version,
        fence: Fence,
    ) -> Result<Version, StageError> {
        let now = self.clock.now();
        let key = ledger::version_key(version);
        let made: Stored<Manifest> =
            ledger::read(self.ledger.as_ref(), &key).await?.ok_or(StageError::NoVersion(version))?;
        let manifest = Manifest { state: VersionState::Active, activated: Some(now), ..made.value.clone() };
        let mut writes = vec![
            ledger::put(key, &manifest, ledger::unchanged(Some(&made))),
            lease::renew(ledger::switch_lease_key(), WHO, fence, now.plus(LEASE), 0),
        ];
        if mutants::on(Mutant::DeployWithoutLease) {
            writes.pop();
        }
        let previous = pointer.as_ref().map(|p| p.value.version);
        if let Some(previous) = previous {
            let key = ledger::version_key(previous);
            if let Some(old) = ledger::read::<Manifest>(self.ledger.as_ref(), &key).await? {
                let mut left = old.value.clone();
                left.state = VersionState::Previous;
                left.deactivated = Some(now);
                left.cursors = self.cursors().await?;
                writes.push(ledger::put(key, &left, ledger::unchanged(Some(&old))));
            }
        }
        let moved = Pointer { version, previous, generations: manifest.generations, fence, at: now };
        writes.push(ledger::put_marked(pointer_key(), &moved, fence.0, ledger::unchanged(pointer.as_ref())));
        self.ledger.transact(writes).await?;
        Ok(version)
    }
}
