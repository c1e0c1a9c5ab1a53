//! The sending side of the stages' queues on SQS. Receiving is Lambda's: it hands over the event.
//!
//! Always holds: messages go in batches of ten and of 256 KiB; each has its own result, and one that SQS was not at
//! ease with is tried again by itself, within a budget.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use teal::domain::QueueName;
use teal::ports::fault::FaultKind;
use teal::ports::queue::MAX_DELAY;
use teal::ports::{Fault, Outgoing, QueueSender};

use crate::AwsClients;
use crate::fault::{fault, permanent};

const MOST_MESSAGES: usize = 10;
const MOST_BYTES: usize = 256 * 1024;

pub struct SqsQueue {
    clients: Arc<AwsClients>,
    urls: BTreeMap<QueueName, String>,
}

struct Entry {
    /// Position among all messages of the call.
    at: usize,
    body: String,
    delay: i32,
}

impl SqsQueue {
    /// With the URLs of the queues that messages are sent to.
    #[must_use]
    pub fn new(clients: Arc<AwsClients>, urls: BTreeMap<QueueName, String>) -> Self {
        Self { clients, urls }
    }

    /// Sends a batch until nothing of it is left or patience is; puts down what became of each.
    async fn send_batch(&self, url: &str, mut batch: Vec<Entry>, results: &mut BTreeMap<usize, Result<(), Fault>>) {
        let object = format!("queue {url}");
        let mut trying = self.clients.patience.begin();
        loop {
            let entries = batch.iter().map(|entry| {
                let request = SendMessageBatchRequestEntry::builder().id(entry.at.to_string());
                let request = request.message_body(&entry.body).delay_seconds(entry.delay);
                request.build().expect("id and body are given")
            });
            let request = self.clients.sqs().send_message_batch().queue_url(url).set_entries(Some(entries.collect()));
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    let why = fault(error, "sqs:SendMessage", &object);
                    let each = |entry: Entry| (entry.at, Err(Fault::new(why.kind, why.what.clone())));
                    results.extend(batch.into_iter().map(each));
                    return;
                }
            };
            let mut left = Vec::new();
            let mut why = BTreeMap::new();
            for failed in answer.failed() {
                let what =
                    format!("{object}: a message was refused: {} {}", failed.code(), failed.message().unwrap_or(""));
                let kind = if failed.sender_fault() { FaultKind::Permanent } else { FaultKind::Transient };
                why.insert(failed.id().to_owned(), Fault::new(kind, what));
            }
            for entry in batch {
                match why.remove(&entry.at.to_string()) {
                    Some(fault) if fault.is_retryable() => left.push((entry, fault)),
                    Some(fault) => drop(results.insert(entry.at, Err(fault))),
                    None => drop(results.insert(entry.at, Ok(()))),
                }
            }
            if left.is_empty() {
                return;
            }
            if !trying.again(&*self.clients.clock, &*self.clients.entropy).await {
                results.extend(left.into_iter().map(|(entry, fault)| (entry.at, Err(fault))));
                return;
            }
            batch = left.into_iter().map(|(entry, _)| entry).collect();
        }
    }
}

#[async_trait]
impl QueueSender for SqsQueue {
    async fn send(&self, messages: Vec<Outgoing>) -> Vec<Result<(), Fault>> {
        let count = messages.len();
        let mut results = BTreeMap::new();
        let mut queues: BTreeMap<QueueName, Vec<Entry>> = BTreeMap::new();
        for (at, Outgoing { message, delay }) in messages.into_iter().enumerate() {
            let body = message.encode();
            if body.len() > MOST_BYTES {
                let what = format!("a message has {} bytes, and SQS 256 KiB at most; send a reference", body.len());
                results.insert(at, Err(permanent(what)));
                continue;
            }
            // Rounded up: never early.
            let seconds = delay.min(MAX_DELAY).as_millis().div_ceil(1000);
            let delay = i32::try_from(seconds).unwrap_or(i32::MAX);
            queues.entry(message.queue()).or_default().push(Entry { at, body, delay });
        }
        for (name, entries) in queues {
            let Some(url) = self.urls.get(&name) else {
                let what =
                    format!("nobody said where the {} queue is; set {}", name.as_str(), crate::settings::queue(name));
                results.extend(entries.into_iter().map(|entry| (entry.at, Err(permanent(what.clone())))));
                continue;
            };
            for batch in batches(entries) {
                self.send_batch(url, batch, &mut results).await;
            }
        }
        debug_assert_eq!(results.len(), count);
        results.into_values().collect()
    }
}

fn batches(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut batches: Vec<Vec<Entry>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        match batches.last_mut().filter(|b| b.len() < MOST_MESSAGES && bytes + entry.body.len() <= MOST_BYTES) {
            Some(batch) => {
                bytes += entry.body.len();
                batch.push(entry);
            }
            None => {
                bytes = entry.body.len();
                batches.push(vec![entry]);
            }
        }
    }
    batches
}
