//! P2, P3: at every port call of a run with a switch, readers get all of one version and nothing of another.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;
use teal::domain::{Mode, Pointer};
use teal::pipeline::api::ReadApi as _;
use teal::pipeline::ledger;
use teal::pipeline::serve::Serve;
use teal::ports::ledger::pointer_key;
use teal::ports::{Ledger, Precondition};
use teal_conformance::{Call, Decision, Trace};
use teal_pipeline_tests::{Bench, Setup, at_once, runner};

const ENTITIES: [&str; 10] = [
    "talents",
    "boards",
    "media_tags",
    "talents_portfolios",
    "portfolios_media",
    "talents_measurements",
    "talents_socials",
    "boards_talents",
    "boards_portfolios",
    "media_tags_junction",
];

/// The stamps of all rows that a reader gets who lists every entity now. More than one is a mixture.
async fn stamps(serve: &Serve) -> BTreeSet<u64> {
    let mut stamps = BTreeSet::new();
    for entity in ENTITIES {
        let answer = serve.list(entity, &vec![("limit".into(), "1000".into())], None).await;
        assert_eq!(answer.status, 200, "{entity}");
        let body: Json = serde_json::from_slice(&answer.body).unwrap();
        stamps.extend(body["data"].as_array().unwrap().iter().map(|row| row["generation"].as_u64().unwrap()));
    }
    stamps
}

/// One listing in pages of one row, a page at a time.
#[derive(Default)]
struct Slow {
    cursor: Option<String>,
    stamps: BTreeSet<u64>,
    rows: usize,
    finished: BTreeSet<(usize, u64)>,
}

impl Slow {
    async fn step(&mut self, serve: &Serve) {
        let mut query = vec![("limit".to_owned(), "1".to_owned())];
        query.extend(self.cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
        let answer = serve.list("talents", &query, None).await;
        assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.body));
        let body: Json = serde_json::from_slice(&answer.body).unwrap();
        for row in body["data"].as_array().unwrap() {
            self.stamps.insert(row["generation"].as_u64().unwrap());
            self.rows += 1;
        }
        assert!(self.stamps.len() <= 1, "one listing, several versions: {:?}", self.stamps);
        self.cursor = body["next"].as_str().map(str::to_owned);
        if self.cursor.is_none() {
            self.finished.extend(self.stamps.first().map(|stamp| (self.rows, *stamp)));
            self.stamps.clear();
            self.rows = 0;
        }
    }
}

#[tokio::test]
async fn readers_see_one_version_at_every_call_and_a_listing_stays_in_its_own() {
    let mut bench = Bench::new(Setup::tiny()).await;
    bench.blue.set_generation(1);
    bench.synced().await;
    bench.blue.set_generation(2);
    let other = runner(&bench.world, &Trace::default(), &bench.settings);
    let seen = Arc::new(Mutex::new((Vec::new(), Slow::default())));
    let watch = seen.clone();
    bench.restart(&Trace::new(move |_: &Call| {
        let (stamps_seen, slow) = &mut *watch.lock().unwrap();
        stamps_seen.push(at_once(stamps(&other.serve)));
        at_once(slow.step(&other.serve));
        Decision::Proceed
    }));
    bench.sync(Mode::Full).await;
    let (stamps_seen, slow) = &*seen.lock().unwrap();
    assert!(stamps_seen.iter().all(|stamps| stamps.len() == 1), "a mixture");
    let mut order: Vec<u64> = stamps_seen.iter().flatten().copied().collect();
    order.dedup();
    assert_eq!(order, [1, 2], "old-complete, then new-complete");
    assert!(slow.finished.iter().all(|(rows, _)| *rows == 6), "listings are whole: {:?}", slow.finished);
}

#[tokio::test]
async fn a_switch_that_moves_one_entity_after_the_other_would_be_noticed() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.blue.set_generation(1);
    bench.synced().await;
    let first = bench.runner.pointer().await;
    bench.blue.set_generation(2);
    bench.synced().await;
    assert_eq!(stamps(&bench.runner.serve).await, BTreeSet::from([2]));
    let mut generations = bench.runner.pointer().await.generations;
    let (entity, number) = first.generations.first_key_value().unwrap();
    generations.insert(entity.clone(), *number);
    let mixed = Pointer { generations, ..bench.runner.pointer().await };
    bench.world.ledger.transact(vec![ledger::put(pointer_key(), &mixed, Precondition::None)]).await.unwrap();
    assert_eq!(stamps(&bench.runner.serve).await, BTreeSet::from([1, 2]), "the check can fail");
}
