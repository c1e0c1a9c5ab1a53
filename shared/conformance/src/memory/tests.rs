//! What tests rely on in the in-memory ports beyond their contracts: the clock, the queue's timing, the order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use teal::domain::{Message, Millis, QueueName};
use teal::ports::upstream::{Request, Response};
use teal::ports::{
    BlobAdmin, BlobReader, BlobWriter, Clock, EntityAdmin, EntityReader, EntityWriter, Entropy, Ledger, Outgoing,
    QueueSender, Secrets, Upstream,
};

use super::{MemoryQueue, MemoryWorld, Received, ScriptedUpstream, VirtualClock};
use crate::seed::Seed;

const SWITCH: QueueName = QueueName::Switch;

fn messages(count: usize) -> Vec<Outgoing> {
    (0..count).map(|n| Outgoing::now(Message::Settle { run: n.to_string().as_str().into() })).collect()
}

async fn queue_with(seed: u64, count: usize) -> (MemoryQueue, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::at(Millis(0)));
    let queue = MemoryQueue::new(clock.clone(), Seed(seed));
    queue.send(messages(count)).await;
    (queue, clock)
}

/// Receives and deletes until the queue is empty, and gives the ids in the order in which they came.
fn drain(queue: &MemoryQueue, clock: &VirtualClock) -> Vec<u64> {
    let mut ids = Vec::new();
    while let Some(next) = queue.next_visible() {
        clock.set(clock.now().max(next));
        for received in queue.receive(SWITCH, 10) {
            ids.push(received.id);
            queue.delete(&received);
        }
    }
    ids
}

#[tokio::test]
async fn the_queue_shuffles_and_repeats_by_its_seed() {
    let run = async |seed| {
        let (queue, clock) = queue_with(seed, 40).await;
        drain(&queue, &clock)
    };
    let ids = run(1).await;
    assert_eq!(ids, run(1).await);
    assert_ne!(ids, run(2).await);
    assert!(ids.len() > 40, "about one in eight comes again");
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_kind_queue_keeps_order_and_repeats_nothing() {
    let clock = Arc::new(VirtualClock::at(Millis(0)));
    let queue = MemoryQueue::kind(clock.clone());
    queue.send(messages(25)).await;
    assert_eq!(drain(&queue, &clock), (0..25).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_received_message_is_hidden_until_its_time_is_up_or_its_receiver_died() {
    let (queue, clock) = queue_with(1, 1).await;
    queue.set_visibility(Duration::from_secs(30));
    assert_eq!(queue.receive(SWITCH, 10).len(), 1);
    assert!(queue.receive(SWITCH, 10).is_empty());
    assert_eq!(queue.next_visible(), Some(Millis(30_000)));
    clock.advance(Duration::from_secs(30));
    assert_eq!(queue.receive(SWITCH, 10)[0].receives, 2);
    queue.forget_receipts();
    let third: Received = queue.receive(SWITCH, 10).remove(0);
    queue.release(&third, Duration::from_secs(5));
    assert!(queue.receive(SWITCH, 10).is_empty());
    clock.advance(Duration::from_secs(5));
    let fourth = queue.receive(SWITCH, 10).remove(0);
    assert_eq!((fourth.id, fourth.receives), (third.id, 4));
    queue.bury(&fourth);
    assert!(queue.is_empty());
    assert_eq!(queue.dead_letters(), [(SWITCH, fourth.body)]);
}

#[tokio::test]
async fn the_clock_moves_only_when_told_also_back() {
    let clock = VirtualClock::at(Millis(1000));
    assert_eq!((clock.now(), clock.now()), (Millis(1000), Millis(1000)));
    clock.sleep(Duration::from_secs(3600)).await;
    assert_eq!(clock.now(), Millis(3_601_000));
    clock.step_back(Duration::from_secs(3600));
    assert_eq!(clock.now(), Millis(1000));
    clock.sleep(Duration::ZERO).await;
    assert_eq!(clock.now(), Millis(1000));
    clock.sleep(Duration::from_micros(1)).await;
    assert_eq!(clock.now(), Millis(1001), "a loop that sleeps in small steps gets on");
}

#[tokio::test]
async fn the_upstream_follows_its_script_and_keeps_the_requests() {
    let mut served = 0;
    let upstream = ScriptedUpstream::new(move |request| {
        served += 1;
        let body = Bytes::from(format!("{served} {}", request.url));
        Ok(Response { status: 200, headers: Vec::new(), body })
    });
    let request = Request {
        method: http::Method::GET,
        url: "https://api.example.com/a".to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(1),
        max_body: 27,
    };
    assert_eq!(upstream.send(request.clone()).await.unwrap().body, "1 https://api.example.com/a");
    upstream.send(Request { max_body: 26, ..request.clone() }).await.unwrap_err();
    assert_eq!(upstream.count(), 2);
    assert_eq!(upstream.requests()[0], request);
    ScriptedUpstream::default().send(request).await.unwrap_err();
}

#[test]
fn every_port_of_the_world_is_what_a_stage_asks_for() {
    fn same(_: Arc<dyn Clock>, _: Arc<dyn Entropy>, _: Arc<dyn Secrets>, _: Arc<dyn Upstream>) {}
    let world = MemoryWorld::new(4);
    same(world.clock.clone(), world.entropy.clone(), world.secrets.clone(), world.upstream.clone());
    let _: (Arc<dyn EntityAdmin>, Arc<dyn EntityWriter>, Arc<dyn EntityReader>) =
        (world.entities.clone(), world.entities.clone(), world.entities.clone());
    let _: (Arc<dyn BlobReader>, Arc<dyn BlobWriter>, Arc<dyn BlobAdmin>) =
        (world.blobs.clone(), world.blobs.clone(), world.blobs.clone());
    let _: (Arc<dyn Ledger>, Arc<dyn QueueSender>) = (world.ledger.clone(), world.queue.clone());
    assert_eq!(world.entropy.next(), MemoryWorld::new(4).entropy.next());
    assert_ne!(MemoryWorld::new(5).entropy.next(), MemoryWorld::new(4).entropy.next());
}
