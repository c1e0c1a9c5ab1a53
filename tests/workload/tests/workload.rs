//! Every promise holds of a local Teal that is killed again and again while it has the simulator's workload.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use teal_conformance::simulator::audit::{Accepted, Listing};
use teal_conformance::simulator::{Mapping, Plan, Size};
use teal_stand_in::{Fault, FaultRule};
use teal_workload_tests::local::LocalSubject;
use teal_workload_tests::look::{Report, Scene};
use teal_workload_tests::outside::Configurations;
use teal_workload_tests::sources::now;
use teal_workload_tests::subject::Subject as _;

const SEEDS: u64 = 4;
const KILLS: usize = 6;
/// Seeds at work at the same time: each waits more than it works.
const AT_ONCE: usize = 4;

async fn scene(seed: u64) -> Scene<LocalSubject> {
    let plan = Plan::new(seed, Size::default());
    let program = env!("CARGO_BIN_EXE_workload-subject");
    Scene::new(plan, |bundle| LocalSubject::new(program, bundle)).await.expect("a scene can be set")
}

async fn one(seed: u64, kills: usize) -> Report {
    let mut scene = scene(seed).await;
    match scene.whole(kills).await {
        Ok(report) => report,
        Err(what) => panic!("seed {seed}: {what}\n{}", tail(&scene.subject.log())),
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_every_promise_holds() {
    let (first, seeds) = (number("TEAL_WORKLOAD_SEED", 1), number("TEAL_WORKLOAD_SEEDS", SEEDS));
    let kills = usize::try_from(number("TEAL_WORKLOAD_KILLS", KILLS as u64)).unwrap();
    let began = std::time::Instant::now();
    let mut at_work = tokio::task::JoinSet::new();
    let mut reports = Vec::new();
    for seed in first..first + seeds {
        if at_work.len() == AT_ONCE {
            reports.extend(at_work.join_next().await.map(Result::unwrap));
        }
        at_work.spawn(one(seed, kills));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while let Some(report) = at_work.join_next().await {
        reports.push(report.unwrap());
    }
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "{seeds} seeds, {} kills, {} runs, {} deliveries, {} listings, {} rows of {} generations ({} unsure), {} rejects, {:.1} s",
        sum(|r| r.kills),
        sum(|r| r.audited.runs as u64),
        sum(|r| r.audited.deliveries as u64),
        sum(|r| r.audited.listings as u64),
        sum(|r| r.audited.rows as u64),
        sum(|r| r.audited.generations as u64),
        sum(|r| r.audited.unsure as u64),
        sum(|r| r.audited.rejects as u64),
        began.elapsed().as_secs_f64()
    );
    for report in &reports {
        println!("{:?}", report.memory.answers);
    }
    assert!(sum(|r| r.audited.runs as u64) >= seeds * 5, "the runs of the plans did not happen");
    assert!(sum(|r| r.audited.deliveries as u64) >= seeds * 5, "the deliveries of the plans did not arrive");
    assert!(sum(|r| r.audited.listings as u64) >= seeds, "nobody read to an end");
}

/// The audit is told what is not so, and says which promise looks broken.
#[tokio::test(flavor = "multi_thread")]
async fn an_audit_sees_what_is_not_as_it_should_be() {
    let mut scene = scene(1).await;
    scene.live(0).await.unwrap();
    scene.look_again().await.unwrap();
    let right = scene.outside.lock().clone();
    scene.audit(&right).await.unwrap();

    let mut lie = right.clone();
    lie.accepted.push(Accepted { source: 0, id: "never-sent".into(), at: now(), makes_rows: true });
    is_broken(&mut scene, &lie, "P1 ").await;

    let mut lie = right.clone();
    let version = scene.active().await;
    lie.listings.push(Listing { entity: "notes".into(), version, keys: BTreeSet::new(), ended: now() });
    is_broken(&mut scene, &lie, "P2 ").await;

    let truth = scene.configurations.clone();
    let others = truth.mappings.iter().map(|(hash, mapping)| {
        let other = if *mapping == Mapping::Titles { Mapping::Plain } else { Mapping::Titles };
        (hash.clone(), other)
    });
    let bundles = truth.bundles.clone();
    scene.configurations = Arc::new(Configurations { bundles, mappings: others.collect() });
    is_broken(&mut scene, &right, "P5 ").await;
    scene.configurations = truth;

    scene.secrets.push("\"rev\":");
    is_broken(&mut scene, &right, "P11 ").await;
    scene.secrets.pop();

    scene.sources.desk.faults.add(FaultRule::next(1, Fault::Slow(5000)));
    scene.asks_in_vain("sync", json!({ "source": "c", "mode": "full" })).await;
    is_broken(&mut scene, &right, "P12 ").await;
}

async fn is_broken(scene: &mut Scene<LocalSubject>, memory: &teal_workload_tests::outside::Memory, promise: &str) {
    let told = scene.audit(memory).await.expect_err("a lie is seen");
    assert!(told.starts_with(promise), "{promise}is broken, and the audit says: {told}");
}
