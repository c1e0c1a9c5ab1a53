//! A whole Teal in one process: the stages over the local adapters, fed by the local host.
//!
//! Owns putting things together, and what runs when. Owns no rule of any stage.
//!
//! What lies in the data directory:
//!
//! ```text
//! teal.lock   who works on it, and where that one answers
//! teal.db     entities and ledger; open it with any SQLite shell
//! inbox.db    queues and small raw objects
//! blobs/      large raw objects
//! secrets/    a file a secret, unless the environment has it
//! token       what callers of the local API show
//! ```

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use teal::config::schedule::Schedule;
use teal::config::{Bundle, System};
use teal::domain::{Message, Millis, Mode, QueueName, Secret, SourceId};
use teal::metrics::{Meter, Prometheus};
use teal::pipeline::admin::{Admin, Deployed};
use teal::pipeline::api::AdminApi;
use teal::pipeline::backup::{Backups, Shelf};
use teal::pipeline::caller::{Caller, Role};
use teal::pipeline::poll::{Budget, Poll};
use teal::pipeline::serve::Serve;
use teal::pipeline::switch::Switch;
use teal::pipeline::transform::Transform;
use teal::pipeline::upkeep::Upkeep;
use teal::pipeline::webhook::{Memory, Webhook};
use teal::pipeline::{StageError, Systems};
use teal::ports::queue::{Outgoing, send_all};
use teal::ports::{
    BlobAdmin, BlobReader, BlobStore, BlobWriter, Clock, Connectors, EntityAdmin, EntityReader, EntityWriter, Entropy,
    Fault, Intake, Ledger, LedgerReader, QueueSender, Secrets, Upstream,
};
use teal::trigger::callers::StaticTokens;
use teal::trigger::http::{CurrentHooks, Http};
use teal::trigger::queues;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::blobs::{Folders, LocalBlobs};
use crate::clock::SystemClock;
use crate::entropy::SystemEntropy;
use crate::folder::{self, FolderUpstream};
use crate::host::queues::{WorkerSettings, Workers};
use crate::host::scheduler::{Entry, Scheduler};
use crate::host::stop::Stop;
use crate::inbox::{Inbox, InboxOptions, Queue};
use crate::intake::LocalIntake;
use crate::lock::{DataLock, LockError};
use crate::metrics::LocalMetrics;
use crate::probe::{ProbeOptions, Probes};
use crate::secrets::LocalSecrets;
use crate::store::{StoreOptions, TealDb};
use crate::upstream::HttpUpstream;

/// How long one call of a stage works before it queues its own continuation, as in Lambda.
const CALL: Duration = Duration::from_secs(60);
/// How often upkeep looks after things.
const UPKEEP: Duration = Duration::from_secs(60);
/// How often folders that are watched are looked at.
const WATCH: Duration = Duration::from_secs(2);
/// Attempts at a message before it is put aside. With the rests in between, longer than any lease lasts.
const MAX_RECEIVE: u32 = 20;

/// What may differ between a real Teal and one under test.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    pub dir: PathBuf,
    /// What relative names in `teal.yaml` are relative to.
    pub base: PathBuf,
    pub store: StoreOptions,
    pub inbox: InboxOptions,
    /// Batches of pages and changes that are applied at the same time.
    pub transformers: usize,
    /// Announces what the stages write, for tests that kill the process.
    pub probe: Option<ProbeOptions>,
}

impl LocalOptions {
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir: PathBuf = dir.into();
        Self {
            base: dir.parent().unwrap_or(&dir).to_owned(),
            dir,
            store: StoreOptions::default(),
            inbox: InboxOptions { max_receive: MAX_RECEIVE, ..InboxOptions::default() },
            transformers: 4,
            probe: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("can't write '{}'", .path.display())]
    Io {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
}

/// The open data directory with every stage over it. Ours alone until it is dropped.
pub struct Local {
    pub ledger: Arc<dyn Ledger>,
    pub reader: Arc<dyn EntityReader>,
    pub queue: Arc<Queue>,
    pub intake: Arc<dyn Intake>,
    pub clock: Arc<dyn Clock>,
    pub systems: Arc<Systems>,
    pub poll: Arc<Poll>,
    pub transform: Arc<Transform>,
    pub switch: Arc<Switch>,
    pub admin: Arc<Admin>,
    pub upkeep: Arc<Upkeep>,
    pub backups: Arc<Backups>,
    serve: Arc<Serve>,
    hooks: Arc<CurrentHooks>,
    entropy: Arc<dyn Entropy>,
    collected: Arc<Prometheus>,
    token: Secret,
    probes: Probes,
    options: LocalOptions,
    lock: DataLock,
}

impl Local {
    pub fn open(options: LocalOptions, connectors: Arc<dyn Connectors>) -> Result<Self, LocalError> {
        let lock = DataLock::take(&options.dir)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        let probes = Probes::open(options.probe.as_ref())?;
        let store = TealDb::open(options.dir.join("teal.db"), options.store)?;
        let inbox = Inbox::open(&options.dir, clock.clone(), options.inbox)?;
        let queue = inbox.queue();
        let sender: Arc<dyn QueueSender> = queue.clone();
        let blobs = Arc::new(LocalBlobs::open(&options.dir, inbox.clone())?);
        let intake: Arc<dyn Intake> = Arc::new(LocalIntake::new(blobs.clone(), inbox.clone(), clock.clone()));
        let secrets: Arc<dyn Secrets> = Arc::new(LocalSecrets::new(options.dir.join("secrets")));
        let others: Arc<dyn Upstream> = Arc::new(HttpUpstream::new()?);
        let upstream: Arc<dyn Upstream> = Arc::new(FolderUpstream { base: options.base.clone(), others });
        let ledger: Arc<dyn Ledger> = store.clone();
        let ledger_reader: Arc<dyn LedgerReader> = store.clone();
        let entity_admin: Arc<dyn EntityAdmin> = store.clone();
        let entity_writer: Arc<dyn EntityWriter> = store.clone();
        let reader: Arc<dyn EntityReader> = store;
        let blob_reader: Arc<dyn BlobReader> = blobs.clone();
        let blob_writer: Arc<dyn BlobWriter> = blobs.clone();
        let blob_admin: Arc<dyn BlobAdmin> = blobs.clone();
        let systems = Systems::new(ledger_reader.clone(), blob_reader.clone(), secrets.clone(), connectors);
        let systems = Arc::new(systems.alone());
        let at = |stage| probes.stage(stage);
        let collected = Arc::new(Prometheus::default());
        let meter: Arc<dyn Meter> = collected.clone();
        let shelf = Arc::new(Shelf {
            here: blob_reader.clone(),
            elsewhere: Arc::new(Folders::new(options.base.clone())),
            systems: systems.clone(),
            clock: clock.clone(),
        });
        let blob_store: Arc<dyn BlobStore> = blobs;
        let backups = Arc::new(Backups {
            ledger: at("backup").ledger(&ledger),
            reader: reader.clone(),
            blobs: blob_store,
            shelf: shelf.clone(),
            systems: systems.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            meter: meter.clone(),
        });
        let switch = Arc::new(Switch {
            ledger: at("switch").ledger(&ledger),
            admin: at("switch").entities(&entity_admin),
            writer: at("switch").writer(&entity_writer),
            reader: reader.clone(),
            blobs: blob_reader.clone(),
            queue: at("switch").queue(&sender),
            systems: systems.clone(),
            clock: clock.clone(),
            meter: meter.clone(),
        });
        let webhook = Webhook {
            intake: at("webhook").intake(&intake),
            blobs: at("webhook").blobs(&blob_writer),
            secrets,
            ledger: at("webhook").ledger(&ledger),
            upstream: Arc::new(HttpUpstream::public_only()?),
            memory: Memory::default(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            meter: meter.clone(),
        };
        let token = token(&options.dir.join("token"), entropy.as_ref())?;
        Ok(Self {
            poll: Arc::new(Poll {
                ledger: at("poll").ledger(&ledger),
                entities: at("poll").entities(&entity_admin),
                blobs: at("poll").blobs(&blob_writer),
                raws: blob_reader.clone(),
                queue: at("poll").queue(&sender),
                upstream,
                systems: systems.clone(),
                clock: clock.clone(),
                entropy: entropy.clone(),
                shelf,
                meter: meter.clone(),
            }),
            transform: Arc::new(Transform {
                ledger: at("transform").ledger(&ledger),
                entities: at("transform").writer(&entity_writer),
                blobs: blob_reader.clone(),
                raws: at("transform").blobs(&blob_writer),
                queue: at("transform").queue(&sender),
                systems: systems.clone(),
                clock: clock.clone(),
                meter,
            }),
            admin: Arc::new(Admin {
                ledger: at("admin").ledger(&ledger),
                entities: at("admin").entities(&entity_admin),
                reader: reader.clone(),
                blobs: at("admin").blobs(&blob_writer),
                queue: at("admin").queue(&sender),
                systems: systems.clone(),
                switch: switch.clone(),
                clock: clock.clone(),
            }),
            upkeep: Arc::new(Upkeep {
                ledger: at("upkeep").ledger(&ledger),
                entities: at("upkeep").entities(&entity_admin),
                blobs: blob_reader,
                blob_admin: at("upkeep").blob_admin(&blob_admin),
                queue: at("upkeep").queue(&sender),
                systems: systems.clone(),
                switch: switch.clone(),
                clock: clock.clone(),
            }),
            backups,
            serve: Arc::new(Serve { entities: reader.clone(), ledger: ledger_reader, clock: clock.clone() }),
            hooks: Arc::new(CurrentHooks { webhook, systems: systems.clone() }),
            ledger,
            reader,
            queue,
            intake,
            clock,
            systems,
            switch,
            entropy,
            collected,
            token,
            probes,
            options,
            lock,
        })
    }

    /// Puts a configuration into force.
    pub async fn deploy(&self, bundle: &Bundle) -> Result<Deployed, StageError> {
        self.admin.deploy(bundle).await
    }

    /// What callers of the local API show.
    #[must_use]
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// Starts the workers and upkeep, and the system's schedules if they are wanted, until `stop`. Whatever
    /// an earlier process left behind goes on.
    pub async fn start(&self, stop: &Stop, schedules: bool) -> Result<Running, StageError> {
        let spent = Arc::new(AtomicBool::new(false));
        self.queue.release_all().await?;
        self.upkeep.round(true, &self.budget(&spent)).await?;
        let mut tasks = JoinSet::new();
        let flag = spent.clone();
        let stopped = stop.clone();
        tasks.spawn(async move {
            stopped.stopped().await;
            flag.store(true, Ordering::Relaxed);
        });
        let settings = WorkerSettings { workers: 1, batch: 1, ..WorkerSettings::default() };
        let workers = |name, settings| (self.queue.clone(), name, self.clock.clone(), settings, stop);
        let mut all = Vec::new();

        let (queue, name, clock, at_once, stop_) = workers(QueueName::Poll, WorkerSettings { workers: 4, ..settings });
        let (poll, budget, probe) = (self.poll.clone(), self.budgets(&spent), self.probes.stage("poll"));
        all.push(Workers::start(queue, name, clock, at_once, stop_, move |event| {
            let (poll, budget, probe) = (poll.clone(), budget(), probe.clone());
            async move { probe.handling(queues::poll(poll, event, &budget)).await }
        }));

        let settings_of_transform =
            WorkerSettings { workers: self.options.transformers, batch: 10, ..WorkerSettings::default() };
        let (queue, name, clock, at_once, stop_) = workers(QueueName::Transform, settings_of_transform);
        let (transform, probe) = (self.transform.clone(), self.probes.stage("transform"));
        all.push(Workers::start(queue, name, clock, at_once, stop_, move |event| {
            probe.clone().handling(queues::transform(transform.clone(), event))
        }));

        let (queue, name, clock, at_once, stop_) = workers(QueueName::Switch, settings);
        let (switch, budget, probe) = (self.switch.clone(), self.budgets(&spent), self.probes.stage("switch"));
        all.push(Workers::start(queue, name, clock, at_once, stop_, move |event| {
            let (switch, budget, probe) = (switch.clone(), budget(), probe.clone());
            async move { probe.handling(queues::switch(switch, event, &budget)).await }
        }));

        let mut entries = vec![self.upkeep_entry(&spent)];
        if schedules {
            let loaded = self.systems.current().await?;
            entries.extend(self.schedule_entries(&loaded.system));
            for source in loaded.system.sources.keys() {
                if let Some(folder) = loaded.connector(source)?.folder() {
                    entries.push(self.watch_entry(SourceId::new(source.as_str()), self.options.base.join(folder)));
                }
            }
        }
        let scheduler = Scheduler::start(entries, &self.clock, stop);
        Ok(Running { workers: all, scheduler, tasks })
    }

    /// Answers HTTP until `stop`. With `open`, everybody may read.
    pub async fn serve(
        &mut self,
        listener: TcpListener,
        console: Option<Arc<dyn AdminApi>>,
        open: bool,
        stop: Stop,
    ) -> Result<impl Future<Output = std::io::Result<()>> + Send + use<>, LocalError> {
        if let Ok(address) = listener.local_addr() {
            self.lock.serving(address)?;
        }
        let http = Arc::new(self.http(console, open));
        Ok(crate::host::http::serve(listener, self.clock.clone(), self.entropy.clone(), stop, move |event| {
            let http = http.clone();
            async move { http.handle(event).await }
        }))
    }

    /// What answers HTTP requests, for whoever has them as events.
    #[must_use]
    pub fn http(&self, admin: Option<Arc<dyn AdminApi>>, open: bool) -> Http {
        let owner = Caller::new("token file", [Role::Admin]);
        Http {
            hooks: Some(self.hooks.clone()),
            serve: Some(self.serve.clone()),
            admin,
            callers: Arc::new(StaticTokens::new([(self.token.clone(), owner)])),
            open,
            meter: self.collected.clone(),
            metrics: Some(Arc::new(LocalMetrics {
                collected: self.collected.clone(),
                ledger: self.ledger.clone(),
                systems: self.systems.clone(),
                backups: self.backups.clone(),
                queue: self.queue.clone(),
                clock: self.clock.clone(),
            })),
        }
    }

    fn budget(&self, spent: &Arc<AtomicBool>) -> Budget {
        Budget { deadline: Some(self.clock.now().plus(CALL)), stop: spent.clone() }
    }

    /// A new budget for every call.
    fn budgets(&self, spent: &Arc<AtomicBool>) -> impl Fn() -> Budget + Send + Sync + use<> {
        let (clock, spent) = (self.clock.clone(), spent.clone());
        move || Budget { deadline: Some(clock.now().plus(CALL)), stop: spent.clone() }
    }

    fn upkeep_entry(&self, spent: &Arc<AtomicBool>) -> Entry {
        let (upkeep, backups, budget) = (self.upkeep.clone(), self.backups.clone(), Arc::new(self.budgets(spent)));
        Entry {
            name: "upkeep".into(),
            since: None,
            next: Box::new(|after| Some(after.plus(UPKEEP))),
            action: Box::new(move |_| {
                let (upkeep, backups, budget) = (upkeep.clone(), backups.clone(), budget.clone());
                async move {
                    if let Err(error) = upkeep.round(false, &budget()).await {
                        tracing::warn!(%error, "upkeep could not finish its round");
                    }
                    if let Err(error) = backups.round(&budget()).await {
                        tracing::warn!(%error, "a backup could not go on");
                    }
                }
                .boxed()
            }),
        }
    }

    fn schedule_entries(&self, system: &System) -> Vec<Entry> {
        let mut entries = Vec::new();
        for source in system.sources.values() {
            for (mode, schedule) in [(Mode::Full, &source.full), (Mode::Incremental, &source.incremental)] {
                if let Some(schedule) = schedule {
                    entries.push(self.schedule_entry(SourceId::new(source.name.as_str()), mode, schedule.clone()));
                }
            }
        }
        entries
    }

    /// Asks for what changed in a folder, and for all of it when a file is gone or may have gone unseen.
    fn watch_entry(&self, source: SourceId, folder: PathBuf) -> Entry {
        let (queue, known) = (self.queue.clone(), Arc::new(Mutex::new(None)));
        Entry {
            name: format!("{} watch", source.name),
            since: None,
            next: Box::new(|after| Some(after.plus(WATCH))),
            action: Box::new(move |_| {
                let (queue, known, source, folder) = (queue.clone(), known.clone(), source.clone(), folder.clone());
                async move {
                    let mut known = known.lock().await;
                    let looked = tokio::task::spawn_blocking(move || folder::look(&folder)).await;
                    let now = match looked {
                        Ok(Ok(now)) => now,
                        Ok(Err(error)) => return tracing::warn!(%error, "a folder can't be watched"),
                        Err(error) => return tracing::warn!(%error, "a folder can't be watched"),
                    };
                    let mode = match known.as_ref() {
                        Some(before) if *before == now => return,
                        Some(before) if folder::lacks_none(&now, before) => Mode::Incremental,
                        _ => Mode::Full,
                    };
                    let message = Message::Sync { source, mode, cause: "watch".into(), trace: None };
                    match send_all(queue.as_ref(), vec![Outgoing::now(message)]).await {
                        Ok(()) => *known = Some(now),
                        Err(error) => tracing::warn!(%error, "a sync of a folder could not be queued"),
                    }
                }
                .boxed()
            }),
        }
    }

    fn schedule_entry(&self, source: SourceId, mode: Mode, schedule: Schedule) -> Entry {
        let queue = self.queue.clone();
        Entry {
            name: format!("{} {mode}", source.name),
            since: None,
            next: Box::new(move |after: Millis| schedule.next_after(after)),
            action: Box::new(move |_| {
                let message = Message::Sync { source: source.clone(), mode, cause: "schedule".into(), trace: None };
                let queue = queue.clone();
                async move {
                    if let Err(error) = send_all(queue.as_ref(), vec![Outgoing::now(message)]).await {
                        tracing::warn!(%error, "a scheduled sync could not be queued");
                    }
                }
                .boxed()
            }),
        }
    }
}

/// Everything that [`Local::start`] started.
#[must_use = "the workers end when this is dropped"]
pub struct Running {
    workers: Vec<Workers>,
    scheduler: Scheduler,
    tasks: JoinSet<()>,
}

impl Running {
    /// Returns when all have stopped, done with what was at hand.
    pub async fn finished(mut self) {
        for workers in self.workers {
            workers.finished().await;
        }
        self.scheduler.finished().await;
        self.tasks.abort_all();
    }
}

/// The token of this directory, made at first use and readable by its owner only.
fn token(path: &Path, entropy: &dyn Entropy) -> Result<Secret, LocalError> {
    let failed = |error| LocalError::Io { path: path.to_owned(), error };
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim())),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let text = format!("teal_{:016x}{:016x}", entropy.next(), entropy.next());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(format!("{text}\n").as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(Secret::new(text))
}
