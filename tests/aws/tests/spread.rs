//! How a load spreads over partitions, and what it costs in requests.
//!
//! ```sh
//! TEAL_ROWS=100000 cargo test -p teal-aws-tests --test spread -- --nocapture
//! ```

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};
use teal::domain::Fence;
use teal::ports::entities::{Gate, GenerationSpec, ListQuery, Writer};
use teal::ports::{EntityAdmin, EntityReader, EntityWriter};
use teal_aws::AwsClients;
use teal_aws::dynamodb::entities::DynamoEntities;
use teal_aws::dynamodb::tables::PARTITION_KEY;
use teal_aws_tests::harness::{Account, SYSTEM};
use teal_aws_tests::talents::{generation, page, row, spec};

const PAGE: i64 = 500;
const AT_ONCE: usize = 4;

fn rows() -> i64 {
    std::env::var("TEAL_ROWS").map_or(5_000, |rows| rows.parse().expect("TEAL_ROWS is a number"))
}

/// Rows by partition, of what has this prefix.
async fn partitions(clients: &AwsClients, table: &str, prefix: &str) -> BTreeMap<String, i64> {
    let (mut counts, mut next) = (BTreeMap::new(), None);
    loop {
        let scan = clients.dynamodb().scan().table_name(table).projection_expression("pk, sk");
        let page = scan.set_exclusive_start_key(next).send().await.unwrap();
        for item in page.items() {
            let (pk, sk) = (item[PARTITION_KEY].as_s().unwrap(), item["sk"].as_s().unwrap());
            if pk.starts_with(prefix) && sk.starts_with('r') && sk != "root" {
                *counts.entry(pk.clone()).or_default() += 1;
            }
        }
        next = page.last_evaluated_key;
        if next.is_none() {
            return counts;
        }
    }
}

/// Merges pages, four at once, and says what that took in requests per 1,000 rows.
async fn load(entities: &DynamoEntities, clients: &AwsClients, number: u32, stated: i64, name: &str, what: &str) {
    let before = clients.requests.counts();
    let writer = if number == 1 { Writer::Live } else { Writer::Build(Fence(1)) };
    let began = tokio::time::Instant::now();
    stream::iter((0..rows()).step_by(usize::try_from(PAGE).unwrap()))
        .map(|start| async move {
            let changes = page(start..(start + PAGE).min(rows()), stated, name);
            let slot = format!("slot {stated} {start}");
            entities.merge(&generation(number), writer, &slot, &changes).await.unwrap();
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
    let mut told = String::new();
    for ((_, operation), count) in clients.requests.counts() {
        let more = count - before.get(&("DynamoDB".to_owned(), operation.clone())).copied().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let per_thousand = more as f64 * 1000.0 / rows() as f64;
        if more > 0 {
            told.push_str(&format!(" {operation} {per_thousand:.1}"));
        }
    }
    println!("{what}: {} rows in {:.1} s; requests per 1,000 rows:{told}", rows(), began.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_spreads_over_its_shards_and_ten_rows_have_one() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let account = Account::new(emulator);
    let (clients, table) = account.new_table().await;
    let entities = DynamoEntities::new(clients.clone(), &table, SYSTEM);

    entities.create(spec(9, true)).await.unwrap();
    entities.merge(&generation(9), Writer::Live, "s", &page(0..10, 10, "few")).await.unwrap();
    assert_eq!(partitions(&clients, &table, "nowrep#talents#g9").await.len(), 1, "ten rows have one shard");

    entities.create(spec(1, true)).await.unwrap();
    // The emulator takes its time over large partitions: of a large load, only where it lies is looked at.
    let is_small = rows() <= 20_000;
    load(&entities, &clients, 1, 10, if is_small { "name" } else { "other" }, "first load, which grows").await;
    let grown = partitions(&clients, &table, "nowrep#talents#g1").await;
    check(&grown, "grown");
    if is_small {
        load(&entities, &clients, 1, 10, "name", "redelivered").await;
        load(&entities, &clients, 1, 20, "name", "stated again, unchanged").await;
        load(&entities, &clients, 1, 30, "other", "changed").await;
    }

    let gate = Gate::Building;
    entities.create(GenerationSpec { base: Some(generation(1)), gate, ..spec(2, true) }).await.unwrap();
    load(&entities, &clients, 2, 40, "other", "built beside a large one").await;
    let large = partitions(&clients, &table, "nowrep#talents#g2").await;
    assert_eq!(large.len(), 16);
    check(&large, "large");

    let mut all = Vec::new();
    for number in [1, 2] {
        let head = entities.head(&generation(number)).await.unwrap();
        let expected = (0..rows()).map(|id| row(id, &format!("other {}", id % 7)).hash().0).fold(0, u64::wrapping_add);
        assert_eq!((head.rows, head.sum), (rows().unsigned_abs(), expected));
        if !is_small {
            continue;
        }
        let query = ListQuery { limit: 100, after: Some(teal::domain::Key::int(rows() / 2)), filters: Vec::new() };
        let listed = entities.list(&generation(number), &query).await.unwrap();
        assert_eq!((&listed[0].key, listed.len()), (&teal::domain::Key::int(rows() / 2 + 1), 100));
        all.push(entities.hashes(&generation(number), None, usize::MAX).await.unwrap());
    }
    for hashes in &all {
        assert!(hashes.is_sorted_by(|a, b| a.0 < b.0) && *hashes == all[0]);
    }
}

/// No partition has more than twice its fair share. The first of a grown one is bounded by itself: with a small load
/// that is more.
fn check(partitions: &BTreeMap<String, i64>, what: &str) {
    let all: i64 = partitions.values().sum();
    assert_eq!(all, rows());
    let fair = all / i64::try_from(partitions.len()).unwrap();
    let largest = partitions.values().max().unwrap();
    println!("{what}: {} partitions, fair share {fair}, largest {largest}: {partitions:?}", partitions.len());
    assert!(partitions.len() >= 16);
    for (partition, rows) in partitions {
        let is_first = partition.ends_with("#00");
        assert!(*rows <= 2 * fair || (is_first && *rows < 5_000), "{partition} has {rows} of {all} rows");
    }
    if all >= 100_000 {
        assert!(*largest <= 2 * fair);
    }
}
