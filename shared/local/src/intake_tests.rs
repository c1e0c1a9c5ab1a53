//! Deliveries that share a transaction: each is there with its message, or told that it is not.

use std::collections::BTreeMap;
use std::time::Duration;

use teal::domain::message::Arrival;
use teal::domain::{ConfigHash, RawKey, SourceId};
use teal::ports::BlobReader as _;

use super::*;
use crate::blobs::SMALL;
use crate::inbox::InboxOptions;
use crate::test_clock::TestClock;

struct World {
    intake: LocalIntake,
    blobs: Arc<LocalBlobs>,
    inbox: Inbox,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::at(1_000_000);
        let inbox = Inbox::open(dir.path(), clock.clone(), InboxOptions::default()).unwrap();
        let blobs = Arc::new(LocalBlobs::open(dir.path(), inbox.clone()).unwrap());
        let intake = LocalIntake::new(blobs.clone(), inbox.clone(), clock);
        Self { intake, blobs, inbox, _dir: dir }
    }

    async fn take_in(&self, name: &str, bytes: usize) -> Result<Put, BlobError> {
        let key = format!("raw/-/-/blue/hook/{name}");
        let (config, source) = (ConfigHash::new("c"), SourceId::new("blue"));
        let raw = RawKey(key.clone());
        let message = Message::Delivery { config, source, raw, trace: None, arrival: Arrival::First };
        self.intake.take_in(Arrived { key, bytes: vec![b'x'; bytes].into(), message }).await
    }

    /// How often each was sent, as the first and as one that was there.
    async fn sent(&self) -> BTreeMap<String, [usize; 2]> {
        let mut sent: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        loop {
            let batch = self.inbox.queue().receive(QueueName::Transform, 10, Duration::from_secs(60)).await.unwrap();
            if batch.is_empty() {
                return sent;
            }
            for received in batch {
                let Message::Delivery { raw, arrival, .. } = Message::decode(&received.body).unwrap() else { panic!() };
                assert!(self.blobs.get(&raw.0).await.is_ok(), "{raw} was sent and is not there");
                let name = raw.0.rsplit('/').next().unwrap().to_owned();
                sent.entry(name).or_default()[usize::from(arrival == Arrival::Again)] += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_at_the_same_time_is_stored_and_sent_once_and_one_that_comes_again_says_so() {
    let world = World::new();
    let names: Vec<String> = (0..300).map(|nth| format!("d{}", nth % 200)).collect();
    let all = names.iter().map(|name| world.take_in(name, 100));
    let puts: Vec<Put> = futures::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(puts.iter().filter(|put| **put == Put::Stored).count(), 200);
    let sent = world.sent().await;
    assert_eq!(sent.len(), 200);
    for (name, times) in sent {
        let again = names.iter().filter(|one| **one == name).count() - 1;
        assert_eq!(times, [1, again], "{name}");
    }
}

#[tokio::test]
async fn large_ones_are_files_and_who_comes_with_the_key_of_a_file_is_there_already() {
    let world = World::new();
    assert_eq!(world.take_in("small", 10).await.unwrap(), Put::Stored);
    assert_eq!(world.take_in("large", SMALL + 1).await.unwrap(), Put::Stored);
    assert_eq!(world.take_in("large", 10).await.unwrap(), Put::WasThere);
    assert_eq!(world.take_in("small", SMALL + 1).await.unwrap(), Put::WasThere);
    let sent = world.sent().await;
    assert_eq!(sent, BTreeMap::from([("large".to_owned(), [1, 1]), ("small".to_owned(), [1, 1])]));
    assert_eq!(world.blobs.get("raw/-/-/blue/hook/large").await.unwrap().len(), SMALL + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_transaction_fails_all_that_shared_it_are_told_and_nothing_of_it_stays() {
    let world = World::new();
    let change = |sql: &'static str| {
        world.inbox.file.write("test", move |db: &Connection| -> Result<(), Trouble> { Ok(db.execute_batch(sql)?) })
    };
    change("ALTER TABLE message RENAME TO away").await.unwrap();
    let all = (0..20).map(|nth| format!("d{nth}")).collect::<Vec<_>>();
    let told = futures::future::join_all(all.iter().map(|name| world.take_in(name, 10))).await;
    assert!(told.iter().all(Result::is_err));
    change("ALTER TABLE away RENAME TO message").await.unwrap();
    for name in &all {
        assert_eq!(world.take_in(name, 10).await.unwrap(), Put::Stored, "its object went with its message");
    }
    // From here on there is no transaction at all.
    change("PRAGMA query_only = 1").await.unwrap();
    let told = futures::future::join_all(all.iter().map(|name| world.take_in(name, 10))).await;
    assert!(told.iter().all(Result::is_err));
}
