//! From a long history that ends badly to a short one.
//!
//! Always holds: every plan that is tried is simulated, and only one that breaks the same promise is kept.

use super::faults::Kind;
use super::library::Library;
use super::oracle::Promise;
use super::plan::Plan;
use super::simulation::{Report, simulate};

/// A plan that breaks a promise, as small as it was found.
pub struct Shrunk {
    pub plan: Plan,
    /// Positions of its actions in the plan that it was made from.
    pub actions: Vec<usize>,
    pub report: Report,
    pub tried: u32,
}

struct Search<'a> {
    library: &'a mut Library,
    promise: Promise,
    most: u32,
    tried: u32,
}

impl Search<'_> {
    fn still_fails(&mut self, plan: &Plan) -> bool {
        self.tried += 1;
        self.tried <= self.most
            && simulate(plan, self.library, false).violation.is_some_and(|violation| violation.promise == self.promise)
    }
}

/// Leaves out kinds of faults, faults from the end, and actions, for as long as the promise is still broken; at
/// most so many simulations.
pub fn shrink(plan: &Plan, promise: Promise, library: &mut Library, most: u32) -> Shrunk {
    let mut search = Search { library, promise, most, tried: 0 };
    let mut actions: Vec<usize> = (0..plan.actions.len()).collect();
    let mut best = plan.clone();
    let mut chunk = actions.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < actions.len() {
            let mut fewer = actions.clone();
            fewer.drain(at..(at + chunk).min(fewer.len()));
            let tried = Plan { without: best.without.clone(), ..plan.only(&fewer) };
            if search.still_fails(&tried) {
                (best, actions) = (tried, fewer);
            } else {
                at += chunk;
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        for kind in Kind::ALL {
            if !best.without.contains(&kind) {
                let mut tried = best.clone();
                tried.without.push(kind);
                if search.still_fails(&tried) {
                    best = tried;
                }
            }
        }
    }
    let (mut fails, mut holds) = (simulate(&best, search.library, false).faults.iter().sum::<u64>(), 0);
    while holds < fails {
        let middle = holds + (fails - holds) / 2;
        if search.still_fails(&Plan { most_faults: middle, ..best.clone() }) {
            fails = middle;
        } else {
            holds = middle + 1;
        }
    }
    let last = Plan { most_faults: fails, ..best.clone() };
    if search.still_fails(&last) {
        best = last;
    }
    let report = simulate(&best, search.library, true);
    Shrunk { plan: best, actions, report, tried: search.tried.min(most) }
}
