//! Taking deliveries in: what came, and the message that leads to it.
//!
//! Always holds: an answer of `Ok` means that both are durable; whoever gets the message finds the object; what is there
//! already is sent all the same, because the time before may have ended between the two.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::blobs::{BlobError, BlobWriter, Put};
use super::queue::{Outgoing, QueueSender, send_all};
use crate::domain::Message;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The object's.
    pub key: String,
    pub bytes: Bytes,
    /// As it is sent if no object of that key was there; if one was, it says so ([`Message::again`]).
    pub message: Message,
}

#[async_trait]
pub trait Intake: Send + Sync {
    /// Puts the object unless one of that key is there, sends the message, and says which.
    async fn take_in(&self, arrived: Arrived) -> Result<Put, BlobError>;
}

/// One after the other, where objects and messages have no transaction in common.
pub struct InTurn {
    pub blobs: Arc<dyn BlobWriter>,
    pub queue: Arc<dyn QueueSender>,
}

#[async_trait]
impl Intake for InTurn {
    async fn take_in(&self, Arrived { key, bytes, message }: Arrived) -> Result<Put, BlobError> {
        let put = self.blobs.put_if_absent(&key, bytes).await?;
        let message = if put == Put::WasThere { message.again() } else { message };
        send_all(self.queue.as_ref(), vec![Outgoing::now(message)]).await?;
        Ok(put)
    }
}
