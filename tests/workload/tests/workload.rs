//! Every promise holds of a local Teal that is killed again and again while it has the simulator's workload.

use std::time::Duration;

use teal_conformance::simulator::{Plan, Size};
use teal_workload_tests::local::LocalSubject;
use teal_workload_tests::look::{Report, Scene};

const SEEDS: u64 = 4;
const KILLS: usize = 6;
/// Seeds at work at the same time: each waits more than it works.
const AT_ONCE: usize = 4;

async fn scene(seed: u64) -> Scene<LocalSubject> {
    let plan = Plan::new(seed, Size::default());
    let program = env!("CARGO_BIN_EXE_workload-subject");
    Scene::new(plan, |bundle| LocalSubject::new(program, bundle)).await.unwrap()
}

async fn one(seed: u64, kills: usize) -> Report {
    let mut scene = scene(seed).await;
    match scene.whole(kills).await {
        Ok(report) => report,
        Err(what) => panic!("seed {seed}: {what}\n{}", tail(&teal_workload_tests::subject::Subject::log(&scene.subject))),
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
