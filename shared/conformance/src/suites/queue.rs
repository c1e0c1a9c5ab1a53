//! The queue's contract: at least once, in any order, each message in its own queue, a result for each.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use teal::domain::message::{Arrival, Keep};
use teal::domain::{ConfigHash, Message, Mode, QueueName, RawKey, SourceId};
use teal::ports::queue::MAX_DELAY;
use teal::ports::{Outgoing, QueueSender};

#[async_trait]
pub trait QueueHarness: Sync {
    /// Empty queues, with their receiving side.
    async fn fresh(&self) -> Arc<dyn QueueUnderTest>;
}

/// What a host does with a queue. Time passes only when the suite says so.
#[async_trait]
pub trait QueueUnderTest: Send + Sync {
    fn sender(&self) -> Arc<dyn QueueSender>;

    /// One batch of what is visible now.
    async fn receive(&self, queue: QueueName) -> Vec<Delivered>;

    /// The message is done.
    async fn delete(&self, queue: QueueName, receipt: &str);

    async fn pass(&self, span: Duration);
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub message: Message,
    pub receipt: String,
    /// How often this message has been received, this time included.
    pub receives: u32,
}

#[macro_export]
macro_rules! queue_suite {
    ($harness:expr) => {
        $crate::suite_tests!(
            queue,
            $harness,
            [
                every_message_arrives_in_its_own_queue,
                messages_arrive_as_they_were,
                no_message_is_lost_among_many,
                there_is_a_result_for_each_message,
                a_batch_holds_at_most_ten,
                a_delayed_message_is_held_back,
                the_longest_delay_is_kept,
                a_message_that_was_not_deleted_comes_again,
                what_is_deleted_ends,
            ]
        );
    };
}

/// Longer than any visibility timeout that a stage has.
const LONG: Duration = Duration::from_secs(3600);

fn settle(n: usize) -> Message {
    Message::Settle { run: format!("run-{n:03}").as_str().into() }
}

fn one_of_each() -> Vec<Message> {
    let (source, config) = (SourceId::new("blue"), ConfigHash::new("c0ffee"));
    vec![
        Message::Sync { source: source.clone(), mode: Mode::Full, cause: "schedule".into(), trace: None },
        Message::Continue { run: "r1".into() },
        Message::Page { run: "r1".into(), source: source.clone(), stream: "talents".into(), slot: u64::MAX },
        Message::Delivery {
            config: config.clone(),
            source: source.clone(),
            raw: RawKey::delivery(&source, "d1"),
            trace: None,
            arrival: Arrival::Again,
        },
        Message::Errand { source: source.clone(), errand: "000#a".into() },
        Message::Keep { source: source.clone(), what: Keep::Lease },
        Message::Replay { config, source: source.clone(), raw: RawKey::delivery(&source, "d2") },
        settle(1),
    ]
}

fn now(messages: Vec<Message>) -> Vec<Outgoing> {
    messages.into_iter().map(Outgoing::now).collect()
}

async fn send(queue: &dyn QueueUnderTest, messages: Vec<Outgoing>) {
    let count = messages.len();
    let results = queue.sender().send(messages).await;
    assert_eq!(results.len(), count);
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// Receives and deletes until nothing comes any more, and gives what came, repeats left out.
async fn drain(queue: &dyn QueueUnderTest, name: QueueName) -> Vec<Message> {
    let mut seen: Vec<Message> = Vec::new();
    for _ in 0..1000 {
        let batch = queue.receive(name).await;
        if batch.is_empty() {
            queue.pass(LONG).await;
            if queue.receive(name).await.is_empty() {
                return seen;
            }
            queue.pass(LONG).await;
        }
        for delivered in batch {
            queue.delete(name, &delivered.receipt).await;
            if !seen.contains(&delivered.message) {
                seen.push(delivered.message);
            }
        }
    }
    panic!("the {} queue never became empty", name.as_str());
}

#[track_caller]
fn assert_same_set(mut found: Vec<Message>, mut expected: Vec<Message>) {
    found.sort_by_key(Message::encode);
    expected.sort_by_key(Message::encode);
    assert_eq!(found, expected);
}

pub async fn every_message_arrives_in_its_own_queue(harness: &dyn QueueHarness) {
    let queue = harness.fresh().await;
    send(&*queue, now(one_of_each())).await;
    for name in QueueName::ALL {
        let expected = one_of_each().into_iter().filter(|message| message.queue() == name).collect();
        assert_same_set(drain(&*queue, name).await, expected);
    }
}

pub async fn messages_arrive_as_they_were(harness: &dyn QueueHarness) {
    let queue = harness.fresh().await;
    let odd = ["", "it's \"odd\"\n\u{1}", "Grüße 🦆", "a%20b&c=d", &"long ".repeat(1000)];
    let messages: Vec<Message> = odd
        .iter()
        .map(|cause| Message::Sync {
            source: SourceId::new("blue"),
            mode: Mode::Incremental,
            cause: (*cause).to_owned(),
            trace: None,
        })
        .collect();
    send(&*queue, now(messages.clone())).await;
    assert_same_set(drain(&*queue, QueueName::Poll).await, messages);
}

pub async fn no_message_is_lost_among_many(harness: &dyn QueueHarness) {
    let queue = harness.fresh().await;
    let messages: Vec<Message> = (0..57).map(settle).collect();
    send(&*queue, now(messages[..30].to_vec())).await;
    for message in &messages[30..] {
        send(&*queue, now(vec![message.clone()])).await;
    }
    assert_same_set(drain(&*queue, QueueName::Switch).await, messages);
}

pub async fn there_is_a_result_for_each_message(harness: &dyn QueueHarness) {
    let queue = harness.fresh().await;
    assert!(queue.sender().send(Vec::new()).await.is_empty());
    let results = queue.sender().send(now((0..23).map(settle).collect())).await;
    assert_eq!(results.len(), 23);
}

pub async fn a_batch_holds_at_most_ten(harness: &dyn QueueHarness) {
    let queue = harness.fresh().await;
    send(&*queue, now((0..25).map(settle).collect())).await;
    let batch = queue.receive(QueueName::Switch).await;
    assert!((1..=10).contains(&batch.len()), "{}", batch.len());
}

pub async fn a_delayed_message_is_held_back(harness: &dyn QueueHarness) {
    let queue = harness.fresh().await;
    send(&*queue, vec![Outgoing::after(settle(1), Duration::from_secs(30)), Outgoing::now(settle(2))]).await;
    let early: Vec<Delivered> = queue.receive(QueueName::Switch).await;
    assert_eq!(early.iter().map(|d| d.message.clone()).collect::<Vec<_>>(), [settle(2)]);
    queue.delete(QueueName::Switch, &early[0].receipt).await;
    queue.pass(Duration::from_secs(29)).await;
    assert!(!queue.receive(QueueName::Switch).await.iter().any(|d| d.message == settle(1)));
    queue.pass(Duration::from_secs(2)).await;
    let late = queue.receive(QueueName::Switch).await;
    assert!(late.iter().any(|d| d.message == settle(1)), "{late:?}");
}

pub async fn the_longest_delay_is_kept(harness: &dyn QueueHarness) {
    let queue = harness.fresh().await;
    send(&*queue, vec![Outgoing::after(settle(1), MAX_DELAY * 10)]).await;
    queue.pass(MAX_DELAY.saturating_sub(Duration::from_secs(1))).await;
    assert!(queue.receive(QueueName::Switch).await.is_empty());
    queue.pass(Duration::from_secs(2)).await;
    assert_eq!(queue.receive(QueueName::Switch).await.len(), 1, "nothing is held back longer than the longest delay");
}

pub async fn a_message_that_was_not_deleted_comes_again(harness: &dyn QueueHarness) {
    let queue = harness.fresh().await;
    send(&*queue, now(vec![settle(1)])).await;
    let first = queue.receive(QueueName::Switch).await;
    queue.pass(LONG).await;
    let second = queue.receive(QueueName::Switch).await;
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].message, second[0].message);
    assert!(second[0].receives > first[0].receives);
}

pub async fn what_is_deleted_ends(harness: &dyn QueueHarness) {
    let queue = harness.fresh().await;
    send(&*queue, now((0..12).map(settle).collect())).await;
    drain(&*queue, QueueName::Switch).await;
    queue.pass(LONG).await;
    assert!(queue.receive(QueueName::Switch).await.is_empty());
}
