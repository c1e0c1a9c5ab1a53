//! A full run makes a complete copy, says what it did, and changes nothing when nothing changed.

use teal::domain::{Mode, Outcome, Version, VersionState};
use teal::pipeline::admin::RejectFilter;
use teal::pipeline::switch::MoveTo;
use teal_pipeline_tests::{Bench, Setup, full};
use teal_stand_in::Kind;

#[tokio::test]
async fn a_full_run_copies_ten_entities_and_its_counts_add_up() {
    let bench = Bench::new(Setup::default()).await;
    let counts = bench.synced().await;
    let rows = bench.rows().await;
    assert_eq!(rows.len(), 10);
    assert_eq!(rows, bench.rows_of_the_source());
    assert!(counts.add_up(), "{counts:?}");
    assert_eq!(counts.records.fetched, 25 + 12 + 9);
    assert_eq!((counts.pages, counts.requests), (3 + 2 + 1, 3 + 2 + 1));
    let total = counts.rows();
    assert_eq!((total.new, total.changed, total.unchanged, total.deleted), (rows.values().sum(), 0, 0, 0));
    assert_eq!(bench.runner.pointer().await.version, Version(1));
    assert!(bench.world.queue.dead_letters().is_empty());
}

#[tokio::test]
async fn what_the_source_changed_and_dropped_is_counted_as_that() {
    let bench = Bench::new(Setup::default().edit("system: nowrep", "system: nowrep\nguard: { max_shrink: 60% }")).await;
    bench.synced().await;
    bench.blue.edit(Kind::MediaTags, &[2, 3]);
    bench.blue.insert(Kind::Boards, 1);
    bench.blue.delete(Kind::Talents, &[1, 2, 3]);
    let before = bench.rows().await;
    let counts = bench.synced().await;
    let after = bench.rows().await;
    assert_eq!(after, bench.rows_of_the_source());
    assert!(counts.add_up(), "{counts:?}");
    let rows = |name: &str| counts.entities[&name.into()];
    assert_eq!((rows("media_tags").changed, rows("media_tags").deleted), (2, 0));
    assert_eq!((rows("boards").new, rows("boards").deleted), (1, 0));
    assert_eq!((rows("talents").deleted, rows("talents").unchanged), (3, 22));
    for (entity, rows) in &counts.entities {
        let (before, after) = (before[entity.as_str()], after[entity.as_str()]);
        assert_eq!(before + rows.new, after + rows.deleted, "{entity}: {rows:?}");
    }
}

#[tokio::test]
async fn a_source_that_has_nothing_at_first_is_complete_empty() {
    let bench = Bench::new(Setup { talents: 0, boards: 0, media_tags: 0, ..Setup::default() }).await;
    let run = bench.sync(Mode::Full).await;
    assert_eq!(run.outcome, Some(Outcome::CompleteEmpty), "{run:?}");
    assert_eq!(bench.runner.pointer().await.version, Version(1));
    assert!(bench.runner.export().await.is_empty());
}

#[tokio::test]
async fn a_listing_that_shrank_past_the_guard_waits_until_somebody_says_so() {
    for gone in [13, 25] {
        let bench = Bench::new(Setup::default()).await;
        bench.synced().await;
        let before = bench.runner.export().await;
        bench.blue.delete(Kind::Talents, &(1..=gone).collect::<Vec<u64>>());
        let run = bench.sync(Mode::Full).await;
        assert_eq!(run.outcome, Some(Outcome::Failed), "{run:?}");
        let reason = run.reason.unwrap();
        assert!(reason.contains("talents would shrink from 25") && reason.contains("--force"), "{reason}");
        assert_eq!(bench.runner.export().await, before, "readers see what they saw");
        let ready = bench.runner.admin.versions().await.unwrap().remove(0);
        assert_eq!((ready.manifest.version, ready.manifest.state), (Version(2), VersionState::Ready));

        let mut ask = MoveTo { version: Version(2), force: false, as_was: false, who: "ada".into() };
        let refused = bench.runner.switch.move_to(&ask).await.unwrap_err();
        assert!(refused.to_string().contains("--force"), "{refused}");
        assert_eq!(bench.runner.export().await, before);
        ask.force = true;
        bench.runner.switch.move_to(&ask).await.unwrap();
        assert_eq!(bench.rows().await, bench.rows_of_the_source());
    }
}

#[tokio::test]
async fn a_full_run_may_start_while_another_version_waits_and_overtakes_it() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.blue.delete(Kind::Talents, &(1..=13).collect::<Vec<u64>>());
    assert_eq!(bench.sync(Mode::Full).await.outcome, Some(Outcome::Failed));
    let run = bench.start(full(true)).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    assert_eq!(bench.runner.pointer().await.version, Version(3));
    assert_eq!(bench.rows().await, bench.rows_of_the_source());
    bench.runner.upkeep.round(false, &bench.runner.budget()).await.unwrap();
    let versions = bench.runner.admin.versions().await.unwrap();
    let state = |n: u32| versions.iter().find(|v| v.manifest.version == Version(n)).unwrap().manifest.state;
    assert_eq!((state(1), state(2), state(3)), (VersionState::Previous, VersionState::Dropped, VersionState::Active));
}

#[tokio::test]
async fn what_one_entity_rejects_takes_no_room_from_another() {
    let all_bad = |field: &str| format!("type: integer, required: true }} # was a text: {field}");
    let setup = Setup { talents: 230, page: 230, ..Setup::default() }
        .edit(
            "path: profile.firstName, type: string, max_length: 100 }",
            &format!("path: profile.firstName, {}", all_bad("name")),
        )
        .edit(
            "path: measurements.eyes, type: string, max_length: 50 }",
            &format!("path: measurements.eyes, {}", all_bad("eyes")),
        );
    let bench = Bench::new(setup).await;
    let run = bench.sync(Mode::Full).await;
    let filter = RejectFilter { run: Some(run.id.to_string()), ..RejectFilter::default() };
    let rejects = bench.runner.admin.rejects(&filter, usize::MAX).await.unwrap();
    let of = |entity: &str| rejects.iter().filter(|(_, reject)| reject.entity == Some(entity.into())).count();
    assert_eq!((of("talents"), of("talents_measurements")), (200, 200));
}
