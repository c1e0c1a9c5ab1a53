//! A trace sees each call once, can fail it or stop there, and is the same for the same calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use teal::domain::Message;
use teal::ports::blobs::Put;
use teal::ports::fault::FaultKind;
use teal::ports::upstream::{HeaderValue, Request, Response};
use teal::ports::{
    BlobError, BlobReader, BlobWriter, Clock, Entropy, ItemKey, Ledger, LedgerError, LedgerReader, Outgoing,
    Precondition, QueueSender, Secrets, Upstream, Write,
};

use super::{Call, Decision, Trace, at};
use crate::MemoryWorld;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn put(sort: &str) -> Vec<Write> {
    vec![Write::Put { key: ItemKey::new("p", sort), value: json!(sort).into(), mark: 0, when: Precondition::Absent }]
}

fn settle(run: &str) -> Outgoing {
    Outgoing::now(Message::Settle { run: run.into() })
}

/// A little of everything, as a stage would do it: goes on over refusals, gives up at the first fault.
async fn work(world: &MemoryWorld, trace: &Trace) -> Result<(), LedgerError> {
    let ports = world.through(trace);
    let nonce = ports.entropy.next();
    match ports.blobs.put_if_absent(&format!("raw/{}", nonce % 2), Bytes::from_static(b"body")).await {
        Ok(_) => {}
        Err(BlobError::Fault(fault)) => return Err(fault.into()),
        Err(error) => panic!("{error}"),
    }
    ports.clock.sleep(Duration::from_millis(nonce % 1000)).await;
    match ports.ledger.transact(put("a")).await {
        Ok(()) | Err(LedgerError::Refused { .. }) => {}
        Err(fault) => return Err(fault),
    }
    for result in ports.queue.send(vec![settle("r1"), settle("r2")]).await {
        result?;
    }
    Ok(())
}

#[test]
fn one_seed_gives_one_trace_and_another_seed_another() {
    let run = |seed| {
        let trace = Trace::default();
        block_on(work(&MemoryWorld::new(seed), &trace)).unwrap();
        (trace.lines(), trace.digest())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
    assert_eq!(run(5).0.len(), 6);
}

#[test]
fn a_call_that_fails_before_has_no_effect_and_one_that_fails_after_has() {
    for (decision, effect) in [(Decision::FailBefore, false), (Decision::FailAfter, true)] {
        let world = MemoryWorld::new(1);
        let ports = world.through(&Trace::new(at(1, decision)));
        let error = block_on(ports.ledger.transact(put("a"))).unwrap_err();
        assert!(matches!(&error, LedgerError::Fault(fault) if fault.kind == FaultKind::Transient), "{error}");
        let found = block_on(world.ledger.get(&ItemKey::new("p", "a"))).unwrap();
        assert_eq!(found.is_some(), effect, "{decision:?}");
        block_on(ports.ledger.transact(put("b"))).unwrap();
    }
}

#[test]
fn after_a_stop_nothing_has_an_effect_and_a_new_process_finds_the_world_as_it_was() {
    let world = MemoryWorld::new(1);
    let trace = Trace::new(at(2, Decision::Stop));
    let ports = world.through(&trace);
    block_on(ports.ledger.transact(put("a"))).unwrap();
    for sort in ["b", "c"] {
        block_on(ports.ledger.transact(put(sort))).unwrap_err();
    }
    block_on(ports.blobs.put_if_absent("k", Bytes::new())).unwrap_err();
    assert!(trace.stopped());
    assert_eq!(world.ledger.items().len(), 1);
    let next = world.through(&Trace::default());
    block_on(next.ledger.transact(put("b"))).unwrap();
    assert_eq!(block_on(next.blobs.put_if_absent("k", Bytes::new())).unwrap(), Put::Stored);
}

#[test]
fn every_call_of_a_run_can_be_disturbed_and_the_repetition_ends_where_the_quiet_run_did() {
    let quiet = MemoryWorld::new(9);
    let trace = Trace::default();
    block_on(work(&quiet, &trace)).unwrap();
    assert_eq!(trace.calls(), 4);
    for number in 1..=trace.calls() {
        for decision in [Decision::FailBefore, Decision::FailAfter, Decision::Stop] {
            let world = MemoryWorld::new(9);
            block_on(work(&world, &Trace::new(at(number, decision)))).unwrap_err();
            block_on(work(&world, &Trace::default())).unwrap();
            assert_eq!(world.ledger.items(), quiet.ledger.items(), "call {number}, {decision:?}");
            assert!(!world.queue.is_empty());
        }
    }
}

#[test]
fn messages_of_one_send_fail_one_by_one() {
    let world = MemoryWorld::new(1);
    let ports = world.through(&Trace::new(at(2, Decision::FailBefore)));
    let results = block_on(ports.queue.send(vec![settle("r1"), settle("r2"), settle("r3")]));
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(world.queue.len(teal::domain::QueueName::Switch), 2);
}

#[test]
fn a_tap_sees_what_it_decides_about() {
    let world = MemoryWorld::new(1);
    let tap = |call: &Call| match (call.port, call.op, call.what.as_str()) {
        ("ledger", "transact", "p/b") => Decision::FailBefore,
        _ => Decision::Proceed,
    };
    let ports = world.through(&Trace::new(tap));
    block_on(ports.ledger.transact(put("a"))).unwrap();
    block_on(ports.ledger.transact(put("b"))).unwrap_err();
}

#[test]
fn a_trace_says_nothing_that_is_secret() {
    let world = MemoryWorld::new(1);
    world.secrets.set("blue-api-key", "hunter22");
    world
        .upstream
        .script(|_| Ok(Response { status: 200, headers: Vec::new(), body: Bytes::from_static(b"private hunter22") }));
    let trace = Trace::default();
    let ports = world.through(&trace);
    let secret = block_on(ports.secrets.get("blue-api-key")).unwrap().unwrap();
    let request = Request {
        method: http::Method::GET,
        url: "https://api.example.com/talents?key=hunter22".to_owned(),
        headers: vec![("authorization".to_owned(), HeaderValue::Secret(secret))],
        body: Bytes::new(),
        timeout: Duration::from_secs(1),
        max_body: 100,
    };
    block_on(ports.upstream.send(request.clone())).unwrap();
    block_on(ports.upstream.send(Request { max_body: 3, ..request })).unwrap_err();
    assert_eq!(world.upstream.count(), 2);
    let log = trace.lines().join("\n");
    assert!(log.contains("GET https://api.example.com/talents"), "{log}");
    assert!(!log.contains("hunter22"), "{log}");
}

#[test]
fn a_port_behind_a_trait_object_can_be_wrapped_and_be_one_again() {
    let ledger: Arc<dyn Ledger> = MemoryWorld::new(1).ledger;
    let trace = Trace::default();
    let wrapped: Arc<dyn Ledger> = trace.wrap(ledger);
    block_on(wrapped.transact(put("a"))).unwrap();
    assert_eq!(block_on(wrapped.list("p", "", None, 9)).unwrap().len(), 1);
    assert_eq!(trace.calls(), 2);
    let blobs: Arc<dyn BlobReader> = trace.wrap(MemoryWorld::new(1).blobs);
    assert!(block_on(blobs.get("k")).is_err());
    assert!(trace.lines()[2].ends_with("error: there is no object 'k'"), "{:?}", trace.lines());
}
