//! What must hold of a simulated system at rest, looked at through the ports that read: by whoever can open
//! the data, over whatever adapters, once nobody works on it.
//!
//! ```text
//! rest      P12 P7   nothing waits, nothing is held, and each run is what it says
//! rows      P4 P5    readable rows follow from raw: listing, change log, mapping
//!           P10      what could not be mapped is in the list of rejects
//! outside   P1 P6    what was accepted is in the change log; what was there all the time is there
//!           P2       what readers got lacked nothing
//! secrets   P11      no secret lies where somebody could read it
//! ```
//!
//! Owns no watching: the oracle sees each change as it happens, this one only what is left. So it asks less of
//! what was replaced meanwhile, and says how much it looked at, that nobody takes silence for a proof.
//!
//! Always holds: it writes nothing, and the first broken promise is the answer.

mod outside;
mod rest;
mod rows;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::DeserializeOwned;
use teal::domain::{
    ConfigHash, Generation, GenerationId, Manifest, Millis, Pointer, Run, SourceId, Version, VersionState,
};
use teal::pipeline::{StageError, ledger};
use teal::ports::{BlobReader, EntityReader, ItemKey, LedgerReader};

use super::oracle::{Promise, Violation};
use super::source::Source;
use super::system::{Mapping, SOURCES};

/// Where the data lies.
#[derive(Clone, Copy)]
pub struct Stores<'a> {
    pub ledger: &'a dyn LedgerReader,
    pub entities: &'a dyn EntityReader,
    pub blobs: &'a dyn BlobReader,
}

/// What is known outside of the system.
pub struct Known<'a> {
    /// In the order of [`SOURCES`], as they are now.
    pub sources: &'a [Source],
    pub mappings: &'a BTreeMap<ConfigHash, Mapping>,
    pub accepted: &'a [Accepted],
    pub listings: &'a [Listing],
    /// Versions that somebody went to, or may have gone to, without the changes since.
    pub as_was: &'a BTreeSet<Version>,
    pub secrets: &'a [&'a str],
    pub now: Millis,
}

/// A delivery that got a 2xx.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub source: usize,
    pub id: String,
    pub at: Millis,
    /// Whether it changes rows, and does not only ask for a sync.
    pub makes_rows: bool,
}

/// What a reader got from a first page to a last one.
#[derive(Clone, Debug)]
pub struct Listing {
    pub entity: String,
    pub version: Version,
    pub keys: BTreeSet<u64>,
    /// When the last page had come.
    pub ended: Millis,
}

/// How much an audit looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    pub runs: usize,
    pub generations: usize,
    pub rows: usize,
    /// Records of generations that readers do not see, with too many changes of which nobody knows whether they are in.
    pub unsure: usize,
    pub raw: usize,
    pub rejects: usize,
    pub deliveries: usize,
    pub listings: usize,
}

#[derive(Debug)]
pub enum Failed {
    Broken(Violation),
    /// Nobody could look.
    Store(StageError),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(Violation { promise, what, .. }) => write!(f, "{promise}: {what}"),
            Self::Store(error) => write!(f, "what is stored can't be read: {error}"),
        }
    }
}

impl<E: Into<StageError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// Looks at everything.
pub async fn audit(stores: Stores<'_>, known: &Known<'_>) -> Result<Audited, Failed> {
    let mut audit = Audit::new(stores, known).await?;
    audit.nothing_waits().await?;
    audit.runs_are_honest().await?;
    audit.rows_follow_from_raw().await?;
    audit.what_was_accepted_is_known().await?;
    audit.nothing_is_missing().await?;
    audit.readers_lacked_nothing().await?;
    audit.secrets_are_kept().await?;
    Ok(audit.seen)
}

/// After a complete listing of everything, undisturbed: what readers see is what the sources have.
pub async fn is_the_truth(stores: Stores<'_>, known: &Known<'_>) -> Result<(), Failed> {
    Audit::new(stores, known).await?.shows_the_truth().await
}

struct Audit<'a> {
    stores: Stores<'a>,
    known: &'a Known<'a>,
    pointer: Pointer,
    manifests: Vec<Manifest>,
    runs: Vec<Run>,
    seen: Audited,
}

impl<'a> Audit<'a> {
    async fn new(stores: Stores<'a>, known: &'a Known<'a>) -> Result<Self, Failed> {
        let pointer = ledger::pointer(stores.ledger).await?.ok_or(StageError::NoConfig)?;
        let manifests = ledger::manifests(stores.ledger).await?;
        let runs = ledger::read_all::<Run>(stores.ledger, ledger::RUN, "").await?;
        let runs = runs.into_iter().map(|(_, run)| run).collect();
        Ok(Self { stores, known, pointer, manifests, runs, seen: Audited::default() })
    }

    fn expect(&self, holds: bool, promise: Promise, what: impl FnOnce() -> String) -> Result<(), Failed> {
        if holds { Ok(()) } else { Err(self.broken(promise, what())) }
    }

    fn broken(&self, promise: Promise, what: String) -> Failed {
        Failed::Broken(Violation { promise, at: self.known.now, what })
    }

    async fn item<T: DeserializeOwned>(&self, key: &ItemKey) -> Result<Option<T>, Failed> {
        Ok(ledger::read(self.stores.ledger, key).await?.map(|stored| stored.value))
    }

    fn mapping(&self, generation: &Generation) -> Result<Mapping, Failed> {
        let known = self.known.mappings.get(&generation.config).copied();
        known.ok_or_else(|| self.broken(Promise::P13, format!("{} follows a configuration of nobody", generation.id)))
    }

    fn run(&self, generation: &Generation) -> Option<&Run> {
        self.runs.iter().find(|run| Some(&run.id) == generation.listing.as_ref())
    }

    fn is_active(&self, id: &GenerationId) -> bool {
        self.pointer.generations.get(&id.entity) == Some(&id.number)
    }

    /// Versions that name a generation.
    fn versions_of(&self, id: &GenerationId) -> impl Iterator<Item = &Manifest> {
        self.manifests.iter().filter(|manifest| manifest.generations.get(&id.entity) == Some(&id.number))
    }

    /// Whether changes may have been left out of it on somebody's word.
    fn may_lack_changes(&self, id: &GenerationId) -> bool {
        self.versions_of(id).any(|manifest| self.known.as_was.contains(&manifest.version))
    }

    /// Generations of versions that can be read, or switched to, each once.
    fn readable(&self) -> BTreeSet<GenerationId> {
        let is_readable =
            |m: &&Manifest| matches!(m.state, VersionState::Active | VersionState::Previous | VersionState::Ready);
        self.manifests.iter().filter(is_readable).flat_map(Manifest::generation_ids).collect()
    }
}

fn sources() -> impl Iterator<Item = SourceId> {
    SOURCES.iter().map(SourceId::new)
}
