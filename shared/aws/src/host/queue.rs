//! What becomes of messages that failed: they rest, each time longer, and come again.
//!
//! Lambda leaves a failed message hidden for the rest of the queue's visibility timeout, six times the
//! function's own. A change that met a closed gate would wait for minutes, so it is shown again earlier.
//!
//! Always holds: whatever happens here, the message comes again; only when is decided.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry as Entry;

use crate::AwsClients;

const LONGEST: i32 = 60;

/// Shows failed messages of one queue again.
pub struct Rests {
    clients: Arc<AwsClients>,
    url: String,
}

impl Rests {
    #[must_use]
    pub fn new(clients: Arc<AwsClients>, url: String) -> Self {
        Self { clients, url }
    }

    /// Hands over a batch, then shows what failed of it again when it has rested.
    pub async fn after<H, F>(&self, batch: SqsEvent, handler: H) -> SqsBatchResponse
    where
        H: FnOnce(SqsEvent) -> F,
        F: Future<Output = SqsBatchResponse>,
    {
        let noted: Vec<Noted> = batch.records.iter().filter_map(Noted::of).collect();
        let response = handler(batch).await;
        let failed: BTreeSet<&str> =
            response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        let failed = noted.into_iter().filter(|noted| failed.contains(noted.id.as_str()));
        self.show(failed.filter_map(Noted::entry).collect()).await;
        response
    }

    async fn show(&self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let request = self.clients.sqs().change_message_visibility_batch().queue_url(&self.url);
        if let Err(error) = request.set_entries(Some(entries)).send().await {
            let error = aws_sdk_sqs::error::DisplayErrorContext(&error).to_string();
            tracing::warn!(error, "failed messages come again when the queue's own time is over, not earlier");
        }
    }
}

/// What has to be known of a message, should it fail.
struct Noted {
    id: String,
    receipt: String,
    received: u32,
}

impl Noted {
    fn of(message: &SqsMessage) -> Option<Self> {
        let received = message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
        Some(Self {
            id: message.message_id.clone()?,
            receipt: message.receipt_handle.clone()?,
            received: received.unwrap_or(1),
        })
    }

    fn entry(self) -> Option<Entry> {
        let entry = Entry::builder().id(self.id).receipt_handle(self.receipt);
        entry.visibility_timeout(rest(self.received)).build().ok()
    }
}

/// One second after the first failure, twice as long after each further one.
fn rest(received: u32) -> i32 {
    1_i32.checked_shl(received.saturating_sub(1)).filter(|seconds| (1..LONGEST).contains(seconds)).unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_rests_longer_each_time_and_at_most_a_minute() {
        assert_eq!([1, 2, 3, 6, 7, 8, 31, 32, 33, 500].map(rest), [1, 2, 4, 32, 60, 60, 60, 60, 60, 60]);
        assert_eq!(rest(0), 1);
    }
}
