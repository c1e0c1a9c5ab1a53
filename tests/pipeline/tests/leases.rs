//! Subscriptions that end by themselves are kept, and while there is none the source is polled.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use teal::config::System;
use teal::domain::message::Keep;
use teal::domain::{Message, Millis, Mode, QueueName, SourceId};
use teal::pipeline::{channels, gaps};
use teal::ports::Clock;
use teal_pipeline_tests::{Bench, Setup, said};

const ID: &str = "      id: { header: x-delivery-id }";
const HUB: &str = "https://hub.example.com";
const DAY: Duration = Duration::from_secs(86_400);
/// How often upkeep looks.
const ROUND: Duration = Duration::from_secs(300);

fn kind(lease: &str) -> Setup {
    Setup::tiny().edit(
        ID,
        &format!("{ID}\n      lease: {{ address: \"https://teal.example.com/hooks/blue\", base: \"{HUB}\", {lease} }}"),
    )
}

/// From the start to the first lease, since the hub was no hub while the bench was set up.
const SOON: Duration = Duration::from_secs(1800);

/// What the hub was asked for, and when.
type Asked = Arc<Mutex<Vec<(Millis, String)>>>;

fn hub(bench: &Bench, asked: &Asked, down: impl Fn(Millis) -> bool + Send + 'static) {
    let heard = asked.clone();
    bench.also_at(HUB, move |request, now| {
        heard.lock().unwrap().push((now, request.url.clone()));
        if down(now) {
            return said(503, &Json::Null);
        }
        let until = now.plus(7 * DAY);
        if request.url.ends_with("/watch") {
            said(200, &json!({ "resourceId": format!("r{}", now.0), "expiration": until.0.to_string() }))
        } else if request.url.ends_with("/refresh") {
            said(200, &json!({ "expirationTime": until.to_string() }))
        } else {
            said(202, &Json::Null)
        }
    });
}

async fn system(bench: &Bench) -> Arc<teal::pipeline::Loaded> {
    bench.runner.systems.current().await.unwrap()
}

fn lease(system: &System) -> &teal::config::after::Lease {
    system.sources[&"blue".into()].webhook.as_ref().unwrap().after.lease.as_ref().unwrap()
}

/// Sixty days with a hub that is down for two of them, at a time when the lease runs out during that. Gives how long
/// no lease was valid.
async fn sixty_days(setup: Setup, confirms: bool, down: std::ops::Range<u64>) -> (Duration, usize) {
    let bench = Bench::new(setup).await;
    bench.world.secrets.set("token", "made-up-token");
    bench.synced().await;
    let (asked, source) = (Asked::default(), SourceId::new("blue"));
    let start = bench.world.clock.now();
    let (from, to) = (start.plus(DAY * down.start as u32), start.plus(DAY * down.end as u32));
    hub(&bench, &asked, move |now| now >= from && now < to);
    let loaded = system(&bench).await;
    let declared = lease(&loaded.system);
    let (mut without, mut polls) = (Duration::ZERO, 0);
    // When the last poll that covers was asked for; every second until the next round is looked at.
    let mut covered = channels::read(bench.world.ledger.as_ref(), &source).await.unwrap().covered;
    let mut now = start;
    while now < start.plus(60 * DAY) {
        bench.world.clock.set(now);
        bench.runner.upkeep.look_after_webhooks(false).await.unwrap();
        for received in bench.world.queue.receive(QueueName::Poll, 10) {
            match received.message() {
                Message::Keep { source, what: Keep::Lease } => {
                    bench.runner.poll.keep(&source, Keep::Lease).await.unwrap();
                }
                Message::Sync { mode: Mode::Incremental, cause, .. } if cause == "webhook lease" => {}
                other => panic!("{other:?}"),
            }
            bench.world.queue.delete(&received);
        }
        // What keeping asked for comes behind it.
        for received in bench.world.queue.receive(QueueName::Poll, 10) {
            assert!(matches!(received.message(), Message::Sync { .. }));
            (covered, polls) = (now.plus(declared.cover), polls + 1);
            bench.world.queue.delete(&received);
        }
        let hub_works = now < from || now >= to;
        if confirms && hub_works {
            let (ledger, life) = (bench.world.ledger.as_ref(), Some(5 * DAY));
            let topic = "https://www.example.com/feed";
            channels::confirm(ledger, declared, &source, topic, life, bench.world.clock.now()).await.unwrap();
        }
        let state = channels::read(bench.world.ledger.as_ref(), &source).await.unwrap();
        let next = now.plus(ROUND);
        let mut at = now;
        while at < next {
            let valid = state.is_valid(at);
            assert!(valid || covered > at, "at {at} there is neither a lease nor a poll: {state:?}");
            without += if valid { Duration::ZERO } else { Duration::from_secs(1) };
            at = at.plus(Duration::from_secs(1));
        }
        now = next;
    }
    let count = asked.lock().unwrap().len();
    (without, if polls == 0 { 0 } else { count })
}

#[tokio::test]
async fn sixty_days_of_a_calendars_channels() {
    let google = "preset: google-calendar, with: { calendar: primary }, secrets: { token: \"${secret:token}\" }";
    let (without, asked) = sixty_days(kind(google), false, 20..22).await;
    assert!(without < SOON, "{without:?}: half a life is longer than the hub was down");
    assert!(asked < 200, "{asked} requests in sixty days");
}

#[tokio::test]
async fn sixty_days_of_a_webhook_that_is_refreshed() {
    let airtable = "preset: airtable, with: { base: app1, webhook: ach1 }";
    let (without, _) = sixty_days(kind(airtable), false, 20..22).await;
    assert!(without < SOON, "{without:?}");
}

#[tokio::test]
async fn sixty_days_of_a_subscription_that_the_hub_confirms() {
    let websub = "preset: websub, with: { topic: \"https://www.example.com/feed\" }, life: 5d";
    let (without, _) = sixty_days(kind(websub), true, 20..22).await;
    assert!(without < SOON, "{without:?}");
}

#[tokio::test]
async fn a_hub_that_is_down_for_longer_than_a_lease_lives_leaves_no_moment_uncovered() {
    let google =
        "preset: google-calendar, with: { calendar: primary }, secrets: { token: \"${secret:token}\" }, life: 1d";
    // The hub's own word is seven days, of which half is over when it goes down for five.
    let (without, _) = sixty_days(kind(google), false, 20..25).await;
    assert!(without > Duration::from_secs(3600), "{without:?}");
}

#[tokio::test]
async fn a_channel_is_replaced_before_the_old_one_is_stopped() {
    let google = "preset: google-calendar, with: { calendar: primary }, secrets: { token: \"${secret:token}\" }";
    let bench = Bench::new(kind(google)).await;
    bench.world.secrets.set("token", "made-up-token");
    let asked = Asked::default();
    hub(&bench, &asked, |_| false);
    let source = SourceId::new("blue");
    bench.runner.poll.keep(&source, Keep::Lease).await.unwrap();
    let first = channels::read(bench.world.ledger.as_ref(), &source).await.unwrap().live.unwrap();
    bench.world.clock.advance(4 * DAY);
    bench.runner.poll.keep(&source, Keep::Lease).await.unwrap();
    let state = channels::read(bench.world.ledger.as_ref(), &source).await.unwrap();
    assert_ne!(state.live.unwrap().id, first.id, "an id is used once");
    assert!(state.old.is_empty());
    let urls: Vec<String> =
        asked.lock().unwrap().iter().map(|(_, url)| url.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(urls, ["watch", "watch", "stop"]);
    let stop = bench.world.upstream.requests().pop().unwrap();
    let body: Json = serde_json::from_slice(&stop.body).unwrap();
    assert_eq!(body["id"], first.id);
}

#[tokio::test]
async fn nobody_confirms_what_was_not_asked_for() {
    let bench = Bench::new(kind("preset: websub, with: { topic: \"https://www.example.com/feed\" }")).await;
    hub(&bench, &Asked::default(), |_| false);
    let (loaded, source) = (system(&bench).await, SourceId::new("blue"));
    let confirm = |topic: &'static str| {
        let (ledger, declared, now) = (bench.world.ledger.clone(), lease(&loaded.system), bench.world.clock.now());
        let source = source.clone();
        async move { channels::confirm(ledger.as_ref(), declared, &source, topic, None, now).await.unwrap() }
    };
    assert!(!confirm("https://www.example.com/feed").await);
    bench.runner.poll.keep(&source, Keep::Lease).await.unwrap();
    assert!(!confirm("https://evil.example.com/feed").await);
    assert!(!channels::read(bench.world.ledger.as_ref(), &source).await.unwrap().is_valid(bench.world.clock.now()));
    assert!(confirm("https://www.example.com/feed").await);
    let until = channels::read(bench.world.ledger.as_ref(), &source).await.unwrap().live.unwrap().until;
    bench.world.clock.advance(Duration::from_secs(60));
    assert!(confirm("https://www.example.com/feed").await, "the answer may have got lost");
    let live = channels::read(bench.world.ledger.as_ref(), &source).await.unwrap().live.unwrap();
    assert_eq!(live.until, until, "and prolongs nothing");
    bench.world.clock.advance(Duration::from_secs(600));
    assert!(!confirm("https://www.example.com/feed").await, "long after");
}

#[tokio::test]
async fn a_source_that_is_quiet_for_longer_than_usual_is_called_silent() {
    let bench = Bench::new(Setup::tiny()).await;
    let source = SourceId::new("blue");
    for nth in 0..12 {
        bench
            .bring(&format!("d{nth}"), &json!({ "event": "nothing", "sentAt": bench.world.clock.now().to_string() }))
            .await;
        bench.world.clock.advance(Duration::from_secs(600));
    }
    let silence = || async {
        let now = bench.world.clock.now();
        gaps::silence(bench.world.ledger.as_ref(), &source, 5.0, now).await.unwrap().unwrap()
    };
    assert!(silence().await.ratio < 1.0);
    bench.world.clock.advance(Duration::from_secs(3000));
    let silent = silence().await;
    assert!(silent.ratio >= 1.0 && silent.usual == Duration::from_secs(600), "{silent:?}");
}
