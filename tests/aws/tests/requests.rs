//! What runs and webhooks cost in requests, counted at the SDK's border: the table in docs/aws.md.
//!
//! ```sh
//! TEAL_RECORDS=1000 cargo test -p teal-aws-tests --test requests -- --nocapture
//! ```

use std::collections::BTreeMap;

use serde_json::json;
use teal::domain::{Mode, Outcome};
use teal_aws::requests::Counts;
use teal_aws_tests::world::{World, bundle};
use teal_stand_in::{Blue, BlueOptions, Event, Kind};

const WEBHOOKS: u64 = 20;

/// What was asked for since, per 1,000 of so many things; printed, and given by operation.
fn cost(world: &World, before: &Counts, of: u64, what: &str) -> BTreeMap<String, u64> {
    let mut services: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut operations = BTreeMap::new();
    for (key, count) in world.clients.requests.counts() {
        let more = count - before.get(&key).copied().unwrap_or(0);
        if more > 0 {
            let (service, operation) = key;
            let (sum, told) = services.entry(service).or_default();
            *sum += more;
            told.push_str(&format!(" {operation} {}", per_thousand(more, of)));
            operations.insert(operation, more);
        }
    }
    println!("{what}, per 1,000 of {of}:");
    for (service, (sum, told)) in services {
        println!("  {service} {}:{told}", per_thousand(sum, of));
    }
    operations
}

fn per_thousand(count: u64, of: u64) -> u64 {
    (count * 1000).div_ceil(of)
}

#[tokio::test]
async fn runs_and_webhooks_cost_what_the_documentation_says_at_most() {
    let Some(emulator) = teal_emulator::shared() else { return };
    let talents = std::env::var("TEAL_RECORDS").map_or(200, |records| records.parse().unwrap());
    let blue = Blue::start(BlueOptions { talents, ..BlueOptions::default() }).await.unwrap();
    let world = World::new(emulator, &emulator.new_account(), "counted", &bundle(&blue, "system: nowrep\n")).await;

    let before = world.clients.requests.counts();
    let run = world.sync(Mode::Full).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    let counts = world.counts(&run).await;
    let (records, rows) = (counts.records.fetched, counts.entities.values().map(|rows| rows.mapped).sum::<u64>());
    println!("{records} records make {rows} rows in {} pages", counts.pages);
    let full = cost(&world, &before, records, "a full run");
    assert!(full["PutObject"] <= counts.pages + 2, "an object a page");
    assert!(full["SendMessageBatch"] <= 2 * counts.pages + 5, "{full:?}");

    let before = world.clients.requests.counts();
    let run = world.sync(Mode::Incremental).await;
    assert_eq!((run.mode, run.outcome), (Mode::Incremental, Some(Outcome::Complete)), "{run:?}");
    // The newest of each stream comes again, as it is.
    let again = world.counts(&run).await;
    assert!(
        again.records.fetched <= 3 && again.entities.values().all(|rows| rows.new + rows.changed == 0),
        "{again:?}"
    );
    let nothing = cost(&world, &before, 1000, "an incremental run that finds nothing, whatever the number of records");
    assert!(nothing.values().sum::<u64>() < 200, "{nothing:?}");

    let before = world.clients.requests.counts();
    for talent in 1..=WEBHOOKS {
        blue.patch(Kind::Talents, talent, &json!({ "status": "on_hold" }));
        world.tell(&blue, Event::TalentUpdated, talent).await;
    }
    cost(&world, &before, WEBHOOKS, "webhooks that change a record");

    let again = blue.webhook(Event::TalentUpdated, 1).unwrap();
    world.deliver(&again).await;
    world.drain().await;
    let before = world.clients.requests.counts();
    for _ in 0..WEBHOOKS {
        assert_eq!(world.deliver(&again).await, 202);
        world.drain().await;
    }
    let repeated = cost(&world, &before, WEBHOOKS, "webhooks that are repeated");
    assert!(!repeated.contains_key("TransactWriteItems"), "what is known already costs no write: {repeated:?}");

    let before = world.clients.requests.counts();
    let run = world.sync(Mode::Full).await;
    let same = world.counts(&run).await.rows();
    assert_eq!((run.outcome, same.new + same.changed + same.deleted), (Some(Outcome::Complete), 0), "{run:?}");
    let found = cost(&world, &before, records, "a full run that finds what is there");
    assert!(found["TransactWriteItems"] < full["TransactWriteItems"] / 2, "no row is written: {found:?}");
}
