//! One simulation from its plan to its verdict.
//!
//! Three parts: the plan is carried out while faults strike; then faults stop and everything has to drain;
//! then, in one of five worlds, everything is rebuilt from raw and synced once more, undisturbed, and has to be
//! what the sources have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use serde_json::json;
use teal::domain::{Message, Millis, Mode, QueueName, Run, RunState, SourceId};
use teal::pipeline::api::ReadApi as _;
use teal::pipeline::ledger;
use teal::pipeline::poll::{Asked, Started};
use teal::ports::queue::{Outgoing, QueueSender};

use super::executor::{Executor, Spawner, TaskId};
use super::faults::{Faults, Kind};
use super::library::{Configurations, Library};
use super::oracle::{Next, Oracle, Promise, Violation, Watched};
use super::plan::{Action, ENTITIES, Plan};
use super::process::{Answered, Process};
use super::sources::{LATEST_COMMIT, News, Sources, lateness};
use super::system::{API_KEY, HOOK_SECRET, Mapping, SOURCES};
use super::world::{End, History, Stores, TrueClock, World};
use super::{PROCESSES, START};
use crate::memory::{
    MemoryBlobs, MemoryEntities, MemoryLedger, MemoryQueue, MemorySecrets, Observer, SeededEntropy, lock,
};
use crate::seed::Seed;

/// Batches of one queue that are handled at the same time.
const AT_ONCE: usize = 3;
/// How long everything may take to drain once faults have stopped.
const DRAINS_IN: Duration = Duration::from_secs(4 * 3600);
/// How often upkeep runs once faults have stopped.
const UPKEEP: Duration = Duration::from_secs(120);
/// Steps after which a world that goes on is taken for one that never ends.
const MOST_STEPS: u64 = 400_000;

/// What came of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub violation: Option<Violation>,
    /// How often each fault struck, in the order of [`Kind::ALL`].
    pub faults: Vec<u64>,
    /// Steps of tasks, each up to its next wait.
    pub steps: u64,
    pub runs: u64,
    /// Milliseconds that went by in the world.
    pub time: u64,
    pub history: Vec<String>,
}

/// Carries out a plan.
pub fn simulate(plan: &Plan, library: &mut Library, with_history: bool) -> Report {
    let mut simulation = Simulation::new(plan, library, with_history);
    simulation.open(library);
    simulation.carry_out(plan, library);
    simulation.drain(library);
    if plan.look_again {
        simulation.look_again(library);
    }
    simulation.report()
}

struct Simulation {
    executor: Executor,
    spawner: Spawner,
    world: Arc<World>,
    configurations: Arc<Configurations>,
    /// Those that are alive.
    processes: Arc<Mutex<Vec<Arc<Process>>>>,
    /// Whose tasks those are that die with a process.
    owners: BTreeMap<TaskId, usize>,
    at_work: BTreeMap<QueueName, Vec<TaskId>>,
    /// Tasks that no queue knows of and that have to end all the same.
    errands: Vec<TaskId>,
    seed: Seed,
    deliveries: u64,
    steps: u64,
}

impl Simulation {
    fn new(plan: &Plan, library: &mut Library, with_history: bool) -> Self {
        let mut seed = Seed(plan.seed);
        let executor = Executor::new(START, seed.branch());
        let time = executor.time.clone();
        let faults = Arc::new(Faults::new(&mut seed.branch(), &plan.without, plan.most_faults));
        let configurations = library.configurations(plan.shape);
        let queue = MemoryQueue::new(Arc::new(TrueClock(time.clone())), seed.branch());
        queue.set_kindness(true, 0);
        let stores = Stores {
            entities: Arc::new(MemoryEntities::default()),
            ledger: Arc::new(MemoryLedger::default()),
            blobs: Arc::new(MemoryBlobs::default()),
            queue: Arc::new(queue),
            secrets: Arc::new(MemorySecrets::default()),
            entropy: Arc::new(SeededEntropy::new(seed.branch())),
        };
        stores.secrets.set("api-key", API_KEY);
        stores.secrets.set("hook", HOOK_SECRET);
        let sources = Arc::new(Mutex::new(Sources::new(plan.rounds, plan.records, START, seed.branch())));
        let clocks = [Kind::ClockSkew, Kind::ClockStep];
        let faults_so_far = faults.clone();
        let oracle = Arc::new(Oracle::new(Watched {
            time: time.clone(),
            ledger: stores.ledger.clone(),
            entities: stores.entities.clone(),
            blobs: stores.blobs.clone(),
            queue: stores.queue.clone(),
            sources: sources.clone(),
            shape: plan.shape,
            mappings: configurations.mappings.clone(),
            true_clocks: !faults.kinds().iter().any(|kind| clocks.contains(kind)),
            troubles: Box::new(move || faults_so_far.troubles()),
        }));
        let observer: Arc<dyn Observer> = oracle.clone();
        let observer: Weak<dyn Observer> = Arc::downgrade(&observer);
        stores.observe(&observer);
        let history = History::new(with_history);
        let world = Arc::new(World::new(time, faults, stores, sources, oracle, history, seed.branch()));
        Self {
            spawner: executor.spawner(),
            executor,
            world,
            configurations,
            processes: Arc::default(),
            owners: BTreeMap::new(),
            at_work: BTreeMap::new(),
            errands: Vec::new(),
            seed,
            deliveries: 0,
            steps: 0,
        }
    }

    /// Deploys the first configuration, undisturbed.
    fn open(&mut self, library: &Library) {
        for number in 0..PROCESSES {
            lock(&self.processes).push(Arc::new(Process::start(number, &self.world, library)));
        }
        self.world.faults.pause(true);
        let (process, configurations) = (self.any_process(), self.configurations.clone());
        self.errand(0, async move { process.deploy(Mapping::Plain, &configurations).await });
        while self.step(library) {}
        self.world.faults.pause(false);
    }

    fn carry_out(&mut self, plan: &Plan, library: &Library) {
        for (at, action) in &plan.actions {
            let at = START.plus(Duration::from_secs(1)).plus(*at);
            while self.next_due().is_some_and(|due| due <= at) {
                if !self.step(library) {
                    break;
                }
            }
            if self.is_over() {
                return;
            }
            self.executor.advance_to(at);
            self.world.note(|| format!("* {action:?}"));
            self.act(action, library);
        }
    }

    /// P12: faults stop, and everything comes to rest.
    fn drain(&mut self, library: &Library) {
        self.world.note(|| "= no more faults".to_owned());
        self.world.faults.stop();
        lock(&self.processes).iter().for_each(|process| process.clock.set_right());
        self.come_to_rest(library);
        if !self.is_over() {
            self.world.oracle.at_rest();
        }
    }

    /// Works until nothing is left to do, with upkeep as often as a host would run it.
    fn come_to_rest(&mut self, library: &Library) {
        let mut until = self.world.time.now().plus(DRAINS_IN);
        let mut next_upkeep = self.world.time.now();
        while !self.is_over() {
            let on_their_way = self.errands.iter().any(|task| self.executor.is_alive(*task));
            if !on_their_way && self.is_at_rest() {
                return;
            }
            let due = self.next_due();
            if due.is_none_or(|due| due >= next_upkeep) && (due.is_none() || !self.only_errands()) {
                self.executor.advance_to(next_upkeep);
                next_upkeep = self.world.time.now().plus(UPKEEP);
                let process = self.any_process();
                self.spawn(process.number, async move { process.upkeep().await });
            } else if !self.step(library) {
                return;
            }
            if on_their_way {
                // Perhaps for days.
                until = self.world.time.now().plus(DRAINS_IN);
            } else if self.world.time.now() > until {
                let waits = self.world.stores.queue.bodies();
                let runs: Vec<String> =
                    self.unfinished().iter().map(|run| format!("{} {:?}", run.id, run.state)).collect();
                return self.world.oracle.violated(Promise::P12, || {
                    format!("hours after the last fault, runs {runs:?} have not ended, and these wait: {waits:?}")
                });
            }
        }
    }

    /// Rebuilds, then syncs everything once more; nothing disturbs it now.
    fn look_again(&mut self, library: &Library) {
        if self.is_over() {
            return;
        }
        // By then the last late commit shows.
        self.executor.advance_to(self.world.time.now().plus(LATEST_COMMIT));
        self.world.note(|| "= a rebuild".to_owned());
        let served = self.world.oracle.pages_served();
        let process = self.any_process();
        self.errand(process.number, async move { process.rebuild(true, true).await });
        self.come_to_rest(library);
        if !self.is_over() {
            self.world.oracle.at_rest();
            let asked = self.world.oracle.pages_served() - served;
            if asked > 0 {
                self.world.oracle.violated(Promise::P13, || format!("a rebuild asked the sources for {asked} pages"));
            }
        }
        self.world.note(|| "= a full sync of everything".to_owned());
        for source in SOURCES {
            let process = self.any_process();
            self.errand(process.number, async move {
                let asked = Asked {
                    source: SourceId::new(source),
                    mode: Mode::Full,
                    cause: "the end".into(),
                    switch: true,
                    force: true,
                    trace: None,
                };
                if let Ok(Started::Run(run)) = process.stages.poll.start(asked).await {
                    let _ = process.queue.send(vec![Outgoing::now(Message::Continue { run })]).await;
                }
            });
            self.come_to_rest(library);
        }
        if !self.is_over() {
            self.world.oracle.at_rest();
            self.world.oracle.is_the_truth();
        }
    }

    fn report(self) -> Report {
        let runs = self.items(ledger::RUN);
        Report {
            violation: self.world.oracle.found(),
            faults: self.world.faults.counts(),
            steps: self.steps,
            runs,
            time: u64::try_from(self.world.time.now().0 - START.0).unwrap_or(0),
            history: self.world.history.lines(),
        }
    }

    fn items(&self, part: &str) -> u64 {
        let items = ledger::read_all::<serde_json::Value>(self.world.stores.ledger.as_ref(), part, "").now_or_never();
        items.and_then(Result::ok).map_or(0, |items| items.len() as u64)
    }

    fn is_over(&mut self) -> bool {
        if self.steps > MOST_STEPS {
            self.world.oracle.violated(Promise::P12, || format!("it still goes on after {MOST_STEPS} steps"));
        }
        self.world.oracle.is_broken()
    }

    fn unfinished(&self) -> Vec<Run> {
        let runs = ledger::read_all::<Run>(self.world.stores.ledger.as_ref(), ledger::RUN, "");
        let runs = runs.now_or_never().and_then(Result::ok).unwrap_or_default();
        runs.into_iter().map(|(_, run)| run).filter(|run| run.state != RunState::Ended).collect()
    }

    fn is_at_rest(&mut self) -> bool {
        self.executor.next_due().is_none()
            && self.world.stores.queue.is_empty()
            && self.unfinished().is_empty()
            && self.world.oracle.nobody_moves()
            && self.world.oracle.no_sync_waits()
    }

    fn only_errands(&self) -> bool {
        self.owners.is_empty() && self.world.stores.queue.is_empty()
    }

    /// When something is due: a task, or a message that somebody is free to take.
    fn next_due(&mut self) -> Option<Millis> {
        let message = self.next_message().map(|(at, _)| at);
        let task = self.executor.next_due();
        [message, task].into_iter().flatten().min()
    }

    fn next_message(&self) -> Option<(Millis, QueueName)> {
        let free = |queue: &QueueName| self.at_work.get(queue).is_none_or(|tasks| tasks.len() < AT_ONCE);
        let queues = QueueName::ALL.into_iter().filter(free);
        queues
            .filter_map(|queue| Some((self.world.stores.queue.next_visible_in(queue)?, queue)))
            .min_by_key(|(at, _)| *at)
    }

    /// One step of one task, or one batch taken; `false` when nothing is due.
    fn step(&mut self, library: &Library) -> bool {
        self.steps += 1;
        let message = self.next_message();
        let task = self.executor.next_due();
        match (message, task) {
            (None, None) => return false,
            (Some((at, queue)), task) if task.is_none_or(|task| at <= task) => {
                self.executor.advance_to(at);
                self.take_batch(queue);
            }
            _ => {
                if let Some((id, true)) = self.executor.step() {
                    self.forget(id);
                }
            }
        }
        self.let_end(library);
        self.tell_news();
        !self.is_over()
    }

    fn take_batch(&mut self, queue: QueueName) {
        let stores = &self.world.stores;
        let visibility = if self.world.strikes(Kind::ShortVisibility) { 1 } else { 90 };
        stores.queue.set_visibility(Duration::from_secs(visibility));
        let size = if queue == QueueName::Transform { 1 + self.seed.below(4) } else { 1 };
        let batch = stores.queue.receive(queue, size);
        if self.world.strikes(Kind::MessageLate) {
            let late = Duration::from_secs(1 + self.world.faults.number(Kind::MessageLate, 200));
            batch.iter().for_each(|received| stores.queue.release(received, late));
            return;
        }
        let process = self.any_process();
        self.world.note(|| {
            let bodies: Vec<&str> = batch.iter().map(|received| received.body.as_str()).collect();
            format!("p{} takes {}", process.number, bodies.join(" "))
        });
        let task = self.spawn(process.number, async move { process.handle(queue, batch).await });
        self.at_work.entry(queue).or_default().push(task);
    }

    fn any_process(&mut self) -> Arc<Process> {
        let at = self.seed.below(PROCESSES);
        lock(&self.processes)[at].clone()
    }

    /// A task of a process: it dies with it.
    fn spawn(&mut self, process: usize, task: impl Future<Output = ()> + Send + 'static) -> TaskId {
        let id = self.spawner.spawn(task);
        self.owners.insert(id, process);
        id
    }

    /// A task of a process that somebody waits for.
    fn errand(&mut self, process: usize, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.spawn(process, task);
        self.errands.push(id);
    }

    fn forget(&mut self, id: TaskId) {
        self.owners.remove(&id);
        self.errands.retain(|task| *task != id);
        self.at_work.values_mut().for_each(|tasks| tasks.retain(|task| *task != id));
    }

    /// Drops whoever has died, and puts a new process in its place.
    fn let_end(&mut self, library: &Library) {
        self.owners.extend(std::mem::take(&mut *lock(&self.world.started)));
        let ends = std::mem::take(&mut *lock(&self.world.ends));
        for end in ends {
            match end {
                End::Task(id) => {
                    self.executor.drop_task(id);
                    self.forget(id);
                }
                End::Process(number) => {
                    self.world.note(|| format!("p{number} dies"));
                    let dead: Vec<TaskId> =
                        self.owners.iter().filter(|(_, owner)| **owner == number).map(|(id, _)| *id).collect();
                    for id in dead {
                        self.executor.drop_task(id);
                        self.forget(id);
                    }
                    let next = Arc::new(Process::start(number, &self.world, library));
                    lock(&self.processes)[number] = next;
                }
            }
        }
    }

    fn act(&mut self, action: &Action, library: &Library) {
        let now = self.world.time.now();
        let world = self.world.clone();
        match *action {
            Action::Sync { source, mode } => {
                let message = Message::Sync {
                    source: SourceId::new(SOURCES[source]),
                    mode,
                    cause: "schedule".into(),
                    trace: None,
                };
                let sent = world.stores.queue.send(vec![Outgoing::now(message)]).now_or_never();
                sent.expect("the world's own queue takes everything");
            }
            Action::Birth { source } => {
                // A birth that makes up for a deletion hides it from whoever lists by page number: no connector can
                // see that records moved. So source b has births only between listings.
                let by_number = source == 1;
                if !by_number || !self.unfinished().iter().any(|run| run.sources.contains(&SourceId::new(SOURCES[1]))) {
                    let mut sources = lock(&world.sources);
                    let shows = if by_number { now } else { now.plus(lateness(&world)) };
                    let bad = world.strikes(Kind::BadRecord);
                    sources.birth(source, now, shows, bad, false);
                }
            }
            Action::Edit { source, count } => {
                let mut sources = lock(&world.sources);
                for _ in 0..count {
                    let Some(id) = sources.any_id(source) else { continue };
                    let shows = now.plus(lateness(&world));
                    let bad = world.strikes(Kind::BadRecord);
                    sources.edit(source, id, now, shows, bad, false);
                }
            }
            Action::Delete { source } => {
                let mut sources = lock(&world.sources);
                if let Some(id) = sources.any_id(source) {
                    sources.delete(source, id, now);
                }
            }
            Action::Flip { count } => {
                let mut sources = lock(&world.sources);
                for _ in 0..count {
                    if let Some(id) = sources.any_id(2) {
                        sources.flip(2, id, now);
                    }
                }
            }
            Action::ComeAndGo { source } => lock(&world.sources).come_and_go(source, now),
            Action::Look { source } => {
                let body = json!({ "event": "look", "sent": now.0 });
                self.send(source, body.to_string().into(), Duration::ZERO, false);
            }
            Action::Read { entity, limit, unhurried } => self.read(ENTITIES[entity], limit, unhurried),
            Action::Restart { process } => lock(&world.ends).push(End::Process(process)),
            Action::Deploy { mapping } => {
                let (process, configurations) = (self.any_process(), self.configurations.clone());
                self.errand(process.number, async move { process.deploy(mapping, &configurations).await });
            }
            Action::Build { source } => self.ask(move |process| async move { process.build(source).await }),
            Action::Rebuild { switch, force } => {
                self.ask(move |process| async move { process.rebuild(switch, force).await })
            }
            Action::Rollback { as_was } => self.ask(move |process| async move { process.roll_back(as_was).await }),
            Action::SwitchToReady { force } => {
                self.ask(move |process| async move { process.switch_to_ready(force).await });
            }
            Action::DropReady => self.ask(|process| async move { process.drop_ready().await }),
            Action::ReplayRejects => self.ask(|process| async move { process.replay_rejects().await }),
            Action::Upkeep => self.ask(|process| async move { process.upkeep().await }),
        }
        self.let_end(library);
        self.tell_news();
    }

    fn ask<F: Future<Output = ()> + Send + 'static>(&mut self, what: impl FnOnce(Arc<Process>) -> F) {
        let process = self.any_process();
        let number = process.number;
        self.errand(number, what(process));
    }

    /// A reader goes through a listing, whoever answers.
    fn read(&mut self, entity: &'static str, limit: usize, unhurried: bool) {
        let process = self.any_process();
        let world = self.world.clone();
        let mut seed = self.seed.branch();
        self.errand(process.number, async move {
            let mut reading = world.oracle.begin_reading();
            let mut cursor: Option<String> = None;
            for _ in 0..40 {
                let mut query = vec![("limit".to_owned(), limit.to_string())];
                query.extend(cursor.clone().map(|cursor| ("cursor".to_owned(), cursor)));
                let answer = process.stages.serve.list(entity, &query, None).await;
                match world.oracle.read(&mut reading, entity, &answer) {
                    Next::Page(next) => cursor = Some(next),
                    Next::End => return,
                    Next::Later => {}
                }
                let most = if unhurried { 120_000 } else { 500 };
                world.time.pause(Duration::from_millis(seed.number() % most)).await;
            }
        });
    }

    /// Sends webhooks of what has changed, as reliably as senders are.
    fn tell_news(&mut self) {
        let news = std::mem::take(&mut lock(&self.world.sources).news);
        for News { source, id, record, at, updated, told_after } in news {
            let now = self.world.time.now();
            // Source b tells only that something happened, and not each time.
            if self.world.strikes(Kind::HookDropped) || (source == 1 && !self.seed.once_in(4)) {
                continue;
            }
            let body = match &record {
                _ if source == 1 => json!({ "event": "look" }),
                Some(record) => json!({ "event": "changed", "sent": at.0, "data": record.json() }),
                None => json!({ "event": "gone", "sent": at.0, "data": { "id": id, "updated": updated } }),
            };
            let mut delay = at.since(now) + told_after + Duration::from_millis(self.seed.number() % 500);
            if self.world.strikes(Kind::HookReordered) {
                delay += Duration::from_millis(self.world.faults.number(Kind::HookReordered, 600_000));
            }
            if self.world.strikes(Kind::HookLate) {
                delay += Duration::from_secs(3600 * (1 + self.world.faults.number(Kind::HookLate, 72)));
            }
            self.send(source, body.to_string().into(), delay, source != 1);
        }
    }

    /// A sender: tries again until it is thanked, and now and then once more.
    fn send(&mut self, source: usize, body: Bytes, delay: Duration, makes_rows: bool) {
        self.deliveries += 1;
        let id = format!("d{}", self.deliveries);
        let twice = self.world.strikes(Kind::HookRepeated);
        let (world, spawner) = (self.world.clone(), self.spawner.clone());
        let processes = self.processes.clone();
        let mut seed = self.seed.branch();
        let sender = self.spawner.spawn(async move {
            world.time.pause(delay).await;
            let mut thanked = 0;
            for attempt in 0..8u32 {
                let process = lock(&processes)[seed.below(PROCESSES)].clone();
                let number = process.number;
                let answered = Answered::default();
                let (answer, body, id) = (answered.clone(), body.clone(), id.clone());
                let request = spawner.spawn(async move {
                    let status = process.receive(source, id, body, makes_rows).await;
                    answer.set(status);
                });
                lock(&world.started).push((request, number));
                for _ in 0..4u32 {
                    world.time.pause(Duration::from_millis(40 << (2 * attempt.min(3)))).await;
                    if answered.get() != 0 {
                        break;
                    }
                }
                if answered.get() == 202 {
                    thanked += 1;
                    if thanked > u32::from(twice) {
                        return;
                    }
                }
                world.time.pause(Duration::from_secs(5 << attempt.min(6))).await;
            }
        });
        self.errands.push(sender);
    }
}

impl Stores {
    fn observe(&self, observer: &Weak<dyn Observer>) {
        self.entities.observe(observer);
        self.ledger.observe(observer);
        self.blobs.observe(observer);
        self.queue.observe(observer);
    }
}
