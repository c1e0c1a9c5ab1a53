//! A backup that was taken while the system runs makes the system again: what readers see, and how it goes on.
//! One that is not whole makes nothing.

use bytes::Bytes;
use serde_json::json;
use teal::domain::{Mode, Outcome, Run, RunState, Version};
use teal::pipeline::StageError;
use teal::pipeline::backup::{BackupManifest, Holds, Kind};
use teal::pipeline::poll::Budget;
use teal::pipeline::switch::MoveTo;
use teal::ports::{BlobAdmin, BlobReader, BlobWriter};
use teal_conformance::memory::MemoryBlobs;
use teal_conformance::trace::at;
use teal_conformance::{Decision, Trace};
use teal_pipeline_tests::{Bench, Setup, deliver, sample};
use teal_stand_in::{Event, Kind as Records, Webhook};

/// Makes a backup; its id.
async fn back_up(bench: &Bench, kind: Kind) -> Option<String> {
    let id = bench.runner.backups.begin(kind).await.unwrap();
    let made = bench.runner.backups.go_on(&Budget::default()).await.unwrap();
    assert!(!made.continues);
    assert_eq!(made.made, Vec::from_iter(id.clone()));
    id
}

async fn keys(blobs: &MemoryBlobs) -> Vec<String> {
    blobs.list("backup/", None, 10_000).await.unwrap()
}

/// An empty system that has the other one's backups, and asks the same source.
async fn elsewhere(bench: &Bench) -> Bench {
    let other = bench.beside().await;
    for key in keys(&bench.world.blobs).await {
        other.world.blobs.put_if_absent(&key, bench.world.blobs.get(&key).await.unwrap()).await.unwrap();
    }
    other
}

async fn restore(bench: &Bench, backup: Option<&str>) -> Result<Run, StageError> {
    let (run, _) = bench.runner.poll.start_restore(backup, true, false, "ada".into()).await?;
    Ok(bench.go_on(run).await)
}

async fn restored(bench: &Bench) {
    let run = restore(bench, None).await.unwrap();
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    assert!(bench.runner.counts(&run).await.add_up());
}

/// Fails with the lines that only one of them has.
#[track_caller]
fn same(shown: &[String], expected: &[String], what: &str) {
    let only = |a: &[String], b: &[String]| -> Vec<String> { a.iter().filter(|x| !b.contains(x)).cloned().collect() };
    let (more, less) = (only(shown, expected), only(expected, shown));
    assert!(shown == expected, "{what}: too much {more:#?}, too little {less:#?}");
}

/// A listing, changes since by a run and by webhooks, a full backup, more changes, an increment. The last webhook.
async fn lived_in(setup: Setup) -> (Bench, Webhook) {
    let bench = Bench::new(setup).await;
    bench.synced().await;
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.blue.edit(Records::Talents, &[1]);
    bench.sync(Mode::Incremental).await;
    bench.blue.delete(Records::Talents, &[3]);
    bench.tell(Event::TalentDeleted, 3).await;
    bench.runner.drain().await;
    assert!(back_up(&bench, Kind::Full).await.is_some());
    bench.world.clock.advance(std::time::Duration::from_secs(60));
    bench.blue.patch(Records::Talents, 2, &json!({ "profile": { "city": "Farport" }, "socials": [] }));
    let webhook = bench.blue.webhook(Event::TalentUpdated, 2).unwrap();
    assert_eq!(bench.deliver(&webhook).await.status, 202);
    bench.runner.drain().await;
    assert!(back_up(&bench, Kind::Increment).await.unwrap().ends_with("-increment"));
    (bench, webhook)
}

#[tokio::test]
async fn restored_into_an_empty_system_it_shows_the_same_and_goes_on_as_if_nothing_had_been() {
    let (bench, webhook) = lived_in(Setup::default()).await;
    let before = bench.runner.export().await;
    let requests = bench.blue.counts().requests;
    let other = elsewhere(&bench).await;
    restored(&other).await;
    same(&other.runner.export().await, &before, "restored");
    assert_eq!(other.blue.counts().requests, requests, "the source was asked for nothing");

    assert_eq!(other.deliver(&webhook).await.status, 202);
    other.runner.drain().await;
    same(&other.runner.export().await, &before, "a delivery that comes again changes nothing");

    other.blue.patch(Records::Talents, 4, &json!({ "socials": [] }));
    other.tell(Event::TalentUpdated, 4).await;
    other.blue.edit(Records::Talents, &[5]);
    other.blue.insert(Records::Talents, 1);
    other.world.clock.advance(std::time::Duration::from_secs(3600));
    let run = other.sync(Mode::Incremental).await;
    assert_eq!((run.mode, run.outcome), (Mode::Incremental, Some(Outcome::Complete)), "its cursors were restored");
    same(&other.runner.export().await, &other.fresh().await, "in the end");

    let requests = other.blue.counts().requests;
    let rebuilt = other.rebuild(true).await;
    assert_eq!(rebuilt.outcome, Some(Outcome::Complete), "{rebuilt:?}");
    assert_eq!(other.blue.counts().requests, requests, "a rebuild needs no request either");
    same(&other.runner.export().await, &other.fresh().await, "in the end");
    assert!(other.world.queue.dead_letters().is_empty());
}

#[tokio::test]
async fn what_a_full_run_confirmed_is_restored_with_the_listing_that_confirmed_it() {
    let (bench, _) = lived_in(Setup::default()).await;
    bench.synced().await;
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.synced().await;
    let confirmed = bench.last_run().await;
    assert!(confirmed.reason.is_some_and(|why| why.contains("nothing was built")));
    assert!(
        back_up(&bench, Kind::Increment).await.unwrap().ends_with("-full"),
        "nothing that was backed up is its base"
    );
    bench.world.clock.advance(std::time::Duration::from_secs(60));
    bench.blue.edit(Records::Talents, &[6]);
    bench.tell(Event::TalentUpdated, 6).await;
    bench.runner.drain().await;
    assert!(back_up(&bench, Kind::Increment).await.unwrap().ends_with("-increment"));
    let (before, requests) = (bench.runner.export().await, bench.blue.counts().requests);
    let other = elsewhere(&bench).await;
    restored(&other).await;
    same(&other.runner.export().await, &before, "restored");
    assert_eq!(other.rebuild(true).await.outcome, Some(Outcome::Complete));
    assert_eq!(other.blue.counts().requests, requests, "neither asks the source");
    same(&other.runner.export().await, &before, "rebuilt");
}

#[tokio::test]
async fn the_rows_of_a_backup_are_the_canonical_export() {
    let bench = Bench::new(Setup::default()).await;
    bench.synced().await;
    back_up(&bench, Kind::Full).await;
    let listed = bench.runner.backups.shelf.list().await.unwrap();
    let manifest = listed[0].manifest.as_ref().unwrap();
    assert!(manifest.entities.values().all(|entity| entity.exact), "{:?}", manifest.entities);
    let mut text = String::new();
    for part in manifest.parts.iter().filter(|part| matches!(part.holds, Holds::Rows { .. })) {
        text += std::str::from_utf8(&bench.world.blobs.get(&part.key).await.unwrap()).unwrap();
    }
    assert_eq!(text.lines().map(str::to_owned).collect::<Vec<_>>(), bench.runner.export().await);
}

#[tokio::test]
async fn an_increment_is_made_of_what_is_new_and_of_nothing_else() {
    let (bench, _) = lived_in(Setup::tiny()).await;
    assert_eq!(back_up(&bench, Kind::Increment).await, None, "nothing is new");
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.synced().await;
    let begun = bench.runner.backups.begin(Kind::Increment).await.unwrap();
    let id = back_up(&bench, Kind::Full).await.unwrap();
    assert_eq!(begun.as_ref(), Some(&id), "one that is begun is gone on with");
    assert!(id.ends_with("-full"), "readers see another listing than the last backup has: {id}");
    let listed = bench.runner.backups.shelf.list().await.unwrap();
    let kinds: Vec<Kind> = listed.iter().map(|one| one.manifest.as_ref().unwrap().kind).collect();
    assert_eq!(kinds, [Kind::Full, Kind::Increment, Kind::Full]);
    let sizes: Vec<usize> = listed.iter().map(|one| one.manifest.as_ref().unwrap().parts.len()).collect();
    assert_eq!(sizes[1], 2, "configurations, and the one webhook since");
}

#[tokio::test]
async fn what_is_behind_a_cursor_and_not_in_the_log_yet_is_in_the_backup() {
    let mut bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    bench.blue.edit(Records::Talents, &[2]);
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    // The run has fetched everything and moved the cursor; nobody has applied its pages.
    bench.runner.ask_for_sync("blue", Mode::Incremental).await;
    bench.restart(&Trace::new(
        |call: &teal_conformance::Call| {
            if call.what.starts_with("seen#") { Decision::FailBefore } else { Decision::Proceed }
        },
    ));
    for _ in 0..20 {
        bench.runner.step().await;
    }
    assert_eq!(bench.last_run().await.state, RunState::Fetched);
    back_up(&bench, Kind::Full).await;
    let other = elsewhere(&bench).await;
    restored(&other).await;
    other.sync(Mode::Incremental).await;
    same(&other.runner.export().await, &other.fresh().await, "in the end");
}

/// What can be done to an object, and how it is called.
fn harms(bytes: &Bytes) -> Vec<(&'static str, Option<Bytes>)> {
    let mut flipped = bytes.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    vec![
        ("a byte is flipped", Some(flipped.into())),
        ("it is cut off", Some(bytes.slice(..bytes.len() - 1))),
        ("it is empty", Some(Bytes::new())),
        ("it is missing", None),
    ]
}

#[tokio::test]
async fn a_backup_of_which_anything_is_damaged_is_refused_with_the_reason_and_makes_nothing() {
    let (bench, _) = lived_in(Setup::tiny()).await;
    let id = back_up(&bench, Kind::Increment).await;
    assert_eq!(id, None);
    let newest = bench.runner.backups.shelf.list().await.unwrap().pop().unwrap().id;
    let budget = Budget::default();
    let whole = bench.runner.backups.shelf.verify(Some(&newest), 0, &budget).await.unwrap();
    assert_eq!((whole.backups, whole.next), (2, None));
    let other = elsewhere(&bench).await;
    let before = other.runner.export().await;
    for key in keys(&bench.world.blobs).await {
        let good = bench.world.blobs.get(&key).await.unwrap();
        for (what, harm) in harms(&good) {
            let case = format!("{key}: {what}");
            other.world.blobs.delete(&key).await.unwrap();
            if let Some(harm) = harm {
                other.world.blobs.put_if_absent(&key, harm).await.unwrap();
            }
            let error = other.runner.backups.shelf.verify(Some(&newest), 0, &budget).await.expect_err(&case);
            assert!(error.to_string().contains("backup"), "{case}: {error}");
            match restore(&other, Some(&newest)).await {
                Err(error) => assert!(error.to_string().contains("backup"), "{case}: {error}"),
                Ok(run) => {
                    assert_eq!(run.outcome, Some(Outcome::Failed), "{case}: {run:?}");
                    assert!(run.reason.as_ref().unwrap().contains("can't be used"), "{case}: {run:?}");
                }
            }
            same(&other.runner.export().await, &before, &case);
            other.world.blobs.delete(&key).await.unwrap();
            other.world.blobs.put_if_absent(&key, good.clone()).await.unwrap();
        }
    }
    assert!(other.world.queue.dead_letters().is_empty());
    restored(&other).await;
    same(&other.runner.export().await, &bench.runner.export().await, "in the end");
}

#[tokio::test]
async fn restored_into_a_system_that_has_data_it_is_a_version_beside_it_that_can_be_left_again() {
    let (bench, _) = lived_in(Setup::default()).await;
    let then = bench.runner.export().await;
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.blue.edit(Records::Talents, &[7]);
    bench.synced().await;
    let now = bench.runner.export().await;
    assert_ne!(now, then);
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    restored(&bench).await;
    same(&bench.runner.export().await, &then, "then");
    let run = bench.sync(Mode::Incremental).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    same(&bench.runner.export().await, &bench.fresh().await, "its cursor leads to what came since");

    bench
        .runner
        .switch
        .move_to(&MoveTo { version: Version(2), force: false, as_was: true, who: "ada".into() })
        .await
        .unwrap();
    same(&bench.runner.export().await, &now, "then");
}

#[tokio::test]
async fn the_guard_is_heard_when_a_backup_has_much_less_than_readers_see() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    back_up(&bench, Kind::Full).await;
    bench.blue.insert(Records::Talents, 30);
    bench.world.clock.advance(std::time::Duration::from_secs(3600));
    bench.synced().await;
    let before = bench.runner.export().await;
    let run = restore(&bench, None).await.unwrap();
    assert_eq!(run.outcome, Some(Outcome::Failed));
    assert!(run.reason.unwrap().contains("guard"));
    same(&bench.runner.export().await, &before, "then");
}

#[tokio::test]
async fn backups_are_made_by_schedule_copied_and_let_go_when_they_are_old() {
    let rules = "system: nowrep\nbackups: { full: rate(1 day), increment: rate(1 hour), keep: 2d, second: other }\n";
    let bench = Bench::new(Setup::tiny().edit("system: nowrep\n", rules)).await;
    let backups = &bench.runner.backups;
    let budget = Budget::default();
    assert!(backups.round(&budget).await.unwrap().made.is_empty(), "there is nothing yet");
    bench.synced().await;
    assert_eq!(backups.round(&budget).await.unwrap().made.len(), 1);
    assert!(backups.round(&budget).await.unwrap().made.is_empty(), "none is due");
    for hour in 1..=96 {
        bench.world.clock.advance(std::time::Duration::from_secs(3600));
        if hour % 5 == 0 {
            bench.blue.edit(Records::Talents, &[1]);
            bench.tell(Event::TalentUpdated, 1).await;
            bench.runner.drain().await;
        }
        backups.round(&budget).await.unwrap();
    }
    let listed = backups.shelf.list().await.unwrap();
    let full = listed.iter().filter(|one| one.id.ends_with("-full")).count();
    assert!((3..=4).contains(&full) && listed.len() > 10, "{:?}", listed.iter().map(|l| &l.id).collect::<Vec<_>>());
    assert!(listed.iter().all(|one| one.places == ["here", "second"]));
    assert_eq!(keys(&bench.world.blobs).await, keys(&bench.world.second).await);
    for one in &listed {
        backups.shelf.verify(Some(&one.id), 0, &budget).await.unwrap();
    }

    let before = bench.runner.export().await;
    for key in keys(&bench.world.blobs).await.into_iter().filter(|key| key.starts_with("backup/part/")) {
        bench.world.blobs.delete(&key).await.unwrap();
    }
    backups.shelf.verify(None, 0, &budget).await.expect_err("here only manifests are left");
    backups.shelf.verify(Some("third/newest"), 0, &budget).await.expect_err("there is no third place");
    assert_eq!(backups.shelf.verify(Some("second/newest"), 0, &budget).await.unwrap().place, "second");
    for key in keys(&bench.world.blobs).await {
        bench.world.blobs.delete(&key).await.unwrap();
    }
    restored(&bench).await;
    same(&bench.runner.export().await, &before, "the second place has everything");
}

#[tokio::test]
async fn the_export_of_one_system_becomes_a_version_of_another() {
    let (bench, _) = lived_in(Setup::default()).await;
    let export = bench.runner.export().await;
    let other = bench.beside().await;
    let backups = &other.runner.backups;
    let id = backups.begin_import();
    let mut parts = 0;
    for lines in export.chunk_by(|a, b| entity(a) == entity(b)).flat_map(|lines| lines.chunks(7)) {
        for _ in 0..2 {
            backups.import_lines(&id, parts, lines).await.unwrap();
        }
        parts += 1;
    }
    backups.end_import(&id, parts + 1).await.expect_err("not all lines are there");
    backups.end_import(&id, parts).await.unwrap();
    backups.end_import(&id, parts).await.expect("saying so again is no harm");
    let run = restore(&other, Some(&id)).await.unwrap();
    assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
    same(&other.runner.export().await, &export, "restored");

    assert!(other.row("talents_socials", "4:instagram").await.is_some());
    other.blue.patch(Records::Talents, 4, &json!({ "socials": [] }));
    other.tell(Event::TalentUpdated, 4).await;
    other.runner.drain().await;
    assert_eq!(other.row("talents_socials", "4:instagram").await, None, "it went with the talent's new state");
    let run = other.sync(Mode::Incremental).await;
    assert_eq!(run.mode, Mode::Full, "an import leaves no cursor");
    same(&other.runner.export().await, &other.fresh().await, "in the end");
}

fn entity(line: &str) -> String {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["entity"].to_string()
}

#[tokio::test]
async fn a_line_that_is_none_of_this_system_is_refused_with_what_is_wrong() {
    let bench = Bench::new(Setup::tiny()).await;
    let backups = &bench.runner.backups;
    let id = backups.begin_import();
    for (line, what) in [
        ("no json", "can't be imported"),
        (r#"{"entity":"planets","key":"1","row":{"id":1}}"#, "planets"),
        (r#"{"entity":"media_tags","key":"1","row":{"id":"one"}}"#, "'id'"),
        (r#"{"entity":"media_tags","key":"1","row":{"id":1,"colour":"red"}}"#, "colour"),
    ] {
        let error = backups.import_lines(&id, 0, &[line.to_owned()]).await.expect_err(line);
        assert!(error.to_string().contains(what), "{line}: {error}");
    }
    backups.import_lines("../x-import", 0, &[]).await.expect_err("an id of ours is wanted");
    backups.end_import(&id, 0).await.expect_err("there is nothing");
}

#[tokio::test]
async fn killed_at_any_call_a_backup_goes_on_and_is_whole() {
    async fn before(trace: &Trace) -> Bench {
        let mut bench = Bench::new(Setup::tiny()).await;
        bench.synced().await;
        bench.blue.edit(Records::Talents, &[2]);
        bench.tell(Event::TalentUpdated, 2).await;
        bench.runner.drain().await;
        bench.restart(trace);
        bench
    }
    let trace = Trace::default();
    let bench = before(&trace).await;
    back_up(&bench, Kind::Full).await;
    let (calls, expected) = (trace.calls(), bench.runner.export().await);
    for k in sample(calls, 40) {
        let mut bench = before(&Trace::new(at(k, Decision::Stop))).await;
        let backups = bench.runner.backups.clone();
        if backups.begin(Kind::Full).await.is_ok() {
            let _ = backups.go_on(&Budget::default()).await;
        }
        bench.restart(&Trace::default());
        let backups = &bench.runner.backups;
        backups.go_on(&Budget::default()).await.unwrap();
        if backups.shelf.list().await.unwrap().is_empty() {
            back_up(&bench, Kind::Full).await;
        }
        let other = elsewhere(&bench).await;
        let ids: Vec<String> = other.runner.backups.shelf.list().await.unwrap().into_iter().map(|l| l.id).collect();
        assert_eq!(ids.len(), 1, "killed at call {k} of {calls}: {ids:?}");
        other.runner.backups.shelf.verify(None, 0, &Budget::default()).await.unwrap();
        restored(&other).await;
        same(&other.runner.export().await, &expected, "killed at call {k} of {calls}");
    }
}

#[tokio::test]
async fn killed_at_any_call_a_restore_goes_on_and_ends_with_the_same() {
    let (bench, webhook) = lived_in(Setup::tiny()).await;
    let expected = bench.runner.export().await;
    let trace = Trace::default();
    let mut other = elsewhere(&bench).await;
    other.restart(&trace);
    restored(&other).await;
    let calls = trace.calls();
    for k in sample(calls, 50) {
        let mut other = elsewhere(&bench).await;
        other.restart(&Trace::new(at(k, Decision::Stop)));
        let begun = other.runner.poll.start_restore(None, true, false, "ada".into()).await;
        if let Ok((run, _)) = begun {
            let message = teal::ports::Outgoing::now(teal::domain::Message::Continue { run });
            teal::ports::QueueSender::send(other.world.queue.as_ref(), vec![message]).await;
            other.runner.drain().await;
        }
        other.restart(&Trace::default());
        other.runner.wake_up().await.unwrap();
        other.runner.drain().await;
        if other.runner.runs().await.is_empty() {
            restored(&other).await;
        }
        let case = format!("killed at call {k} of {calls}");
        same(&other.runner.export().await, &expected, &case);
        let run = other.last_run().await;
        assert!(run.state == RunState::Ended && run.outcome == Some(Outcome::Complete), "{case}: {run:?}");
        assert!(other.runner.counts(&run).await.add_up(), "{case}");
        assert_eq!(deliver(&other.runner, &webhook).await.status, 202);
        other.runner.drain().await;
        same(&other.runner.export().await, &expected, &format!("{case}, and a delivery came again"));
        assert!(other.world.queue.dead_letters().is_empty(), "{case}");
    }
}

/// Manifests are read by others than Teal: their form is fixed.
#[tokio::test]
async fn a_manifest_is_json_that_names_each_part_with_its_checksum() {
    let bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    back_up(&bench, Kind::Full).await;
    let key = keys(&bench.world.blobs).await.into_iter().find(|key| key.starts_with("backup/manifest/")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&bench.world.blobs.get(&key).await.unwrap()).unwrap();
    assert_eq!(
        (&manifest["format"], &manifest["kind"], &manifest["system"]),
        (&json!(1), &json!("full"), &json!("nowrep"))
    );
    let part = &manifest["parts"][0];
    assert_eq!(part["holds"], "configs");
    assert_eq!(part["sha256"].as_str().unwrap().len(), 64);
    let read: BackupManifest = serde_json::from_value(manifest.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), manifest);
}
