//! The simulator itself: a plan decides everything, and what once failed stays mended.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::Arc;

use teal_conformance::simulator::{Kind, Library, Plan, Size, simulate};
use teal_connect::ManifestConnectors;

fn library() -> Library {
    Library::new(Arc::new(ManifestConnectors))
}

/// Seeds that broke a promise once, with what was wrong; each line is `seed what`.
const FAILED_ONCE: &str = include_str!("simulator/seeds.txt");

#[test]
fn the_same_plan_gives_the_same_history() {
    let plan = Plan::new(7, Size::default());
    let first = simulate(&plan, &mut library(), true);
    let again = simulate(&plan, &mut library(), true);
    assert!(first.history.len() > 100, "{}", first.history.len());
    assert_eq!(first.history, again.history);
    assert_eq!((first.steps, first.faults), (again.steps, again.faults));
    let other = simulate(&Plan::new(8, Size::default()), &mut library(), true);
    assert_ne!(first.history, other.history);
}

#[test]
fn some_seeds_break_no_promise() {
    let mut library = library();
    for seed in 1..=25 {
        let report = simulate(&Plan::new(seed, Size::default()), &mut library, false);
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.runs > 0 && report.steps > 500, "seed {seed}: {report:?}");
    }
}

#[test]
fn seeds_that_failed_once_fail_no_more() {
    let mut library = library();
    for line in FAILED_ONCE.lines().filter(|line| !line.starts_with('#')) {
        let (seed, what) = line.split_once(' ').unwrap();
        let plan = Plan::new(seed.parse().unwrap(), Size::default());
        assert_eq!(simulate(&plan, &mut library, false).violation, None, "seed {seed}: {what}");
    }
}

#[test]
fn faults_that_are_left_out_do_not_strike_and_a_limit_is_kept() {
    let mut library = library();
    let mut plan = Plan::new(3, Size::default());
    plan.without = Kind::ALL.to_vec();
    assert_eq!(simulate(&plan, &mut library, false).faults.iter().sum::<u64>(), 0);
    let mut plan = Plan::new(3, Size::default());
    plan.most_faults = 5;
    assert!(simulate(&plan, &mut library, false).faults.iter().sum::<u64>() <= 5);
}
