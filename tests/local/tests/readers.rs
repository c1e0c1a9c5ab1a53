//! Readers that never pause see whole versions only: through switches, killed builds and rollbacks (P2, P3).

use teal::domain::VersionState;
use teal_local_tests::client::Missed;
use teal_local_tests::observations::{Shown, Truth};
use teal_local_tests::reader::{Reader, Readers};
use teal_local_tests::system::{Kill, System, Tweaks};
use teal_local_tests::{Client, expected};
use teal_stand_in::{BlueOptions, Kind};

const SWITCHES: u64 = 50;
/// These are never deleted, so that every version has them.
const KEPT: u64 = 5;

fn options() -> BlueOptions {
    BlueOptions { talents: 50, boards: 8, media_tags: 25, ..BlueOptions::default() }
}

fn reader(system: &System, client: Client, number: usize, limit: usize) -> Reader {
    let talents = (1..=KEPT).filter(|talent| talent % 2 == number as u64 % 2).collect();
    Reader { number, client, ledger: system.local.ledger.clone(), limit, talents }
}

/// Changes the stand-in's data and stamps it anew. Gives what a listing of it must show.
fn next_listing(system: &System, stamp: u64) -> Shown {
    let blue = &system.blue;
    blue.set_generation(stamp);
    blue.insert(Kind::Talents, 1);
    blue.insert(Kind::Boards, u64::from(stamp.is_multiple_of(7)));
    let talents = blue.ids(Kind::Talents);
    blue.delete(Kind::Talents, &[talents[KEPT as usize]]);
    blue.edit(Kind::Talents, &[1, talents[talents.len() - 1]]);
    blue.edit(Kind::Boards, &[1 + stamp % 8]);
    Shown { stamp, keys: expected::keys(blue) }
}

async fn switch(system: &System, stamp: u64, truth: &mut Truth) {
    let shown = next_listing(system, stamp);
    let run = system.switch().await;
    truth.insert(run.builds.expect("a full run builds").0, shown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_whole_versions_only_through_switches_killed_builds_and_rollbacks() {
    // An edited board is another selection, maybe a much smaller one.
    let tweaks = Tweaks { max_shrink: "90%".to_owned(), ..Tweaks::default() };
    let mut system = System::start(options(), tweaks).await;
    let mut truth = Truth::new();
    switch(&system, 1, &mut truth).await;
    let readers = [7, 30, 1000].into_iter().enumerate();
    let readers = readers.map(|(number, limit)| reader(&system, system.client(), number, limit)).collect();
    let readers = Readers::start(readers);
    readers.mark().await;
    let mut stamp = 1;
    for round in 0..SWITCHES {
        stamp += 1;
        switch(&system, stamp, &mut truth).await;
        readers.mark().await;
        if round % 5 == 2 {
            stamp += 1;
            next_listing(&system, stamp);
            let how = [Kill::Fault, Kill::Restart, Kill::Crash][round as usize / 5 % 3];
            let before = system.pointer().await;
            let run = system.kill_build(how).await;
            assert_eq!(system.pointer().await, before, "{how:?} {run:?}");
            readers.mark().await;
        }
        if round % 5 == 4 {
            let previous = system.pointer().await.previous;
            let moved = system.rollback().await;
            assert_eq!(Some(moved.to), previous);
            readers.mark().await;
        }
        system.upkeep().await;
    }
    let seen = readers.finish().await;
    let wrong = seen.check(&truth);
    assert!(wrong.is_empty(), "{} wrong, the first: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    println!("{} reads, {} restarts, {} versions seen", seen.reads(), seen.restarts(), seen.versions().len());
    let states = system.manifests().await;
    assert!(states.iter().any(|manifest| manifest.state == VersionState::Retired), "nothing was ever retired");
    assert!(seen.versions().len() > truth.len() / 2, "readers were asleep: {:?}", seen.versions());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_goes_on_in_its_version_while_that_can_be_read_and_then_is_told_to_start_again() {
    let tweaks =
        Tweaks { versions: "{ keep: 2, grace: 1ms }".to_owned(), max_shrink: "90%".to_owned(), ..Tweaks::default() };
    let system = System::start(options(), tweaks).await;
    let client = system.client();
    let mut truth = Truth::new();
    switch(&system, 1, &mut truth).await;
    let first = client.page("talents", 10, None).await.unwrap();
    for stamp in 2..=3 {
        switch(&system, stamp, &mut truth).await;
        system.upkeep().await;
        let second = client.page("talents", 10, first.next.as_deref()).await;
        if stamp == 2 {
            let second = second.unwrap();
            assert_eq!(second.version, first.version);
            assert!(second.rows.iter().all(|row| row.stamp == 1), "{second:?}");
        } else {
            assert_eq!(second, Err(Missed::Gone));
            let manifests = system.manifests().await;
            let manifest = manifests.iter().find(|manifest| manifest.version.0 == first.version).unwrap();
            assert_eq!(manifest.state, VersionState::Retired);
        }
    }
}
