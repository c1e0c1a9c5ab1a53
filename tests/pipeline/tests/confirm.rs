//! A full run that finds what readers have writes no row and makes no version; one that finds anything else is a full
//! run as ever, whatever it held back before.

use std::time::Duration;

use teal::domain::{Mode, Outcome, Version, VersionState};
use teal::pipeline::switch::MoveTo;
use teal::ports::BlobReader;
use teal_conformance::trace::at;
use teal_conformance::{Decision, Trace};
use teal_pipeline_tests::{Bench, Setup, sample};
use teal_stand_in::{Event, Kind};

fn merges(trace: &Trace) -> usize {
    trace.lines().iter().filter(|line| line.contains("entities.merge")).count()
}

#[tokio::test]
async fn what_is_found_again_is_confirmed_and_no_row_is_written() {
    let mut bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    let (before, first) = (bench.runner.export().await, bench.runner.pointer().await);
    let trace = Trace::default();
    bench.restart(&trace);
    let counts = bench.synced().await;
    assert_eq!(merges(&trace), 0);
    assert_eq!(bench.runner.export().await, before);
    assert_eq!(bench.runner.pointer().await, first);
    let total = counts.rows();
    assert!(counts.add_up(), "{counts:?}");
    assert_eq!((total.unchanged, total.new + total.changed + total.deleted), (before.len() as u64, 0), "{counts:?}");
    let run = bench.last_run().await;
    assert!(run.reason.as_ref().is_some_and(|why| why.contains("v1 stays")), "{run:?}");
    let versions = bench.runner.admin.versions().await.unwrap();
    let state = |version| versions.iter().find(|v| v.manifest.version == Version(version)).unwrap().manifest.state;
    assert_eq!((state(1), state(2)), (VersionState::Active, VersionState::Dropped));
}

#[tokio::test]
async fn what_confirmed_it_is_its_listing_from_then_on() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    let old = bench.last_run().await;
    for _ in 0..3 {
        bench.world.clock.advance(Duration::from_secs(3600));
        bench.synced().await;
    }
    let before = bench.runner.export().await;
    bench.world.clock.advance(Duration::from_secs(7200));
    bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    let pages = async |prefix: String| bench.world.blobs.list(&prefix, None, 100).await.unwrap().len();
    assert_eq!(pages(format!("raw/-/-/blue/run/{}/", old.id)).await, 0, "nobody needs the first listing");
    assert_eq!(pages("raw/-/-/blue/run/".into()).await, 6);
    let requests = bench.blue.counts().requests;
    let run = bench.rebuild(true).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    assert_eq!((bench.runner.export().await, bench.blue.counts().requests), (before, requests));
}

#[tokio::test]
async fn one_record_that_differs_makes_a_version_with_all_rows() {
    for id in [1, 13, 25] {
        let bench = Bench::new(Setup::default()).await;
        bench.synced().await;
        bench.blue.edit(Kind::Talents, &[id]);
        let counts = bench.synced().await;
        assert_eq!(bench.runner.pointer().await.version, Version(2));
        assert!(counts.add_up(), "{counts:?}");
        assert_eq!((counts.pages, counts.records.fetched), (6, 25 + 12 + 9), "held back or not, a page counts once");
        assert_eq!(counts.entities[&"talents".into()].changed, 1, "{counts:?}");
        assert_eq!(bench.rows().await, bench.rows_of_the_source());
        assert_eq!(bench.runner.export().await, bench.fresh().await);
    }
}

#[tokio::test]
async fn a_record_that_is_missing_is_seen_though_all_pages_hold_nothing_else() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.blue.delete(Kind::Boards, &[12]);
    let counts = bench.synced().await;
    assert_eq!(bench.runner.pointer().await.version, Version(2));
    assert_eq!(counts.entities[&"boards".into()].deleted, 1, "{counts:?}");
    assert!(counts.add_up(), "{counts:?}");
    assert_eq!(bench.rows().await, bench.rows_of_the_source());
}

#[tokio::test]
async fn whoever_wants_to_look_first_gets_a_version() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    let run = bench.start(teal::pipeline::poll::Asked { switch: false, ..teal_pipeline_tests::full(false) }).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    let versions = bench.runner.admin.versions().await.unwrap();
    assert!(versions.iter().any(|v| v.manifest.version == Version(2) && v.manifest.state == VersionState::Ready));
}

#[tokio::test]
async fn what_waits_is_overtaken_by_a_later_listing_that_found_the_same() {
    let mut bench = Bench::new(Setup::tiny()).await;
    // Upkeep comes when it is asked for.
    bench.settings.upkeep = Duration::from_secs(86_400);
    bench.restart(&Trace::default());
    bench.synced().await;
    bench.start(teal::pipeline::poll::Asked { switch: false, ..teal_pipeline_tests::full(false) }).await;
    bench.synced().await;
    assert_eq!(bench.runner.pointer().await.version, Version(1));
    let ask = MoveTo { version: Version(2), force: true, as_was: false, who: "ada".into() };
    let refused = bench.runner.switch.move_to(&ask).await.unwrap_err().to_string();
    assert!(refused.contains("v2 is overtaken") && refused.contains("as of v3"), "{refused}");
    bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    let versions = bench.runner.admin.versions().await.unwrap();
    assert!(versions.iter().all(|v| v.manifest.state != VersionState::Ready), "nobody can switch to it any more");
}

/// With nothing, the last page and a deletion to be found.
#[tokio::test]
async fn killed_or_failing_at_any_call_it_is_confirmed_or_built() {
    let changes: [fn(&Bench) -> usize; 3] =
        [|_| 0, |bench| bench.blue.edit(Kind::MediaTags, &[9]), |bench| bench.blue.delete(Kind::Boards, &[12])];
    for (which, change) in changes.into_iter().enumerate() {
        let ready = async || {
            let bench = Bench::new(Setup::default()).await;
            bench.synced().await;
            change(&bench);
            bench
        };
        let (trace, mut bench) = (Trace::default(), ready().await);
        bench.restart(&trace);
        bench.synced().await;
        let (expected, calls) = (bench.runner.export().await, trace.calls());
        for decision in [Decision::Stop, Decision::FailBefore, Decision::FailAfter] {
            for k in sample(calls, 40) {
                let what = format!("{decision:?} at call {k} of {calls}, {which}");
                let (trace, mut bench) = (Trace::new(at(k, decision)), ready().await);
                bench.restart(&trace);
                bench.runner.ask_for_sync("blue", Mode::Full).await;
                bench.runner.drain().await;
                if trace.stopped() {
                    bench.restart(&Trace::default());
                    bench.runner.wake_up().await.unwrap();
                    bench.runner.drain().await;
                }
                assert_eq!(bench.runner.export().await, expected, "{what}");
                bench.all_ended_well(&what).await;
                // The gates are open.
                bench.blue.edit(Kind::Talents, &[7]);
                bench.tell(Event::TalentUpdated, 7).await;
                bench.runner.drain().await;
                assert_eq!(bench.runner.export().await, bench.fresh().await, "{what}");
                assert!(bench.world.queue.dead_letters().is_empty(), "{what}");
            }
        }
    }
}
