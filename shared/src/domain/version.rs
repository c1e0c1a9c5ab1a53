//! Generations, the versions that name them, and the pointer that names the version people read.
//!
//! Always holds: a generation's number is the number of the version it was built for, so `talents_v7` is
//! what version 7 built and every later version that left talents alone shares it. Version 0 is made when
//! the system is first opened: empty generations, so that readers and changes have a place from the start.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::{ConfigHash, EntityName, Fence, RunId, SourceId};
use super::time::Millis;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u32);

impl Version {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GenerationId {
    pub entity: EntityName,
    pub number: u32,
}

impl GenerationId {
    #[must_use]
    pub fn new(entity: &EntityName, version: Version) -> Self {
        Self { entity: entity.clone(), number: version.0 }
    }
}

/// Also the name of its table where generations are tables.
impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_v{}", self.entity, self.number)
    }
}

/// What a generation was made from; enough to make it again (P13). Its id, source and configuration never change; the
/// rest does when a later listing confirms it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    pub id: GenerationId,
    pub source: SourceId,
    /// The configuration whose mapping and schema it follows, for as long as it lives.
    pub config: ConfigHash,
    /// Upserts stated before it are superseded by the complete listing that started then.
    pub floor: Millis,
    /// The run whose page slots are its complete listing; `None` for the empty generations of version 0.
    pub listing: Option<RunId>,
    /// First entry of the source's change log that may not be in the listing.
    pub since: u64,
    /// Where the listing is not the one that its rows were made from, but a later one that found the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confirmed>,
}

/// A listing that found exactly what was there, and is written down in the rows when somebody needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Later than everything that the listing stated.
    pub until: Millis,
    /// The version that its run had begun to build: newer than all that was built before.
    pub by: Version,
    /// The last of the listing's slots that is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether all are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub written: bool,
}

impl Generation {
    /// Whether a listing under whose build this one was begun could be a later listing of the same.
    #[must_use]
    pub fn can_be_confirmed_by(&self, built: &Self) -> bool {
        self.config == built.config && self.source == built.source && self.listing.is_some()
    }

    /// Whether something that was stated then can't be told from what its rows hold.
    #[must_use]
    pub fn is_unsure_of(&self, stated: Millis) -> bool {
        self.confirmed.as_ref().is_some_and(|confirmed| !confirmed.written && stated < confirmed.until)
    }
}

/// Of the generations that a version names, the one that says which complete listing of a source it shows:
/// entities that were declared since have none.
#[must_use]
pub fn newest_listed<'a>(generations: &'a [Generation], source: &SourceId) -> Option<&'a Generation> {
    let listed = generations.iter().filter(|g| g.source == *source && g.listing.is_some());
    listed.max_by_key(|g| g.id.number)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    Building,
    /// Built and verified, waiting for somebody to switch to it.
    Ready,
    Active,
    /// Was active, can be rolled back to.
    Previous,
    /// Its own generations are gone or going.
    Retired,
    /// Never became visible.
    Dropped,
}

/// Names, per entity, the generation that a version shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: Version,
    pub state: VersionState,
    pub generations: BTreeMap<EntityName, u32>,
    pub run: Option<RunId>,
    pub created: Millis,
    /// The last time that it became active.
    #[serde(default)]
    pub activated: Option<Millis>,
    /// The last time that it ceased to be active.
    #[serde(default)]
    pub deactivated: Option<Millis>,
    /// Per source, the change-log number up to which its own generations had everything replayed while they
    /// were built.
    #[serde(default)]
    pub replayed: BTreeMap<String, u64>,
    /// How many full runs found what it shows while it was active.
    #[serde(default, skip_serializing_if = "is_none")]
    pub confirmed: u32,
    /// Per `source#stream`, the cursor that its data stands at. Set when it ceases to be active.
    #[serde(default)]
    pub cursors: BTreeMap<String, serde_json::Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_none(confirmed: &u32) -> bool {
    *confirmed == 0
}

impl Manifest {
    /// An entity that this version built and that was built again since, for what is shown now: to switch to this
    /// version for the first time would take readers back, behind cursors that have moved on.
    #[must_use]
    pub fn overtaken(&self, shown: &BTreeMap<EntityName, u32>) -> Option<(&EntityName, Version)> {
        let own = self.generations.iter().filter(|(_, number)| **number == self.version.0);
        let mut newer = own.filter_map(|(entity, number)| Some((entity, shown.get(entity).filter(|v| *v > number)?)));
        newer.next().map(|(entity, shown)| (entity, Version(*shown)))
    }

    /// The generations that it built itself.
    #[must_use]
    pub fn own_generations(&self) -> BTreeMap<EntityName, u32> {
        let own = self.generations.iter().filter(|(_, number)| **number == self.version.0);
        own.map(|(entity, number)| (entity.clone(), *number)).collect()
    }

    #[must_use]
    pub fn generation_ids(&self) -> Vec<GenerationId> {
        ids(&self.generations)
    }
}

fn ids(generations: &BTreeMap<EntityName, u32>) -> Vec<GenerationId> {
    generations.iter().map(|(entity, number)| GenerationId { entity: entity.clone(), number: *number }).collect()
}

/// The one item that names the active version. Carries what a reader needs, so that one read is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    pub version: Version,
    pub previous: Option<Version>,
    pub generations: BTreeMap<EntityName, u32>,
    pub fence: Fence,
    pub at: Millis,
}

impl Pointer {
    #[must_use]
    pub fn generation_ids(&self) -> Vec<GenerationId> {
        ids(&self.generations)
    }

    #[must_use]
    pub fn generation(&self, entity: &EntityName) -> Option<GenerationId> {
        self.generations.get(entity).map(|number| GenerationId { entity: entity.clone(), number: *number })
    }
}
