//! What the inbox is beyond the suites of its ports: commits in groups, what survives, what a full disk does.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::Connection;
use teal::domain::{Message, QueueName};
use teal::ports::fault::FaultKind;
use teal::ports::queue::send_all;
use teal::ports::{Outgoing, QueueSender};

use super::*;
use crate::test_clock::TestClock;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn options() -> InboxOptions {
    InboxOptions { synchronous: Synchronous::Off, ..InboxOptions::default() }
}

fn message(name: &str) -> Message {
    Message::Settle { run: name.into() }
}

async fn send(queue: &Queue, names: &[&str]) {
    let all = names.iter().map(|name| Outgoing::now(message(name))).collect();
    send_all(queue, all).await.unwrap();
}

fn names(received: &[Received]) -> Vec<String> {
    received
        .iter()
        .map(|received| match Message::decode(&received.body).unwrap() {
            Message::Settle { run } => run.to_string(),
            other => panic!("not sent by these tests: {other:?}"),
        })
        .collect()
}

fn temp() -> (tempfile::TempDir, Arc<TestClock>) {
    (tempfile::tempdir().unwrap(), TestClock::at(1_000_000))
}

#[tokio::test]
async fn what_was_sent_is_there_after_reopening_and_what_was_deleted_is_not() {
    let (dir, clock) = temp();
    let inbox = Inbox::open(dir.path(), clock.clone(), InboxOptions::default()).unwrap();
    send(&inbox.queue(), &["a", "b"]).await;
    let first = inbox.queue().receive(QueueName::Switch, 1, MINUTE).await.unwrap();
    assert_eq!(inbox.queue().delete(vec![first[0].receipt]).await.unwrap(), 1);
    drop(inbox);
    let inbox = Inbox::open(dir.path(), clock, InboxOptions::default()).unwrap();
    let received = inbox.queue().receive(QueueName::Switch, 10, MINUTE).await.unwrap();
    assert_eq!(names(&received), ["b"]);
}

#[tokio::test]
async fn a_message_is_seen_by_a_second_connection_before_send_returns() {
    let (dir, clock) = temp();
    let queue = Inbox::open(dir.path(), clock, options()).unwrap().queue();
    send(&queue, &["a"]).await;
    let other = Connection::open(dir.path().join("inbox.db")).unwrap();
    let count: i64 = other.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn an_unfinished_message_comes_again_with_a_count_and_the_first_receipt_is_void() {
    let (dir, clock) = temp();
    let queue = Inbox::open(dir.path(), clock.clone(), options()).unwrap().queue();
    send(&queue, &["a"]).await;
    let first = queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap();
    assert_eq!((first[0].receive_count, first[0].sent_at), (1, clock.now()));
    clock.advance(MINUTE - Duration::from_millis(1));
    assert!(queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap().is_empty());
    clock.advance(Duration::from_millis(1));
    let second = queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap();
    assert_eq!((second[0].receive_count, &second[0].id), (2, &first[0].id));
    assert_eq!(second[0].first_received_at, first[0].first_received_at);
    assert_eq!(queue.delete(vec![first[0].receipt]).await.unwrap(), 0);
    assert_eq!(queue.release(QueueName::Switch, vec![(first[0].receipt, Duration::ZERO)]).await.unwrap(), 0);
    assert_eq!(queue.depth(QueueName::Switch).await.unwrap(), Depth { in_flight: 1, ..Depth::default() });
    assert_eq!(queue.delete(vec![second[0].receipt]).await.unwrap(), 1);
    assert!(queue.depth(QueueName::Switch).await.unwrap().is_drained());
}

#[tokio::test]
async fn after_its_last_reception_a_message_is_a_dead_letter_until_it_is_redriven() {
    let (dir, clock) = temp();
    let options = InboxOptions { max_receive: 2, ..options() };
    let queue = Inbox::open(dir.path(), clock.clone(), options).unwrap().queue();
    send(&queue, &["poison"]).await;
    for count in 1..=2 {
        let received = queue.receive(QueueName::Switch, 10, SECOND).await.unwrap();
        assert_eq!(received[0].receive_count, count);
        clock.advance(SECOND);
    }
    assert!(queue.receive(QueueName::Switch, 10, SECOND).await.unwrap().is_empty());
    assert_eq!(queue.depth(QueueName::Switch).await.unwrap(), Depth { dead: 1, ..Depth::default() });
    let dead = queue.dead_letters(QueueName::Switch, 10).await.unwrap();
    assert_eq!((dead[0].receive_count, dead[0].body.as_str()), (2, message("poison").encode().as_str()));
    assert!(queue.dead_letters(QueueName::Poll, 10).await.unwrap().is_empty());
    assert_eq!(queue.redrive(QueueName::Switch).await.unwrap(), 1);
    let again = queue.receive(QueueName::Switch, 10, SECOND).await.unwrap();
    assert_eq!(again[0].receive_count, 1);
}

#[tokio::test]
async fn what_a_dead_process_had_received_is_visible_again_at_once_and_what_waits_goes_on_waiting() {
    let (dir, clock) = temp();
    let queue = Inbox::open(dir.path(), clock.clone(), options()).unwrap().queue();
    send(&queue, &["taken"]).await;
    assert_eq!(queue.receive(QueueName::Switch, 10, 100 * SECOND).await.unwrap().len(), 1);
    queue.send(vec![Outgoing::after(message("later"), SECOND)]).await.into_iter().for_each(Result::unwrap);
    assert_eq!(queue.release_all().await.unwrap(), 1);
    let again = queue.receive(QueueName::Switch, 10, SECOND).await.unwrap();
    assert_eq!(names(&again), ["taken"]);
    assert_eq!(again[0].receive_count, 1);
}

#[tokio::test]
async fn a_message_that_was_at_hand_whenever_the_process_was_killed_is_not_put_aside() {
    let (dir, clock) = temp();
    send(&Inbox::open(dir.path(), clock.clone(), options()).unwrap().queue(), &["unlucky"]).await;
    for _ in 0..InboxOptions::default().max_receive + 3 {
        let queue = Inbox::open(dir.path(), clock.clone(), options()).unwrap().queue();
        queue.release_all().await.unwrap();
        assert_eq!(names(&queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap()), ["unlucky"]);
    }
}

#[tokio::test]
async fn dead_letters_in_front_of_a_queue_take_no_place_in_its_batches() {
    let (dir, clock) = temp();
    let options = InboxOptions { max_receive: 1, ..options() };
    let queue = Inbox::open(dir.path(), clock.clone(), options).unwrap().queue();
    send(&queue, &["poison"; 15]).await;
    while !queue.receive(QueueName::Switch, 10, SECOND).await.unwrap().is_empty() {}
    clock.advance(SECOND);
    send(&queue, &["a", "b"]).await;
    let received = queue.receive(QueueName::Switch, 10, SECOND).await.unwrap();
    assert_eq!(names(&received), ["a", "b"]);
    assert_eq!(queue.depth(QueueName::Switch).await.unwrap(), Depth { in_flight: 2, dead: 15, ..Depth::default() });
}

#[tokio::test]
async fn a_delayed_message_is_counted_but_not_received_until_its_time_and_wakes_the_receiver_then() {
    let (dir, clock) = temp();
    let queue = Inbox::open(dir.path(), clock.clone(), options()).unwrap().queue();
    let far = Outgoing { message: message("far"), delay: Duration::from_secs(100_000) };
    send_all(&*queue, vec![Outgoing::after(message("soon"), MINUTE), far]).await.unwrap();
    assert!(queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap().is_empty());
    assert_eq!(queue.depth(QueueName::Switch).await.unwrap().delayed, 2);
    let waiter = tokio::spawn({
        let queue = queue.clone();
        async move { queue.ready(QueueName::Switch).await }
    });
    clock.sleepers(1).await;
    assert!(!waiter.is_finished());
    clock.advance(MINUTE);
    waiter.await.unwrap().unwrap();
    assert_eq!(names(&queue.receive(QueueName::Switch, 10, MINUTE * 60).await.unwrap()), ["soon"]);
    clock.advance(Duration::from_secs(840));
    // No message is held back for longer than the port allows.
    assert_eq!(names(&queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap()), ["far"]);
}

/// Returns once a receiver sleeps: it waits for a message that is held back, which the clock shows.
async fn waiting_receiver(queue: &Arc<Queue>, clock: &TestClock) -> tokio::task::JoinHandle<Result<(), Fault>> {
    let queue = Arc::clone(queue);
    let waiting = tokio::spawn(async move { queue.ready(QueueName::Switch).await });
    clock.sleepers(1).await;
    waiting
}

async fn woken(waiting: tokio::task::JoinHandle<Result<(), Fault>>) {
    tokio::time::timeout(MINUTE, waiting).await.expect("nobody woke the receiver").unwrap().unwrap();
}

#[tokio::test]
async fn a_message_that_is_sent_released_or_redriven_wakes_a_sleeping_receiver() {
    let (dir, clock) = temp();
    let options = InboxOptions { max_receive: 1, ..options() };
    let queue = Inbox::open(dir.path(), clock.clone(), options).unwrap().queue();
    send_all(&*queue, vec![Outgoing::after(message("later"), MINUTE)]).await.unwrap();

    let waiting = waiting_receiver(&queue, &clock).await;
    send(&queue, &["a"]).await;
    woken(waiting).await;
    let received = queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap();

    let waiting = waiting_receiver(&queue, &clock).await;
    queue.release(QueueName::Switch, vec![(received[0].receipt, Duration::ZERO)]).await.unwrap();
    woken(waiting).await;
    assert!(queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap().is_empty(), "it had its one reception");

    let waiting = waiting_receiver(&queue, &clock).await;
    queue.redrive(QueueName::Switch).await.unwrap();
    woken(waiting).await;
}

#[tokio::test]
async fn a_message_for_one_queue_wakes_no_receiver_of_another() {
    let (dir, clock) = temp();
    let queue = Inbox::open(dir.path(), clock.clone(), options()).unwrap().queue();
    send_all(&*queue, vec![Outgoing::after(message("later"), MINUTE)]).await.unwrap();
    let waiting = waiting_receiver(&queue, &clock).await;
    let poll = Message::Continue { run: "r".into() };
    send_all(&*queue, vec![Outgoing::now(poll)]).await.unwrap();
    queue.ready(QueueName::Poll).await.unwrap();
    assert!(!waiting.is_finished());
    clock.advance(MINUTE);
    woken(waiting).await;
}

#[tokio::test]
async fn each_message_has_its_own_result_and_one_that_is_too_large_stops_no_other() {
    let (dir, clock) = temp();
    let queue = Inbox::open(dir.path(), clock, options()).unwrap().queue();
    let large = message(&"x".repeat(queue::MAX_MESSAGE));
    let results = queue.send(vec![Outgoing::now(large), Outgoing::now(message("small"))]).await;
    assert_eq!(results[0].as_ref().unwrap_err().kind, FaultKind::Permanent);
    assert!(results[1].is_ok());
    assert_eq!(names(&queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap()), ["small"]);
}

#[tokio::test]
async fn batches_hold_at_most_ten_messages() {
    let (dir, clock) = temp();
    let queue = Inbox::open(dir.path(), clock, options()).unwrap().queue();
    send(&queue, &["a"; 25]).await;
    let mut sizes = Vec::new();
    for _ in 0..4 {
        sizes.push(queue.receive(QueueName::Switch, 100, MINUTE).await.unwrap().len());
    }
    assert_eq!(sizes, [10, 10, 5, 0]);
}

#[tokio::test]
async fn an_unkind_queue_shuffles_and_repeats_yet_loses_nothing_and_drains() {
    let (dir, clock) = temp();
    let options = InboxOptions { shuffle_and_repeat: Some(7), ..options() };
    let queue = Inbox::open(dir.path(), clock, options).unwrap().queue();
    let sent: Vec<String> = (100..200).map(|n| n.to_string()).collect();
    send(&queue, &sent.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut seen = Vec::new();
    loop {
        let batch = queue.receive(QueueName::Switch, 10, MINUTE).await.unwrap();
        if batch.is_empty() {
            break;
        }
        seen.extend(names(&batch));
        queue.delete(batch.iter().map(|received| received.receipt).collect()).await.unwrap();
    }
    assert!(!seen.is_sorted(), "nothing was shuffled");
    assert!(seen.len() > sent.len(), "nothing was repeated");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), sent.into_iter().collect());
    assert!(queue.depth(QueueName::Switch).await.unwrap().is_drained());
}

#[test]
fn a_file_of_another_program_or_format_is_refused_by_name() {
    let (dir, clock) = temp();
    let path = dir.path().join("inbox.db");
    drop(Inbox::open(dir.path(), clock.clone(), options()).unwrap());
    for (pragma, said) in [("user_version", "format 99"), ("application_id", "another program")] {
        Connection::open(&path).unwrap().pragma_update(None, pragma, 99).unwrap();
        let fault = Inbox::open(dir.path(), clock.clone(), options()).err().unwrap();
        assert_eq!(fault.kind, FaultKind::Permanent);
        assert!(fault.what.contains("inbox.db") && fault.what.contains(said), "{fault}");
    }
}
