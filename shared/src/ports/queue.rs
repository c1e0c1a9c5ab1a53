//! Sending to a stage. Receiving belongs to the host, which hands a stage the same batch event that SQS
//! would. Delivery is at least once, unordered, in batches of at most ten.

use std::time::Duration;

use async_trait::async_trait;

use super::fault::Fault;
use crate::domain::Message;

/// The longest time that a message can be held back. Whoever needs longer holds it back again on arrival.
pub const MAX_DELAY: Duration = Duration::from_secs(900);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub message: Message,
    pub delay: Duration,
}

impl Outgoing {
    #[must_use]
    pub fn now(message: Message) -> Self {
        Self { message, delay: Duration::ZERO }
    }

    /// Held back for `delay`, at most [`MAX_DELAY`].
    #[must_use]
    pub fn after(message: Message, delay: Duration) -> Self {
        Self { message, delay: delay.min(MAX_DELAY) }
    }
}

#[async_trait]
pub trait QueueSender: Send + Sync {
    /// Sends any number of messages, each to its own queue, with a result for each in the same order.
    /// A message whose result is `Ok` is on durable storage.
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), Fault>>;
}

/// Sends all and fails with the first failure: for callers that repeat the whole step anyway.
pub async fn send_all(queue: &dyn QueueSender, messages: Vec<Outgoing>) -> Result<(), Fault> {
    queue.send(messages).await.into_iter().collect()
}
