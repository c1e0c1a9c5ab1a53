//! An incremental run brings what changed since the cursor, and nothing is missed between two of them.

use std::time::Duration;

use teal::domain::{Millis, Mode, Outcome, Version};
use teal::ports::Clock;
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::Kind;

#[tokio::test]
async fn without_a_cursor_it_becomes_a_full_run() {
    let bench = Bench::new(Setup::default()).await;
    let run = bench.sync(Mode::Incremental).await;
    assert_eq!((run.mode, run.outcome), (Mode::Full, Some(Outcome::Complete)));
    assert_eq!(bench.rows().await, bench.rows_of_the_source());
}

#[tokio::test]
async fn edits_and_inserts_arrive_in_the_active_version_and_the_cursor_moves() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    for round in 0..3 {
        bench.world.clock.advance(Duration::from_secs(3600));
        bench.blue.reset_counts();
        bench.blue.edit(Kind::Talents, &[1 + round, 7]);
        bench.blue.edit(Kind::Boards, &[2]);
        bench.blue.insert(Kind::MediaTags, 1);
        // Longer than the lookback, so that the next round does not bring the same again.
        bench.world.clock.advance(Duration::from_secs(90));
        let run = bench.sync(Mode::Incremental).await;
        assert_eq!((run.mode, run.outcome), (Mode::Incremental, Some(Outcome::Complete)), "{run:?}");
        let counts = bench.runner.counts(&run).await;
        assert!(counts.add_up(), "{counts:?}");
        // What changed since the round before, and again what was newest then: a cursor is a record's own time.
        assert!((4..=8).contains(&counts.records.fetched), "{counts:?}");
        assert_eq!(counts.entities[&"media_tags".into()].new, 1);
        assert_eq!(bench.runner.pointer().await.version, Version(1));
        assert_eq!(bench.runner.export().await, bench.fresh().await);
    }
}

#[tokio::test]
async fn what_comes_again_unchanged_is_counted_as_that() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.world.clock.advance(Duration::from_secs(3600));
    bench.blue.edit(Kind::MediaTags, &[3]);
    bench.sync(Mode::Incremental).await;
    let run = bench.sync(Mode::Incremental).await;
    let counts = bench.runner.counts(&run).await;
    let tags = counts.entities[&"media_tags".into()];
    assert_eq!((tags.mapped, tags.unchanged, tags.changed), (1, 1, 0), "within the lookback: {counts:?}");
}

#[tokio::test]
async fn what_becomes_visible_late_is_brought_and_counted_as_that() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.world.clock.advance(Duration::from_secs(3600));
    bench.blue.edit(Kind::MediaTags, &[3]);
    let newest = bench.world.clock.now();
    bench.world.clock.advance(Duration::from_secs(5));
    bench.sync(Mode::Incremental).await;
    // By their own times they changed before the one that was listed.
    bench.world.clock.set(Millis(newest.0 - 20_000));
    bench.blue.edit(Kind::MediaTags, &[4]);
    bench.blue.insert(Kind::MediaTags, 1);
    bench.world.clock.set(newest.plus(Duration::from_secs(30)));
    bench.blue.edit(Kind::MediaTags, &[5]);
    bench.world.clock.advance(Duration::from_secs(60));
    let run = bench.sync(Mode::Incremental).await;
    let counts = bench.runner.counts(&run).await;
    let tags = counts.entities[&"media_tags".into()];
    assert_eq!((tags.new, tags.changed, tags.unchanged, tags.late), (1, 2, 1, 2), "{counts:?}");
    assert!(counts.add_up());
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}
