//! P1 and P8 against `kill -9`: a real `teal dev` dies at random moments and at every single gap between two
//! writes, while webhooks arrive. What it shows afterwards is what an undisturbed one shows.
//!
//! `TEAL_KILLS=200 TEAL_RECORDS=20000 cargo test -p teal-cli --test kill -- --nocapture` is the long form, with
//! a table of kills by stage and gap. `TEAL_KILL_SEED` repeats a run's dice.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod flood;
mod scene;
mod teal;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value as Json;
use teal_stand_in::blue::Kind;
use teal_stand_in::{BlueOptions, Counts};

use crate::scene::{Change, Scene, dice};
use crate::teal::{Place, Teal};
use crate::trace::{Gap, Table, gaps};

/// Streams with the names of their endpoints.
const STREAMS: [(&str, &str); 3] = [("talents", "talents"), ("boards", "boards"), ("media_tags", "media-tags")];
/// How closely the events of a process are watched.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Roughly what the stages announce for one page.
const EVENTS_PER_PAGE: u64 = 22;

/// Whether the run is over with this.
fn ends_the_run(event: &str) -> bool {
    event.starts_with("switch ledger.transact(") && event.ends_with("lease+run) after")
}

fn knob(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// What an undisturbed Teal shows of the world as it is now.
async fn undisturbed(scene: &Scene, page: usize) -> String {
    let place = Place::new(&scene.blue.url(), page);
    let mut teal = Teal::start(&place, scene.address.clone(), None);
    teal.ready().await;
    scene.ask_for_sync().await;
    assert!(teal.drained().await, "{}", place.log());
    teal.kill();
    place.export()
}

fn must_be_equal(shown: &str, expected: &str, how: &str) {
    if shown == expected {
        return;
    }
    let (shown, expected): (BTreeSet<&str>, BTreeSet<&str>) = (shown.lines().collect(), expected.lines().collect());
    let missing = expected.difference(&shown).take(5).map(|line| format!("- {line}"));
    let surplus = shown.difference(&expected).take(5).map(|line| format!("+ {line}"));
    panic!("{how}: the export differs:\n{}", missing.chain(surplus).collect::<Vec<_>>().join("\n"));
}

/// Of each stream no more pages were served than count for its run, but for one a kill.
async fn at_most_one_page_a_kill_was_fetched_again(place: &Place, counts: &Counts, kills: u64, how: &str) -> u64 {
    let runs = place.runs().await;
    assert_eq!(runs.len(), 1, "{how}: one run was asked for: {runs:#?}");
    let slots = place.slots(&runs[0], &STREAMS.map(|(stream, _)| stream)).await;
    let mut again = 0;
    for ((stream, endpoint), slots) in STREAMS.into_iter().zip(slots) {
        let served: u64 =
            counts.pages.get(endpoint).into_iter().flat_map(BTreeMap::values).map(|page| page.served).sum();
        let more = served.checked_sub(slots).unwrap_or_else(|| panic!("{how}: {slots} pages of {served} {stream}"));
        assert!(more <= kills, "{how}: {more} pages of {stream} were fetched again over {kills} kills");
        again += more;
    }
    assert!(again <= kills, "{how}: {again} pages were fetched again over {kills} kills");
    again
}

/// Lets the process work until it has done enough, or has had `patience` to do it.
async fn works_until(teal: &Teal<'_>, patience: Duration, enough: impl Fn(&[String]) -> bool) {
    let began = Instant::now();
    while !enough(&teal.events()) && began.elapsed() < patience {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_run_killed_again_and_again_ends_as_if_nothing_had_happened() {
    let (kills, records) = (knob("TEAL_KILLS", 12), knob("TEAL_RECORDS", 600));
    let seed = knob("TEAL_KILL_SEED", 1);
    let (boards, media_tags) = (12, 40);
    let talents = records.saturating_sub(boards + media_tags);
    let page = usize::try_from((records / 200).clamp(20, 100)).unwrap();
    let pages = talents / page as u64;
    let span = usize::try_from((2 * EVENTS_PER_PAGE * pages * 9 / (kills * 10)).max(20)).unwrap();
    // A large run lasts, and every webhook that it saw is replayed before the switch.
    let pause = Duration::from_millis(15 * (records / 5000).max(1));
    let scene = Scene::new(BlueOptions { talents, boards, media_tags, ..BlueOptions::default() }).await;
    let place = Place::new(&scene.blue.url(), page);
    let began = Instant::now();

    let mut teal = Teal::start(&place, scene.address.clone(), None);
    teal.ready().await;
    scene.ask_for_sync().await;
    let enough = AtomicBool::new(false);
    let webhooks = async {
        let (mut chance, mut sent) = (dice(seed), 0);
        while !enough.load(Ordering::Relaxed) {
            scene.deliver(&scene.change(&mut chance, |_| true).webhook).await;
            sent += 1;
            tokio::time::sleep(pause).await;
        }
        sent
    };
    let killing = async {
        let (mut chance, mut table) = (dice(seed + 1), Table::default());
        for kill in 0..kills {
            // The kills go with the fetching over nine tenths of them; the rest meet what comes after it.
            let wanted = kill * pages * 10 / (kills * 9);
            let fetched = || scene.blue.counts().pages.get("talents").map_or(0, BTreeMap::len) as u64;
            let started = Instant::now();
            while fetched() < wanted.min(pages) && started.elapsed() < Duration::from_secs(60) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let settled = || place.events().iter().any(|event| ends_the_run(event));
            if wanted < pages || settled() {
                let already = teal.events().len();
                let more = already + chance.random_range(1..=span);
                works_until(&teal, Duration::from_secs(5), |events| events.len() >= more).await;
            } else {
                // Few of them, or many: the switch has few writes but for the changes that it replays.
                let many = 1 << chance.random_range(0..12);
                works_until(&teal, Duration::from_secs(20), |events| {
                    events.iter().filter(|event| event.starts_with("switch ")).count() >= many
                        || events.iter().any(|event| ends_the_run(event))
                })
                .await;
            }
            teal.kill();
            table.count(&teal.events());
            teal.restart(None);
        }
        enough.store(true, Ordering::Relaxed);
        table
    };
    let (sent, table) = tokio::join!(webhooks, killing);
    assert!(teal.drained().await, "{}", place.log());
    teal.kill();

    let how = format!("seed {seed}");
    let counts = scene.blue.counts();
    let again = at_most_one_page_a_kill_was_fetched_again(&place, &counts, kills, &how).await;
    let run = &place.runs().await[0];
    assert!(run.outcome.is_some_and(|outcome| outcome.is_success()), "{run:#?}");
    must_be_equal(&place.export(), &undisturbed(&scene, page).await, &how);
    table.print(&format!(
        "{kills} kills over a full run of {records} records in {pages} pages of talents, {sent} webhooks, \
         {again} pages fetched again, {:.0?}",
        began.elapsed()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_webhook_that_was_acknowledged_is_lost() {
    const SENDERS: u64 = 4;
    let (kills, seed) = (knob("TEAL_KILLS", 12), knob("TEAL_KILL_SEED", 1));
    let scene = Scene::new(BlueOptions { talents: 200, boards: 4, ..BlueOptions::default() }).await;
    let place = Place::new(&scene.blue.url(), 100);
    let mut teal = Teal::start(&place, scene.address.clone(), None);
    teal.ready().await;
    scene.ask_for_sync().await;
    assert!(teal.drained().await, "{}", place.log());

    // From here on nothing but webhooks can change what is shown. Each is sent once.
    let enough = AtomicBool::new(false);
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let sender = |own: u64| {
        let (scene, enough, answered, refused) = (&scene, &enough, &answered, &refused);
        async move {
            let (mut chance, mut acked): (StdRng, Vec<Change>) = (dice(seed + own), Vec::new());
            while !enough.load(Ordering::Relaxed) {
                let change = scene.change(&mut chance, |talent| talent % SENDERS == own);
                if scene.try_to_deliver(&change.webhook).await {
                    answered.fetch_add(1, Ordering::Relaxed);
                    acked.push(change);
                } else {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            acked
        }
    };
    let killing = async {
        let (mut chance, mut table) = (dice(seed + 100), Table::default());
        for _ in 0..kills {
            teal.ready().await;
            let already = teal.events().len();
            let more = already + chance.random_range(1..120);
            works_until(&teal, Duration::from_secs(20), |events| events.len() >= more).await;
            teal.kill();
            table.count(&teal.events());
            teal.restart(None);
        }
        teal.ready().await;
        enough.store(true, Ordering::Relaxed);
        table
    };
    let senders = futures::future::join_all((0..SENDERS).map(sender));
    let (acked, table) = tokio::join!(senders, killing);
    assert!(teal.drained().await, "{}", place.log());
    teal.kill();

    let shown = talents_shown(&place.export());
    let living = scene.blue.ids(Kind::Talents);
    for change in acked.iter().flatten() {
        match (&change.updated_at, shown.get(&change.talent)) {
            (Some(stated), Some(now)) => assert!(now >= stated, "talent {} is older than acked", change.talent),
            (Some(_), None) => assert!(!living.contains(&change.talent), "talent {} is missing", change.talent),
            (None, Some(_)) => panic!("talent {} was deleted and is still shown", change.talent),
            (None, None) => {}
        }
    }
    table.print(&format!(
        "{kills} kills while webhooks arrived: {} acknowledged, {} not",
        answered.into_inner(),
        refused.into_inner()
    ));
}

/// When each talent that is shown was updated.
fn talents_shown(export: &str) -> BTreeMap<u64, String> {
    let rows = export.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let talents = rows.filter(|row| row["entity"] == "talents");
    talents
        .map(|row| {
            let row = &row["row"];
            (row["id"].as_u64().unwrap(), row["updated_at"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// The same small world every time, also the times in it: changes happen at the data's own time, which is far
/// ahead, while deliveries state the clock's.
async fn small_world() -> Scene {
    const FAR_AHEAD: i64 = 2_208_988_800_000;
    Scene::new(BlueOptions { talents: 40, boards: 2, media_tags: 6, epoch: FAR_AHEAD, ..BlueOptions::default() }).await
}

const SMALL_PAGE: usize = 15;

/// What became of a small run.
struct Small {
    /// What each of its processes did.
    processes: Vec<Vec<String>>,
    export: String,
}

/// A run with webhooks during it and after it. The processes die where they are told to, one after the other;
/// the one after the last lives.
async fn small_run(dies: &[String]) -> Small {
    let scene = small_world().await;
    let place = Place::new(&scene.blue.url(), SMALL_PAGE);
    let mut teal = Teal::start(&place, scene.address.clone(), dies.first().map(String::as_str));
    let told = AtomicBool::new(false);
    let mut processes = Vec::new();
    let unlisted = scene.unlisted().next().unwrap();
    let story = async {
        scene.ask_for_sync().await;
        for talent in [1, 2, 20, 40] {
            scene.deliver(&scene.edit(talent).webhook).await;
        }
        scene.deliver(&scene.delete(unlisted).webhook).await;
        told.store(true, Ordering::Relaxed);
    };
    let life = async {
        loop {
            if teal.is_dead() {
                processes.push(teal.events());
                teal.restart(dies.get(processes.len()).map(String::as_str));
            } else if told.load(Ordering::Relaxed) && teal.drained().await {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        processes.push(teal.events());
    };
    tokio::join!(story, life);
    teal.kill();
    let (how, deaths) = (format!("{dies:?}"), processes.len() - 1);
    assert!(deaths <= dies.len(), "{how}: {}", place.log());
    at_most_one_page_a_kill_was_fetched_again(&place, &scene.blue.counts(), deaths as u64, &how).await;
    Small { processes, export: place.export() }
}

/// A gap, and how to have a process die in it: first those before it, then it.
struct Plan {
    gap: Gap,
    before: Vec<String>,
    nth: u64,
}

/// Follows the plans, several at a time, and compares each export. Gives what the process did that came after.
async fn die_in_each(plans: Vec<Plan>, expected: &str) -> Vec<(Plan, Option<Vec<String>>)> {
    const AT_ONCE: usize = 6;
    let follow = |plan: Plan| async move {
        let wanted = plan.before.len() + 1;
        // Workers go side by side: what came so often once may come less often now, but once it comes.
        for nth in [plan.nth, 1, 1, 1, 1] {
            let mut dies = plan.before.clone();
            dies.push(plan.gap.die(nth));
            let Small { processes, export } = small_run(&dies).await;
            must_be_equal(&export, expected, &format!("{dies:?}"));
            if let Some(after) = processes.into_iter().nth(wanted) {
                return (plan, Some(after));
            }
        }
        (plan, None)
    };
    futures::stream::iter(plans).map(follow).buffer_unordered(AT_ONCE).collect().await
}

fn print_gaps(title: &str, followed: &[(Plan, Option<Vec<String>>)]) {
    println!("\n{title}");
    for (Plan { gap, .. }, after) in followed {
        let (stages, Gap { last, next, .. }) = (gap.stages(), gap);
        println!("  {}  {stages:<10} {last} … {next}", if after.is_some() { "died " } else { "lived" });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_between_any_two_writes_loses_nothing() {
    let began = Instant::now();
    let undisturbed = small_run(&[]).await;
    let usual = gaps(&undisturbed.processes[0]);
    let plan = |(gap, nth): (&Gap, &u64)| Plan { gap: gap.clone(), before: Vec::new(), nth: *nth };
    let followed = die_in_each(usual.iter().map(plan).collect(), &undisturbed.export).await;
    print_gaps(&format!("{} gaps between two writes, {:.0?}", followed.len(), began.elapsed()), &followed);
    let lived = followed.iter().filter(|(_, after)| after.is_none());
    let lived: Vec<String> = lived.map(|(plan, _)| plan.gap.die(plan.nth)).collect();
    assert!(lived.is_empty(), "nobody died at {lived:?}");

    // What only a process does that comes after one that died: it may die as well.
    let known: BTreeSet<(&str, &str)> = usual.keys().map(Gap::begins).collect();
    let mut recovering: BTreeMap<Gap, Plan> = BTreeMap::new();
    for (plan, after) in &followed {
        for (gap, nth) in gaps(after.as_deref().unwrap_or_default()) {
            if !known.contains(&gap.begins()) {
                let before = vec![plan.gap.die(plan.nth)];
                recovering.entry(gap.clone()).or_insert(Plan { gap, before, nth });
            }
        }
    }
    let followed = die_in_each(recovering.into_values().collect(), &undisturbed.export).await;
    print_gaps(&format!("{} gaps of a recovery, {:.0?}", followed.len(), began.elapsed()), &followed);
    assert!(followed.iter().any(|(_, after)| after.is_some()), "no recovery was hit");
}
