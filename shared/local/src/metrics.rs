//! What `/metrics` shows of a local system: what stages told, and how things stand at the moment.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use teal::domain::QueueName;
use teal::metrics::{DLQ_DEPTH, Meter, Prometheus, QUEUE_AGE, QUEUE_DEPTH};
use teal::pipeline::Systems;
use teal::pipeline::backup::Backups;
use teal::pipeline::gauges::Gauges;
use teal::ports::{Clock, Fault, LedgerReader};
use teal::trigger::http::Shown;

use crate::inbox::Queue;

pub(crate) struct LocalMetrics {
    pub collected: Arc<Prometheus>,
    pub ledger: Arc<dyn LedgerReader>,
    pub systems: Arc<Systems>,
    pub backups: Arc<Backups>,
    pub queue: Arc<Queue>,
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl Shown for LocalMetrics {
    async fn text(&self) -> String {
        let gauges = Gauges {
            ledger: self.ledger.as_ref(),
            systems: &self.systems,
            backups: &self.backups,
            clock: self.clock.as_ref(),
        };
        // What can't be read now is shown as it was; the rest is news all the same.
        if let Err(error) = gauges.record(self.collected.as_ref()).await {
            tracing::warn!(%error, "some metrics could not be read");
        }
        if let Err(error) = self.depths().await {
            tracing::warn!(%error, "the queues' depths could not be read");
        }
        self.collected.render()
    }
}

impl LocalMetrics {
    #[expect(clippy::cast_precision_loss, reason = "queues stay below 2^53")]
    async fn depths(&self) -> Result<(), Fault> {
        for name in QueueName::ALL {
            let depth = self.queue.depth(name).await?;
            let states = [("visible", depth.visible), ("in-flight", depth.in_flight), ("delayed", depth.delayed)];
            for (state, n) in states {
                self.collected.record(&QUEUE_DEPTH, &[name.as_str(), state], n as f64);
            }
            let age = self.queue.oldest(name).await?.map_or(Duration::ZERO, |sent| self.clock.now().since(sent));
            (self.collected.as_ref() as &dyn Meter).seconds(&QUEUE_AGE, &[name.as_str()], age);
            self.collected.record(&DLQ_DEPTH, &[name.as_str()], depth.dead as f64);
        }
        Ok(())
    }
}
