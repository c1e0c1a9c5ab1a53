//! However often a sync is asked for while one runs, one more follows; none is lost, none is doubled.

use teal::domain::{Message, Mode, Outcome, SourceId};
use teal::pipeline::poll::{Asked, Started};
use teal::pipeline::switch::MoveTo;
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
    let sync = || Message::Sync { source: full(false).source, mode: Mode::Full, cause: "schedule".into(), trace: None };
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

/// A second source, which feeds one entity.
fn with_green() -> Setup {
    let green = r#"
  green:
    connector: ../../connectors/nowrep-blue.yaml
    config: { base_url: "${BLUE_URL}", api_key: "${secret:blue-api-key}" }

entities:
  green_tags:
    from: green.media_tags
    record: id
    key: id
    fields:
      id:    { type: integer, required: true }
      label: { type: string }
"#;
    Setup::tiny().edit("\nentities:\n", green)
}

fn of(source: &str, switch: bool) -> Asked {
    Asked { source: SourceId::new(source), switch, ..full(false) }
}

#[tokio::test]
async fn two_sources_that_want_a_version_at_once_get_one_after_the_other() {
    let bench = Bench::new(with_green()).await;
    let Started::Run(run) = bench.runner.poll.start(of("blue", true)).await.unwrap() else {
        panic!("nothing runs yet")
    };
    assert_eq!(bench.runner.poll.start(of("green", true)).await.unwrap(), Started::Waits(run.to_string()));
    bench.go_on(run).await;
    let runs = bench.runner.runs().await;
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run.outcome == Some(Outcome::Complete)), "{runs:?}");
    let rows = bench.rows().await;
    assert_eq!((rows["talents"], rows["green_tags"]), (6, 3));
}

#[tokio::test]
async fn a_version_that_waited_takes_back_nothing_of_another_source() {
    let bench = Bench::new(with_green()).await;
    let waits = bench.start(of("blue", false)).await.builds.unwrap();
    let green = bench.start(of("green", true)).await.builds.unwrap();
    assert_eq!(bench.rows().await["green_tags"], 3);
    let ask = MoveTo { version: waits, force: false, as_was: false, who: "ada".into() };
    bench.runner.switch.move_to(&ask).await.unwrap();
    let pointer = bench.runner.pointer().await;
    assert_eq!(pointer.generations[&"green_tags".into()], green.0);
    assert_eq!(pointer.generations[&"talents".into()], waits.0);
    assert_eq!(bench.rows().await["green_tags"], 3);
}
