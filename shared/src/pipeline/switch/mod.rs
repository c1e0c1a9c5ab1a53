//! switch: makes a version the one that people read.
//!
//! Owns settling a run, verification, catch-up, the move of the pointer, and rollback, which is the same
//! move. Owns no retention: versions that nobody keeps are upkeep's.
//!
//! The move, in this order:
//!
//! 1. replay the change log into the target's own generations until little is left;
//! 2. verify counts, shrinkage, relations, which takes the longer the more rows there are;
//! 3. replay what came in meanwhile, again until little is left;
//! 4. close the gates of the generations that the target replaces (live changes now fail, and come again);
//! 5. replay the rest: whatever reached the old generations is in the log, so it is in the target now;
//! 6. one transaction moves the pointer, under the switch lease's fence and the pointer's revision;
//! 7. open the gates of the target's generations.
//!
//! Always holds: at most one mover's writes get through, because taking the lease raises the fence that
//! gates and pointer check. Killed before 6, the old version goes on once its gates are opened again by
//! whoever takes the lease next; killed after 6, that one opens the new gates. Steps 4 to 7 do not depend on
//! how many rows there are. A move by hand compares sizes only, in no time, and leaves 3 out.

mod catch_up;
mod confirm;
mod cut_over;
mod drop;
mod place;
mod settle;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use cut_over::Moved;
use cut_over::Replay;
use serde::{Deserialize, Serialize};
pub use verify::{EntityVerdict, RelationVerdict, Verdict};

use super::error::StageError;
use super::lease::{self, Lease};
use super::ledger::{self, Stored};
use super::systems::Systems;
use crate::domain::{Fence, Generation, Manifest, Pointer, SourceId, Version, VersionState};
use crate::metrics::Meter;
use crate::mutants::{self, Mutant};
use crate::ports::entities::Gate;
use crate::ports::{BlobReader, Clock, EntityAdmin, EntityReader, EntityWriter, Ledger, QueueSender};

/// How often, and how long each time, somebody who asks for a move waits for the one that is under way.
const PATIENCE: usize = 20;
const A_MOMENT: std::time::Duration = std::time::Duration::from_millis(250);

pub struct Switch {
    pub ledger: Arc<dyn Ledger>,
    pub admin: Arc<dyn EntityAdmin>,
    pub writer: Arc<dyn EntityWriter>,
    pub reader: Arc<dyn EntityReader>,
    pub blobs: Arc<dyn BlobReader>,
    pub queue: Arc<dyn QueueSender>,
    pub systems: Arc<Systems>,
    pub clock: Arc<dyn Clock>,
    pub meter: Arc<dyn Meter>,
}

/// How far the settling of a run is; kept so that a call that runs out of time goes on where it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settling {
    pub verdict: Verdict,
    /// The relation that is being checked (position in the list of all), and where in it.
    #[serde(default)]
    pub relation: usize,
    #[serde(default)]
    pub after: Option<crate::domain::Key>,
    /// How many of the target's own generations are compared with what they replace, and where in the next.
    #[serde(default)]
    pub compared: usize,
    #[serde(default)]
    pub compared_to: Option<crate::domain::Key>,
}

/// A version to move to, as it was worked out under the mover's lease.
pub(super) struct Target {
    pub manifest: Manifest,
    /// Its generations that readers don't see yet.
    pub own: Vec<Generation>,
    /// What readers see.
    pub shown: Stored<Pointer>,
}

/// What an admin asks for when moving to a version by hand.
#[derive(Clone, Debug)]
pub struct MoveTo {
    pub version: Version,
    /// Pass the guard.
    pub force: bool,
    /// Leave out the changes since the version was active.
    pub as_was: bool,
    pub who: String,
}

impl Switch {
    /// Switches or rolls back to a version that is ready or was active.
    pub async fn move_to(&self, ask: &MoveTo) -> Result<Moved, StageError> {
        let fence = self.take_lease_patiently(&ask.who).await?;
        let moved = self.move_under(ask, fence).await;
        self.give_lease_back(&ask.who, fence, moved.is_ok()).await?;
        moved
    }

    async fn move_under(&self, ask: &MoveTo, fence: Fence) -> Result<Moved, StageError> {
        let target =
            ledger::manifest(self.ledger.as_ref(), ask.version).await?.ok_or(StageError::NoVersion(ask.version))?;
        match target.state {
            VersionState::Ready | VersionState::Previous => {}
            VersionState::Active => {
                return Err(StageError::Impossible(format!("{} is the active version already", ask.version)));
            }
            VersionState::Building => {
                return Err(StageError::Impossible(format!("{} is still being built", ask.version)));
            }
            VersionState::Retired | VersionState::Dropped => {
                return Err(StageError::Impossible(format!(
                    "{} is gone; `teal versions` shows those that can be switched to",
                    ask.version
                )));
            }
        }
        let pointer = ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
        let listed = self.systems.listed_by(&pointer).await?;
        if let Some((entity, newer)) = target.overtaken(&listed)
            && target.state == VersionState::Ready
            && !mutants::on(Mutant::OvertakenShown)
        {
            return Err(StageError::Impossible(format!(
                "{} is overtaken: {entity} was listed again since, and readers see it as of {newer}. Build it again, with `teal rebuild` or a full sync",
                target.version
            )));
        }
        let target = self.as_it_would_be(&target).await?;
        if let Some(why) = self.left_behind(&target).await? {
            return Err(StageError::Impossible(why));
        }
        let mut from = BTreeMap::new();
        for source in target.own.iter().map(|generation| &generation.source) {
            if !from.contains_key(source) {
                from.insert(source.clone(), self.replay_start(&target.manifest, source).await?);
            }
        }
        let goes_back = target.manifest.activated.is_some();
        if ask.as_was || (goes_back && mutants::on(Mutant::RollbackWithoutChanges)) {
            let replay = Replay::Nothing { left_out: self.left_out(&target, &from).await? };
            return self.cut_over(&target, replay, fence, &ask.who, Vec::new()).await;
        }
        let replayed = self.catch_up(&target, &mut from, fence).await?;
        if target.manifest.state == VersionState::Ready && !ask.force {
            let verdict = self.compare_sizes(&target, None).await?;
            if !verdict.blocked.is_empty() {
                return Err(StageError::Impossible(format!(
                    "the guard stops it: {}. Add --force to switch all the same",
                    verdict.blocked.join("; ")
                )));
            }
        }
        self.cut_over(&target, Replay::Rest { from, replayed }, fence, &ask.who, Vec::new()).await
    }

    /// The log number from which the target's own generations may lack entries.
    async fn replay_start(&self, target: &Manifest, source: &SourceId) -> Result<u64, StageError> {
        match target.deactivated {
            Some(time) => {
                let time = time.minus(super::changelog::CLOCK_SKEW);
                super::changelog::first_since(self.ledger.as_ref(), source, time).await
            }
            None => Ok(target.replayed.get(&source.to_string()).copied().unwrap_or(0)),
        }
    }

    /// Waits a little for whoever moves the pointer now: a run that has just ended gives the lease back a
    /// moment after it shows as ended.
    async fn take_lease_patiently(&self, who: &str) -> Result<Fence, StageError> {
        for _ in 0..PATIENCE {
            match self.take_lease(who).await {
                Err(StageError::Busy(_)) => self.clock.sleep(A_MOMENT).await,
                other => return other,
            }
        }
        self.take_lease(who).await
    }

    /// Takes the lease of whoever moves the pointer. If the one before did not give it back, it may have
    /// died with gates closed: they are put right first.
    pub(super) async fn take_lease(&self, who: &str) -> Result<Fence, StageError> {
        let key = ledger::switch_lease_key();
        let (fence, before) = lease::acquire(self.ledger.as_ref(), &key, who, self.clock.now()).await?;
        let may_have_died = |lease: &Lease| !lease.was_given_back() && !mutants::on(Mutant::GatesNotRepaired);
        if before.as_ref().is_some_and(may_have_died) {
            self.open_active(fence).await?;
        }
        Ok(fence)
    }

    /// Gives the lease back, after opening the gates again if the move did not happen.
    pub(super) async fn give_lease_back(&self, who: &str, fence: Fence, moved: bool) -> Result<(), StageError> {
        if !moved {
            self.open_active(fence).await?;
        }
        let write = lease::give_back(ledger::switch_lease_key(), who, fence);
        Ok(self.ledger.transact(vec![write]).await?)
    }

    /// Opens the gates of whatever is active.
    async fn open_active(&self, fence: Fence) -> Result<(), StageError> {
        let Some(pointer) = ledger::pointer(self.ledger.as_ref()).await? else { return Ok(()) };
        Ok(self.admin.set_gates(&pointer.generation_ids(), Gate::Open, fence).await?)
    }

    /// Puts the gates right after a mover that died, if there was one. For upkeep.
    pub async fn repair(&self) -> Result<bool, StageError> {
        let lease = lease::read(self.ledger.as_ref(), &ledger::switch_lease_key()).await?;
        match lease.map(|l| l.value) {
            Some(lease) if !lease.was_given_back() && !lease.is_held(self.clock.now()) => {
                let who = "upkeep";
                let fence = self.take_lease(who).await?;
                self.give_lease_back(who, fence, true).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The same, when whoever holds the lease can only be dead.
    pub async fn repair_alone(&self) -> Result<bool, StageError> {
        let key = ledger::switch_lease_key();
        let Some(seen) = lease::read(self.ledger.as_ref(), &key).await? else { return Ok(false) };
        if seen.value.was_given_back() {
            return Ok(false);
        }
        self.ledger.transact(vec![lease::expire(key, &seen)]).await?;
        self.repair().await
    }
}
