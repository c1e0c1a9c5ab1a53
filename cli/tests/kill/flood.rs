//! P1 under a flood: a `teal dev` is killed while thousands of deliveries arrive as fast as they can be sent, each with an
//! id of its own and about a row of its own, so that none can hide another. What was thanked for is there afterwards,
//! entered once, done with once.
//!
//! `TEAL_FLOOD_KILLS=50 TEAL_FLOOD=2000 cargo test -p teal-cli --test kill flood -- --nocapture` is the long form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::json;
use teal_stand_in::{BlueOptions, Kind, Webhook};

use crate::knob;
use crate::scene::{Scene, dice};
use crate::teal::{Place, Teal};

const SENDERS: u64 = 16;
/// Ids of talents that no listing has.
const NEW: u64 = 1_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_of_a_flood_that_was_thanked_for_is_there_and_applied_once() {
    let (kills, flood) = (knob("TEAL_FLOOD_KILLS", 5), knob("TEAL_FLOOD", 300));
    let seed = knob("TEAL_KILL_SEED", 1);
    let began = Instant::now();
    let scene = Scene::new(BlueOptions { talents: 20, boards: 2, ..BlueOptions::default() }).await;
    let place = Place::new(&scene.blue.url(), 100);
    place.edit("      id: { header: x-delivery-id }", "      dedupe: { by: [{ header: x-delivery-id }] }");
    let mut teal = Teal::start(&place, scene.address.clone(), None);
    teal.ready().await;
    scene.ask_for_sync().await;
    assert!(teal.drained().await, "{}", place.log());

    let like = scene.blue.record(Kind::Talents, 1).unwrap();
    // Stated after the listing began, which otherwise would outweigh it.
    let sent_at = "2099-01-01T00:00:00Z";
    let delivery = |nth: u64| {
        let mut data = like.clone();
        (data["id"], data["updatedAt"]) = ((NEW + nth).into(), sent_at.into());
        (data["portfolios"], data["socials"]) = (json!([]), json!([]));
        let body = json!({ "event": "talent.updated", "sentAt": sent_at, "data": data });
        Webhook { id: format!("flood-{nth}"), body: body.to_string().into() }
    };
    let mut chance = dice(seed);
    let (mut thanked, mut sent, mut next) = (BTreeSet::new(), 0, 0);
    for _ in 0..kills {
        let (first, last) = (next, next + flood);
        next = last;
        let (turn, answers) = (AtomicU64::new(first), AtomicU64::new(0));
        let die_at = chance.random_range(1..flood);
        let address = teal.ready().await;
        let sender = || async {
            let mut acked = Vec::new();
            loop {
                let nth = turn.fetch_add(1, Ordering::Relaxed);
                if nth >= last {
                    return acked;
                }
                let (url, webhook) = (format!("{address}/hooks/blue"), delivery(nth));
                match scene.blue.deliver(&url, crate::teal::SECRET, &webhook).await {
                    Ok(200..300) => {
                        answers.fetch_add(1, Ordering::Relaxed);
                        acked.push(nth);
                    }
                    Ok(_) => {}
                    // Nobody answers any more.
                    Err(_) => return acked,
                }
            }
        };
        let killing = async {
            let patience = Instant::now();
            while answers.load(Ordering::Relaxed) < die_at && patience.elapsed() < Duration::from_secs(60) {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            teal.kill();
        };
        let (acked, ()) = tokio::join!(futures::future::join_all((0..SENDERS).map(|_| sender())), killing);
        thanked.extend(acked.into_iter().flatten());
        sent += turn.into_inner().min(last) - first;
        teal.restart(None);
        // So that what waits does not grow from kill to kill.
        assert!(teal.drained().await, "{}", place.log());
    }
    teal.kill();

    let shown = crate::talents_shown(&place.export());
    let missing: Vec<&u64> = thanked.iter().filter(|nth| !shown.contains_key(&(NEW + **nth))).collect();
    assert!(missing.is_empty(), "thanked for and not there: {missing:?}");
    let entered: BTreeMap<String, usize> = place.entered("blue").await;
    let done: BTreeMap<String, usize> = place.done_with("blue").await;
    for nth in &thanked {
        let id = format!("flood-{nth}");
        assert_eq!((entered.get(&id), done.get(&id)), (Some(&1), Some(&1)), "{id}");
    }
    assert!(entered.values().chain(done.values()).all(|times| *times == 1));
    println!(
        "{kills} kills, each while {flood} deliveries arrive: {sent} sent, {} thanked for and all there once, {:.0?}",
        thanked.len(),
        began.elapsed()
    );
}
