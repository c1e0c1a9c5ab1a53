//! One delivery however often it comes, many in one request, and what people see of them.

use std::time::Duration;

use serde_json::{Value as Json, json};
use teal::domain::Mode;
use teal::pipeline::admin::deliveries::{DeliveryFilter, State};
use teal::pipeline::inbox::Fate;
use teal::ports::{BlobReader, Clock, LedgerReader};
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::{Event, Kind};

const ID: &str = "      id: { header: x-delivery-id }";
const BY_HEADER: &str = "      dedupe: { by: [{ header: x-delivery-id }], keep: 7d }";

async fn bench(with: &str) -> Bench {
    let bench = Bench::new(Setup::tiny().edit(ID, with)).await;
    bench.synced().await;
    bench
}

/// That a talent's city is this now.
fn moved(bench: &Bench, talent: u64, city: &str) -> Json {
    bench.blue.patch(Kind::Talents, talent, &json!({ "profile": { "city": city } }));
    let webhook = bench.blue.webhook(Event::TalentUpdated, talent).unwrap();
    serde_json::from_slice(&webhook.body).unwrap()
}

async fn fates(bench: &Bench) -> Vec<(String, Fate)> {
    bench.inbox().await.into_iter().map(|entry| (entry.id, entry.fate)).collect()
}

#[tokio::test]
async fn what_is_done_with_is_thanked_for_counted_and_left_alone() {
    let bench = bench(BY_HEADER).await;
    let body = moved(&bench, 1, "Farport");
    for _ in 0..3 {
        bench.bring("d1", &body).await;
        bench.world.clock.advance(Duration::from_secs(3600));
    }
    assert_eq!(bench.logged().await, 1);
    let inbox = bench.inbox().await;
    assert_eq!((inbox.len(), inbox[0].fate, inbox[0].again), (1, Fate::Applied, 2));
    let other = moved(&bench, 1, "Nearport");
    bench.bring("d1", &other).await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Farport");
    let inbox = bench.inbox().await;
    assert_eq!((inbox.len(), inbox[0].fate, inbox[0].differs), (2, Fate::Duplicate, true), "it says that it differs");
    assert_eq!(inbox[0].repeats.as_ref(), Some(&inbox[1].raw));
}

#[tokio::test]
async fn a_duplicate_can_be_gone_through_on_an_operators_word() {
    let bench = bench(BY_HEADER).await;
    bench.bring("d1", &moved(&bench, 1, "Farport")).await;
    bench.bring("d1", &moved(&bench, 1, "Nearport")).await;
    let duplicates = DeliveryFilter { state: Some(State::Fate(Fate::Duplicate)), ..DeliveryFilter::default() };
    let blobs = bench.world.blobs.clone();
    assert_eq!(bench.runner.admin.replay_deliveries(blobs.as_ref(), &duplicates).await.unwrap(), 1);
    bench.runner.drain().await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Nearport");
    assert_eq!(bench.logged().await, 2, "what is applied is in the change log");
    bench.rebuild(true).await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Nearport");
}

#[tokio::test]
async fn a_redelivery_of_what_was_rejected_is_no_duplicate() {
    let bench = bench(BY_HEADER).await;
    let good = moved(&bench, 1, "Farport");
    let mut bad = good.clone();
    bad["data"]["profile"]["gender"] = "?".into();
    bench.bring("d1", &bad).await;
    assert_eq!(fates(&bench).await, [("d1".to_owned(), Fate::Rejected)]);
    bench.bring("d1", &good).await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Farport");
    assert_eq!(bench.inbox().await.iter().filter(|entry| entry.fate == Fate::Applied).count(), 1);
}

#[tokio::test]
async fn a_redelivery_of_what_could_not_be_handled_is_no_duplicate() {
    let bench = bench(BY_HEADER).await;
    let body = moved(&bench, 1, "Farport");
    let webhook = teal_stand_in::Webhook { id: "d1".into(), body: body.to_string().into() };
    assert_eq!(bench.deliver(&webhook).await.status, 202);
    // Its message is lost together with whoever handled it.
    for received in bench.world.queue.receive(teal::domain::QueueName::Transform, 10) {
        bench.world.queue.bury(&received);
    }
    let waiting = DeliveryFilter { state: Some(State::Waiting), ..DeliveryFilter::default() };
    let blobs = bench.world.blobs.clone();
    assert_eq!(bench.runner.admin.waiting(blobs.as_ref(), &waiting, 10).await.unwrap().len(), 1);
    bench.bring("d1", &body).await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Farport");
    assert!(bench.runner.admin.waiting(blobs.as_ref(), &waiting, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_first_place_that_has_something_names_a_delivery() {
    let by = "      dedupe: { by: [{ header: x-none }, { path: event_id }, { hash: body }] }";
    let bench = bench(by).await;
    let mut body = moved(&bench, 1, "Farport");
    bench.bring("a", &body).await;
    bench.bring("b", &body).await;
    assert_eq!(bench.inbox().await.len(), 1, "equal bytes");
    body["event_id"] = 7.into();
    bench.bring("c", &body).await;
    body["attempt"] = 2.into();
    bench.bring("d", &body).await;
    let fates: Vec<Fate> = bench.inbox().await.iter().map(|entry| entry.fate).collect();
    assert_eq!(fates.iter().filter(|fate| **fate == Fate::Duplicate).count(), 1);
}

#[tokio::test]
async fn many_events_in_one_request_have_a_fate_each() {
    let with = "      split: events\n      dedupe: { by: [{ path: id }, { hash: body }] }";
    let bench = bench(with).await;
    let event = |id: &str, talent: u64, city: &str| {
        let mut event = moved(&bench, talent, city);
        event["id"] = id.into();
        event
    };
    let mut bad = event("e2", 2, "Farport");
    bad["data"]["profile"]["gender"] = "?".into();
    let batch = json!({ "events": [event("e1", 1, "Farport"), bad, event("e3", 3, "Farport")] });
    bench.bring("-", &batch).await;
    bench.bring("-", &batch).await;
    let again = json!({ "events": [event("e3", 3, "Elsewhere"), event("e4", 4, "Farport")] });
    bench.bring("-", &again).await;
    for (talent, city) in [(1, "Farport"), (3, "Farport"), (4, "Farport")] {
        assert_eq!(bench.row("talents", &talent.to_string()).await.unwrap()["city"], city, "{talent}");
    }
    let inbox = bench.inbox().await;
    let count = |fate| inbox.iter().filter(|entry| entry.fate == fate).count();
    assert_eq!(count(Fate::Split), 2);
    assert_eq!((count(Fate::Applied), count(Fate::Rejected), count(Fate::Duplicate)), (3, 1, 1));
    let one = inbox.iter().find(|entry| entry.id == "e1").unwrap();
    assert!(inbox.iter().any(|entry| one.of.as_ref() == Some(&entry.raw)), "it says whose event it is");
}

#[tokio::test]
async fn a_thousand_events_are_a_thousand_deliveries() {
    let bench =
        bench("      split: events\n      max_body: 8 MB\n      dedupe: { by: [{ path: id }, { hash: body }] }").await;
    let event = moved(&bench, 1, "Farport");
    let events: Vec<Json> = (0..1000)
        .map(|nth| {
            let mut event = event.clone();
            event["id"] = format!("e{nth}").into();
            event
        })
        .collect();
    bench.bring("-", &json!({ "events": events })).await;
    let inbox = bench.inbox().await;
    assert_eq!(inbox.iter().filter(|entry| entry.fate == Fate::Applied).count(), 1000);
    assert_eq!(inbox.iter().find(|entry| entry.fate == Fate::Split).unwrap().events, 1000);
}

#[tokio::test]
async fn what_is_masked_is_in_no_store() {
    let with = format!("{BY_HEADER}\n      mask: [data.email, data.profile.bio]");
    let bench = bench(&with).await;
    let mut body = moved(&bench, 1, "Farport");
    body["data"]["email"] = "ada@example.com".into();
    bench.bring("d1", &body).await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["bio"], "***");
    for key in bench.world.blobs.list("raw/", None, 1000).await.unwrap() {
        let bytes = bench.world.blobs.get(&key).await.unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("ada@example.com"), "{key}");
    }
    let webhook = teal_stand_in::Webhook { id: "d2".into(), body: "ada@example.com, and no JSON".into() };
    assert_eq!(bench.deliver(&webhook).await.status, 202, "it came, and that is all that is kept");
    bench.runner.drain().await;
    let raw = bench.inbox().await.into_iter().find(|entry| entry.id == "d2").unwrap().raw;
    let bytes = bench.world.blobs.get(&raw.0).await.unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("ada"));
}

#[tokio::test]
async fn records_ids_and_duplicates_go_when_their_time_is_over() {
    let bench = bench(BY_HEADER).await;
    bench.bring("d1", &moved(&bench, 1, "Farport")).await;
    bench.bring("d1", &moved(&bench, 1, "Nearport")).await;
    let hooks = || bench.world.blobs.list("raw/-/-/blue/hook/", None, 100);
    assert_eq!(hooks().await.unwrap().len(), 2);
    bench.world.clock.advance(Duration::from_secs(6 * 86_400));
    bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    assert_eq!(bench.inbox().await.len(), 2);
    bench.world.clock.advance(Duration::from_secs(2 * 86_400));
    for _ in 0..2 {
        bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
        bench.runner.drain().await;
    }
    assert!(bench.inbox().await.is_empty());
    assert!(bench.world.ledger.list("dedupe#-/-/blue", "", None, 10).await.unwrap().is_empty());
    assert_eq!(hooks().await.unwrap().len(), 1, "what a version is made from stays");
    let late = moved(&bench, 1, "Laterport");
    bench.bring("d1", &late).await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Laterport", "the id means something else by then");
}

#[tokio::test]
async fn the_list_is_newest_first_and_narrowed_down_by_time_and_state() {
    let bench = bench(BY_HEADER).await;
    for nth in 1..=5u64 {
        bench.bring(&format!("d{nth}"), &moved(&bench, nth, "Farport")).await;
        bench.world.clock.advance(Duration::from_secs(60));
    }
    bench.bring("sync", &json!({ "event": "sync", "sentAt": bench.world.clock.now().to_string() })).await;
    let ids: Vec<String> = bench.inbox().await.into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids, ["sync", "d5", "d4", "d3", "d2", "d1"]);
    let inbox = bench.inbox().await;
    assert_eq!(inbox[0].syncs, [Mode::Full]);
    let (since, until) = (Some(inbox[4].received), Some(inbox[2].received));
    let filter = DeliveryFilter { since, until, state: Some(State::Fate(Fate::Applied)), ..DeliveryFilter::default() };
    let found = bench.runner.admin.deliveries(&filter, 10).await.unwrap();
    let ids: Vec<&str> = found.iter().map(|(_, entry)| entry.id.as_str()).collect();
    assert_eq!(ids, ["d4", "d3", "d2"]);
    assert_eq!(bench.runner.admin.deliveries(&DeliveryFilter::default(), 2).await.unwrap().len(), 2);
}
