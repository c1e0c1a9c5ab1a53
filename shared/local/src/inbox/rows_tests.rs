//! Rows are found whatever became of the transactions around them, and of the process.

use std::path::Path;
use std::sync::mpsc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::inbox::{Inbox, InboxOptions};
use crate::sqlite::Synchronous;
use crate::test_clock::TestClock;

/// So few that keys enter the index all the time.
const GATHERED: usize = 4;

struct World {
    inbox: Inbox,
    rows: Arc<Rows>,
}

#[derive(Clone, Debug)]
enum Step {
    Put(String, u8),
    Delete(String),
}

impl World {
    fn open(dir: &Path) -> Self {
        let options = InboxOptions { synchronous: Synchronous::Off, ..InboxOptions::default() };
        let inbox = Inbox::open(dir, TestClock::at(0), options).unwrap();
        let rows = Rows::gathering(&inbox.file, GATHERED).unwrap();
        Self { inbox, rows }
    }

    /// A transaction, or a part of one that others are in, too. Gives what was put, in order; nothing if it fails.
    fn submit(&self, steps: Vec<Step>, fails: bool) -> mpsc::Receiver<Option<Vec<Put>>> {
        let (sender, answer) = mpsc::channel();
        let mut draft = self.rows.draft();
        let job = move |connection: &Connection| {
            let mut puts = Vec::new();
            for step in &steps {
                match step {
                    Step::Put(key, byte) => puts.push(draft.put(connection, key, &[*byte])?),
                    Step::Delete(key) => draft.delete(connection, key)?,
                }
            }
            draft.enter(connection)?;
            if fails { Err(permanent("it was to fail").into()) } else { Ok((puts, draft)) }
        };
        let then = move |done: Result<(Vec<Put>, Draft), Fault>| {
            let _ = sender.send(done.ok().map(|(puts, draft)| {
                draft.stands();
                puts
            }));
        };
        self.inbox.file.submit("rows", job, then).unwrap();
        answer
    }

    /// What there is under each, seen at one moment.
    async fn get(&self, keys: Vec<String>) -> BTreeMap<String, u8> {
        let rows = Arc::clone(&self.rows);
        let read = self.inbox.file.read("rows", move |connection| {
            let mut found = BTreeMap::new();
            for key in keys {
                let bytes = rows.get(connection, &key)?;
                assert_eq!(rows.exists(connection, &key)?, bytes.is_some(), "{key}");
                found.extend(bytes.map(|bytes| (key, bytes[0])));
            }
            Ok::<_, Trouble>(found)
        });
        let got: Result<_, Fault> = read.await;
        got.unwrap()
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let (rows, prefix, after) = (Arc::clone(&self.rows), prefix.to_owned(), after.map(str::to_owned));
        let read =
            self.inbox.file.read("rows", move |connection| rows.list(connection, &prefix, after.as_deref(), limit));
        let listed: Result<Vec<String>, Fault> = read.await;
        listed.unwrap()
    }
}

#[tokio::test]
async fn whatever_fails_and_however_often_it_is_opened_there_is_what_was_committed() {
    for seed in 0..60 {
        let mut chance = StdRng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::open(dir.path());
        let mut model: BTreeMap<String, u8> = BTreeMap::new();
        for nth in 0..40_u8 {
            // So many at once that some share a transaction.
            let jobs: Vec<(Vec<Step>, bool)> = (0..chance.random_range(1..6))
                .map(|_| {
                    let some = chance.random_range(1..5);
                    let step = |chance: &mut StdRng| {
                        let key = format!("{}/{}", chance.random_range(0..2), chance.random_range(0..30));
                        if chance.random_ratio(1, 3) { Step::Delete(key) } else { Step::Put(key, nth) }
                    };
                    ((0..some).map(|_| step(&mut chance)).collect(), chance.random_ratio(1, 4))
                })
                .collect();
            let answers: Vec<_> = jobs.iter().map(|(steps, fails)| world.submit(steps.clone(), *fails)).collect();
            for ((steps, fails), answer) in jobs.iter().zip(answers) {
                let answer = answer.recv().unwrap();
                assert_eq!(answer.is_none(), *fails);
                let Some(puts) = answer else { continue };
                let mut puts = puts.into_iter();
                for step in steps {
                    match step {
                        Step::Delete(key) => _ = model.remove(key),
                        Step::Put(key, byte) => {
                            let expected = if model.contains_key(key) { Put::WasThere } else { Put::Stored };
                            assert_eq!(puts.next(), Some(expected), "seed {seed}, round {nth}: {key}");
                            model.entry(key.clone()).or_insert(*byte);
                        }
                    }
                }
            }
            if chance.random_ratio(1, 8) {
                drop(world);
                world = World::open(dir.path());
            }
            let keys = (0..2).flat_map(|folder| (0..30).map(move |nth| format!("{folder}/{nth}")));
            assert_eq!(world.get(keys.collect()).await, model, "seed {seed}, round {nth}");
            for (prefix, after, limit) in
                [("", None, 100), ("1/", None, 3), ("", Some("0/2"), 7), ("1/1", Some("0/9"), 100)]
            {
                let all = model
                    .keys()
                    .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
                let expected: Vec<&String> = all.take(limit).collect();
                assert_eq!(
                    world.list(prefix, after, limit).await.iter().collect::<Vec<_>>(),
                    expected,
                    "seed {seed}, round {nth}: {prefix} {after:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn memory_keeps_few_keys_and_a_file_that_is_opened_gives_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path());
    // One transaction may have several jobs, each with its own.
    for at_once in [1, 30] {
        let most = 2 * GATHERED + 2 * at_once;
        for nth in 0..100 {
            let key = |other| format!("{at_once}/{}", (nth * 30 + other) * 7919 % 10_000);
            let answers: Vec<_> =
                (0..at_once).map(|other| world.submit(vec![Step::Put(key(other), 1)], false)).collect();
            for answer in answers {
                assert_eq!(answer.recv().unwrap().unwrap(), [Put::Stored]);
            }
            let fresh = world.rows.fresh();
            let kept = fresh.gathering.len() + fresh.entering.len();
            assert!(kept <= most, "{kept} after {nth} times {at_once}");
        }
    }
    drop(world);
    let world = World::open(dir.path());
    let kept = world.rows.fresh().gathering.len();
    assert!(kept <= 2 * GATHERED + 60, "{kept}");
    assert_eq!(world.list("", None, 10_000).await.len(), 3100);
}
