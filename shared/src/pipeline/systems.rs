//! Compiled systems by configuration hash: compiled once per process, kept for as long as it lives.
//!
//! Owns the cache, which several systems of one process may share. A generation follows the mapping of the
//! configuration that it was built under, so several may be in use at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::StageError;
use super::ledger::{self, ConfigItem};
use crate::config::{self, Bundle, Problems, SecretName, Source, System};
use crate::domain::{ConfigHash, EntityName, Generation, GenerationId, Pointer, Secret, SourceName};
use crate::ports::connector::ConnectorConfig;
use crate::ports::{BlobReader, Connector, Connectors, EmptySecrets, LedgerError, LedgerReader, Secrets};

/// A system together with its connectors.
pub struct Loaded {
    pub system: System,
    connectors: BTreeMap<SourceName, Arc<dyn Connector>>,
    /// Not kept then: somebody may be about to set them.
    lacks_secrets: bool,
}

impl Loaded {
    pub fn source(&self, name: &SourceName) -> Result<&Source, StageError> {
        self.system.sources.get(name).ok_or_else(|| StageError::NoSource(name.clone()))
    }

    pub fn connector(&self, name: &SourceName) -> Result<&Arc<dyn Connector>, StageError> {
        self.connectors.get(name).ok_or_else(|| StageError::NoSource(name.clone()))
    }
}

/// What is compiled already, by configuration hash.
#[derive(Default)]
pub struct Compiled(Mutex<BTreeMap<ConfigHash, Arc<Loaded>>>);

impl Compiled {
    fn get(&self, hash: &ConfigHash) -> Option<Arc<Loaded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }

    fn keep(&self, loaded: &Arc<Loaded>) {
        if !loaded.lacks_secrets {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(loaded.system.hash.clone(), loaded.clone());
        }
    }
}

/// What is in force, for a process that nobody else deploys beside.
#[derive(Default)]
struct InForce {
    /// Kept while nobody is about to deploy.
    loaded: Option<Arc<Loaded>>,
    /// How many are about to; one that was given up half-way for good, as nobody knows what came of it.
    deploying: u64,
    /// How many were, so that what was read before is not kept after.
    deployed: u64,
}

pub struct Systems {
    ledger: Arc<dyn LedgerReader>,
    blobs: Arc<dyn BlobReader>,
    secrets: Arc<dyn Secrets>,
    /// Nobody's who neither asks a source nor reads its answers.
    connectors: Option<Arc<dyn Connectors>>,
    load: fn(&Bundle) -> Result<System, Problems>,
    compiled: Arc<Compiled>,
    /// Nobody's who shares the ledger with other processes: it is read each time then.
    in_force: Option<Mutex<InForce>>,
    /// Those that were read. What a generation was made from never changes.
    generations: Mutex<BTreeMap<GenerationId, Generation>>,
}

/// Generations kept in memory; more than any system has in use.
const MOST_GENERATIONS: usize = 2000;

impl Systems {
    pub fn new(
        ledger: Arc<dyn LedgerReader>,
        blobs: Arc<dyn BlobReader>,
        secrets: Arc<dyn Secrets>,
        connectors: Arc<dyn Connectors>,
    ) -> Self {
        Self {
            ledger,
            blobs,
            secrets,
            connectors: Some(connectors),
            load: config::load,
            compiled: Arc::default(),
            in_force: None,
            generations: Mutex::default(),
        }
    }

    /// For who takes deliveries in and no more, and runs neither connectors nor programs: a configuration was compiled
    /// as a whole when it was deployed.
    pub fn without_connectors(ledger: Arc<dyn LedgerReader>, blobs: Arc<dyn BlobReader>) -> Self {
        Self {
            ledger,
            blobs,
            secrets: Arc::new(EmptySecrets),
            connectors: None,
            load: config::load_without_programs,
            compiled: Arc::default(),
            in_force: None,
            generations: Mutex::default(),
        }
    }

    /// The same, over what others have compiled with the same secrets.
    #[must_use]
    pub fn sharing(self, compiled: Arc<Compiled>) -> Self {
        Self { compiled, ..self }
    }

    /// For a process that has the ledger for itself, and deploys through this: it remembers what is in force.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { in_force: Some(Mutex::default()), ..self }
    }

    /// The system that is in force now.
    pub async fn current(&self) -> Result<Arc<Loaded>, StageError> {
        let known = self.in_force().map(|known| (known.loaded.clone(), known.deployed));
        if let Some((Some(loaded), _)) = known {
            return Ok(loaded);
        }
        let item: Option<ledger::Stored<ConfigItem>> =
            ledger::read(self.ledger.as_ref(), &ledger::config_key()).await?;
        let loaded = self.get(&item.ok_or(StageError::NoConfig)?.value.hash).await?;
        if let (Some((_, before)), Some(mut now)) = (known, self.in_force())
            && (now.deploying, now.deployed, loaded.lacks_secrets) == (0, before, false)
        {
            now.loaded = Some(loaded.clone());
        }
        Ok(loaded)
    }

    /// Around the write that puts another configuration into force.
    pub async fn deploying<T>(&self, write: impl Future<Output = T>) -> T {
        if let Some(mut known) = self.in_force() {
            known.loaded = None;
            known.deploying += 1;
        }
        let written = write.await;
        if let Some(mut known) = self.in_force() {
            known.deploying -= 1;
            known.deployed += 1;
        }
        written
    }

    fn in_force(&self) -> Option<MutexGuard<'_, InForce>> {
        self.in_force.as_ref().map(|known| known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub async fn get(&self, hash: &ConfigHash) -> Result<Arc<Loaded>, StageError> {
        if let Some(loaded) = self.compiled.get(hash) {
            return Ok(loaded);
        }
        let bytes = self.blobs.get(&Bundle::blob_key(hash)).await?;
        let bundle = Bundle::decode(&bytes)
            .map_err(|error| StageError::Config { hash: hash.clone(), why: error.to_string() })?;
        self.load(&bundle).await
    }

    /// A system from its bundle, compiled if nobody has yet.
    pub async fn load(&self, bundle: &Bundle) -> Result<Arc<Loaded>, StageError> {
        if let Some(loaded) = self.compiled.get(&bundle.hash()) {
            return Ok(loaded);
        }
        let loaded = Arc::new(self.compile(bundle).await?);
        self.compiled.keep(&loaded);
        Ok(loaded)
    }

    /// Compiles everything, connectors included, and checks what needs both: that the streams exist.
    async fn compile(&self, bundle: &Bundle) -> Result<Loaded, StageError> {
        let hash = bundle.hash();
        let bad = |why: String| StageError::Config { hash: hash.clone(), why };
        let system = (self.load)(bundle).map_err(|problems| bad(problems.to_string()))?;
        let mut connectors = BTreeMap::new();
        let mut wrong = Vec::new();
        let mut lacks_secrets = false;
        for source in system.sources.values() {
            let Some(compiler) = &self.connectors else { break };
            let config = self.config_of(source, &mut lacks_secrets).await?;
            let connector = compiler.compile(&source.manifest, &config)?;
            wrong.extend(missing_streams(&system, source, connector.as_ref()));
            connectors.insert(source.name.clone(), connector);
        }
        if wrong.is_empty() { Ok(Loaded { system, connectors, lacks_secrets }) } else { Err(bad(wrong.join("\n"))) }
    }

    /// Fills in secrets. Missing ones stay empty here and are named when a sync starts
    /// ([`Systems::check_secrets`]): reading and rebuilding need none.
    async fn config_of(&self, source: &Source, lacks_secrets: &mut bool) -> Result<ConnectorConfig, StageError> {
        let mut secrets = BTreeMap::new();
        for (member, name) in &source.secrets {
            let secret = self.secrets.get(&name.0).await?;
            *lacks_secrets |= secret.is_none();
            secrets.insert(member.clone(), secret.unwrap_or_else(|| Secret::new("")));
        }
        Ok(ConnectorConfig { plain: source.config.clone(), secrets })
    }

    /// The same as they are now, for whoever asks what they are made from: a listing may have confirmed them.
    pub async fn generations_now(&self, ids: Vec<GenerationId>) -> Result<Vec<Generation>, LedgerError> {
        ids.iter().for_each(|id| drop(self.read_generations().remove(id)));
        self.generations(ids).await
    }

    /// By entity, the version whose listing readers see: the one that built it, or the last that confirmed it.
    pub async fn listed_by(&self, shown: &Pointer) -> Result<BTreeMap<EntityName, u32>, LedgerError> {
        let shown = self.generations_now(shown.generation_ids()).await?;
        let by = |g: &Generation| g.confirmed.as_ref().map_or(g.id.number, |confirmed| confirmed.by.0);
        Ok(shown.into_iter().map(|generation| (generation.id.entity.clone(), by(&generation))).collect())
    }

    /// The generations of these ids that are known, in the order of the ids. Only ids that a pointer or a manifest
    /// names may be asked for: before, what a generation is made from is not settled.
    pub async fn generations(&self, ids: Vec<GenerationId>) -> Result<Vec<Generation>, LedgerError> {
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(known) = self.read_generations().get(&id).cloned() {
                out.push(known);
            } else if let Some(found) = ledger::generation(self.ledger.as_ref(), &id).await? {
                let mut known = self.read_generations();
                if known.len() >= MOST_GENERATIONS {
                    known.clear();
                }
                known.insert(id, found.clone());
                out.push(found);
            }
        }
        Ok(out)
    }

    fn read_generations(&self) -> MutexGuard<'_, BTreeMap<GenerationId, Generation>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn secret(&self, name: &SecretName) -> Result<Secret, StageError> {
        self.secrets.get(&name.0).await?.ok_or_else(|| StageError::NoSecret(name.clone()))
    }

    /// Every secret that the source's connector needs is there.
    pub async fn check_secrets(&self, source: &Source) -> Result<(), StageError> {
        for name in source.secrets.values() {
            if self.secrets.get(&name.0).await?.is_none() {
                return Err(StageError::NoSecret(name.clone()));
            }
        }
        Ok(())
    }
}

/// Streams that entities of a source are made from and that its connector does not have, in words.
#[must_use]
pub fn missing_streams(system: &System, source: &Source, connector: &dyn Connector) -> Vec<String> {
    if connector.describes_more() {
        return Vec::new();
    }
    let have = connector.streams();
    let missing = system.streams(&source.name).into_iter().filter(|stream| !have.contains(stream));
    let names: Vec<&str> = have.iter().map(|stream| stream.as_str()).collect();
    missing
        .map(|stream| {
            format!("source '{}' has no stream '{stream}'; its connector has {}", source.name, names.join(", "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::domain::Millis;
    use crate::pipeline::fakes::{MemoryBlobs, MemoryLedger, ready};
    use crate::ports::BlobWriter as _;

    struct World {
        ledger: Arc<MemoryLedger>,
        systems: Systems,
        hashes: [ConfigHash; 2],
    }

    impl World {
        fn new() -> Self {
            let (ledger, blobs) = (Arc::new(MemoryLedger::default()), Arc::new(MemoryBlobs::default()));
            let hashes = ["one", "two"].map(|name| {
                let files = [("teal.yaml".to_owned(), format!("system: {name}\nsources: {{}}\nentities: {{}}\n"))];
                let bundle = Bundle { files: files.into(), env: BTreeMap::new() };
                ready(blobs.put_if_absent(&Bundle::blob_key(&bundle.hash()), bundle.encode().into())).unwrap();
                bundle.hash()
            });
            let systems = Systems::without_connectors(ledger.clone(), blobs).alone();
            let world = Self { ledger, systems, hashes };
            world.write(0);
            world
        }

        fn write(&self, nth: usize) {
            self.ledger.put(ledger::config_key(), &ConfigItem { hash: self.hashes[nth].clone(), at: Millis(0) });
        }

        fn in_force(&self) -> usize {
            let current = ready(self.systems.current()).unwrap();
            self.hashes.iter().position(|hash| *hash == current.system.hash).unwrap()
        }
    }

    #[test]
    fn what_is_in_force_is_remembered_until_something_else_is_deployed() {
        let world = World::new();
        assert_eq!(world.in_force(), 0);
        world.write(1);
        assert_eq!(world.in_force(), 0, "nobody deployed it through this");
        ready(world.systems.deploying(async { world.write(1) }));
        assert_eq!(world.in_force(), 1);
    }

    #[test]
    fn what_was_read_while_somebody_deployed_is_not_remembered() {
        let world = World::new();
        ready(world.systems.deploying(async {
            assert_eq!(world.in_force(), 0);
            world.write(1);
        }));
        assert_eq!(world.in_force(), 1);
    }

    #[test]
    fn after_a_deployment_of_which_nobody_knows_the_end_it_is_read_each_time() {
        let world = World::new();
        {
            let mut given_up = pin!(world.systems.deploying(std::future::pending::<()>()));
            assert_eq!(given_up.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        }
        assert_eq!(world.in_force(), 0);
        world.write(1);
        assert_eq!(world.in_force(), 1);
    }
}
