//! Nothing that was promised is lost when the power goes, at any moment; and this test would notice if it were.
//!
//! `TEAL_POWER_CUTS` sets how many moments are tried (default 100), `TEAL_POWER_CUT_SEED` which ones,
//! `TEAL_POWER_CUT_FLOOD` how many deliveries a flood has (default 150).

#![allow(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use teal_durability_tests::check::{Export, Loss, Promised, losses, undisturbed};
use teal_durability_tests::disk::{Disk, Files, Keeps, Of};
use teal_durability_tests::log::Event;
use teal_durability_tests::plan::{Makes, Plan, Syncs, bundle, deduped, flood, phases};
use teal_durability_tests::recorder::{Recorder, Recording, forget_shared_memory, write_files};
use teal_local::blobs::SMALL;
use teal_stand_in::{Blue, BlueOptions, Fault, FaultRule};
use tokio::task::JoinSet;

/// Disks that are looked at at the same time.
const AT_ONCE: usize = 4;

struct Scene {
    blue: Blue,
    recorder: Recorder,
}

/// `None` where there is no recorder.
async fn scene() -> Option<Scene> {
    let Some(recorder) = Recorder::compile().unwrap() else {
        eprintln!("skipped: recording needs Linux and a C compiler ('cc', or what CC names)");
        return None;
    };
    let options = BlueOptions { talents: 34, boards: 4, media_tags: 10, ..BlueOptions::default() };
    Some(Scene { blue: Blue::start(options).await.unwrap(), recorder })
}

impl Scene {
    fn record(&self, syncs: Syncs) -> Recording {
        let (bundle, phases) = (bundle(&self.blue).unwrap(), phases(&self.blue));
        let plan = |dir| Ok(Plan { dir, bundle, phases, once: false, acked: BTreeSet::new(), syncs });
        self.record_on(Files::new(), plan)
    }

    /// So many deliveries at full speed, each known by its id.
    fn record_flood(&self, count: u64, syncs: Syncs) -> Recording {
        let (bundle, phases) = (deduped(bundle(&self.blue).unwrap()), flood(&self.blue, count as i64));
        let plan = |dir| Ok(Plan { dir, bundle, phases, once: true, acked: BTreeSet::new(), syncs });
        self.record_on(Files::new(), plan)
    }

    /// A subject that goes on where the power cut ended the first one.
    fn record_again(&self, first: &Recording, cut: Cut) -> (Recording, Promised) {
        let mut disk = first.disk().unwrap();
        let mut promised = Promised::default();
        for event in &first.log.events[..cut.after] {
            disk.apply(event).unwrap();
            promised.hear(event);
        }
        let plan = |dir| Ok(Plan { dir, acked: promised.acked.clone(), ..first.plan.clone() });
        (self.record_on(disk.after_power_cut(cut.keeps), plan), promised)
    }

    fn record_on(&self, files: Files, plan: impl FnOnce(PathBuf) -> std::io::Result<Plan>) -> Recording {
        // Slow only while recording, so that deliveries come in the middle of a sync.
        self.blue.fault(FaultRule { fault: Fault::Slow(20), endpoint: None, page: None, skip: 0, times: None });
        let subject = Path::new(env!("CARGO_BIN_EXE_durability-subject"));
        let recording = self.recorder.record(subject, files, plan).unwrap();
        self.blue.clear_faults();
        recording
    }
}

/// A moment: so many events had happened, and this is what the power cut kept of the unsynced ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    after: usize,
    keeps: Keeps,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// Moments around every sync and mark, and any others, as many as asked for, with `keeps` deciding for each.
fn choose(recording: &Recording, count: usize, mut keeps: impl FnMut(usize, &mut StdRng) -> Keeps) -> Vec<Cut> {
    let mut chance = StdRng::seed_from_u64(number("TEAL_POWER_CUT_SEED", 1));
    let events = &recording.log.events;
    let near: Vec<usize> = (0..events.len())
        .filter(|nth| matches!(events[*nth], Event::SyncEnd { .. } | Event::Mark(_)))
        .flat_map(|nth| [nth, nth + 1])
        .collect();
    let mut cuts = vec![Cut { after: events.len(), keeps: Keeps::Nothing }];
    for nth in 1..count {
        let after = match nth % 4 {
            0 => chance.random_range(0..=events.len()),
            _ => *near.choose(&mut chance).unwrap(),
        };
        cuts.push(Cut { after, keeps: keeps(nth, &mut chance) });
    }
    cuts.sort();
    cuts.dedup();
    cuts
}

fn nothing_or_some(nth: usize, chance: &mut StdRng) -> Keeps {
    if nth.is_multiple_of(2) { Keeps::Nothing } else { Keeps::Some(chance.random()) }
}

fn write_after(disk: &Disk<'_>, keeps: Keeps, root: &Path) {
    let mut files = disk.after_power_cut(keeps);
    forget_shared_memory(&mut files);
    write_files(&files, root).unwrap();
}

/// What is wrong after each of these cuts; empty when nothing is.
async fn try_all<'a>(
    recording: &'a Recording,
    mut disk: Disk<'a>,
    cuts: &[Cut],
    mut promised: Promised,
    undisturbed: &Export,
) -> Vec<(Cut, Vec<Loss>)> {
    let (plan, undisturbed) = (Arc::new(recording.plan.clone()), Arc::new(undisturbed.clone()));
    let mut found = Vec::new();
    let mut cuts = cuts.iter().copied().peekable();
    let mut checks = JoinSet::new();
    for after in 0..=recording.log.events.len() {
        while let Some(cut) = cuts.next_if(|cut| cut.after == after) {
            let dir = tempfile::tempdir().unwrap();
            write_after(&disk, cut.keeps, dir.path());
            if checks.len() == AT_ONCE {
                found.extend(checks.join_next().await.map(Result::unwrap));
            }
            let (plan, promised, undisturbed) = (plan.clone(), promised.clone(), undisturbed.clone());
            checks.spawn(async move { (cut, losses(&plan, &dir.path().join("data"), &promised, &undisturbed).await) });
        }
        if let Some(event) = recording.log.events.get(after) {
            disk.apply(event).unwrap();
            promised.hear(event);
        }
    }
    found.extend(checks.join_all().await);
    found.retain(|(_, losses)| !losses.is_empty());
    found.sort();
    found
}

/// The export of the directory that the subject left.
async fn shown(recording: &Recording) -> Export {
    let mut disk = recording.disk().unwrap();
    for event in &recording.log.events {
        disk.apply(event).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    write_after(&disk, Keeps::Everything, dir.path());
    undisturbed(&recording.plan, &dir.path().join("data")).await.unwrap()
}

/// Adds what is below a directory.
fn files_below(root: &Path, dir: &Path, into: &mut Files) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if path.is_dir() {
            into.insert(name, None);
            files_below(root, &path, into);
        } else {
            into.insert(name, Some(std::fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_moment_a_power_cut_loses_nothing_that_was_acked_and_the_run_goes_on() {
    let Some(scene) = scene().await else { return };
    let recording = scene.record(Syncs::ALL);
    let undisturbed = shown(&recording).await;
    let cuts = choose(&recording, number("TEAL_POWER_CUTS", 100) as usize, nothing_or_some);
    let disk = recording.disk().unwrap();
    let found = try_all(&recording, disk, &cuts, Promised::default(), &undisturbed).await;
    assert!(found.is_empty(), "{} of {} cuts: {:#?}", found.len(), cuts.len(), &found[..found.len().min(5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_flood_what_was_thanked_for_before_the_cut_is_there_after_it_and_applied_once() {
    let Some(scene) = scene().await else { return };
    let began = std::time::Instant::now();
    let count = number("TEAL_POWER_CUT_FLOOD", 150);
    let recording = scene.record_flood(count, Syncs::ALL);
    let undisturbed = shown(&recording).await;
    let acks = |event: &&Event| matches!(event, Event::Mark(mark) if mark.starts_with("ack flood-"));
    assert_eq!(recording.log.events.iter().filter(acks).count() as u64, count);
    // While deliveries arrive, and half of them right after an answer, with nothing kept that was not synced.
    let first = recording.log.events.iter().position(|event| acks(&event)).unwrap();
    let cuts = number("TEAL_POWER_CUTS", 100) as usize;
    let mut chosen = after_acks(&recording, cuts / 2);
    chosen.extend(choose(&recording, cuts, nothing_or_some));
    chosen.retain(|cut| cut.after >= first);
    chosen.sort();
    chosen.dedup();
    let found = try_all(&recording, recording.disk().unwrap(), &chosen, Promised::default(), &undisturbed).await;
    assert!(found.is_empty(), "{} of {} cuts: {:#?}", found.len(), chosen.len(), &found[..found.len().min(5)]);
    println!("{} cuts in a flood of {count} deliveries: all there once, {:.0?}", chosen.len(), began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_flood_with_the_inbox_not_synced_the_same_check_finds_acked_deliveries_lost() {
    let Some(scene) = scene().await else { return };
    let recording = scene.record_flood(60, Syncs { inbox_db: false, ..Syncs::ALL });
    let lost = acked_and_lost(&recording, recording.disk().unwrap()).await;
    assert!(lost.iter().any(|id| id.starts_with("flood-")), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_power_cut_loses_nothing_either_while_teal_recovers_from_the_first() {
    let Some(scene) = scene().await else { return };
    let first = scene.record(Syncs::ALL);
    let seed = number("TEAL_POWER_CUT_SEED", 1);
    let in_the_middle = after_acks(&first, 5)[2].after;
    for keeps in [Keeps::Nothing, Keeps::Some(seed)] {
        let (second, promised) = scene.record_again(&first, Cut { after: in_the_middle, keeps });
        let undisturbed = shown(&second).await;
        assert_eq!(undisturbed, shown(&first).await);
        let count = (number("TEAL_POWER_CUTS", 100) / 5).max(2) as usize;
        let mut cuts = choose(&second, count, nothing_or_some);
        // Recovery is at the beginning.
        cuts.extend((1..=count).map(|nth| Cut { after: nth * 10, keeps: Keeps::Some(seed + nth as u64) }));
        cuts.sort();
        let found = try_all(&second, second.disk().unwrap(), &cuts, promised, &undisturbed).await;
        assert!(found.is_empty(), "{} of {} cuts: {:#?}", found.len(), cuts.len(), &found[..found.len().min(5)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorder_misses_nothing_that_changes_the_directory() {
    let Some(scene) = scene().await else { return };
    let recording = scene.record(Syncs::ALL);
    let mut disk = recording.disk().unwrap();
    for event in &recording.log.events {
        disk.apply(event).unwrap();
    }
    let mut replayed = disk.after_power_cut(Keeps::Everything);
    forget_shared_memory(&mut replayed);
    let mut real = Files::new();
    files_below(&recording.root, &recording.root, &mut real);
    forget_shared_memory(&mut real);
    assert_eq!(replayed.keys().collect::<Vec<_>>(), real.keys().collect::<Vec<_>>());
    for (path, bytes) in real {
        assert!(replayed[&path] == bytes, "'{}' differs", path.display());
    }
    assert!(recording.log.events.iter().any(|event| matches!(event, Event::Link { .. })), "no large object was stored");
}

/// Moments right after an ack, spread over the run, with nothing kept that was not synced.
fn after_acks(recording: &Recording, count: usize) -> Vec<Cut> {
    let acks: Vec<usize> = (0..recording.log.events.len())
        .filter(|nth| matches!(&recording.log.events[*nth], Event::Mark(mark) if mark.starts_with("ack ")))
        .map(|nth| nth + 1)
        .collect();
    let step = acks.len().div_ceil(count).max(1);
    acks.into_iter().skip(step - 1).step_by(step).map(|after| Cut { after, keeps: Keeps::Nothing }).collect()
}

/// Acked deliveries that the check misses on the disks of such moments.
async fn acked_and_lost(recording: &Recording, disk: Disk<'_>) -> Vec<String> {
    let undisturbed = shown(recording).await;
    let found = try_all(recording, disk, &after_acks(recording, 6), Promised::default(), &undisturbed).await;
    let lost = found.into_iter().flat_map(|(_, losses)| losses).filter_map(|loss| match loss {
        Loss::Acked(ids) => Some(ids),
        _ => None,
    });
    lost.flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nothing_synced_the_same_check_finds_acked_deliveries_lost() {
    let Some(scene) = scene().await else { return };
    let recording = scene.record(Syncs::NONE);
    let lost = acked_and_lost(&recording, recording.disk().unwrap()).await;
    assert!(!lost.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_inbox_not_synced_the_same_check_finds_acked_deliveries_lost() {
    let Some(scene) = scene().await else { return };
    let recording = scene.record(Syncs { inbox_db: false, ..Syncs::ALL });
    let lost = acked_and_lost(&recording, recording.disk().unwrap()).await;
    assert!(!lost.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_entities_not_synced_deliveries_are_found_again_by_their_raw_and_all_else_is_lost() {
    let Some(scene) = scene().await else { return };
    let recording = scene.record(Syncs { teal_db: false, ..Syncs::ALL });
    let undisturbed = shown(&recording).await;
    let cuts = after_acks(&recording, 6);
    let found = try_all(&recording, recording.disk().unwrap(), &cuts, Promised::default(), &undisturbed).await;
    let losses: Vec<Loss> = found.into_iter().flat_map(|(_, losses)| losses).collect();
    assert!(!losses.is_empty(), "what readers had seen is still there without a sync");
    assert!(!losses.iter().any(|loss| matches!(loss, Loss::Acked(_))), "{losses:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_files_or_names_of_large_objects_not_synced_the_same_check_finds_large_deliveries_lost() {
    let Some(scene) = scene().await else { return };
    let recording = scene.record(Syncs::ALL);
    let blobs = recording.plan.dir.join("blobs");
    for of in [Of::Files, Of::Directories] {
        let disk = recording.disk().unwrap().without_syncs(of, &blobs);
        let lost = acked_and_lost(&recording, disk).await;
        assert!(lost.iter().any(|id| id.starts_with("change")), "{of:?}: {lost:?}");
        for id in lost {
            let hook = recording.plan.hooks().find(|hook| hook.id == id).unwrap();
            // A sync is lost with its pages, which are large.
            let is_sync = matches!(hook.makes, Makes::Version(_));
            assert!(hook.body.len() > SMALL || is_sync, "{id} is small, and its row was synced");
        }
    }
}
