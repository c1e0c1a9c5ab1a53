//! A host for tests: every stage over one [`MemoryWorld`], one message at a time, in virtual time.
//!
//! Owns what a host owns: which message is next, what becomes of one that failed, when upkeep runs, and how
//! far the clock may move while there is nothing to do. Owns no rule of a stage. A dead process is a runner
//! whose trace stopped; the next one is another runner over the same world.
//!
//! Always holds: the same world and the same seed take the same steps. Nothing runs for ever: what does not
//! drain within [`Settings::most_steps`] is a failure that names what was left.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use teal::config::Bundle;
use teal::domain::{Counts, Message, Mode, Pointer, QueueName, Run, RunState, SourceId};
use teal::pipeline::admin::Deployed;
use teal::pipeline::api::ApiResponse;
use teal::pipeline::disposition::{Disposition, decide};
use teal::pipeline::poll::Budget;
use teal::pipeline::upkeep::Upkept;
use teal::pipeline::webhook::HookRequest;
use teal::pipeline::{StageError, Systems, ledger};
use teal::ports::queue::{Outgoing, QueueSender};
use teal::ports::{Clock, Connectors};
use teal::trigger::queues;

use crate::memory::{MemoryWorld, Received, lock};
use crate::seed::Seed;
use crate::stages::{Ports, Stages};
use crate::trace::Trace;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Decides which queue is served next.
    pub seed: u64,
    /// How long one call of a stage may work before it queues its own continuation.
    pub call: Duration,
    /// Attempts at a message before it is put aside.
    pub most_receives: u32,
    /// How often upkeep runs while somebody waits for something.
    pub upkeep: Duration,
    /// Steps after which a world that has not drained never will.
    pub most_steps: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            call: Duration::from_secs(60),
            most_receives: 10,
            upkeep: Duration::from_secs(60),
            most_steps: 20_000,
        }
    }
}

/// One process.
pub struct Runner {
    pub world: MemoryWorld,
    pub trace: Trace,
    stages: Stages,
    settings: Settings,
    seed: Mutex<Seed>,
}

impl Deref for Runner {
    type Target = Stages;

    fn deref(&self) -> &Stages {
        &self.stages
    }
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message was handled; the error is why it comes again, or never.
    Handled(Message, Option<String>),
    /// No message is visible now.
    Idle,
    /// The process is dead.
    Died,
}

impl Runner {
    #[must_use]
    pub fn new(world: &MemoryWorld, trace: &Trace, connectors: Arc<dyn Connectors>, settings: Settings) -> Self {
        let ports = world.through(trace);
        let systems = Systems::new(ports.ledger.clone(), ports.blobs.clone(), ports.secrets.clone(), connectors);
        let ports = Ports {
            served: ports.ledger.clone(),
            ledger: ports.ledger,
            entities: ports.entities,
            blobs: ports.blobs,
            queue: ports.queue,
            secrets: ports.secrets,
            upstream: ports.upstream,
            clock: ports.clock,
            entropy: ports.entropy,
            elsewhere: ports.elsewhere,
        };
        Self {
            stages: Stages::new(ports, systems),
            world: world.clone(),
            trace: trace.clone(),
            seed: Mutex::new(Seed(settings.seed)),
            settings,
        }
    }

    pub async fn deploy(&self, bundle: &Bundle) -> Result<Deployed, StageError> {
        self.admin.deploy(bundle).await
    }

    /// What a schedule does.
    pub async fn ask_for_sync(&self, source: &str, mode: Mode) {
        let message = Message::Sync { source: SourceId::new(source), mode, cause: "schedule".into(), trace: None };
        for sent in self.world.queue.send(vec![Outgoing::now(message)]).await {
            sent.expect("the world's own queue takes everything");
        }
    }

    /// One webhook request, as the trigger hands it on.
    pub async fn receive_webhook(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> ApiResponse {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match self.systems.current().await {
            Ok(loaded) => self.webhook.receive(&loaded.system, HookRequest::post(path, headers, body)).await,
            Err(_) => ApiResponse::empty(503),
        }
    }

    /// Handles one message that is visible now.
    pub async fn step(&self) -> Step {
        if self.trace.stopped() {
            return Step::Died;
        }
        let mut queues = QueueName::ALL;
        lock(&self.seed).shuffle(&mut queues);
        for queue in queues {
            if let Some(received) = self.world.queue.receive(queue, 1).pop() {
                return self.handle(&received).await;
            }
        }
        Step::Idle
    }

    async fn handle(&self, received: &Received) -> Step {
        let message = received.message();
        let budget = self.budget();
        let id = received.id.to_string();
        let result = match received.queue {
            QueueName::Poll => queues::poll_message(&self.poll, message.clone(), &id, &budget).await,
            QueueName::Transform => self.transform.handle(message.clone()).await,
            QueueName::Switch => queues::switch_message(&self.switch, message.clone(), &budget).await,
        };
        if self.trace.stopped() {
            return Step::Died;
        }
        let disposition = match &result {
            Ok(()) => Disposition::Done,
            Err(error) => decide(error),
        };
        match disposition {
            Disposition::Done => self.world.queue.delete(received),
            Disposition::Retry { .. } if received.receives >= self.settings.most_receives => {
                self.world.queue.bury(received);
            }
            Disposition::Retry { after, .. } => {
                let rest = Duration::from_secs(1 << received.receives.saturating_sub(1).min(8));
                self.world.queue.release(received, after.unwrap_or(rest));
            }
            Disposition::Reject { .. } => self.world.queue.bury(received),
        }
        Step::Handled(message, result.err().map(|error| error.to_string()))
    }

    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget { deadline: Some(self.world.clock.now().plus(self.settings.call)), ..Budget::default() }
    }

    /// Works until no message is left and every run has ended, with upkeep as often as a host would run it.
    /// Moves the clock over times in which nothing happens. Returns early, with what happened so far, when the
    /// process dies.
    pub async fn drain(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut next_upkeep = self.world.clock.now().plus(self.settings.upkeep);
        for _ in 0..self.settings.most_steps {
            let step = self.step().await;
            match step {
                Step::Died => return steps,
                Step::Handled(..) => steps.push(step),
                Step::Idle => {
                    let next = self.world.queue.next_visible();
                    if next.is_none() && self.unfinished_runs().await.is_empty() {
                        return steps;
                    }
                    let now = self.world.clock.now();
                    self.world.clock.set(next.map_or(next_upkeep, |next| next.min(next_upkeep)).max(now));
                    if self.world.clock.now() >= next_upkeep {
                        // A round that failed is made up for by the next one.
                        let _ = self.upkeep.round(false, &self.budget()).await;
                        next_upkeep = self.world.clock.now().plus(self.settings.upkeep);
                    }
                }
            }
        }
        panic!(
            "not drained after {} steps; runs that go on: {:?}; the last steps: {:#?}",
            self.settings.most_steps,
            self.unfinished_runs().await,
            &steps[steps.len().saturating_sub(12)..]
        );
    }

    /// What a host does first: it is alone, and whatever looks held is held by the dead.
    pub async fn wake_up(&self) -> Result<Upkept, StageError> {
        self.world.queue.forget_receipts();
        self.upkeep.round(true, &self.budget()).await
    }

    /// Every run, oldest first.
    pub async fn runs(&self) -> Vec<Run> {
        let runs = ledger::read_all::<Run>(self.world.ledger.as_ref(), ledger::RUN, "").await;
        runs.expect("the world's own ledger can be read").into_iter().map(|(_, run)| run).collect()
    }

    pub async fn unfinished_runs(&self) -> Vec<Run> {
        self.runs().await.into_iter().filter(|run| run.state != RunState::Ended).collect()
    }

    pub async fn counts(&self, run: &Run) -> Counts {
        ledger::counts(self.world.ledger.as_ref(), &run.id).await.expect("the world's own ledger can be read")
    }

    pub async fn pointer(&self) -> Pointer {
        let pointer = ledger::pointer(self.world.ledger.as_ref()).await;
        pointer.expect("the world's own ledger can be read").expect("a configuration was deployed")
    }

    /// The canonical export of what readers see.
    pub async fn export(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let pointer = self.pointer().await;
        teal::pipeline::admin::export(self.world.entities.as_ref(), &pointer, |line| lines.push(line.to_owned()))
            .await
            .expect("the active version can be read");
        lines
    }
}
