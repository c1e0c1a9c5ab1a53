//! P1, P8, P9 with several streams of one run read at the same time: as many as allowed, within the source's limits,
//! stopped together, and killed at any port call without a page lost or fetched more than once again.

use std::time::Duration;

use teal::domain::{Mode, Outcome, RunState};
use teal_conformance::trace::at;
use teal_conformance::{Call, Decision, Step, Trace};
use teal_pipeline_tests::{Bench, Setup, sample};
use teal_stand_in::{Fault, FaultRule, RetryHint};

fn streams(most: usize) -> Setup {
    let limits = format!("limits: {{ concurrency: {most} }}");
    Setup::default().edit("limits: { per_second: 10 }", &limits)
}

fn undisturbed() -> Trace {
    Trace::taking_turns(|_: &Call| Decision::Proceed)
}

/// The most requests whose page is not stored yet.
fn most_at_once(trace: &Trace) -> i64 {
    let step = |line: &String| match line {
        line if line.contains(" upstream.send ") => 1,
        line if line.contains(" blobs.put_if_absent raw/") => -1,
        _ => 0,
    };
    let all = trace.lines();
    all.iter()
        .map(step)
        .scan(0, |open, step| {
            Some({
                *open += step;
                *open
            })
        })
        .max()
        .unwrap_or(0)
}

#[tokio::test]
async fn as_many_streams_are_read_at_once_as_the_limit_says_with_the_same_result() {
    let expected = Bench::new(Setup::default()).await.fresh().await;
    for most in [1, 2, 3, 9] {
        let trace = undisturbed();
        let bench = Bench::traced(streams(most), &trace).await;
        let counts = bench.synced().await;
        assert_eq!(most_at_once(&trace), i64::try_from(most.min(3)).unwrap());
        assert_eq!((counts.pages, counts.requests), (6, 6), "{most}");
        assert!(counts.add_up());
        assert_eq!(bench.blue.counts().pages_served_again(), 0, "{most}");
        assert_eq!(bench.runner.export().await, expected, "{most}");
    }
}

#[tokio::test]
async fn streams_that_are_read_at_once_keep_the_rate_together() {
    let setup = Setup { talents: 60, boards: 60, media_tags: 60, page: 2, ..Setup::default() }
        .edit("limits: { per_second: 10 }", "limits: { per_second: 10, concurrency: 3 }");
    let bench = Bench::traced(setup, &undisturbed()).await;
    bench.synced().await;
    let counts = bench.blue.counts();
    assert!(counts.requests >= 90, "{counts:?}");
    assert!((8..=10).contains(&counts.most_in_a_second), "{}", counts.most_in_a_second);
}

#[tokio::test]
async fn a_quota_stops_all_of_them_and_each_goes_on_where_it_was() {
    let bench = Bench::traced(streams(3), &undisturbed()).await;
    bench.blue.fault(FaultRule::page("talents", 2, Fault::TooMany(RetryHint::Seconds(3600))));
    bench.runner.ask_for_sync("blue", Mode::Full).await;
    while bench.runner.step().await != Step::Idle {}
    let run = bench.last_run().await;
    assert!(matches!(run.state, RunState::WaitingQuota { .. }), "{run:?}");
    let asked = bench.blue.counts().requests;
    assert!(asked <= 5, "nobody begins another page once one was told to wait: {asked}");
    bench.world.clock.advance(Duration::from_secs(1800));
    while bench.runner.step().await != Step::Idle {}
    assert_eq!(bench.blue.counts().requests, asked, "nobody asks while the run waits");
    bench.runner.drain().await;
    assert_eq!(bench.last_run().await.outcome, Some(Outcome::Complete));
    assert_eq!(bench.blue.counts().pages_served_again(), 0, "progress is kept");
    assert_eq!(bench.rows().await, bench.rows_of_the_source());
}

#[tokio::test]
async fn a_stream_that_fails_for_good_ends_the_run_with_its_reason() {
    let bench = Bench::traced(streams(3), &undisturbed()).await;
    bench.blue.fault(FaultRule::page("boards", 1, Fault::Status(404)).always());
    let run = bench.sync(Mode::Full).await;
    assert_eq!(run.outcome, Some(Outcome::Failed), "{run:?}");
    assert!(run.reason.as_ref().is_some_and(|why| why.contains("stream 'boards'")), "{run:?}");
    assert!(bench.runner.export().await.is_empty(), "nothing of it is visible");
    assert!(bench.runner.counts(&run).await.add_up());
}

#[tokio::test]
async fn killed_or_failing_at_any_call_no_page_is_lost_or_fetched_twice_again() {
    let trace = undisturbed();
    let bench = Bench::traced(streams(3), &trace).await;
    bench.synced().await;
    let (expected, calls) = (bench.runner.export().await, trace.calls());
    for decision in [Decision::Stop, Decision::FailBefore, Decision::FailAfter] {
        for k in sample(calls, 50) {
            let what = format!("{decision:?} at call {k} of {calls}");
            let trace = Trace::taking_turns(at(k, decision));
            let mut bench = Bench::traced(streams(3), &trace).await;
            bench.runner.ask_for_sync("blue", Mode::Full).await;
            bench.runner.drain().await;
            if trace.stopped() {
                bench.restart(&undisturbed());
                bench.runner.wake_up().await.unwrap();
                bench.runner.drain().await;
            }
            assert_eq!(bench.runner.export().await, expected, "{what}");
            bench.all_ended_well(&what).await;
            assert!(bench.world.queue.dead_letters().is_empty(), "{what}");
            for (endpoint, pages) in &bench.blue.counts().pages {
                let again: u64 = pages.values().map(|page| page.served.saturating_sub(1)).sum();
                assert!(again <= 1, "{what}: {endpoint} {pages:?}");
            }
        }
    }
}
