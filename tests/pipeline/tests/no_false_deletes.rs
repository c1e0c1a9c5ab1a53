//! P6: nothing goes unless the provider said so or a complete listing lacks it.

use teal::domain::{Mode, Outcome};
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::{Event, Fault, FaultRule, Kind};

#[tokio::test]
async fn a_listing_without_end_deletes_nothing() {
    for (endpoint, page) in [("talents", 1), ("talents", 3), ("boards", 1), ("boards", 2), ("media-tags", 1)] {
        let bench = Bench::new(Setup::default()).await;
        bench.synced().await;
        let rows = bench.rows().await;
        bench.blue.fault(FaultRule::page(endpoint, page, Fault::Endless).always());
        let run = bench.sync(Mode::Full).await;
        assert!(matches!(run.outcome, Some(Outcome::Complete | Outcome::PartialError)), "{run:?}");
        assert_eq!(bench.rows().await, rows, "page {page} of {endpoint}");
    }
}

#[tokio::test]
async fn an_incremental_run_that_lacks_a_row_deletes_nothing() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.blue.delete(Kind::Talents, &[3]);
    bench.world.clock.advance(std::time::Duration::from_secs(600));
    bench.sync(Mode::Incremental).await;
    assert!(bench.row("talents", "3").await.is_some(), "nobody said that it is gone");
    bench.tell(Event::TalentDeleted, 3).await;
    bench.runner.drain().await;
    assert!(bench.row("talents", "3").await.is_none());
}

#[tokio::test]
async fn rows_that_came_by_webhook_during_a_run_are_not_counted_as_deleted() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.runner.ask_for_sync("blue", Mode::Full).await;
    while bench.runner.runs().await.len() < 2 {
        bench.runner.step().await;
    }
    let new = bench.blue.insert(Kind::Talents, 1)[0];
    bench.tell(Event::TalentUpdated, new).await;
    bench.runner.drain().await;
    let counts = bench.runner.counts(&bench.last_run().await).await;
    assert_eq!(counts.entities[&"talents".into()].deleted, 0, "{counts:?}");
    assert!(bench.row("talents", &new.to_string()).await.is_some());
}
