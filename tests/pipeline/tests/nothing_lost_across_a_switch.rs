//! P4: a change that arrives while the next version builds is in the active one at once, and in the next one
//! when it becomes active, at whatever port call it arrives.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::json;
use teal::domain::{Message, Mode, QueueName, SourceId};
use teal::pipeline::api::ReadApi as _;
use teal::ports::BlobReader;
use teal_conformance::{Call, Decision, Runner, Trace};
use teal_pipeline_tests::{Bench, Setup, at_once, deliver, runner, sample};
use teal_stand_in::{Event, Kind, OfflineBlue};

/// Takes a webhook in beside whatever is going on; says whether it is applied to the active version already.
fn arrive(other: &Runner, blue: &OfflineBlue, event: Event) -> bool {
    match event {
        Event::TalentDeleted => {
            blue.delete(Kind::Talents, &[5]);
        }
        _ => {
            blue.patch(Kind::Talents, 5, &json!({ "profile": { "city": "Farport" } }));
        }
    }
    let webhook = blue.webhook(event, 5).unwrap();
    at_once(async {
        assert_eq!(deliver(other, &webhook).await.status, 202);
        let raw = other.world.blobs.list("raw/-/-/blue/hook/", None, 10).await.unwrap().pop().unwrap();
        let config = other.systems.current().await.unwrap().system.hash.clone();
        let (source, raw) = (SourceId::new("blue"), teal::domain::RawKey(raw));
        let arrival = teal::domain::message::Arrival::First;
        let message = Message::Delivery { config, source, raw, trace: None, arrival };
        match other.transform.handle(message).await {
            Ok(()) => {
                forget_message(other);
                true
            }
            Err(error) => {
                assert!(error.to_string().contains("closed for changes"), "{error}");
                false
            }
        }
    })
}

/// Takes the delivery's message out of the queue: it is applied, and must not be applied to the next version
/// by luck.
fn forget_message(other: &Runner) {
    let queue = &other.world.queue;
    let received = queue.receive(QueueName::Transform, 10);
    for one in received {
        match one.message() {
            Message::Delivery { .. } => queue.delete(&one),
            _ => queue.release(&one, std::time::Duration::ZERO),
        }
    }
}

async fn is_in(runner: &Runner, event: Event) -> bool {
    let answer = runner.serve.row("talents", "5", None).await;
    match event {
        Event::TalentDeleted => answer.status == 404,
        _ => String::from_utf8_lossy(&answer.body).contains("Farport"),
    }
}

/// One full run with the change at call `k`; gives how many calls there were.
async fn run(event: Event, k: u64) -> u64 {
    let guard = "system: nowrep\nguard: { max_shrink: 60% }";
    let mut bench = Bench::new(Setup::tiny().edit("system: nowrep", guard)).await;
    bench.synced().await;
    bench.blue.set_generation(2);
    bench.world.queue.set_kindness(true, 0);
    let other = runner(&bench.world, &Trace::default(), &bench.settings);
    let blue = bench.blue.clone();
    let at_once_in = Arc::new(Mutex::new(None));
    let seen = at_once_in.clone();
    let trace = Trace::new(move |call: &Call| {
        if call.number == k {
            let applied = arrive(&other, &blue, event);
            *seen.lock().unwrap() = Some((applied, at_once(is_in(&other, event))));
        }
        Decision::Proceed
    });
    bench.restart(&trace);
    let run = bench.sync(Mode::Full).await;
    assert!(run.outcome.unwrap().is_success(), "call {k}: {run:?}");
    let outcome = *at_once_in.lock().unwrap();
    if let Some((applied, visible)) = outcome {
        assert!(visible || !applied, "call {k}: an applied change is read at once");
        assert!(is_in(&bench.runner, event).await, "call {k}: the change is in the new version");
        // Of boards nobody was told; they are as they were when their page was asked for.
        let of_talents = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().filter(|line| !line.contains(r#""entity":"boards"#)).collect()
        };
        assert_eq!(of_talents(bench.runner.export().await), of_talents(bench.fresh().await), "call {k}");
    }
    assert!(bench.runner.counts(&run).await.add_up());
    assert!(bench.world.queue.dead_letters().is_empty(), "call {k}: {:?}", bench.world.queue.dead_letters());
    trace.calls()
}

#[tokio::test]
async fn an_update_at_any_call_of_a_full_run_is_lost_nowhere() {
    let calls = run(Event::TalentUpdated, u64::MAX).await;
    for k in sample(calls, 50) {
        run(Event::TalentUpdated, k).await;
    }
}

#[tokio::test]
async fn a_deletion_at_any_call_of_a_full_run_is_lost_nowhere() {
    let calls = run(Event::TalentDeleted, u64::MAX).await;
    for k in sample(calls, 50) {
        run(Event::TalentDeleted, k).await;
    }
}

/// Talents that are told of while a build is verified.
const TOLD_OF: [u64; 6] = [1, 2, 3, 4, 5, 6];

/// Tells of each of them, and has the changes applied to the active version.
fn tell_of_all(other: &Runner, blue: &OfflineBlue) {
    at_once(async {
        for talent in TOLD_OF {
            blue.patch(Kind::Talents, talent, &json!({ "profile": { "city": "Farport" } }));
            let webhook = blue.webhook(Event::TalentUpdated, talent).unwrap();
            assert_eq!(deliver(other, &webhook).await.status, 202);
        }
        let received = other.world.queue.receive(QueueName::Transform, TOLD_OF.len());
        assert_eq!(received.len(), TOLD_OF.len());
        for one in received {
            other.transform.handle(one.message()).await.unwrap();
            other.world.queue.delete(&one);
        }
    });
}

#[tokio::test]
async fn changes_that_arrive_while_a_build_is_verified_do_not_wait_for_the_gates() {
    #[derive(Default)]
    struct Seen {
        told: bool,
        closed: bool,
        /// Raw objects that were replayed since the changes came, before and while the gates were closed.
        before: BTreeSet<String>,
        while_closed: BTreeSet<String>,
    }
    let mut bench = Bench::new(Setup::tiny()).await;
    bench.synced().await;
    bench.world.queue.set_kindness(true, 0);
    let other = runner(&bench.world, &Trace::default(), &bench.settings);
    let blue = bench.blue.clone();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let watch = seen.clone();
    bench.restart(&Trace::new(move |call: &Call| {
        let mut seen = watch.lock().unwrap();
        match call.op {
            // Comparing keys is the last part of verifying.
            "hashes" if !seen.told => {
                seen.told = true;
                tell_of_all(&other, &blue);
            }
            "set_gates" => seen.closed = call.what.contains("Closed"),
            "merge" if seen.told => {
                let raw = call.what.split(' ').next_back().unwrap().to_owned();
                if seen.closed {
                    seen.while_closed.insert(raw)
                } else {
                    seen.before.insert(raw)
                };
            }
            _ => {}
        }
        Decision::Proceed
    }));
    // Else there is nothing to build.
    bench.blue.edit(Kind::MediaTags, &[1]);
    let run = bench.sync(Mode::Full).await;
    assert!(run.outcome.unwrap().is_success(), "{run:?}");
    let Seen { told, before, while_closed, .. } = std::mem::take(&mut *seen.lock().unwrap());
    assert!(told, "the build was verified");
    assert!(while_closed.is_empty(), "{while_closed:?} waited for the gates");
    assert_eq!(before.len(), TOLD_OF.len(), "{before:?}");
    for talent in TOLD_OF {
        assert_eq!(bench.row("talents", &talent.to_string()).await.unwrap()["city"], "Farport");
    }
}
