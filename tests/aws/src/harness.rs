//! A harness a port: an account of its own on the emulator, with what the adapter needs in it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use teal::domain::{Message, QueueName};
use teal::ports::{Ledger, QueueSender, Schedules, Secrets};
use teal_aws::AwsClients;
use teal_aws::dynamodb::entities::DynamoEntities;
use teal_aws::dynamodb::ledger::DynamoLedger;
use teal_aws::dynamodb::tables;
use teal_aws::s3_blobs::S3Blobs;
use teal_aws::scheduler_schedules::EventBridgeSchedules;
use teal_aws::secrets::AwsSecrets;
use teal_aws::sqs_queue::SqsQueue;
use teal_conformance::suites::blobs::{BlobStore, BlobsHarness};
use teal_conformance::suites::entities::{EntitiesHarness, EntityStore};
use teal_conformance::suites::ledger::LedgerHarness;
use teal_conformance::suites::queue::{Delivered, QueueHarness, QueueUnderTest};
use teal_conformance::suites::schedules::SchedulesHarness;
use teal_conformance::suites::secrets::SecretsHarness;
use teal_emulator::Emulator;
use tokio::sync::{Mutex, OwnedMutexGuard};

pub const SYSTEM: &str = "nowrep";

/// An account of one test, and how many things it made.
pub struct Account {
    emulator: &'static Emulator,
    account: String,
    made: AtomicUsize,
}

impl Account {
    #[must_use]
    pub fn new(emulator: &'static Emulator) -> Self {
        Self { emulator, account: emulator.new_account(), made: AtomicUsize::new(0) }
    }

    /// As another process would have them.
    #[must_use]
    pub fn clients(&self) -> Arc<AwsClients> {
        self.emulator.clients(&self.account)
    }

    /// The last name that was given out. Names of buckets are everybody's.
    fn name(&self) -> String {
        format!("teal-{}-{}", self.account, self.made.load(Ordering::Relaxed))
    }

    fn new_name(&self) -> String {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.name()
    }

    pub async fn new_table(&self) -> (Arc<AwsClients>, String) {
        let (clients, name) = (self.clients(), self.new_name());
        tables::create(&clients, &name).await.unwrap();
        (clients, name)
    }
}

#[async_trait]
impl LedgerHarness for Account {
    async fn fresh(&self) -> Arc<dyn Ledger> {
        let (clients, table) = self.new_table().await;
        Arc::new(DynamoLedger::new(clients, table, SYSTEM))
    }

    async fn again(&self) -> Arc<dyn Ledger> {
        Arc::new(DynamoLedger::new(self.clients(), self.name(), SYSTEM))
    }
}

#[async_trait]
impl EntitiesHarness for Account {
    async fn fresh(&self) -> Arc<dyn EntityStore> {
        let (clients, table) = self.new_table().await;
        Arc::new(DynamoEntities::new(clients, table, SYSTEM))
    }

    async fn again(&self) -> Arc<dyn EntityStore> {
        Arc::new(DynamoEntities::new(self.clients(), self.name(), SYSTEM))
    }
}

#[async_trait]
impl BlobsHarness for Account {
    async fn fresh(&self) -> Arc<dyn BlobStore> {
        let (clients, bucket) = (self.clients(), self.new_name());
        clients.s3().create_bucket().bucket(&bucket).send().await.unwrap();
        Arc::new(S3Blobs::new(clients, bucket))
    }

    async fn again(&self) -> Arc<dyn BlobStore> {
        Arc::new(S3Blobs::new(self.clients(), self.name()))
    }
}

#[async_trait]
impl SchedulesHarness for Account {
    async fn fresh(&self) -> Arc<dyn Schedules> {
        let (clients, group) = (self.clients(), self.new_name());
        clients.scheduler().create_schedule_group().name(&group).send().await.unwrap();
        let poll = format!("arn:aws:lambda:us-east-1:{}:function:poll", self.account);
        let role = format!("arn:aws:iam::{}:role/scheduler", self.account);
        Arc::new(EventBridgeSchedules::new(clients, group, poll, role))
    }
}

/// Secrets in Secrets Manager.
pub struct InSecretsManager(Account);

/// Secrets as SSM's parameters.
pub struct InParameters(Account);

impl InSecretsManager {
    #[must_use]
    pub fn new(emulator: &'static Emulator) -> Self {
        Self(Account::new(emulator))
    }
}

impl InParameters {
    #[must_use]
    pub fn new(emulator: &'static Emulator) -> Self {
        Self(Account::new(emulator))
    }
}

#[async_trait]
impl SecretsHarness for InSecretsManager {
    async fn holding(&self, secrets: &[(&str, &str)]) -> Arc<dyn Secrets> {
        let clients = self.0.clients();
        for (name, value) in secrets {
            let request = clients.secrets_manager().create_secret().name(format!("{SYSTEM}/{name}"));
            request.secret_string(*value).send().await.unwrap();
        }
        Arc::new(AwsSecrets::new(clients, format!("{SYSTEM}/")))
    }
}

#[async_trait]
impl SecretsHarness for InParameters {
    async fn holding(&self, secrets: &[(&str, &str)]) -> Arc<dyn Secrets> {
        let clients = self.0.clients();
        for (name, value) in secrets {
            let request = clients.ssm().put_parameter().name(format!("/{SYSTEM}/{name}")).value(*value);
            request.r#type(aws_sdk_ssm::types::ParameterType::SecureString).send().await.unwrap();
        }
        Arc::new(AwsSecrets::new(clients, format!("ssm:/{SYSTEM}/")))
    }
}

/// Queues. Their tests put the emulator's clock forward, which is everybody's: one after the other.
pub struct Queues(Account);

static ONE_AT_A_TIME: LazyLock<Arc<Mutex<()>>> = LazyLock::new(Arc::default);

impl Queues {
    #[must_use]
    pub fn new(emulator: &'static Emulator) -> Self {
        Self(Account::new(emulator))
    }
}

struct UnderTest {
    emulator: &'static Emulator,
    clients: Arc<AwsClients>,
    urls: BTreeMap<QueueName, String>,
    _alone: OwnedMutexGuard<()>,
}

#[async_trait]
impl QueueHarness for Queues {
    async fn fresh(&self) -> Arc<dyn QueueUnderTest> {
        let alone = ONE_AT_A_TIME.clone().lock_owned().await;
        let clients = self.0.clients();
        let mut urls = BTreeMap::new();
        for name in QueueName::ALL {
            let made = clients.sqs().create_queue().queue_name(name.as_str()).send().await.unwrap();
            urls.insert(name, made.queue_url.unwrap());
        }
        Arc::new(UnderTest { emulator: self.0.emulator, clients, urls, _alone: alone })
    }
}

#[async_trait]
impl QueueUnderTest for UnderTest {
    fn sender(&self) -> Arc<dyn QueueSender> {
        Arc::new(SqsQueue::new(self.clients.clone(), self.urls.clone()))
    }

    async fn receive(&self, queue: QueueName) -> Vec<Delivered> {
        let request = self.clients.sqs().receive_message().queue_url(&self.urls[&queue]).max_number_of_messages(10);
        let counted = MessageSystemAttributeName::ApproximateReceiveCount;
        let received = request.message_system_attribute_names(counted.clone()).send().await.unwrap();
        let delivered = received.messages.unwrap_or_default().into_iter().map(|message| Delivered {
            message: Message::decode(message.body().unwrap()).unwrap(),
            receipt: message.receipt_handle().unwrap().to_owned(),
            receives: message.attributes().unwrap()[&counted].parse().unwrap(),
        });
        delivered.collect()
    }

    async fn delete(&self, queue: QueueName, receipt: &str) {
        let request = self.clients.sqs().delete_message().queue_url(&self.urls[&queue]).receipt_handle(receipt);
        request.send().await.unwrap();
    }

    async fn pass(&self, span: Duration) {
        self.emulator.pass(span);
    }
}
