//! What webhooks bring is in the active version at once, and stays there: over switches, rollbacks, rebuilds
//! and crashes (P1, P3, P4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use teal::domain::{Mode, Outcome};
use teal_local_tests::client::{Client, Missed};
use teal_local_tests::system::{System, Tweaks};
use teal_local_tests::{expected, until};
use teal_stand_in::blue::Event;
use teal_stand_in::{BlueOptions, Fault, FaultRule, Kind};

fn options() -> BlueOptions {
    BlueOptions { talents: 40, boards: 4, media_tags: 15, ..BlueOptions::default() }
}

/// Gives the talent another text, and tells Teal.
async fn change(system: &System, talent: u64, bio: &str) {
    assert!(system.blue.patch(Kind::Talents, talent, &json!({ "profile": { "bio": bio } })));
    system.tell(Event::TalentUpdated, talent).await;
}

async fn bio(client: &Client, talent: u64) -> Result<(u32, String), Missed> {
    let (version, row) = client.row("talents", &talent.to_string()).await?;
    Ok((version, row["bio"].as_str().unwrap_or_default().to_owned()))
}

async fn until_bio(client: &Client, talent: u64, expected: &str) -> u32 {
    until(&format!("talent {talent} says '{expected}'"), async || match bio(client, talent).await {
        Ok((version, bio)) => (bio == expected).then_some(version),
        Err(Missed::NoRow) => None,
        Err(error) => panic!("{error:?}"),
    })
    .await
}

async fn until_gone(client: &Client, talent: u64) {
    until(&format!("talent {talent} is gone"), async || {
        (client.row("talents", &talent.to_string()).await == Err(Missed::NoRow)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_after_a_switch_is_still_there_after_the_rollback() {
    let system = System::start(options(), Tweaks::default()).await;
    let client = system.client();
    system.switch().await;
    for round in 1..=4u64 {
        // Nobody is told of it: there is something to switch to.
        system.blue.edit(Kind::MediaTags, &[1]);
        system.switch().await;
        let (changed, deleted) = (round, 10 + round);
        let text = format!("after switch {round}");
        change(&system, changed, &text).await;
        let inserted = system.blue.insert(Kind::Talents, 1)[0];
        change(&system, inserted, &text).await;
        system.blue.delete(Kind::Talents, &[deleted]);
        system.tell(Event::TalentDeleted, deleted).await;
        let version = until_bio(&client, changed, &text).await;
        until_bio(&client, inserted, &text).await;
        until_gone(&client, deleted).await;

        let moved = system.rollback().await;
        assert_eq!(moved.from.0, version);
        for talent in [changed, inserted] {
            assert_eq!(bio(&client, talent).await, Ok((moved.to.0, text.clone())), "talent {talent}");
        }
        assert_eq!(client.row("talents", &deleted.to_string()).await, Err(Missed::NoRow));
        let measured = client.row("talents_measurements", &deleted.to_string()).await;
        assert_eq!(measured, Err(Missed::NoRow), "what belongs to it goes with it");

        let text = format!("after rollback {round}");
        change(&system, changed, &text).await;
        assert_eq!(until_bio(&client, changed, &text).await, moved.to.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_during_a_build_is_in_the_active_version_at_once_and_in_the_next() {
    let limits = "{ attempts: 1, timeout: 300s }".to_owned();
    let mut system = System::start(options(), Tweaks { limits, ..Tweaks::default() }).await;
    let client = system.client();
    let first = system.switch().await.builds.unwrap().0;
    // The build has every talent and waits for its last page, for longer than any test takes.
    system.blue.fault(FaultRule::page("media-tags", 1, Fault::Slow(200_000)));
    system.blue.reset_counts();
    let run = system.begin(Mode::Full).await;
    until("the last page is asked for", async || system.blue.counts().pages.contains_key("media-tags").then_some(()))
        .await;
    change(&system, 1, "in between").await;
    let inserted = system.blue.insert(Kind::Talents, 1)[0];
    change(&system, inserted, "in between").await;
    system.blue.delete(Kind::Talents, &[2]);
    system.tell(Event::TalentDeleted, 2).await;
    for talent in [1, inserted] {
        assert_eq!(until_bio(&client, talent, "in between").await, first);
    }
    until_gone(&client, 2).await;
    assert_eq!(system.pointer().await.version.0, first, "the build can't be done");

    system.crash_workers();
    system.start_workers().await;
    let run = system.ended(&run).await;
    assert_eq!(run.outcome, Some(Outcome::Complete), "{:?}", run.reason);
    let next = run.builds.unwrap().0;
    for talent in [1, inserted] {
        assert_eq!(bio(&client, talent).await, Ok((next, "in between".to_owned())));
    }
    assert_eq!(client.row("talents", "2").await, Err(Missed::NoRow));
    let talents: BTreeSet<String> =
        client.list("talents", 1000).await.pages.into_iter().flat_map(|page| page.rows).map(|row| row.key).collect();
    assert_eq!(talents, expected::keys(&system.blue)["talents"]);
}

/// Reads the talents' texts, which are numbers that only grow, and remembers each that went back.
async fn watch(client: Client, talents: std::ops::RangeInclusive<u64>, over: Arc<AtomicBool>) -> Vec<String> {
    let mut newest: BTreeMap<u64, (u64, u32)> = BTreeMap::new();
    let mut wrong = Vec::new();
    while !over.load(Ordering::SeqCst) {
        for talent in talents.clone() {
            match bio(&client, talent).await {
                Ok((version, bio)) => {
                    let number: u64 = bio.parse().unwrap_or(0);
                    let before = newest.get(&talent).copied().unwrap_or_default();
                    if number < before.0 {
                        wrong.push(format!("talent {talent} was {before:?}, then ({number}, {version})"));
                    }
                    newest.insert(talent, (number, version));
                }
                Err(error) => wrong.push(format!("talent {talent}: {error:?}")),
            }
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_that_come_all_the_time_never_go_back_whatever_is_switched() {
    const TALENTS: std::ops::RangeInclusive<u64> = 1..=8;
    // The queue shuffles and repeats: order must not matter.
    let mut system = System::start(options(), Tweaks { unkind: Some(7), ..Tweaks::default() }).await;
    system.switch().await;
    let client = system.client();
    let over = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(watch(client.clone(), TALENTS, over.clone()));
    let told: Mutex<BTreeMap<u64, u64>> = Mutex::default();
    let done = AtomicBool::new(false);
    let tell = async {
        for number in 1.. {
            if done.load(Ordering::SeqCst) {
                return number - 1;
            }
            let talent = 1 + number % TALENTS.end();
            change(&system, talent, &number.to_string()).await;
            told.lock().unwrap().insert(talent, number);
            // Two at a time: the sender waits for what it sent, so that the backlog stays small.
            if number % 2 == 0 {
                until_bio(&client, talent, &number.to_string()).await;
            }
        }
        0
    };
    let switch = async {
        for round in 0..9 {
            let before = told.lock().unwrap().values().copied().max();
            match round {
                3 | 7 => {
                    system.rollback().await;
                }
                5 => {
                    let requests = system.blue.counts().requests;
                    let run = system.rebuild().await;
                    assert_eq!(run.outcome, Some(Outcome::Complete), "{:?}", run.reason);
                    assert_eq!(system.blue.counts().requests, requests, "a rebuild asks nobody");
                }
                _ => {
                    system.switch().await;
                }
            }
            until("another webhook comes", async || {
                (told.lock().unwrap().values().copied().max() > before).then_some(())
            })
            .await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let (sent, ()) = tokio::join!(tell, switch);
    let told = told.into_inner().unwrap();
    assert_eq!(told.len() as u64, *TALENTS.end(), "{sent} webhooks reached not every talent");
    for (talent, number) in &told {
        until_bio(&client, *talent, &number.to_string()).await;
    }
    over.store(true, Ordering::SeqCst);
    assert_eq!(watcher.await.unwrap(), Vec::<String>::new());
    println!("{sent} webhooks");

    system.kill_build(teal_local_tests::system::Kill::Crash).await;
    for (talent, number) in &told {
        assert_eq!(bio(&client, *talent).await.map(|(_, bio)| bio), Ok(number.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_comes_again_changes_nothing_and_a_stranger_gets_nothing_in() {
    let system = System::start(options(), Tweaks::default()).await;
    let client = system.client();
    system.switch().await;
    change(&system, 5, "first").await;
    let old = system.blue.webhook(Event::TalentUpdated, 5).unwrap();
    change(&system, 5, "second").await;
    until_bio(&client, 5, "second").await;
    for _ in 0..3 {
        assert_eq!(system.deliver(&old).await, 202);
    }
    let stranger = system.blue.send_webhook(&system.hook(), "a guess", Event::TalentUpdated, 5).await.unwrap();
    assert_eq!(stranger, 401);
    // Whatever came before this one has been handled or stands behind it in no order: so wait for all.
    change(&system, 6, "last").await;
    until_bio(&client, 6, "last").await;
    until("the queues are empty", async || {
        let depth = system.local.queue.depth(teal::domain::QueueName::Transform).await.unwrap();
        assert_eq!(depth.dead, 0);
        depth.is_drained().then_some(())
    })
    .await;
    assert_eq!(bio(&client, 5).await.unwrap().1, "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_may_ask_for_a_full_run() {
    let system = System::start(options(), Tweaks::default()).await;
    let before = system.runs().await;
    system.tell(Event::Sync, 0).await;
    let run = until("a run begins", async || system.runs().await.difference(&before).next().cloned()).await;
    let run = system.ended(&run).await;
    assert_eq!((run.mode, run.outcome), (Mode::Full, Some(Outcome::Complete)), "{:?}", run.reason);
    assert!(run.cause.starts_with("webhook "), "{}", run.cause);
    assert_eq!(Some(system.pointer().await.version), run.builds);
}
