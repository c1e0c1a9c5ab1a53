//! P4: a change that arrives while the next version builds is in the active one at once, and in the next one
//! when it becomes active, at whatever port call it arrives.

use std::sync::{Arc, Mutex};

use serde_json::json;
use teal::domain::{Message, Mode, SourceId};
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
        let message = Message::Delivery { config, source: SourceId::new("blue"), raw: teal::domain::RawKey(raw) };
        match other.transform.handle(message).await {
            Ok(()) => true,
            Err(error) => {
                assert!(error.to_string().contains("closed for changes"), "{error}");
                false
            }
        }
    })
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
    if let Some((applied, visible)) = *at_once_in.lock().unwrap() {
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
