//! Going back: the version before, with the changes since, or as it was.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use teal::domain::{Mode, Outcome, Reject, Version};
use teal::pipeline::admin::RejectFilter;
use teal::pipeline::switch::MoveTo;
use teal_conformance::{Call, Decision, Trace};
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::{Event, Kind};

fn back_to(version: u32, as_was: bool) -> MoveTo {
    MoveTo { version: Version(version), force: false, as_was, who: "ada".into() }
}

/// Version 2 is active, and a webhook came after it became so.
async fn two_versions() -> Bench {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.blue.patch(Kind::Talents, 1, &json!({ "profile": { "city": "Newtown" } }));
    bench.tell(Event::TalentUpdated, 1).await;
    bench.runner.drain().await;
    bench.blue.patch(Kind::Talents, 4, &json!({ "profile": { "city": "Newtown" } }));
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    // The newest record of a listing comes again with the next one; it is to be another.
    bench.blue.edit(Kind::Talents, &[9]);
    bench.synced().await;
    bench.world.clock.advance(std::time::Duration::from_secs(30));
    bench.blue.patch(Kind::Talents, 2, &json!({ "profile": { "city": "Farport" } }));
    bench.tell(Event::TalentUpdated, 2).await;
    bench.runner.drain().await;
    bench
}

#[tokio::test]
async fn going_back_keeps_the_changes_since_and_the_next_incremental_run_misses_nothing() {
    let bench = two_versions().await;
    let moved = bench.runner.switch.move_to(&back_to(1, false)).await.unwrap();
    assert_eq!((moved.from, moved.to, moved.left_out), (Version(2), Version(1), 0));
    assert_eq!(bench.row("talents", "2").await.unwrap()["city"], "Farport");
    assert_ne!(bench.row("talents", "4").await.unwrap()["city"], "Newtown", "the listing of version 2 is not in it");
    bench.sync(Mode::Incremental).await;
    assert_eq!(bench.runner.export().await, bench.fresh().await);
    let moved = bench.runner.switch.move_to(&back_to(2, false)).await.unwrap();
    assert_eq!(moved.to, Version(2));
    assert_eq!(bench.runner.export().await, bench.fresh().await, "and forth again");
}

#[tokio::test]
async fn going_back_as_it_was_leaves_the_changes_out_and_says_how_many() {
    let bench = two_versions().await;
    let moved = bench.runner.switch.move_to(&back_to(1, true)).await.unwrap();
    assert_eq!((moved.replayed, moved.left_out), (0, 1));
    assert_ne!(bench.row("talents", "2").await.unwrap()["city"], "Farport");
    assert_eq!(bench.row("talents", "1").await.unwrap()["city"], "Newtown", "it came before the switch");
    bench.blue.patch(Kind::Talents, 3, &json!({ "profile": { "city": "Farport" } }));
    bench.tell(Event::TalentUpdated, 3).await;
    bench.runner.drain().await;
    assert_eq!(bench.row("talents", "3").await.unwrap()["city"], "Farport", "changes go on");
}

#[tokio::test]
async fn what_is_gone_or_active_or_unknown_can_not_be_gone_back_to() {
    let bench = two_versions().await;
    for version in [2, 9] {
        bench.runner.switch.move_to(&back_to(version, false)).await.unwrap_err();
    }
    assert_eq!(bench.runner.pointer().await.version, Version(2));
    bench.blue.edit(Kind::Talents, &[9]);
    bench.tell(Event::TalentUpdated, 9).await;
    bench.runner.drain().await;
    assert!(bench.world.queue.dead_letters().is_empty(), "the gates are open again");
}

#[tokio::test]
async fn going_back_before_the_run_that_switched_has_ended_stays_gone_back() {
    let mut bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    bench.blue.edit(Kind::Talents, &[1]);
    // The pointer moves, and whoever moved it does not live to end the run.
    bench.restart(&Trace::new(|call: &Call| {
        let dies = call.op == "get" && call.what.ends_with("/settling") || call.what.starts_with("audit/");
        if dies { Decision::Stop } else { Decision::Proceed }
    }));
    bench.runner.ask_for_sync("blue", Mode::Full).await;
    bench.runner.drain().await;
    bench.restart(&Trace::new(
        |call: &Call| {
            if call.what.starts_with("audit/") { Decision::Stop } else { Decision::Proceed }
        },
    ));
    bench.runner.wake_up().await.unwrap();
    bench.runner.drain().await;
    assert_eq!(bench.runner.pointer().await.version, Version(2));
    assert_eq!(bench.runner.unfinished_runs().await.len(), 1);

    bench.restart(&Trace::default());
    bench.runner.switch.repair_alone().await.unwrap();
    bench.runner.switch.move_to(&back_to(1, false)).await.unwrap();
    let before = bench.runner.export().await;
    bench.runner.wake_up().await.unwrap();
    bench.runner.drain().await;
    assert_eq!(bench.runner.pointer().await.version, Version(1), "what somebody chose since stays");
    assert_eq!(bench.runner.export().await, before);
    assert_eq!(bench.last_run().await.outcome, Some(Outcome::Complete));
}

#[tokio::test]
async fn a_run_that_was_under_way_does_not_move_on_the_cursor_that_going_back_set_back() {
    let mut bench = two_versions().await;
    bench.blue.patch(Kind::Talents, 5, &json!({ "profile": { "city": "Newtown" } }));
    // All is fetched, and whoever fetched it does not live to end the run.
    bench.restart(&Trace::new(|call: &Call| {
        if call.what.contains("/cursor#") && call.op == "transact" { Decision::Stop } else { Decision::Proceed }
    }));
    bench.runner.ask_for_sync("blue", Mode::Incremental).await;
    bench.runner.drain().await;
    assert_eq!(bench.runner.unfinished_runs().await.len(), 1);

    bench.restart(&Trace::default());
    bench.runner.switch.move_to(&back_to(1, false)).await.unwrap();
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.runner.wake_up().await.unwrap();
    bench.runner.drain().await;
    assert_eq!(bench.last_run().await.outcome, Some(Outcome::Complete));
    assert_ne!(bench.row("talents", "4").await.unwrap()["city"], "Newtown", "the listing of version 2 is not in it");
    bench.sync(Mode::Incremental).await;
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}

#[tokio::test]
async fn going_back_behind_a_deployment_that_added_an_entity_misses_nothing_either() {
    let setup = Setup::default().edit("\nentities:\n", "\nversions: { keep: 4 }\nentities:\n");
    let bench = Bench::new(setup).await;
    bench.synced().await;
    let more =
        "  everybody:\n    from: blue.talents\n    key: id\n    fields: { id: { type: integer, required: true } }\n";
    let more = bench.setup.clone().edit("\nentities:\n", &format!("\nentities:\n{more}")).bundle();
    assert!(bench.runner.deploy(&more).await.unwrap().changed);
    assert_eq!(bench.runner.pointer().await.version, Version(2));
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.blue.patch(Kind::Talents, 4, &json!({ "profile": { "city": "Newtown" } }));
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.synced().await;
    bench.runner.switch.move_to(&back_to(1, false)).await.unwrap();
    assert_ne!(bench.row("talents", "4").await.unwrap()["city"], "Newtown", "the listing of version 3 is not in it");
    bench.sync(Mode::Incremental).await;
    assert_eq!(bench.row("talents", "4").await.unwrap()["city"], "Newtown");
}

/// The rejects that people see, by field.
async fn rejected(bench: &Bench) -> Vec<(String, String)> {
    let rejects = bench.runner.admin.rejects(&RejectFilter::default(), 100).await.unwrap();
    let shown = |reject: Reject| (reject.reason.field.unwrap_or_default(), reject.config.short().to_owned());
    rejects.into_iter().map(|(_, reject)| shown(reject)).collect()
}

#[tokio::test]
async fn each_mapping_has_its_own_rejects_also_for_those_who_go_back_to_it() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.blue.patch(Kind::Talents, 2, &json!({ "profile": { "gender": "?" } }));
    bench.tell(Event::TalentUpdated, 2).await;
    bench.runner.drain().await;
    let before = rejected(&bench).await;
    assert_eq!(before.len(), 1, "{before:?}");

    let stricter = bench.setup.clone().edit("bio:        {", "bio:        { required: true,").bundle();
    bench.runner.deploy(&stricter).await.unwrap();
    bench.rebuild(true).await;
    let after = rejected(&bench).await;
    assert_eq!(after.len(), 1, "{after:?}");
    assert_ne!(before[0].1, after[0].1, "the same record, and another mapping that rejects it");

    bench.runner.switch.move_to(&back_to(1, true)).await.unwrap();
    assert_eq!(rejected(&bench).await, before);
}

#[tokio::test]
async fn what_is_rejected_can_be_found_as_soon_as_its_neighbours_can_be_read() {
    let mut bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    bench.blue.patch(Kind::Talents, 2, &json!({ "profile": { "gender": "?" } }));
    let merged = AtomicBool::new(false);
    bench.restart(&Trace::new(move |call: &Call| {
        let dies = merged.fetch_or(call.op == "merge", Ordering::Relaxed);
        if dies { Decision::Stop } else { Decision::Proceed }
    }));
    bench.tell(Event::TalentUpdated, 2).await;
    bench.runner.drain().await;
    bench.restart(&Trace::default());
    assert_eq!(rejected(&bench).await.len(), 1, "whoever merged died right after");
}
