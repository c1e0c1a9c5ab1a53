//! Functions are killed in the middle of their work, their calls throttled, cut, lost and repeated, and messages come
//! again, while NowRep runs on the stack. When that stops, readers see what a laptop shows, and nothing is left anywhere.
//!
//! A seed gives the same chances, not the same moments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use teal::domain::Counts;
use teal_conformance::Seed;
use teal_emulator::Emulator;
use teal_emulator::wire::{Answer, Request, Wire};
use teal_stack_tests::events;
use teal_stack_tests::stack::Stack;
use teal_stand_in::blue::Event;
use teal_stand_in::{Blue, Kind};

use crate::nowrep::{blue, bundle, deploy, edit, ended, locally, same, shown, until};

/// What is struck: a function, how often it is killed, and among how many of its first calls. What works in poll and
/// switch holds a lease, which has to run out in real time. admin stays out of it: through it the test looks.
const STRUCK: [(&str, u32, usize); 5] =
    [("webhook", 5, 120), ("poll", 1, 40), ("transform", 6, 400), ("switch", 1, 20), ("upkeep", 2, 20)];
/// How far the emulator's clock is put forward each time that somebody looks.
const PASS: Duration = Duration::from_secs(30);

/// What has happened, by its name.
#[derive(Default)]
struct Trouble {
    calm: AtomicBool,
    struck: Mutex<BTreeMap<String, u32>>,
}

impl Trouble {
    fn note(&self, what: &str) {
        *self.struck.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }
}

/// Stands between a function and its services.
struct Striker {
    trouble: Arc<Trouble>,
    emulator: &'static Emulator,
    function: &'static str,
    /// As the emulator calls it.
    name: String,
    seed: Mutex<Seed>,
    /// The calls, counted from 0, in which it dies.
    deaths: BTreeSet<usize>,
}

impl Striker {
    fn strike(&self, request: &Request, nth: usize) -> Answer {
        if self.trouble.calm.load(Ordering::Relaxed) {
            return Answer::HandOn;
        }
        let (number, before) = {
            let mut seed = self.seed.lock().unwrap();
            (seed.below(100), seed.once_in(2))
        };
        if self.deaths.contains(&nth) && self.emulator.kill(&self.name) > 0 {
            self.trouble.note(&format!("{} is killed", self.function));
            // Before its call had an effect, or after.
            return if before { Answer::Cut } else { Answer::Lose };
        }
        let of = |service: &str| request.head.contains(&format!("/{service}/aws4_request"));
        let (what, answer) = match number {
            0..8 if of("dynamodb") => ("DynamoDB throttles", error(400, "ProvisionedThroughputExceededException")),
            0..8 if of("sqs") => ("SQS throttles", error(400, "RequestThrottled")),
            0..8 if of("ssm") => ("SSM throttles", error(400, "ThrottlingException")),
            0..8 => ("S3 slows down", Answer::Xml(503, "SlowDown")),
            8..11 => ("answers are lost", Answer::Lose),
            11..13 => ("connections are cut", Answer::Cut),
            13 if !of("s3") => ("services fail", error(500, "InternalServerError")),
            14..60 if request.operation.starts_with("SendMessage") => ("messages are repeated", Answer::Twice),
            _ => return Answer::HandOn,
        };
        self.trouble.note(what);
        answer
    }
}

fn error(status: u16, code: &str) -> Answer {
    Answer::Json(status, json!({ "__type": format!("com.amazonaws#{code}"), "message": "as the test says" }))
}

/// Puts itself between the functions and their services, until it is dropped.
async fn surround(stack: &Stack, trouble: &Arc<Trouble>, mut seed: Seed) -> Vec<Wire> {
    let mut wires = Vec::new();
    for (function, kills, among) in STRUCK {
        let name = stack.function(function).to_owned();
        let deaths = (0..kills).map(|_| seed.below(among)).collect();
        let (trouble, emulator, seed) = (trouble.clone(), stack.emulator, Mutex::new(seed.branch()));
        let striker = Striker { trouble, emulator, function, name, seed, deaths };
        let wire = Wire::start(Some(&emulator.url), move |request, nth| striker.strike(request, nth)).await;
        let services = ["DYNAMODB", "S3", "SQS", "SSM"].map(|service| format!("AWS_ENDPOINT_URL_{service}"));
        stack.set(function, &services.each_ref().map(|name| (name.as_str(), wire.url.as_str())));
        wires.push(wire);
    }
    wires
}

/// As senders do: until it is taken.
async fn send(blue: &Blue, stack: &Stack, event: Event, talent: u64) {
    let (hooks, secret) = (format!("{}/hooks/blue", stack.api()), events::SECRETS[0].1);
    let webhook = blue.webhook(event, talent).unwrap();
    until("a delivery is taken", || async {
        let answered = blue.deliver(&hooks, secret, &webhook).await;
        answered.is_ok_and(|status| status == 202).then_some(())
    })
    .await;
}

/// Waits for a run, while what a dead function had received comes again: its time is over.
async fn complete(stack: &Stack, cause: &str) {
    let run = until("a run ends", || {
        stack.emulator.pass(PASS);
        ended(stack, cause)
    })
    .await;
    assert_eq!(run["outcome"], "complete", "{run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_strikes_functions_and_services_nothing_is_lost_and_readers_see_what_a_laptop_shows() {
    if teal_emulator::shared().is_none() {
        return;
    }
    let seed = std::env::var("TEAL_TROUBLE_SEED").map_or(1, |seed| seed.parse().unwrap());
    // Of its own, because its clock is put forward.
    let emulator: &'static Emulator = Box::leak(Box::new(Emulator::start().unwrap()));
    // Whoever is killed often enough with a message would give it up, and rightly.
    let stack = Stack::create_on(emulator, "trouble", &[("DeletionProtection", "false"), ("MaxReceiveCount", "1000")]);
    let blue = blue().await;
    // What comes in does so by webhook alone: a run later would make up for one that was lost.
    let schedule = r#"    schedule: { full: "cron(0 3 * * ? *)", incremental: "rate(1 hour)" }
"#;
    deploy(&stack, &edit(bundle(&blue), schedule, "")).await;
    let trouble = Arc::new(Trouble::default());
    let wires = surround(&stack, &trouble, Seed(seed)).await;

    send(&blue, &stack, Event::Sync, 0).await;
    for talent in 1..=15 {
        blue.patch(Kind::Talents, talent, &json!({ "status": "on_hold" }));
        send(&blue, &stack, Event::TalentUpdated, talent).await;
    }
    complete(&stack, "webhook").await;
    for talent in 16..=30 {
        blue.patch(Kind::Talents, talent, &json!({ "status": "on_hold" }));
        send(&blue, &stack, Event::TalentUpdated, talent).await;
    }
    blue.edit(Kind::Talents, &[31, 32]);
    let ask = json!({ "source": "blue", "mode": "incremental" });
    until("a sync is asked for", || async { stack.invoke("poll", &ask).await.ok() }).await;
    complete(&stack, "schedule").await;

    trouble.calm.store(true, Ordering::Relaxed);
    until("everything drains", || async {
        emulator.pass(PASS);
        is_at_rest(&stack).await.then_some(())
    })
    .await;
    drop(wires);
    let struck = trouble.struck.lock().unwrap().clone();
    println!("seed {seed}: {struck:?}");
    assert!(struck.keys().any(|what| what.ends_with("is killed")) && struck.len() > 4, "{struck:?}");
    same(&shown(&stack).await, &locally(&blue).await);
    counts_add_up(&stack).await;
}

/// No message waits or is dead, and no run goes on.
async fn is_at_rest(stack: &Stack) -> bool {
    let status = stack.admin("status").await;
    let runs = stack.admin("runs").await;
    let empty = |depth: &Json| depth.as_object().unwrap().values().all(|count| count == 0);
    let ended = |run: &Json| run["state"] == "ended";
    status["queues"].as_object().unwrap().values().all(empty) && runs["runs"].as_array().unwrap().iter().all(ended)
}

/// Of every run, whoever counted it died.
async fn counts_add_up(stack: &Stack) {
    for run in stack.admin("runs").await["runs"].as_array().unwrap() {
        let run = stack.admin(&format!("runs/{}", run["id"].as_str().unwrap())).await;
        let counts: Counts = serde_json::from_value(run["counts"].clone()).unwrap();
        assert!(counts.add_up() && run["outcome"] == "complete", "{run}");
    }
}
