//! P9: no source gets more requests than its limit, and waiting for a quota costs none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use teal::domain::{Mode, Outcome, RunState, SourceId};
use teal::pipeline::limits::permit;
use teal::ports::Clock;
use teal_conformance::{Call, Decision, Step, Trace};
use teal_pipeline_tests::{Bench, Setup, at_once};
use teal_stand_in::{Fault, FaultRule, RetryHint};

#[tokio::test]
async fn no_second_has_more_requests_than_the_limit() {
    let bench = Bench::new(Setup { talents: 90, boards: 40, page: 2, ..Setup::default() }).await;
    bench.synced().await;
    let counts = bench.blue.counts();
    assert!(counts.requests > 60, "{counts:?}");
    assert!(counts.most_in_a_second <= 10, "{}", counts.most_in_a_second);
    assert!(counts.most_in_a_second >= 8, "the limit is used: {}", counts.most_in_a_second);
}

#[tokio::test]
async fn a_run_that_is_told_to_wait_an_hour_waits_for_nothing_and_then_completes() {
    let bench = Bench::new(Setup::default()).await;
    bench.blue.fault(FaultRule::page("talents", 2, Fault::TooMany(RetryHint::Seconds(3600))));
    let start = bench.world.clock.now();
    bench.runner.ask_for_sync("blue", Mode::Full).await;
    while bench.runner.step().await != Step::Idle {}
    let parked = bench.last_run().await;
    let RunState::WaitingQuota { until } = parked.state else { panic!("{parked:?}") };
    assert!(until >= start.plus(Duration::from_secs(3600)));
    assert_eq!(bench.blue.counts().requests, 2);
    for _ in 0..58 {
        bench.world.clock.advance(Duration::from_secs(60));
        bench.runner.wake_up().await.unwrap();
        while bench.runner.step().await != Step::Idle {}
    }
    assert_eq!(bench.blue.counts().requests, 2, "nobody asks while the run waits");
    bench.runner.drain().await;
    let run = bench.last_run().await;
    assert_eq!((run.id, run.outcome), (parked.id, Some(Outcome::Complete)));
    assert!(run.ended.unwrap() >= until);
    assert_eq!(bench.blue.counts().pages_served_again(), 0, "progress is kept");
    assert_eq!(bench.rows().await, bench.rows_of_the_source());
}

#[tokio::test]
async fn a_wait_beyond_what_is_allowed_ends_the_run_with_its_progress() {
    let limits = "limits: { per_second: 10, max_wait: 30m }";
    let bench = Bench::new(Setup::default().edit("limits: { per_second: 10 }", limits)).await;
    bench.blue.fault(FaultRule::page("talents", 3, Fault::TooMany(RetryHint::Seconds(3600))));
    let run = bench.sync(Mode::Full).await;
    assert_eq!(run.outcome, Some(Outcome::PartialQuota), "{run:?}");
    assert!(run.reason.as_ref().is_some_and(|why| why.contains("max_wait")), "{run:?}");
    let counts = bench.runner.counts(&run).await;
    assert_eq!((counts.requests, counts.pages, counts.records.fetched), (3, 2, 20), "{counts:?}");
    assert!(bench.runner.export().await.is_empty(), "nothing of it is visible");
}

#[tokio::test]
async fn two_processes_that_ask_one_source_keep_its_limit_together() {
    let mut bench = Bench::new(Setup { talents: 40, page: 2, ..Setup::default() }).await;
    let (world, blue) = (bench.world.clone(), bench.blue.clone());
    // The other one takes a permit each time that ours is about to, and uses it at once.
    let turns = AtomicU64::new(0);
    bench.restart(&Trace::new(move |call: &Call| {
        let about_to = call.op == "transact" && call.what == "source#-/-/blue/limit";
        if about_to && turns.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            let source = SourceId::new("blue");
            at_once(permit(world.ledger.as_ref(), world.clock.as_ref(), world.entropy.as_ref(), &source, Some(10.0)))
                .unwrap();
            assert_eq!(blue.ask("/api/media-tags?page=1", Some("blue-key")).status, 200);
        }
        Decision::Proceed
    }));
    bench.synced().await;
    let counts = bench.blue.counts();
    assert!(counts.by_endpoint["media-tags"] > 10, "both were at work: {counts:?}");
    assert!(counts.most_in_a_second <= 10, "{}", counts.most_in_a_second);
}
