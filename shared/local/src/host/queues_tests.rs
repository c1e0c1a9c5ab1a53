//! Workers of queues: batches, failures that come again, panics, stopping.

use std::sync::Mutex;

use teal::domain::Message;
use teal::ports::Outgoing;
use teal::ports::queue::send_all;
use tokio::sync::{Semaphore, mpsc};

use super::super::stop::stop;
use super::*;
use crate::inbox::{Depth, Inbox, InboxOptions};
use crate::sqlite::Synchronous;
use crate::test_clock::TestClock;

const QUEUE: QueueName = QueueName::Transform;

struct Setup {
    _dir: tempfile::TempDir,
    clock: Arc<TestClock>,
    queue: Arc<Queue>,
}

fn setup() -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::at(5_000);
    let options = InboxOptions { synchronous: Synchronous::Off, max_receive: 3, ..InboxOptions::default() };
    let queue = Inbox::open(dir.path(), clock.clone(), options).unwrap().queue();
    Setup { _dir: dir, clock, queue }
}

fn one_worker() -> WorkerSettings {
    WorkerSettings { workers: 1, ..WorkerSettings::default() }
}

async fn send(queue: &Queue, slots: impl IntoIterator<Item = u64>) {
    let page = |slot| Message::Page {
        run: "r".into(),
        source: teal::domain::SourceId::new("blue"),
        stream: "talents".into(),
        slot,
    };
    send_all(queue, slots.into_iter().map(|slot| Outgoing::now(page(slot))).collect()).await.unwrap();
}

fn slot(message: &SqsMessage) -> u64 {
    match Message::decode(message.body.as_deref().unwrap()).unwrap() {
        Message::Page { slot, .. } => slot,
        other => panic!("not sent by these tests: {other:?}"),
    }
}

/// What happened in a batch: slots with their receive counts.
fn counts(event: &SqsEvent) -> Vec<(u64, String)> {
    event.records.iter().map(|record| (slot(record), record.attributes["ApproximateReceiveCount"].clone())).collect()
}

async fn drained(queue: &Queue) -> Depth {
    loop {
        let depth = queue.depth(QUEUE).await.unwrap();
        if depth.is_drained() {
            return depth;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_batch_is_the_event_that_lambda_would_get() {
    let Setup { clock, queue, .. } = &setup();
    send(queue, [1]).await;
    let (stopper, stop) = stop();
    let (seen, mut events) = mpsc::unbounded_channel();
    let workers = Workers::start(queue.clone(), QUEUE, clock.clone(), one_worker(), &stop, move |event| {
        seen.send(event).unwrap();
        async { SqsBatchResponse::default() }
    });
    let event = events.recv().await.unwrap();
    let json = serde_json::to_value(&event).unwrap();
    let record = &json["Records"][0];
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:local:000000000000:teal-transform");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(record["attributes"]["SentTimestamp"], "5000");
    assert!(record["messageId"].is_string() && record["receiptHandle"].is_string());
    assert_eq!(slot(&event.records[0]), 1);
    assert_eq!(drained(queue).await, Depth::default());
    stopper.stop();
    workers.finished().await;
}

#[tokio::test]
async fn only_the_failed_messages_of_a_batch_come_again_later_each_time_and_die_in_the_end() {
    let Setup { clock, queue, .. } = &setup();
    send(queue, 1..=3).await;
    let (_stopper, stop) = stop();
    let (seen, mut events) = mpsc::unbounded_channel();
    let _workers = Workers::start(queue.clone(), QUEUE, clock.clone(), one_worker(), &stop, move |event: SqsEvent| {
        let mut response = SqsBatchResponse::default();
        for record in event.records.iter().filter(|record| slot(record) == 2) {
            response.add_failure(record.message_id.clone().unwrap());
        }
        seen.send(counts(&event)).unwrap();
        async { response }
    });
    let of = |slots: &[u64], count: &str| slots.iter().map(|slot| (*slot, count.to_owned())).collect::<Vec<_>>();
    assert_eq!(events.recv().await.unwrap(), of(&[1, 2, 3], "1"));
    clock.sleepers(1).await;
    assert_eq!(queue.depth(QUEUE).await.unwrap(), Depth { in_flight: 1, ..Depth::default() });
    clock.advance(Duration::from_secs(1));
    assert_eq!(events.recv().await.unwrap(), of(&[2], "2"));
    clock.sleepers(1).await;
    clock.advance(Duration::from_secs(1));
    assert_eq!(queue.depth(QUEUE).await.unwrap().visible, 0, "the second rest is longer than the first");
    clock.advance(Duration::from_secs(1));
    assert_eq!(events.recv().await.unwrap(), of(&[2], "3"));
    clock.sleepers(1).await;
    clock.advance(Duration::from_secs(4));
    assert_eq!(drained(queue).await, Depth { dead: 1, ..Depth::default() });
}

#[tokio::test]
async fn a_panic_or_an_unknown_id_fails_the_whole_batch_and_the_worker_lives_on() {
    let Setup { clock, queue, .. } = &setup();
    send(queue, 1..=2).await;
    let (_stopper, stop) = stop();
    let (seen, mut events) = mpsc::unbounded_channel();
    let round = Arc::new(Mutex::new(0));
    let _workers = Workers::start(queue.clone(), QUEUE, clock.clone(), one_worker(), &stop, move |event: SqsEvent| {
        let now = {
            let mut round = round.lock().unwrap();
            *round += 1;
            *round
        };
        seen.send(counts(&event).len()).unwrap();
        async move {
            let mut response = SqsBatchResponse::default();
            match now {
                1 => panic!("a handler of this test"),
                2 => response.add_failure("nobody"),
                _ => {}
            }
            response
        }
    });
    for rest in [1, 2] {
        assert_eq!(events.recv().await.unwrap(), 2);
        clock.sleepers(1).await;
        clock.advance(Duration::from_secs(rest));
    }
    assert_eq!(events.recv().await.unwrap(), 2);
    assert_eq!(drained(queue).await, Depth::default());
}

#[tokio::test]
async fn a_stop_waits_for_the_batch_at_hand_and_takes_no_other() {
    let Setup { clock, queue, .. } = &setup();
    send(queue, 1..=2).await;
    let (stopper, stop) = stop();
    let settings = WorkerSettings { batch: 1, ..one_worker() };
    let (began, mut begun) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let workers = Workers::start(queue.clone(), QUEUE, clock.clone(), settings, &stop, {
        let go = go.clone();
        move |_| {
            began.send(()).unwrap();
            let go = go.clone();
            async move {
                go.acquire().await.unwrap().forget();
                SqsBatchResponse::default()
            }
        }
    });
    begun.recv().await.unwrap();
    stopper.stop();
    let mut finished = Box::pin(workers.finished());
    assert!(futures::poll!(finished.as_mut()).is_pending());
    go.add_permits(10);
    finished.await;
    assert!(begun.recv().await.is_none(), "a second batch was taken");
    assert_eq!(queue.depth(QUEUE).await.unwrap(), Depth { visible: 1, ..Depth::default() });
}

#[tokio::test]
async fn workers_handle_batches_at_the_same_time() {
    let Setup { clock, queue, .. } = &setup();
    send(queue, 1..=2).await;
    let (_stopper, stop) = stop();
    let settings = WorkerSettings { workers: 2, batch: 1, ..WorkerSettings::default() };
    // Each handler waits for the other.
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let _workers = Workers::start(queue.clone(), QUEUE, clock.clone(), settings, &stop, move |_| {
        let both = both.clone();
        async move {
            both.wait().await;
            SqsBatchResponse::default()
        }
    });
    drained(queue).await;
}
