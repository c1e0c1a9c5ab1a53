//! A whole system whose ports are the AWS adapters, on the emulator: the stages in this process, everything that they
//! keep and send in the services. Its source answers over HTTP.
//!
//! Owns setting up, and doing what Lambda's event source mappings do. Owns no assertion.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use aws_sdk_sqs::types::{Message as Received, MessageSystemAttributeName};
use aws_sdk_ssm::types::ParameterType;
use teal::config::Bundle;
use teal::domain::{Counts, Message, Mode, QueueName, Run, RunState, SourceId};
use teal::pipeline::poll::Budget;
use teal::pipeline::webhook::HookRequest;
use teal::pipeline::{Systems, admin, ledger};
use teal::ports::{Outgoing, QueueSender};
use teal::trigger::queues;
use teal_aws::AwsClients;
use teal_aws::dynamodb::entities::DynamoEntities;
use teal_aws::dynamodb::ledger::DynamoLedger;
use teal_aws::dynamodb::tables;
use teal_aws::s3_blobs::{Buckets, S3Blobs};
use teal_aws::secrets::AwsSecrets;
use teal_aws::sqs_queue::SqsQueue;
use teal_conformance::stages::{Ports, Stages};
use teal_connect::ManifestConnectors;
use teal_emulator::Emulator;
use teal_real::upstream::HttpUpstream;
use teal_stand_in::{Blue, Event, Webhook};

use crate::harness::SYSTEM;

const SECRET: &str = "a-word-of-yours";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../systems/nowrep/teal.yaml");
/// Rounds over the queues with nothing in them, after which nothing more comes.
const QUIET: u32 = 3;

pub struct World {
    /// Those of the stages: what they ask for is counted here, and nothing else is.
    pub clients: Arc<AwsClients>,
    /// Those of Lambda's mappings, and of who looks.
    outside: Arc<AwsClients>,
    pub stages: Stages,
    pub bucket: String,
    queue: Arc<SqsQueue>,
    urls: BTreeMap<QueueName, String>,
    ledger: Arc<DynamoLedger>,
    entities: Arc<DynamoEntities>,
}

/// The example system over a source, with another line in place of `system: nowrep`.
#[must_use]
pub fn bundle(blue: &Blue, rules: &str) -> Bundle {
    let env = |name: &str| (name == "BLUE_URL").then(|| blue.url());
    let read = |path: &str| {
        let text = std::fs::read_to_string(path)?;
        Ok(if Path::new(path) == Path::new(ROOT) { text.replacen("system: nowrep\n", rules, 1) } else { text })
    };
    Bundle::collect(ROOT, read, env).unwrap()
}

impl World {
    /// An empty system of this account, with this configuration. What it keeps has a name of its own.
    pub async fn new(emulator: &Emulator, account: &str, name: &str, bundle: &Bundle) -> Self {
        let (clients, outside) = (emulator.clients(account), emulator.clients(account));
        let bucket = format!("teal-{name}-{account}");
        let [ledger_table, entities_table] = ["ledger", "entities"].map(|table| format!("{name}-{table}"));
        outside.s3().create_bucket().bucket(&bucket).send().await.unwrap();
        for table in [&ledger_table, &entities_table] {
            tables::create(&outside, table).await.unwrap();
        }
        for (name, value) in [("blue-api-key", "blue-key"), ("sync-secret-key", SECRET)] {
            let put = outside.ssm().put_parameter().name(format!("/{SYSTEM}/{name}")).value(value);
            put.r#type(ParameterType::SecureString).overwrite(true).send().await.unwrap();
        }
        let mut urls = BTreeMap::new();
        for queue in QueueName::ALL {
            let made = outside.sqs().create_queue().queue_name(format!("{name}-{}", queue.as_str()));
            urls.insert(queue, made.send().await.unwrap().queue_url.unwrap());
        }
        let ledger = Arc::new(DynamoLedger::new(clients.clone(), &ledger_table, SYSTEM));
        let entities = Arc::new(DynamoEntities::new(clients.clone(), &entities_table, SYSTEM));
        let blobs = Arc::new(S3Blobs::new(clients.clone(), &bucket));
        let secrets = Arc::new(AwsSecrets::new(clients.clone(), format!("ssm:/{SYSTEM}/")));
        let queue = Arc::new(SqsQueue::new(clients.clone(), urls.clone()));
        let connectors = Arc::new(ManifestConnectors);
        let systems = Systems::new(ledger.clone(), blobs.clone(), secrets.clone(), connectors);
        let ports = Ports {
            served: ledger.clone(),
            ledger,
            entities,
            blobs,
            queue,
            secrets,
            upstream: Arc::new(HttpUpstream::new().unwrap()),
            clock: clients.clock.clone(),
            entropy: clients.entropy.clone(),
            elsewhere: Arc::new(Buckets::new(clients.clone())),
        };
        let stages = Stages::new(ports, systems);
        stages.admin.deploy(bundle).await.unwrap();
        let ledger = Arc::new(DynamoLedger::new(outside.clone(), &ledger_table, SYSTEM));
        let entities = Arc::new(DynamoEntities::new(outside.clone(), &entities_table, SYSTEM));
        let queue = Arc::new(SqsQueue::new(outside.clone(), urls.clone()));
        Self { clients, outside, stages, bucket, queue, urls, ledger, entities }
    }

    /// What a schedule does, until everything is at rest; the run that came of it.
    pub async fn sync(&self, mode: Mode) -> Run {
        let message = Message::Sync { source: SourceId::new("blue"), mode, cause: "schedule".into(), trace: None };
        self.send(message).await;
        self.drain().await;
        self.runs().await.pop().unwrap()
    }

    pub async fn send(&self, message: Message) {
        self.queue.send(vec![Outgoing::now(message)]).await.into_iter().for_each(Result::unwrap);
    }

    /// Takes a delivery in; the status of the answer.
    pub async fn deliver(&self, webhook: &Webhook) -> u16 {
        let headers = [("x-sync-secret-key", SECRET), ("x-delivery-id", webhook.id.as_str())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let request = HookRequest::post("blue", headers, webhook.body.clone());
        let loaded = self.stages.systems.current().await.unwrap();
        self.stages.webhook.receive(&loaded.system, request).await.status
    }

    /// The source tells of a talent, and that is applied.
    pub async fn tell(&self, blue: &Blue, event: Event, talent: u64) -> Webhook {
        let webhook = blue.webhook(event, talent).unwrap();
        assert_eq!(self.deliver(&webhook).await, 202);
        self.drain().await;
        webhook
    }

    /// Hands over what is in the queues until nothing is and every run has ended.
    pub async fn drain(&self) {
        let mut quiet = 0;
        while quiet < QUIET || self.runs().await.iter().any(|run| run.state != RunState::Ended) {
            let mut handled = 0;
            for name in QueueName::ALL {
                handled += self.hand_over(name).await;
            }
            quiet = if handled == 0 { quiet + 1 } else { 0 };
            if handled == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// One batch, as an event source mapping does it.
    async fn hand_over(&self, name: QueueName) -> usize {
        let (sqs, url) = (self.outside.sqs(), &self.urls[&name]);
        let count = MessageSystemAttributeName::ApproximateReceiveCount;
        let receive = sqs.receive_message().queue_url(url).max_number_of_messages(10);
        let received = receive.message_system_attribute_names(count).send().await.unwrap().messages.unwrap_or_default();
        if received.is_empty() {
            return 0;
        }
        let mut event = SqsEvent::default();
        event.records = received.iter().map(as_lambda_has_it).collect();
        let budget = Budget::default();
        let done = match name {
            QueueName::Poll => queues::poll(self.stages.poll.clone(), event, &budget).await,
            QueueName::Transform => queues::transform(self.stages.transform.clone(), event).await,
            QueueName::Switch => queues::switch(self.stages.switch.clone(), event, &budget).await,
        };
        for message in &received {
            let receipt = message.receipt_handle().unwrap();
            let id = message.message_id().unwrap();
            if done.batch_item_failures.iter().any(|failure| failure.item_identifier == id) {
                let again = sqs.change_message_visibility().queue_url(url).receipt_handle(receipt);
                again.visibility_timeout(1).send().await.unwrap();
            } else {
                sqs.delete_message().queue_url(url).receipt_handle(receipt).send().await.unwrap();
            }
        }
        received.len()
    }

    /// Every run, oldest first.
    pub async fn runs(&self) -> Vec<Run> {
        let runs = ledger::read_all::<Run>(self.ledger.as_ref(), ledger::RUN, "").await.unwrap();
        runs.into_iter().map(|(_, run)| run).collect()
    }

    pub async fn counts(&self, run: &Run) -> Counts {
        ledger::counts(self.ledger.as_ref(), &run.id).await.unwrap()
    }

    /// The canonical export of what readers see.
    pub async fn export(&self) -> Vec<String> {
        let pointer = ledger::pointer(self.ledger.as_ref()).await.unwrap().unwrap();
        let mut lines = Vec::new();
        admin::export(self.entities.as_ref(), &pointer, |line| lines.push(line.to_owned())).await.unwrap();
        lines
    }
}

fn as_lambda_has_it(received: &Received) -> SqsMessage {
    let mut message = SqsMessage::default();
    message.message_id.clone_from(&received.message_id);
    message.body.clone_from(&received.body);
    let attributes = received.attributes.iter().flatten();
    message.attributes = attributes.map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect();
    message
}
