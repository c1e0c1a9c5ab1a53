//! The ports of one function, each made when it is first asked for: what a function does not ask for, its role
//! need not grant and its binary does not hold.

use std::sync::Arc;

use teal::domain::QueueName;
use teal::metrics::Emf;
use teal::pipeline::Systems;
use teal::ports::{BlobReader, Clock, Connectors, Entropy, LedgerReader, Secrets};

use super::{Error, Rests, log};
#[cfg(feature = "dynamodb")]
use crate::dynamodb::{entities::DynamoEntities, ledger::DynamoLedger};
use crate::{AwsClients, Settings};

/// What a function is made of.
pub struct Function {
    pub clients: Arc<AwsClients>,
    pub settings: Settings,
    pub meter: Arc<Emf>,
}

impl Function {
    /// Starts the log and reads the environment. Connects to nothing yet.
    pub async fn start() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        log::start(variable("TEAL_LOG").as_deref());
        let named = |name| variable(name).unwrap_or_default();
        let meter = Arc::new(Emf::new(vec![("system", named("TEAL_SYSTEM")), ("stage", named("TEAL_STAGE"))]));
        Self { clients: AwsClients::load().await, settings: Settings::read(variable), meter }
    }

    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clients.clock.clone()
    }

    #[must_use]
    pub fn entropy(&self) -> Arc<dyn Entropy> {
        self.clients.entropy.clone()
    }

    #[cfg(feature = "dynamodb")]
    pub fn ledger(&self) -> Result<Arc<DynamoLedger>, Error> {
        let (table, system) = (self.settings.ledger_table()?, self.settings.system()?);
        Ok(Arc::new(DynamoLedger::new(self.clients.clone(), table, system)))
    }

    #[cfg(feature = "dynamodb")]
    pub fn entities(&self) -> Result<Arc<DynamoEntities>, Error> {
        let (table, system) = (self.settings.entities_table()?, self.settings.system()?);
        Ok(Arc::new(DynamoEntities::new(self.clients.clone(), table, system)))
    }

    #[cfg(feature = "s3")]
    pub fn blobs(&self) -> Result<Arc<crate::s3_blobs::S3Blobs>, Error> {
        Ok(Arc::new(crate::s3_blobs::S3Blobs::new(self.clients.clone(), self.settings.bucket()?)))
    }

    /// Sends to these queues and no others.
    pub fn queue(&self, names: &[QueueName]) -> Result<Arc<crate::sqs_queue::SqsQueue>, Error> {
        Ok(Arc::new(crate::sqs_queue::SqsQueue::new(self.clients.clone(), self.settings.queues(names)?)))
    }

    #[cfg(feature = "secrets")]
    #[must_use]
    pub fn secrets(&self) -> Arc<dyn Secrets> {
        Arc::new(crate::secrets::AwsSecrets::new(self.clients.clone(), self.settings.secrets_prefix()))
    }

    /// Compiled configurations, kept for as long as the process lives.
    pub fn systems(
        &self,
        ledger: Arc<dyn LedgerReader>,
        blobs: Arc<dyn BlobReader>,
        secrets: Arc<dyn Secrets>,
        connectors: impl Connectors + 'static,
    ) -> Arc<Systems> {
        Arc::new(Systems::new(ledger, blobs, secrets, Arc::new(connectors)))
    }

    /// The system's schedules in EventBridge.
    #[cfg(feature = "scheduler")]
    pub fn schedules(&self) -> Result<Arc<crate::scheduler_schedules::EventBridgeSchedules>, Error> {
        let settings = &self.settings;
        let (group, target, role) =
            (settings.schedule_group()?, settings.schedule_target()?, settings.schedule_role()?);
        Ok(Arc::new(crate::scheduler_schedules::EventBridgeSchedules::new(self.clients.clone(), group, target, role)))
    }

    /// How failed messages of a queue come again.
    pub fn rests(&self, queue: QueueName) -> Result<Rests, Error> {
        let url = self.settings.queues(&[queue])?.remove(&queue).unwrap_or_default();
        Ok(Rests::new(self.clients.clone(), url))
    }
}
