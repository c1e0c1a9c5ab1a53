//! Feeds the stages from the queues, as the event source mapping of Lambda does.
//!
//! Owns the workers. Always holds:
//!
//! - A message is deleted only after a handler returned without naming it as failed.
//! - A failed one becomes visible again by itself, each time later; the rest of its batch is done.
//! - A handler that panics, or names a message that was not in its batch, has failed the whole batch.
//! - After a stop no batch is received, and the batches at hand are finished.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt;
use teal::domain::QueueName;
use teal::ports::{Clock, Fault};
use tokio::task::JoinSet;

use super::panic_message;
use super::stop::Stop;
use crate::inbox::{Queue, Received};

#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// Batches of the queue that are handled at the same time.
    pub workers: usize,
    pub batch: usize,
    /// A batch that isn't done in this time goes to another worker as well.
    pub visibility: Duration,
    /// How long a message rests after its first failure; twice as long after each further one.
    pub first_rest: Duration,
    pub longest_rest: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            workers: 2,
            batch: 10,
            visibility: Duration::from_secs(180),
            first_rest: Duration::from_secs(1),
            longest_rest: Duration::from_secs(60),
        }
    }
}

impl WorkerSettings {
    fn rest(&self, receive_count: u32) -> Duration {
        let doublings = receive_count.saturating_sub(1).min(20);
        (self.first_rest * (1 << doublings)).min(self.longest_rest)
    }
}

/// The workers of one queue.
#[must_use = "workers end when this is dropped"]
#[derive(Debug)]
pub struct Workers(JoinSet<()>);

impl Workers {
    /// Starts them; they work until `stop`.
    pub fn start<H, F>(
        queue: Arc<Queue>,
        name: QueueName,
        clock: Arc<dyn Clock>,
        settings: WorkerSettings,
        stop: &Stop,
        handler: H,
    ) -> Self
    where
        H: Fn(SqsEvent) -> F + Send + Sync + 'static,
        F: Future<Output = SqsBatchResponse> + Send + 'static,
    {
        let worker = Arc::new(Worker { queue, name, clock, settings, stop: stop.clone(), handler });
        let mut all = JoinSet::new();
        for _ in 0..settings.workers {
            let worker = Arc::clone(&worker);
            all.spawn(async move { worker.run().await });
        }
        Self(all)
    }

    /// Returns when all have ended, which they do once stopped and done with what is at hand.
    pub async fn finished(self) {
        self.0.join_all().await;
    }
}

struct Worker<H> {
    queue: Arc<Queue>,
    name: QueueName,
    clock: Arc<dyn Clock>,
    settings: WorkerSettings,
    stop: Stop,
    handler: H,
}

impl<H, F> Worker<H>
where
    H: Fn(SqsEvent) -> F + Send + Sync + 'static,
    F: Future<Output = SqsBatchResponse> + Send + 'static,
{
    async fn run(&self) {
        let mut troubles = 0;
        while !self.stop.is_stopped() {
            match self.next_batch().await {
                Ok(batch) if batch.is_empty() => troubles = 0,
                Ok(batch) => {
                    troubles = 0;
                    if let Err(fault) = self.handle(batch).await {
                        tracing::warn!(queue = self.name.as_str(), %fault, "a batch comes again though it was handled");
                    }
                }
                Err(fault) => {
                    troubles += 1;
                    tracing::warn!(queue = self.name.as_str(), %fault, "can't receive; trying again");
                    self.stop.or(self.clock.sleep(self.settings.rest(troubles))).await;
                }
            }
        }
    }

    /// Empty when stopped, or when another worker was faster.
    async fn next_batch(&self) -> Result<Vec<Received>, Fault> {
        match self.stop.or(self.queue.ready(self.name)).await {
            None => Ok(Vec::new()),
            Some(ready) => {
                ready?;
                self.queue.receive(self.name, self.settings.batch, self.settings.visibility).await
            }
        }
    }

    async fn handle(&self, batch: Vec<Received>) -> Result<(), Fault> {
        let event = event(self.name, &batch);
        let outcome = AssertUnwindSafe(async { (self.handler)(event).await }).catch_unwind().await;
        let failed = match outcome {
            Ok(response) => failures(&batch, &response),
            Err(panic) => {
                let message = panic_message(&*panic);
                tracing::error!(queue = self.name.as_str(), message, "a handler panicked; its batch comes again");
                batch.iter().map(|received| received.id.clone()).collect()
            }
        };
        let (failed, done): (Vec<_>, Vec<_>) = batch.into_iter().partition(|received| failed.contains(&received.id));
        if !done.is_empty() {
            self.queue.delete(done.iter().map(|received| received.receipt).collect()).await?;
        }
        if !failed.is_empty() {
            let rests = failed.iter().map(|received| (received.receipt, self.settings.rest(received.receive_count)));
            self.queue.release(self.name, rests.collect()).await?;
        }
        Ok(())
    }
}

/// The failed ones' ids. An id that we did not hand out leaves open what else went wrong: all have failed.
fn failures(batch: &[Received], response: &SqsBatchResponse) -> BTreeSet<String> {
    let all: BTreeSet<String> = batch.iter().map(|received| received.id.clone()).collect();
    let failed: BTreeSet<String> =
        response.batch_item_failures.iter().map(|failure| failure.item_identifier.clone()).collect();
    if failed.is_subset(&all) { failed } else { all }
}

fn event(queue: QueueName, batch: &[Received]) -> SqsEvent {
    let mut event = SqsEvent::default();
    event.records = batch.iter().map(|received| message(queue, received)).collect();
    event
}

fn message(queue: QueueName, received: &Received) -> SqsMessage {
    let mut message = SqsMessage::default();
    message.message_id = Some(received.id.clone());
    message.receipt_handle = Some(received.receipt.to_string());
    message.body = Some(received.body.clone());
    message.attributes = BTreeMap::from([
        ("ApproximateReceiveCount", received.receive_count.to_string()),
        ("ApproximateFirstReceiveTimestamp", received.first_received_at.0.to_string()),
        ("SentTimestamp", received.sent_at.0.to_string()),
    ])
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    message.event_source = Some("aws:sqs".to_owned());
    message.event_source_arn = Some(format!("arn:aws:sqs:local:000000000000:teal-{}", queue.as_str()));
    message.aws_region = Some("local".to_owned());
    message
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
