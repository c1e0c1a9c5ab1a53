//! Upkeep lets go of what no kept version needs, and of nothing else.

use std::time::Duration;

use teal::domain::{Mode, Outcome, SourceId, VersionState};
use teal::pipeline::admin::RejectFilter;
use teal::pipeline::{changelog, ledger};
use teal::ports::{BlobReader, BlobWriter, EntityAdmin};
use teal_conformance::{Call, Decision, Trace};
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::{Event, Kind};

#[tokio::test]
async fn versions_tables_and_raw_go_when_nobody_needs_them() {
    let bench = Bench::new(Setup::default()).await;
    for round in 1..=6_u32 {
        bench.blue.edit(Kind::Talents, &[u64::from(round)]);
        bench.tell(Event::TalentUpdated, u64::from(round)).await;
        bench.runner.drain().await;
        bench.blue.edit(Kind::MediaTags, &[1]);
        bench.synced().await;
        bench.world.clock.advance(Duration::from_secs(3600));
        bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();

        let versions = bench.runner.admin.versions().await.unwrap();
        let readable = |v: &VersionState| matches!(v, VersionState::Active | VersionState::Previous);
        let kept = versions.iter().filter(|v| readable(&v.manifest.state)).count();
        assert_eq!(kept, 2, "the active one and the one before");
        assert!(versions.iter().filter(|v| readable(&v.manifest.state)).all(|v| v.rows.values().all(Option::is_some)));
        assert_eq!(bench.world.entities.generations().await.unwrap().len(), 20, "ten tables a version");
        let pages = bench.world.blobs.list("raw/-/-/blue/run/", None, 1000).await.unwrap().len();
        assert_eq!(pages, 6 * round.min(3) as usize, "the listings of the last three versions");
        let hooks = bench.world.blobs.list("raw/-/-/blue/hook/", None, 1000).await.unwrap().len();
        assert!(hooks <= 4, "deliveries before the oldest listing are gone: {hooks}");
        assert_eq!(bench.runner.export().await, bench.fresh().await);
    }
    let (before, requests) = (bench.runner.export().await, bench.blue.counts().requests);
    let run = bench.rebuild(true).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    assert_eq!(bench.runner.export().await, before);
    bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    let run = bench.rebuild(true).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "also of a rebuilt one: {run:?}");
    assert_eq!(bench.blue.counts().requests, requests);
}

#[tokio::test]
async fn what_was_rejected_goes_with_its_raw_and_not_before() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    let record = bench.blue.record(Kind::Talents, 1).unwrap();
    let body = serde_json::json!({ "id": "x1", "event": "talent.updated", "data": record }).to_string();
    bench.deliver(&teal_stand_in::Webhook { id: "x1".into(), body: body.into() }).await;
    bench.runner.drain().await;
    let mut rejects = Vec::new();
    for _ in 0..4 {
        rejects.push(bench.runner.admin.rejects(&RejectFilter::default(), 10).await.unwrap().len());
        bench.world.clock.advance(Duration::from_secs(3600));
        bench.synced().await;
        bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    }
    assert_eq!(rejects[..2], [1, 1]);
    assert!(bench.runner.admin.rejects(&RejectFilter::default(), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_change_whose_letting_go_was_cut_short_is_in_no_log_and_goes_in_the_next_round() {
    let mut bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    bench.bring("x1", &serde_json::json!({ "id": "x1", "event": "talent.updated", "data": { "id": 1 } })).await;
    bench.runner.drain().await;
    let rejected = async |bench: &Bench| bench.runner.admin.rejects(&RejectFilter::default(), 10).await.unwrap().len();
    let stored = async |bench: &Bench| bench.world.blobs.list("raw/-/-/blue/hook/", None, 10).await.unwrap().len();
    let logged = async |bench: &Bench| {
        let entries = changelog::entries(bench.world.ledger.as_ref(), &SourceId::new("blue"), 0, 10).await.unwrap();
        entries.iter().filter(|(_, entry)| entry.raw.0.contains("/hook/")).count()
    };
    assert_eq!((rejected(&bench).await, stored(&bench).await, logged(&bench).await), (1, 1, 1));
    // Whoever lets go of it does not live to delete the object.
    let dies = |call: &Call| {
        let deletes = call.op == "delete" && call.what.contains("/hook/");
        if deletes { Decision::Stop } else { Decision::Proceed }
    };
    for _ in 0..8 {
        bench.restart(&Trace::new(dies));
        bench.world.clock.advance(Duration::from_secs(3600));
        bench.runner.ask_for_sync("blue", Mode::Full).await;
        bench.runner.drain().await;
        if bench.runner.upkeep.round(false, &bench.runner.budget()).await.is_err() {
            break;
        }
    }
    assert_eq!((stored(&bench).await, logged(&bench).await), (1, 0), "nobody replays it any more");

    bench.restart(&Trace::default());
    bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    assert_eq!((rejected(&bench).await, stored(&bench).await, logged(&bench).await), (0, 0, 0));
    let leaving = changelog::leaving(bench.world.ledger.as_ref(), &SourceId::new("blue"), 10).await.unwrap();
    assert!(leaving.is_empty(), "{leaving:?}");
}

#[tokio::test]
async fn what_was_refused_is_kept_for_a_day() {
    let bench = Bench::new(Setup::tiny()).await;
    let kept = async || bench.world.blobs.list("quarantine/", None, 10).await.unwrap().len();
    assert_eq!(bench.runner.receive_webhook("blue", &[], "who am I".into()).await.status, 401);
    for (hours, left) in [(0, 1), (23, 1), (2, 0)] {
        bench.world.clock.advance(Duration::from_secs(hours * 3600));
        bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
        assert_eq!(kept().await, left, "{hours} hours later");
    }
}

#[tokio::test]
async fn a_page_stored_after_its_run_was_over_goes_too_and_then_nobody_looks_for_pages_again() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    let old = bench.last_run().await;
    for _ in 0..3 {
        bench.synced().await;
    }
    let upkeep = async || bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    let pages =
        async || bench.world.blobs.list(&format!("raw/-/-/blue/run/{}/", old.id), None, 100).await.unwrap().len();
    let is_tidied =
        async || ledger::run(bench.world.ledger.as_ref(), &old.id).await.unwrap().is_some_and(|run| run.value.tidied);
    bench.world.clock.advance(Duration::from_secs(1800));
    upkeep().await;
    assert_eq!((pages().await, is_tidied().await), (0, false), "whoever lost the run may still be at it");

    let late = format!("raw/-/-/blue/run/{}/talents/00000000-late", old.id);
    bench.world.blobs.put_if_absent(&late, "late".into()).await.unwrap();
    bench.world.clock.advance(Duration::from_secs(2 * 3600));
    upkeep().await;
    assert_eq!((pages().await, is_tidied().await), (0, true));
    let last = bench.last_run().await;
    assert!(!last.tidied, "its listing is needed");
}
