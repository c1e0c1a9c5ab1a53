//! P7: how a run ended is what happened, and it says why.

use teal::domain::{Mode, Outcome, VersionState};
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::{Fault, FaultRule, RetryHint};

fn setup() -> Setup {
    let limits = "limits: { per_second: 10, max_wait: 1h }";
    Setup { talents: 12, boards: 6, media_tags: 3, page: 5, ..Setup::default() }
        .edit("limits: { per_second: 10 }", limits)
}

const PAGES: [(&str, u64); 6] =
    [("talents", 1), ("talents", 2), ("talents", 3), ("boards", 1), ("boards", 2), ("media-tags", 1)];

#[tokio::test]
async fn a_page_that_always_fails_leaves_everything_as_it_was_and_the_next_run_heals() {
    let faults = [
        (Fault::Status(500), Outcome::PartialError),
        (Fault::Status(403), Outcome::Failed),
        (Fault::TooMany(RetryHint::Missing), Outcome::PartialQuota),
        (Fault::TooMany(RetryHint::Seconds(7200)), Outcome::PartialQuota),
        (Fault::TooMany(RetryHint::Date(7200)), Outcome::PartialQuota),
        (Fault::Truncated, Outcome::PartialError),
        (Fault::ErrorInside, Outcome::PartialError),
        (Fault::EmptyPage, Outcome::PartialError),
        (Fault::InvalidJson, Outcome::PartialError),
        (Fault::Drop, Outcome::PartialError),
    ];
    for (fault, outcome) in faults {
        let bench = Bench::new(setup()).await;
        bench.synced().await;
        let before = bench.runner.export().await;
        for (endpoint, page) in PAGES {
            bench.blue.set_generation(2);
            bench.blue.fault(FaultRule::page(endpoint, page, fault.clone()).always());
            let run = bench.sync(Mode::Full).await;
            let what = format!("{fault:?} on page {page} of {endpoint}: {run:?}");
            assert_eq!(run.outcome, Some(outcome), "{what}");
            assert!(run.reason.as_ref().is_some_and(|why| !why.is_empty()), "{what}");
            assert!(bench.runner.counts(&run).await.add_up(), "{what}");
            assert!(bench.runner.counts(&run).await.requests > 0, "{what}");
            assert_eq!(bench.runner.export().await, before, "{what}");
            let newest = bench.runner.admin.versions().await.unwrap().remove(0).manifest;
            assert_eq!(newest.state, VersionState::Dropped, "{what}");
            bench.blue.clear_faults();
        }
        bench.synced().await;
        assert_eq!(bench.runner.export().await, bench.fresh().await);
        assert!(bench.world.queue.dead_letters().is_empty(), "{:?}", bench.world.queue.dead_letters());
    }
}

#[tokio::test]
async fn a_page_that_fails_once_is_asked_again() {
    let faults = [
        Fault::Status(500),
        Fault::TooMany(RetryHint::Missing),
        Fault::TooMany(RetryHint::Seconds(30)),
        Fault::TooMany(RetryHint::Date(-30)),
        Fault::Truncated,
        Fault::ErrorInside,
        Fault::EmptyPage,
        Fault::Endless,
        Fault::InvalidJson,
        Fault::Slow(900),
        Fault::Drop,
    ];
    let bench = Bench::new(setup()).await;
    for fault in faults {
        for (endpoint, page) in PAGES {
            bench.blue.fault(FaultRule::page(endpoint, page, fault.clone()));
            let run = bench.sync(Mode::Full).await;
            assert_eq!(run.outcome, Some(Outcome::Complete), "{fault:?} on page {page} of {endpoint}: {run:?}");
            bench.blue.clear_faults();
        }
        assert_eq!(bench.rows().await, bench.rows_of_the_source(), "{fault:?}");
    }
}
