//! Starting a run: its lease, its fence and, for one that builds, its version, in one transaction.
//!
//! Always holds: one run a source at a time, one building version a system. Whoever comes second leaves a
//! note, and the run that is at work passes it on when it ends; a full run in the note outweighs an
//! incremental one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Poll;
use crate::config::{Entity, System};
use crate::domain::{
    Fence, Generation, GenerationId, Manifest, Mode, Pointer, Run, RunId, RunState, SourceId, TraceParent, Version,
    VersionState,
};
use crate::mutants::{self, Mutant};
use crate::pipeline::changelog::{self, CLOCK_SKEW};
use crate::pipeline::error::StageError;
use crate::pipeline::lease::{self, LEASE};
use crate::pipeline::ledger::{self, Building, NextSync, Numbers, Request, Stored};
use crate::pipeline::systems::Loaded;
use crate::ports::entities::{Gate, GenerationSpec};
use crate::ports::{Precondition, Write};

/// How the cause of a sync begins that a delivery asked for; the delivery follows. A delivery comes more than
/// once, and asks for one sync all the same.
pub(in crate::pipeline) const WEBHOOK_CAUSE: &str = "webhook ";

/// How much of that is kept when several deliveries ask for one sync.
const MOST_WORDS: usize = 400;

/// Who asks for a sync of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub source: SourceId,
    pub mode: Mode,
    pub cause: String,
    /// Whether a build that verifies becomes active by itself.
    pub switch: bool,
    /// Whether the guard is told to let it pass.
    pub force: bool,
    /// The story that it is part of.
    pub trace: Option<TraceParent>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    Run(RunId),
    /// This run of the source was cut off; it goes on instead.
    Resumes(RunId),
    /// Another run is at work; the note is left, and this is who it waits for.
    Waits(String),
}

impl Poll {
    pub async fn start(&self, asked: Asked) -> Result<Started, StageError> {
        self.start_as(asked, None).await
    }

    /// The same, for something that may ask more than once: if the source's last run was started by the same
    /// `request`, that run is the answer, also when it has ended.
    pub async fn start_once(&self, asked: Asked, request: &str) -> Result<Started, StageError> {
        self.start_as(asked, Some(request).filter(|request| !request.is_empty())).await
    }

    async fn start_as(&self, asked: Asked, request: Option<&str>) -> Result<Started, StageError> {
        if let Some(run) = self.started_by(&asked.source, request).await? {
            return Ok(Started::Resumes(run));
        }
        let loaded = self.systems.current().await?;
        let source = loaded.source(&asked.source.name)?;
        self.systems.check_secrets(source).await?;
        let key = ledger::lease_key(&asked.source);
        let seen = lease::read(self.ledger.as_ref(), &key).await?;
        // Not before: whoever had the lease in between may have moved the cursor beyond a time that is older.
        let now = self.clock.now();
        if let Some(lease) = seen.as_ref().map(|s| &s.value).filter(|_| !mutants::on(Mutant::TwoRunsAtOnce)) {
            let run = ledger::run(self.ledger.as_ref(), &RunId::new(&lease.holder)).await?.map(|run| run.value);
            let told = asked.cause.starts_with(WEBHOOK_CAUSE);
            if let Some(run) = run.as_ref().filter(|run| told && run.cause == asked.cause && run.mode == asked.mode) {
                return Ok(Started::Resumes(run.id.clone()));
            }
            if let Some(run) = run.filter(|run| run.state != RunState::Ended) {
                if lease.is_held(now) {
                    return self.leave_note(&asked, &lease.holder).await;
                }
                if told || (asked.mode == Mode::Full && run.mode == Mode::Incremental) {
                    // The source says that there is something newer than what that run has listed so far, or
                    // more is asked for than that run does.
                    self.leave_note(&asked, &lease.holder).await?;
                }
                return Ok(Started::Resumes(RunId::new(&lease.holder)));
            }
        }
        let mode = self.mode_that_works(&loaded, &asked).await?;
        let sources = vec![asked.source.clone()];
        let mut run = Run {
            switch: asked.switch,
            force: asked.force,
            cause: asked.cause.clone(),
            trace: asked.trace.clone(),
            ..Run::begun(self.new_run_id(), mode, sources, loaded.system.hash.clone(), now)
        };
        let numbers = ledger::read(self.ledger.as_ref(), &ledger::numbers_key()).await?;
        let lease = |numbers: Option<&Stored<Numbers>>| {
            lease::take(key.clone(), seen.as_ref(), numbers, run.id.to_string(), now.plus(LEASE), 0)
        };
        let (fence, mut writes) = match mode {
            Mode::Incremental => {
                let (fence, writes) = lease(numbers.as_ref());
                (fence, writes.to_vec())
            }
            Mode::Full => {
                let building: Option<Stored<Building>> =
                    ledger::read(self.ledger.as_ref(), &ledger::building_key()).await?;
                if let Some(building) = building {
                    return self.leave_note(&asked, building.value.run.as_str()).await;
                }
                let (fence, [lease, _]) = lease(numbers.as_ref());
                let since = changelog::first_since(self.ledger.as_ref(), &asked.source, now.minus(CLOCK_SKEW)).await?;
                let listing = Origin { listing: Some(run.id.clone()), floor: now, since };
                let origins = BTreeMap::from([(asked.source.clone(), listing)]);
                let build = self.new_build(&loaded, &run.id, numbers.as_ref(), fence, &origins).await?;
                run.builds = Some(build.0);
                (fence, std::iter::once(lease).chain(build.1).collect())
            }
            Mode::Rebuild | Mode::Restore => {
                return Err(StageError::Impossible(format!("a {mode} is not started as a sync")));
            }
        };
        run.fence = fence;
        writes.push(ledger::put(ledger::run_key(&run.id), &run, Precondition::Absent));
        if let Some(request) = request {
            let request = Request { id: request.to_owned(), run: run.id.clone() };
            writes.push(ledger::put(ledger::request_key(&asked.source), &request, Precondition::None));
        }
        match self.ledger.transact(writes).await {
            Ok(()) => Ok(Started::Run(run.id)),
            // Somebody was faster; look again at what they did.
            Err(error) if ledger::was_refused(&error) => {
                Err(StageError::Busy("another run started at the same moment".into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn started_by(&self, source: &SourceId, request: Option<&str>) -> Result<Option<RunId>, StageError> {
        let Some(id) = request else { return Ok(None) };
        let last: Option<Stored<Request>> = ledger::read(self.ledger.as_ref(), &ledger::request_key(source)).await?;
        Ok(last.map(|last| last.value).filter(|last| last.id == id).map(|last| last.run))
    }

    /// An incremental run needs a cursor that a full one left; without any, this one has to be full.
    async fn mode_that_works(&self, loaded: &Loaded, asked: &Asked) -> Result<Mode, StageError> {
        if asked.mode != Mode::Incremental {
            return Ok(asked.mode);
        }
        let connector = loaded.connector(&asked.source.name)?;
        let mut able = false;
        for stream in loaded.system.streams(&asked.source.name) {
            able |= connector.incremental(&stream);
            if self.ledger.get(&ledger::cursor_key(&asked.source, &stream)).await?.is_some() {
                return Ok(Mode::Incremental);
            }
        }
        if able {
            return Ok(Mode::Full);
        }
        Err(StageError::Impossible(format!(
            "no stream of source '{}' can tell what changed since a time; sync it with --full",
            asked.source.name
        )))
    }

    pub(in crate::pipeline) fn new_run_id(&self) -> RunId {
        let time = self.clock.now().to_string();
        let digits: String = time.chars().filter(char::is_ascii_digit).collect();
        RunId::new(format!("{digits}-{:06x}", self.entropy.next() & 0xff_ffff))
    }

    async fn leave_note(&self, asked: &Asked, busy: &str) -> Result<Started, StageError> {
        let key = ledger::next_key(&asked.source);
        let seen: Option<Stored<NextSync>> = ledger::read(self.ledger.as_ref(), &key).await?;
        let note = joined(seen.as_ref().map(|seen| &seen.value), asked);
        // Written even if it says the same: whoever is passing the note on strikes out only what it has read.
        self.ledger.transact(vec![ledger::put(key, &note, ledger::unchanged(seen.as_ref()))]).await?;
        Ok(Started::Waits(busy.to_owned()))
    }

    /// The writes that make a building version: it shares every active generation that `origins` does not
    /// speak of, and has a new one for each entity that those sources feed.
    pub(in crate::pipeline) async fn new_build(
        &self,
        loaded: &Loaded,
        run: &RunId,
        numbers: Option<&Stored<Numbers>>,
        fence: Fence,
        origins: &BTreeMap<SourceId, Origin>,
    ) -> Result<(Version, Vec<Write>), StageError> {
        let pointer = ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
        let version = next_version(&pointer, numbers);
        let own = loaded.system.entities.iter().filter_map(|entity| {
            let source = SourceId::new(entity.source.as_str());
            let origin = origins.get(&source)?;
            Some(Generation {
                id: GenerationId::new(&entity.name, version),
                source,
                config: loaded.system.hash.clone(),
                floor: origin.floor,
                listing: origin.listing.clone(),
                since: origin.since,
                confirmed: None,
            })
        });
        let writes = self.build_of(loaded, run, numbers, fence, &pointer, own.collect());
        Ok((version, writes))
    }

    /// The writes that make a building version of these generations; all others are shared.
    pub(super) fn build_of(
        &self,
        loaded: &Loaded,
        run: &RunId,
        numbers: Option<&Stored<Numbers>>,
        fence: Fence,
        pointer: &Pointer,
        own: Vec<Generation>,
    ) -> Vec<Write> {
        let version = next_version(pointer, numbers);
        let mut manifest = Manifest {
            version,
            state: VersionState::Building,
            generations: BTreeMap::new(),
            run: Some(run.clone()),
            created: self.clock.now(),
            activated: None,
            deactivated: None,
            replayed: BTreeMap::new(),
            confirmed: 0,
            cursors: BTreeMap::new(),
        };
        let declared = loaded.system.entities.iter().map(|entity| &entity.name);
        let shared = declared.filter_map(|name| Some((name.clone(), *pointer.generations.get(name)?)));
        manifest.generations.extend(shared);
        let mut writes = Vec::new();
        for generation in own {
            manifest.generations.insert(generation.id.entity.clone(), version.0);
            writes.push(ledger::put(ledger::generation_key(&generation.id), &generation, Precondition::Absent));
        }
        let next = Numbers { version, fence };
        writes.push(ledger::put(ledger::numbers_key(), &next, ledger::unchanged(numbers)));
        writes.push(ledger::put(ledger::version_key(version), &manifest, Precondition::Absent));
        let building = Building { version, run: run.clone() };
        writes.push(ledger::put(ledger::building_key(), &building, Precondition::Absent));
        writes
    }

    /// Makes the stored generations of a run's version; those that are there already stay.
    pub(super) async fn create_generations(&self, run: &Run) -> Result<(), StageError> {
        let Some(version) = run.builds else { return Ok(()) };
        let Some(manifest) = ledger::manifest(self.ledger.as_ref(), version).await? else {
            return Err(StageError::NoVersion(version));
        };
        let pointer = ledger::pointer(self.ledger.as_ref()).await?;
        for id in manifest.generation_ids().into_iter().filter(|id| id.number == version.0) {
            let Some(generation) = ledger::generation(self.ledger.as_ref(), &id).await? else { continue };
            let loaded = self.systems.get(&generation.config).await?;
            let entity = entity_of(&loaded.system, &id)?;
            let base = pointer.as_ref().and_then(|p| p.generation(&id.entity));
            self.entities.create(spec(entity, id, generation.floor, base, Gate::Building, run.fence)).await?;
        }
        Ok(())
    }
}

pub(super) fn next_version(pointer: &Pointer, numbers: Option<&Stored<Numbers>>) -> Version {
    numbers.map(|n| n.value.version).unwrap_or_default().max(pointer.version).next()
}

/// One sync that does for the one that waits and for another one: full if either is. What a source said itself is
/// kept, all of it, because a run that was started by one word of it is no answer to another one.
fn joined(waits: Option<&NextSync>, asked: &Asked) -> NextSync {
    let asked = NextSync { mode: asked.mode, cause: asked.cause.clone(), trace: asked.trace.clone() };
    let Some(waits) = waits else { return asked };
    let mode = if waits.mode == Mode::Full { Mode::Full } else { asked.mode };
    let cause = match (waits.cause.strip_prefix(WEBHOOK_CAUSE), asked.cause.strip_prefix(WEBHOOK_CAUSE)) {
        (Some(words), Some(word)) if !words.split(' ').any(|one| one == word) => {
            let kept: String = words.chars().take(MOST_WORDS).collect();
            format!("{WEBHOOK_CAUSE}{kept} {word}")
        }
        (Some(_), _) => waits.cause.clone(),
        (None, _) => asked.cause,
    };
    NextSync { mode, cause, trace: waits.trace.clone().or(asked.trace) }
}

/// Where the data of a source's new generations comes from.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Origin {
    pub listing: Option<RunId>,
    pub floor: crate::domain::Millis,
    pub since: u64,
}

pub(in crate::pipeline) fn entity_of<'a>(system: &'a System, id: &GenerationId) -> Result<&'a Entity, StageError> {
    system.entity(&id.entity).ok_or_else(|| StageError::Config {
        hash: system.hash.clone(),
        why: format!("it has no entity '{}', which generation {id} was made for", id.entity),
    })
}

pub(in crate::pipeline) fn spec(
    entity: &Entity,
    id: GenerationId,
    floor: crate::domain::Millis,
    base: Option<GenerationId>,
    gate: Gate,
    fence: Fence,
) -> GenerationSpec {
    let schema = Arc::clone(&entity.schema);
    GenerationSpec { id, schema, floor, owner_is_key: entity.owner_is_key, base, gate, fence }
}
