//! P13: another mapping makes another version from what was kept, without a request.

use serde_json::json;
use teal::domain::{Mode, Outcome, RunId, Version, VersionState};
use teal::pipeline::admin::Example;
use teal::pipeline::switch::MoveTo;
use teal_pipeline_tests::{Bench, Setup};
use teal_stand_in::{Event, Kind};

fn switch_to(version: u32) -> MoveTo {
    MoveTo { version: Version(version), force: false, as_was: false, who: "ada".into() }
}

#[tokio::test]
async fn a_rebuild_asks_for_nothing_and_gives_the_same_rows() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.blue.patch(Kind::Talents, 2, &json!({ "profile": { "city": "Farport" } }));
    bench.tell(Event::TalentUpdated, 2).await;
    bench.blue.delete(Kind::Talents, &[3]);
    bench.tell(Event::TalentDeleted, 3).await;
    bench.runner.drain().await;
    let (before, requests) = (bench.runner.export().await, bench.blue.counts().requests);
    let run = bench.rebuild(true).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    assert_eq!(bench.blue.counts().requests, requests);
    assert_eq!(bench.runner.pointer().await.version, Version(2));
    assert_eq!(bench.runner.export().await, before, "with the changes since the listing");
    let counts = bench.runner.counts(&run).await;
    assert!(counts.add_up() && counts.requests == 0, "{counts:?}");
}

#[tokio::test]
async fn a_changed_mapping_shows_its_difference_before_anybody_reads_it() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    let (before, requests) = (bench.runner.export().await, bench.blue.counts().requests);
    let changed = bench
        .setup
        .clone()
        .edit("      gender: ", "      nickname: { path: profile.bio, type: string }\n      gender: ")
        .edit("    from: blue.media_tags\n", "    from: blue.media_tags\n    only: '.id != 1'\n")
        .bundle();
    assert!(bench.runner.deploy(&changed).await.unwrap().changed);
    let run = bench.rebuild(false).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    assert_eq!(bench.runner.export().await, before, "nobody reads it yet");
    let versions = bench.runner.admin.versions().await.unwrap();
    assert_eq!((versions[0].manifest.version, versions[0].manifest.state), (Version(2), VersionState::Ready));

    let diff = bench.runner.admin.diff(Version(1), Version(2), 2).await.unwrap();
    let talents = &diff.entities[&"talents".into()];
    assert_eq!((talents.added, talents.changed, talents.removed), (0, 25, 0));
    let Example::Changed { fields, .. } = &talents.examples[0] else { panic!("{talents:?}") };
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["nickname"]);
    assert!(fields["nickname"][0].is_null() && fields["nickname"][1].is_string());
    let tags = &diff.entities[&"media_tags".into()];
    assert_eq!((tags.added, tags.changed, tags.removed, tags.unchanged), (0, 0, 1, 8));
    assert!(matches!(&tags.examples[0], Example::Removed { key, .. } if key == "1"));

    bench.blue.patch(Kind::Talents, 2, &json!({ "profile": { "bio": "Fresh." } }));
    bench.tell(Event::TalentUpdated, 2).await;
    bench.runner.drain().await;
    bench.runner.switch.move_to(&switch_to(2)).await.unwrap();
    assert_eq!(bench.row("talents", "2").await.unwrap()["nickname"], "Fresh.", "changes while it waited are in it");
    assert!(bench.row("media_tags", "1").await.is_none());
    assert_eq!(bench.blue.counts().requests, requests);
}

#[tokio::test]
async fn a_page_that_the_new_connector_can_not_read_makes_no_version() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    let before = bench.runner.export().await;
    let mut changed = bench.setup.bundle();
    for (path, text) in &mut changed.files {
        if path != teal::config::bundle::ROOT {
            *text = text.replace("field_path: [data]", "field_path: [rows]");
        }
    }
    bench.runner.deploy(&changed).await.unwrap();
    let run = bench.rebuild(true).await;
    // A path that is not there is a page without records, as in every declarative manifest: the guard is for that.
    assert_ne!(run.outcome, Some(Outcome::Complete), "{run:?}");
    assert_eq!(bench.runner.export().await, before);
}

/// Version 2 has the newer listing, readers are back at version 1, and version 3 is rebuilt from that.
async fn rebuilt_from_the_older_listing(switch: bool) -> (Bench, RunId) {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.blue.patch(Kind::Talents, 4, &json!({ "profile": { "city": "Newtown" } }));
    bench.synced().await;
    bench.runner.switch.move_to(&switch_to(1)).await.unwrap();
    let run = bench.runner.poll.start_rebuild(switch, false, "cli".into()).await.unwrap();
    (bench, run)
}

#[tokio::test]
async fn a_rebuild_whose_listing_readers_left_meanwhile_is_dropped_and_nothing_is_missing() {
    let (bench, run) = rebuilt_from_the_older_listing(true).await;
    bench.runner.switch.move_to(&switch_to(2)).await.unwrap();
    let run = bench.go_on(run).await;
    assert_eq!(run.outcome, Some(Outcome::Failed), "{run:?}");
    assert!(run.reason.unwrap().contains("teal rebuild"));
    assert_eq!(bench.runner.pointer().await.version, Version(2));
    bench.sync(Mode::Incremental).await;
    assert_eq!(bench.runner.export().await, bench.fresh().await);
    assert_eq!(bench.rebuild(true).await.outcome, Some(Outcome::Complete), "another one is free to start");
}

#[tokio::test]
async fn a_rebuild_that_waits_can_not_be_switched_to_once_readers_see_another_listing() {
    let (bench, run) = rebuilt_from_the_older_listing(false).await;
    assert_eq!(bench.go_on(run).await.outcome, Some(Outcome::Complete));
    bench.runner.switch.move_to(&switch_to(2)).await.unwrap();
    let refused = bench.runner.switch.move_to(&switch_to(3)).await.unwrap_err();
    assert!(refused.to_string().contains("another listing"), "{refused}");
    bench.runner.switch.move_to(&switch_to(1)).await.unwrap();
    bench.runner.switch.move_to(&switch_to(3)).await.unwrap();
    bench.sync(Mode::Incremental).await;
    assert_eq!(bench.runner.export().await, bench.fresh().await);
}
