//! However often a sync is asked for while one runs, one more follows; none is lost, none is doubled.

use teal::domain::{Message, Mode};
use teal::pipeline::poll::Started;
use teal::trigger::queues::poll_message;
use teal_pipeline_tests::{Bench, Setup, full};

#[tokio::test]
async fn many_that_ask_while_a_run_is_at_work_get_one_more_run() {
    let bench = Bench::new(Setup::tiny()).await;
    let Started::Run(run) = bench.runner.poll.start(full(false)).await.unwrap() else { panic!("nothing runs yet") };
    for _ in 0..5 {
        assert_eq!(bench.runner.poll.start(full(false)).await.unwrap(), Started::Waits(run.to_string()));
    }
    bench.go_on(run).await;
    assert_eq!(bench.runner.runs().await.len(), 2);
}

#[tokio::test]
async fn a_sync_that_is_delivered_again_starts_nothing_again() {
    let bench = Bench::new(Setup::tiny()).await;
    let sync = || Message::Sync { source: full(false).source, mode: Mode::Full, cause: "schedule".into() };
    for _ in 0..3 {
        poll_message(&bench.runner.poll, sync(), "m1", &bench.runner.budget()).await.unwrap();
    }
    bench.runner.drain().await;
    poll_message(&bench.runner.poll, sync(), "m1", &bench.runner.budget()).await.unwrap();
    bench.runner.drain().await;
    assert_eq!(bench.runner.runs().await.len(), 1);
    poll_message(&bench.runner.poll, sync(), "m2", &bench.runner.budget()).await.unwrap();
    bench.runner.drain().await;
    assert_eq!(bench.runner.runs().await.len(), 2);
}
