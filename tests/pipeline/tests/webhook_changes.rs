//! Deliveries change what readers see at once, and what can't be applied is rejected where people see it.

use std::collections::BTreeSet;

use serde_json::json;
use teal::domain::Mode;
use teal::pipeline::admin::RejectFilter;
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::{Event, Kind, Webhook};

#[tokio::test]
async fn updates_inserts_and_deletions_are_read_at_once() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    bench.blue.patch(Kind::Talents, 1, &json!({ "profile": { "city": "Farport" } }));
    bench.tell(Event::TalentUpdated, 1).await;
    let new = bench.blue.insert(Kind::Talents, 1)[0];
    bench.tell(Event::TalentUpdated, new).await;
    bench.blue.delete(Kind::Talents, &[2]);
    bench.tell(Event::TalentDeleted, 2).await;
    bench.runner.drain().await;
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Farport");
    assert!(bench.row("talents", &new.to_string()).await.is_some());
    assert!(bench.row("talents", "2").await.is_none());
    assert!(bench.row("talents_measurements", "2").await.is_none(), "all that belongs to it goes with it");
}

#[tokio::test]
async fn a_late_delivery_from_before_the_listing_brings_nothing_back() {
    let bench = Bench::new(Setup::tiny().edit("system: nowrep", "system: nowrep\nguard: { max_shrink: 60% }")).await;
    bench.synced().await;
    bench.blue.edit(Kind::Talents, &[4]);
    let late = bench.blue.webhook(Event::TalentUpdated, 4).unwrap();
    bench.world.clock.advance(std::time::Duration::from_secs(60));
    bench.blue.delete(Kind::Talents, &[4]);
    bench.synced().await;
    assert!(bench.row("talents", "4").await.is_none());
    assert_eq!(bench.deliver(&late).await.status, 202);
    bench.runner.drain().await;
    assert!(bench.row("talents", "4").await.is_none());
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}

#[tokio::test]
async fn a_delivery_that_states_no_time_is_rejected_where_people_see_it() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    let before = bench.runner.export().await;
    let record = bench.blue.record(Kind::Talents, 1).unwrap();
    let body = json!({ "id": "x1", "event": "talent.updated", "data": record }).to_string();
    assert_eq!(bench.deliver(&Webhook { id: "x1".into(), body: body.into() }).await.status, 202);
    bench.runner.drain().await;
    assert_eq!(bench.runner.export().await, before);
    let rejects = bench.runner.admin.rejects(&RejectFilter::default(), 10).await.unwrap();
    assert_eq!(rejects.len(), 1, "{rejects:?}");
    assert_eq!(rejects[0].1.reason.code, "TEAL-R013");
    assert!(rejects[0].1.reason.message.contains("stated"));
}

#[tokio::test]
async fn what_can_not_be_read_is_rejected_under_each_mapping_that_readers_see() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    let more =
        "  everybody:\n    from: blue.talents\n    key: id\n    fields: { id: { type: integer, required: true } }\n";
    let more = bench.setup.clone().edit("\nentities:\n", &format!("\nentities:\n{more}")).bundle();
    assert!(bench.runner.deploy(&more).await.unwrap().changed);
    let untimed = json!({ "id": "x1", "event": "talent.updated", "data": bench.blue.record(Kind::Talents, 1) });
    let delivery = Webhook { id: "x1".into(), body: untimed.to_string().into() };
    assert_eq!(bench.deliver(&delivery).await.status, 202);
    bench.runner.drain().await;
    let rejects = bench.runner.admin.rejects(&RejectFilter::default(), 10).await.unwrap();
    let mappings: BTreeSet<_> = rejects.iter().map(|(_, reject)| reject.config.clone()).collect();
    assert_eq!((rejects.len(), mappings.len()), (2, 2), "once for each, however many entities follow it: {rejects:?}");
}

#[tokio::test]
async fn a_delivery_may_ask_for_one_sync_of_everything() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    bench.blue.insert(Kind::MediaTags, 2);
    let webhook = bench.blue.webhook(Event::Sync, 0).unwrap();
    for _ in 0..3 {
        assert_eq!(bench.deliver(&webhook).await.status, 202);
        bench.runner.drain().await;
    }
    assert_eq!(bench.runner.runs().await.len(), 2, "one sync, however often the delivery came");
    let run = bench.last_run().await;
    assert_eq!(run.mode, Mode::Full);
    assert!(run.cause.starts_with("webhook "), "{}", run.cause);
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}
