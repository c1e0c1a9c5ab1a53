//! One process: every stage over the ports as this process sees them, and what it is asked to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use bytes::Bytes;
use teal::domain::{Message, Mode, QueueName, SourceId, VersionState};
use teal::mutants::{self, Mutant};
use teal::pipeline::admin::RejectFilter;
use teal::pipeline::poll::{Asked, Budget, Started};
use teal::pipeline::switch::MoveTo;
use teal::pipeline::webhook::HookRequest;
use teal::pipeline::{StageError, Systems, ledger};
use teal::ports::queue::{Outgoing, send_all};
use teal::ports::{BlobReader, Clock, QueueSender};
use teal::trigger::queues;

use super::library::{Configurations, Library};
use super::sources::{Counted, SimUpstream};
use super::system::{HOOK_SECRET, Mapping};
use super::world::{ProcessClock, ServedLedger, SimWatch, World};
use crate::memory::Received;
use crate::stages::{Ports, Stages};
use crate::watch::{Second, Tapped};

/// How long one invocation works before it queues its own continuation.
const CALL: Duration = Duration::from_secs(60);

pub struct Process {
    pub number: usize,
    pub stages: Stages,
    pub queue: Arc<dyn QueueSender>,
    pub clock: Arc<ProcessClock>,
    world: Arc<World>,
}

impl Process {
    pub fn start(number: usize, world: &Arc<World>, library: &Library) -> Self {
        let clock = Arc::new(ProcessClock::new(world));
        let watch = SimWatch { world: world.clone(), process: number, clock: clock.clone() };
        let stores = &world.stores;
        let ledger = Tapped::new(stores.ledger.clone(), &watch);
        let queue: Arc<dyn QueueSender> = Tapped::new(stores.queue.clone(), &watch);
        let blobs = Tapped::new(stores.blobs.clone(), &watch);
        let ports = Ports {
            served: Arc::new(ServedLedger { world: world.clone(), inner: ledger.clone() }),
            ledger: ledger.clone(),
            entities: Tapped::new(stores.entities.clone(), &watch),
            blobs: blobs.clone(),
            queue: queue.clone(),
            secrets: stores.secrets.clone(),
            upstream: Arc::new(Counted {
                world: world.clone(),
                inner: Tapped::new(Arc::new(SimUpstream(world.clone())), &watch),
            }),
            clock: clock.clone(),
            entropy: stores.entropy.clone(),
            elsewhere: Arc::new(Second(stores.blobs.clone())),
        };
        let systems = Systems::new(ledger, blobs, stores.secrets.clone(), library.connectors.clone());
        let stages = Stages::new(ports, systems.sharing(library.compiled.clone()));
        Self { number, stages, queue, clock, world: world.clone() }
    }

    fn budget(&self) -> Budget {
        Budget { deadline: Some(self.clock.now().plus(CALL)), stop: Arc::new(AtomicBool::new(false)) }
    }

    /// Handles a batch as a host does: what is done is deleted, what failed comes again later.
    pub async fn handle(&self, queue: QueueName, batch: Vec<Received>) {
        let event = event(&batch);
        if mutants::on(Mutant::DeletedFirst) {
            batch.iter().for_each(|received| self.world.stores.queue.delete(received));
        }
        let budget = self.budget();
        let response = match queue {
            QueueName::Poll => queues::poll(self.stages.poll.clone(), event, &budget).await,
            QueueName::Transform => queues::transform(self.stages.transform.clone(), event).await,
            QueueName::Switch => queues::switch(self.stages.switch.clone(), event, &budget).await,
        };
        let stores = &self.world.stores;
        for received in &batch {
            let id = received.id.to_string();
            let failed = response.batch_item_failures.iter().any(|failure| failure.item_identifier == id);
            self.world.note(|| {
                format!("p{} {} {}", self.number, if failed { "will try again" } else { "did" }, received.body)
            });
            if !failed {
                if self.world.strikes(super::Kind::MessageRepeated) {
                    let later = self.world.faults.number(super::Kind::MessageRepeated, 400);
                    stores.queue.release(received, Duration::from_secs(later));
                } else {
                    stores.queue.delete(received);
                }
            } else if self.is_about_nothing(received).await {
                // Of all that fails, only this goes to the dead letters: whether it was right to let its raw go is
                // looked at elsewhere.
                stores.queue.bury(received);
            } else {
                // Never put aside: whoever would be is tried until everything should have drained, and is seen then.
                stores.queue.release(received, Duration::from_secs(1 << received.receives.saturating_sub(1).min(6)));
            }
        }
    }

    /// Whether the raw object of a delivery was let go before this message of it came.
    async fn is_about_nothing(&self, received: &Received) -> bool {
        match received.message() {
            Message::Delivery { raw, .. } => self.world.stores.blobs.get(&raw.0).await.is_err(),
            _ => false,
        }
    }

    /// Takes in a webhook and gives the status of the answer.
    pub async fn receive(&self, source: usize, id: String, body: Bytes, makes_rows: bool) -> u16 {
        let Ok(loaded) = self.stages.systems.current().await else { return 503 };
        let headers = vec![("x-secret".to_owned(), HOOK_SECRET.to_owned()), ("x-id".to_owned(), id.clone())];
        let path = super::system::SOURCES[source].to_owned();
        let answer = self.stages.webhook.receive(&loaded.system, HookRequest::post(path, headers, body)).await;
        self.world.note(|| format!("p{} answers {} to delivery {id}", self.number, answer.status));
        self.world.oracle.answered(source, &id, answer.status, makes_rows);
        answer.status
    }

    pub async fn upkeep(&self) {
        let done = self.stages.upkeep.round(false, &self.budget()).await;
        self.told("upkeep", &done);
    }

    pub async fn deploy(&self, mapping: Mapping, configurations: &Configurations) {
        let done = self.stages.admin.deploy(&configurations.bundles[&mapping]).await;
        self.told("deploy", &done);
    }

    pub async fn build(&self, source: usize) {
        let asked = Asked {
            source: SourceId::new(super::system::SOURCES[source]),
            mode: Mode::Full,
            cause: "somebody".into(),
            switch: false,
            force: false,
            trace: None,
        };
        let started = self.stages.poll.start(asked).await;
        self.told("build", &started);
        if let Ok(Started::Run(run)) = started {
            let go_on = Outgoing::now(Message::Continue { run });
            let _ = send_all(self.queue.as_ref(), vec![go_on]).await;
        }
    }

    pub async fn rebuild(&self, switch: bool, force: bool) {
        let started = self.stages.poll.start_rebuild(switch, force, "somebody".into()).await;
        self.told("rebuild", &started);
        if let Ok(run) = started {
            let go_on = Outgoing::now(Message::Continue { run });
            let _ = send_all(self.queue.as_ref(), vec![go_on]).await;
        }
    }

    pub async fn roll_back(&self, as_was: bool) {
        let Ok(Some(pointer)) = ledger::pointer(self.stages.switch.ledger.as_ref()).await else { return };
        let Some(version) = pointer.previous else { return };
        if as_was {
            self.world.oracle.going_as_was(version);
        }
        let ask = MoveTo { version, force: false, as_was, who: format!("somebody {}", self.world.time.task()) };
        let moved = self.stages.switch.move_to(&ask).await;
        self.told("roll back", &moved);
    }

    pub async fn switch_to_ready(&self, force: bool) {
        let Ok(manifests) = ledger::manifests(self.stages.switch.ledger.as_ref()).await else { return };
        let Some(ready) = manifests.into_iter().rfind(|m| m.state == VersionState::Ready) else { return };
        let who = format!("somebody {}", self.world.time.task());
        let moved = self.stages.switch.move_to(&MoveTo { version: ready.version, force, as_was: false, who }).await;
        self.told("switch", &moved);
    }

    pub async fn drop_ready(&self) {
        let Ok(manifests) = ledger::manifests(self.stages.switch.ledger.as_ref()).await else { return };
        let Some(ready) = manifests.into_iter().rfind(|m| m.state == VersionState::Ready) else { return };
        let dropped = self.stages.switch.drop_ready(ready.version, "somebody").await;
        self.told("drop", &dropped);
    }

    pub async fn replay_rejects(&self) {
        let sent = self.stages.admin.replay_rejects(&RejectFilter::default()).await;
        self.told("replay", &sent);
    }

    fn told<T: std::fmt::Debug>(&self, what: &str, came_of_it: &Result<T, StageError>) {
        self.world.note(|| match came_of_it {
            Ok(done) => format!("p{} {what}: {done:?}", self.number),
            Err(error) => format!("p{} {what}: {error}", self.number),
        });
    }
}

fn event(batch: &[Received]) -> SqsEvent {
    let mut event = SqsEvent::default();
    event.records = batch
        .iter()
        .map(|received| {
            let mut message = SqsMessage::default();
            message.message_id = Some(received.id.to_string());
            message.body = Some(received.body.clone());
            message.attributes.insert("ApproximateReceiveCount".to_owned(), received.receives.to_string());
            message
        })
        .collect();
    event
}

/// The answer to a request, once there is one; the process may die first.
#[derive(Clone, Default)]
pub struct Answered(Arc<std::sync::atomic::AtomicU32>);

impl Answered {
    pub fn set(&self, status: u16) {
        self.0.store(status.into(), Ordering::Relaxed);
    }

    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
