//! What becomes of messages that failed: they rest, each time longer, and come again.
//!
//! Lambda leaves a failed message hidden for the rest of the queue's visibility timeout, six times the
//! function's own. A change that met a closed gate would wait for minutes, so it is shown again earlier.
//!
//! Always holds: whatever happens here, the message comes again; only when is decided.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry as Entry;

use crate::AwsClients;

const LONGEST: i32 = 60;

/// Shows failed messages of one queue again.
pub struct Rests {
    clients: Arc<AwsClients>,
    url: String,
}

/// A message that may fail, before its batch is handled.
pub struct Resting {
    id: String,
    receipt: String,
    seconds: i32,
}

impl Rests {
    #[must_use]
    pub fn new(clients: Arc<AwsClients>, url: String) -> Self {
        Self { clients, url }
    }

    /// What has to be known of a batch before it is handed over.
    #[must_use]
    pub fn note(event: &SqsEvent) -> Vec<Resting> {
        let resting = event.records.iter().filter_map(|message| {
            let received = message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
            Some(Resting {
                id: message.message_id.clone()?,
                receipt: message.receipt_handle.clone()?,
                seconds: rest(received.unwrap_or(1)),
            })
        });
        resting.collect()
    }

    pub async fn show_failed(&self, noted: Vec<Resting>, response: &SqsBatchResponse) {
        let failed: BTreeSet<&str> =
            response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        let entries: Vec<Entry> = (0..)
            .zip(noted.into_iter().filter(|message| failed.contains(message.id.as_str())))
            .filter_map(|(n, message): (u32, Resting)| {
                let entry = Entry::builder().id(n.to_string()).receipt_handle(message.receipt);
                entry.visibility_timeout(message.seconds).build().ok()
            })
            .collect();
        if entries.is_empty() {
            return;
        }
        let request = self.clients.sqs().change_message_visibility_batch().queue_url(&self.url);
        if let Err(error) = request.set_entries(Some(entries)).send().await {
            let error = aws_sdk_sqs::error::DisplayErrorContext(&error);
            tracing::warn!(%error, "failed messages come again when the queue's own time is over, not earlier");
        }
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
