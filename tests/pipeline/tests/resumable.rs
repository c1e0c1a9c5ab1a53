//! P1, P8, P12: killed at any port call, or with any call failing, the next process goes on, fetches at most
//! one page of a stream twice, and ends with what an undisturbed one shows.

use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use teal::domain::{Mode, Outcome, RunState};
use teal::pipeline::poll::{Asked, Poll, Started};
use teal::ports::Fault;
use teal_conformance::trace::at;
use teal_conformance::watch::{self, Watch, What};
use teal_conformance::{Decision, Trace};
use teal_pipeline_tests::{Bench, Setup, deliver, full, sample};
use teal_stand_in::{Event, Kind, Webhook};

/// A version is read, the source has changed, a webhook is about to come, and a full sync is asked for.
async fn before(trace: &Trace) -> (Bench, Webhook) {
    let mut bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    bench.blue.edit(Kind::Talents, &[2]);
    bench.blue.insert(Kind::Talents, 1);
    bench.blue.reset_counts();
    bench.runner.ask_for_sync("blue", Mode::Full).await;
    // Only the webhook knows of this one until the next listing: it is edited after its page, so to speak.
    let webhook = bench.blue.webhook(Event::TalentUpdated, 2).unwrap();
    bench.restart(trace);
    (bench, webhook)
}

async fn check(bench: &Bench, expected: &[String], what: &str) {
    assert_eq!(bench.runner.export().await, expected, "{what}");
    for run in bench.runner.runs().await {
        assert!(run.state == RunState::Ended && run.outcome.unwrap().is_success(), "{what}: {run:?}");
        assert!(bench.runner.counts(&run).await.add_up(), "{what}: {run:?}");
    }
    assert!(bench.world.queue.dead_letters().is_empty(), "{what}: {:?}", bench.world.queue.dead_letters());
    for (endpoint, pages) in &bench.blue.counts().pages {
        let again: u64 = pages.values().map(|page| page.served.saturating_sub(1)).sum();
        assert!(again <= 1, "{what}: {endpoint} {pages:?}");
    }
}

async fn undisturbed() -> (Vec<String>, u64) {
    let trace = Trace::default();
    let (bench, webhook) = before(&trace).await;
    assert_eq!(deliver(&bench.runner, &webhook).await.status, 202);
    bench.runner.drain().await;
    let expected = bench.runner.export().await;
    assert_eq!(expected, bench.fresh().await);
    (expected, trace.calls())
}

#[tokio::test]
async fn killed_at_any_call_it_goes_on_and_ends_with_the_same() {
    let (expected, calls) = undisturbed().await;
    for k in sample(calls, 60) {
        let trace = Trace::new(at(k, Decision::Stop));
        let (mut bench, webhook) = before(&trace).await;
        let acked = deliver(&bench.runner, &webhook).await.status == 202;
        bench.runner.drain().await;
        assert!(trace.stopped() || k > trace.calls(), "call {k} was reached");
        bench.restart(&Trace::default());
        if !acked {
            assert_eq!(deliver(&bench.runner, &webhook).await.status, 202);
        }
        bench.runner.wake_up().await.unwrap();
        bench.runner.drain().await;
        check(&bench, &expected, &format!("killed at call {k} of {calls}")).await;
    }
}

#[tokio::test]
async fn killed_and_taken_over_by_a_process_that_is_not_alone_it_ends_with_the_same() {
    let (expected, calls) = undisturbed().await;
    for k in sample(calls, 20) {
        let trace = Trace::new(at(k, Decision::Stop));
        let (mut bench, webhook) = before(&trace).await;
        let acked = deliver(&bench.runner, &webhook).await.status == 202;
        bench.runner.drain().await;
        bench.restart(&Trace::default());
        if !acked {
            assert_eq!(deliver(&bench.runner, &webhook).await.status, 202);
        }
        // Nobody tells it that the others are dead: leases and receipts run out by themselves.
        bench.runner.drain().await;
        check(&bench, &expected, &format!("killed at call {k} of {calls}, not alone")).await;
    }
}

#[tokio::test]
async fn any_call_may_fail_once_whether_it_took_effect_or_not() {
    let (expected, calls) = undisturbed().await;
    for decision in [Decision::FailBefore, Decision::FailAfter] {
        for k in sample(calls, 35) {
            let trace = Trace::new(at(k, decision));
            let (bench, webhook) = before(&trace).await;
            if deliver(&bench.runner, &webhook).await.status != 202 {
                assert_eq!(deliver(&bench.runner, &webhook).await.status, 202);
            }
            bench.runner.drain().await;
            check(&bench, &expected, &format!("{decision:?} at call {k} of {calls}")).await;
        }
    }
}

#[tokio::test]
async fn a_call_that_runs_out_of_time_goes_on_in_the_next_one() {
    let mut bench = Bench::new(Setup::default()).await;
    bench.settings.call = std::time::Duration::from_millis(1);
    bench.restart(&Trace::default());
    let counts = bench.synced().await;
    assert_eq!(bench.rows().await, bench.rows_of_the_source());
    assert_eq!((counts.pages, counts.requests), (6, 6));
    assert_eq!(bench.blue.counts().pages_served_again(), 0);
}

#[tokio::test]
async fn a_stored_delivery_that_was_never_queued_is_found_by_upkeep() {
    let mut bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    bench.blue.patch(Kind::Talents, 3, &serde_json::json!({ "profile": { "city": "Farport" } }));
    let webhook = bench.blue.webhook(Event::TalentUpdated, 3).unwrap();
    let tap = |call: &teal_conformance::Call| {
        if call.port == "queue" { Decision::Stop } else { Decision::Proceed }
    };
    bench.restart(&Trace::new(tap));
    assert_ne!(deliver(&bench.runner, &webhook).await.status, 202);
    assert!(bench.world.queue.is_empty(), "the process died between storing and queueing");
    bench.restart(&Trace::default());
    assert_eq!(bench.runner.wake_up().await.unwrap().resent, 0, "one that restarts at once must not look again");
    bench.world.clock.advance(std::time::Duration::from_secs(601));
    assert_eq!(bench.runner.wake_up().await.unwrap().resent, 1);
    bench.runner.drain().await;
    assert_eq!(bench.row("talents", "3").await.unwrap()["city"], "Farport");
    assert_eq!(bench.runner.wake_up().await.unwrap().resent, 0);
}

#[tokio::test]
async fn a_run_whose_configuration_is_gone_fails_and_frees_the_way() {
    use teal::ports::BlobAdmin;
    let mut bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    let before = bench.runner.export().await;
    let old = bench.setup.bundle().hash();
    bench.runner.poll.start(teal_pipeline_tests::full(false)).await.unwrap();
    let next = bench.setup.clone().edit("system: nowrep", "system: nowrep2").bundle();
    bench.runner.deploy(&next).await.unwrap();
    bench.world.blobs.delete(&teal::config::Bundle::blob_key(&old)).await.unwrap();
    bench.restart(&Trace::default());
    bench.runner.wake_up().await.unwrap();
    bench.runner.drain().await;
    let run = bench.last_run().await;
    assert_eq!((run.state, run.outcome), (RunState::Ended, Some(teal::domain::Outcome::Failed)));
    assert!(run.reason.unwrap().contains(old.as_str()));
    assert_eq!(bench.runner.export().await, before);
}

#[tokio::test]
async fn a_run_whose_pages_are_applied_slower_than_its_lease_lasts_is_still_one_run() {
    let bench = Bench::new(Setup::default()).await;
    bench.runner.ask_for_sync("blue", Mode::Full).await;
    while bench.runner.runs().await.is_empty() || !bench.runner.unfinished_runs().await.is_empty() {
        bench.runner.step().await;
        bench.world.clock.advance(std::time::Duration::from_secs(130));
        bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    }
    bench.runner.drain().await;
    let runs = bench.runner.runs().await;
    assert_eq!(runs.len(), 1);
    let counts = bench.runner.counts(&runs[0]).await;
    assert!(counts.add_up() && counts.pages == 6, "{counts:?}");
    assert_eq!(bench.rows().await, bench.rows_of_the_source());
    assert_eq!(bench.blue.counts().pages_served_again(), 0);
}

/// Does something else first, once, when somebody looks for a lease.
#[derive(Clone)]
struct Meanwhile(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

impl Watch for Meanwhile {
    async fn call<T, E, F>(&self, asked: watch::Asked<'_>, mut work: impl FnMut() -> F + Send) -> Result<T, E>
    where
        T: Debug + Send,
        E: From<Fault> + Display + Send,
        F: Future<Output = Result<T, E>> + Send,
    {
        let is_lease = asked.op == "get" && matches!(asked.what, What::Item(key) if key.sort == "lease");
        let what = if is_lease { self.0.lock().unwrap().take() } else { None };
        if let Some(what) = what {
            what.await;
        }
        work().await
    }

    fn note(&self, _: &'static str, _: &dyn Display) {}
}

#[tokio::test]
async fn a_run_that_took_long_to_start_lists_what_changed_until_it_did() {
    let bench = Arc::new(Bench::new(Setup::tiny()).await);
    bench.synced().await;
    let poll = bench.runner.poll.clone();
    let what = {
        let bench = bench.clone();
        async move {
            bench.world.clock.advance(Duration::from_secs(600));
            bench.blue.edit(Kind::Talents, &[3]);
            bench.synced().await;
            bench.world.clock.advance(Duration::from_secs(300));
            bench.blue.edit(Kind::Talents, &[2]);
        }
    };
    let slow = Poll {
        ledger: bench.world.through(&Meanwhile(Arc::new(Mutex::new(Some(what.boxed()))))).ledger,
        entities: poll.entities.clone(),
        blobs: poll.blobs.clone(),
        raws: poll.raws.clone(),
        queue: poll.queue.clone(),
        upstream: poll.upstream.clone(),
        systems: poll.systems.clone(),
        clock: poll.clock.clone(),
        entropy: poll.entropy.clone(),
        shelf: poll.shelf.clone(),
        meter: poll.meter.clone(),
    };
    let asked = Asked { mode: Mode::Incremental, ..full(false) };
    let Started::Run(run) = slow.start(asked).await.unwrap() else { panic!("a run should have been started") };
    let run = bench.go_on(run).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}
