//! What happens in a simulation, apart from faults: who does what, when.
//!
//! Owns drawing a plan from a seed, and narrowing one down. Always holds: leaving actions out changes nothing
//! of the others.

use std::time::Duration;

use teal::domain::Mode;

use super::faults::Kind;
use super::system::{Mapping, SOURCES, Shape};
use crate::seed::Seed;

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A schedule fires.
    Sync {
        source: usize,
        mode: Mode,
    },
    /// Somebody wants a full run whose version waits to be looked at.
    Build {
        source: usize,
    },
    /// Records are born, edited or deleted at a source.
    Birth {
        source: usize,
    },
    Edit {
        source: usize,
        count: usize,
    },
    Delete {
        source: usize,
    },
    /// Records of source c change and change back.
    Flip {
        count: usize,
    },
    /// A record is born and soon gone.
    ComeAndGo {
        source: usize,
    },
    /// A source tells that something happened, and not what.
    Look {
        source: usize,
    },
    /// People.
    Deploy {
        mapping: Mapping,
    },
    Rebuild {
        switch: bool,
        force: bool,
    },
    Rollback {
        as_was: bool,
    },
    SwitchToReady {
        force: bool,
    },
    DropReady,
    ReplayRejects,
    /// A reader lists an entity.
    Read {
        entity: usize,
        limit: usize,
        unhurried: bool,
    },
    Upkeep,
    /// A process ends and another begins.
    Restart {
        process: usize,
    },
}

impl Action {
    fn is_sync(&self) -> bool {
        matches!(self, Self::Sync { .. })
    }
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub shape: Shape,
    /// Records a source has at the start.
    pub records: usize,
    /// Whether source a rounds its times to minutes.
    pub rounds: bool,
    pub actions: Vec<(Duration, Action)>,
    /// Whether everything is rebuilt and synced once more when it has come to rest.
    pub look_again: bool,
    pub without: Vec<Kind>,
    /// No fault happens after so many.
    pub most_faults: u64,
}

/// How big a world is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub records: usize,
    /// Runs that schedules ask for, over all sources, those of scenes among them. Webhooks, people and the end of a
    /// simulation ask for more.
    pub runs: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { records: 20, runs: 5 }
    }
}

pub const ENTITIES: [&str; 6] = ["things", "parts", "groups", "notes", "tags", "marks"];

/// What has broken promises when it came together, with the milliseconds in between.
fn scenes(dice: &mut Seed) -> [Vec<(u64, Action)>; 9] {
    let source = dice.below(SOURCES.len());
    let rebuild = |switch| Action::Rebuild { switch, force: true };
    let full = Action::Sync { source, mode: Mode::Full };
    [
        // Somebody goes back while changes are fetched, and only the listing that was left has some of them.
        vec![
            (0, Action::Sync { source: 1, mode: Mode::Full }),
            (30_000, Action::Edit { source: 1, count: 3 }),
            (300_000, Action::Sync { source: 1, mode: Mode::Full }),
            (330_000, Action::Sync { source: 1, mode: Mode::Incremental }),
            (330_000 + dice.number() % 400, Action::Rollback { as_was: false }),
            (700_000, Action::Sync { source: 1, mode: Mode::Incremental }),
        ],
        // What was built and left waiting is overtaken, and what it lacks is older than what incremental runs look at
        // again.
        vec![
            (0, if dice.once_in(4) { rebuild(false) } else { Action::Build { source } }),
            (10_000, Action::Edit { source, count: 3 }),
            (310_000, Action::Edit { source, count: 1 }),
            (320_000, full.clone()),
            (340_000 + dice.number() % 20_000, Action::SwitchToReady { force: true }),
            (390_000, Action::Sync { source: source % 2, mode: Mode::Incremental }),
        ],
        // Things are let go while a run comes and goes.
        vec![
            (0, full.clone()),
            (dice.number() % 500, Action::Upkeep),
            (1000 + dice.number() % 4000, Action::Upkeep),
            (5000, Action::Edit { source, count: 2 }),
            (5000 + dice.number() % 2000, Action::Upkeep),
            (5000 + dice.number() % 3000, full.clone()),
        ],
        // Rejects are replayed while another mapping builds.
        vec![
            (0, Action::Deploy { mapping: Mapping::Strict }),
            (2000, rebuild(true)),
            (2000 + dice.number() % 400, Action::ReplayRejects),
        ],
        vec![(0, rebuild(true)), (dice.number() % 400, rebuild(true))],
        // A full run finds what the one before found, and what happened in between comes late.
        vec![
            (0, Action::Sync { source: 2, mode: Mode::Full }),
            (60_000, Action::ComeAndGo { source: 2 }),
            (61_000, Action::Sync { source: 2, mode: Mode::Full }),
            (61_020 + dice.number() % 200, Action::Flip { count: 4 }),
        ],
        // Somebody goes back to what was found twice.
        vec![
            (0, full.clone()),
            (60_000, full.clone()),
            (90_000, Action::Edit { source, count: 1 }),
            (120_000, full),
            (150_000 + dice.number() % 100_000, Action::Rollback { as_was: false }),
        ],
        // Somebody goes back as soon as a rebuild shows, while whoever was to show it, too, is silent.
        vec![(0, rebuild(true)), (92_000 + dice.number() % 60_000, Action::Rollback { as_was: false })],
        // Somebody goes back, builds that again, and goes forth before it is done.
        vec![
            (0, Action::Sync { source: 1, mode: Mode::Full }),
            (30_000, Action::Edit { source: 1, count: 3 }),
            (300_000, Action::Sync { source: 1, mode: Mode::Full }),
            (330_000, Action::Rollback { as_was: false }),
            (340_000, rebuild(false)),
            (340_000 + dice.number() % 4000, Action::Rollback { as_was: false }),
            (350_000, Action::SwitchToReady { force: true }),
            (700_000, Action::Sync { source: 1, mode: Mode::Incremental }),
        ],
    ]
}

/// The scenes of one plan: those that fit into so many runs.
fn staged(dice: &mut Seed, runs: usize) -> Vec<Vec<(u64, Action)>> {
    let mut left = runs;
    let mut fits = |scene: &Vec<(u64, Action)>| {
        let syncs = scene.iter().filter(|(_, action)| action.is_sync()).count();
        left.checked_sub(syncs).map(|rest| left = rest).is_some()
    };
    let mut all = scenes(dice).map(|scene| (dice.number(), scene));
    all.sort_by_key(|(lot, _)| *lot);
    all.into_iter().map(|(_, scene)| scene).filter(|scene| dice.once_in(3) && fits(scene)).collect()
}

impl Plan {
    #[must_use]
    pub fn new(seed: u64, size: Size) -> Self {
        let mut dice = Seed(seed).branch();
        let page = size.records.div_ceil(2 + dice.below(3));
        let shape = Shape { page, per_second: [5, 20][dice.below(2)], marks: dice.once_in(4) };
        let rounds = dice.once_in(3);
        // A lively hour or a long day: in the one everything overlaps, in the other leases and graces run out.
        let minutes = [10, 60, 300][dice.below(3)];
        let mut actions = Vec::new();
        // Half of what happens, happens around a few moments: trouble needs company.
        let moments: Vec<u64> = (0..2 + dice.below(4)).map(|_| dice.number() % (minutes * 60_000)).collect();
        let mut at = |dice: &mut Seed, action: Action| {
            let millis = match dice.once_in(2) {
                true => moments[dice.below(moments.len())] + dice.number() % 3000,
                false => dice.number() % (minutes * 60_000),
            };
            actions.push((Duration::from_millis(millis), action));
        };
        let staged = staged(&mut dice, size.runs);
        let syncs = staged.iter().flatten().filter(|(_, action)| action.is_sync()).count();
        for _ in syncs..size.runs {
            let source = dice.below(SOURCES.len());
            let mode = if source != 2 && dice.once_in(2) { Mode::Incremental } else { Mode::Full };
            at(&mut dice, Action::Sync { source, mode });
        }
        for source in 0..SOURCES.len() {
            for _ in 0..3 + dice.below(4) {
                let count = 1 + dice.below(3);
                at(&mut dice, Action::Edit { source, count });
            }
            for _ in 0..1 + dice.below(3) {
                at(&mut dice, Action::Birth { source });
                at(&mut dice, Action::Delete { source });
            }
            if dice.once_in(4) {
                at(&mut dice, Action::Look { source });
            }
        }
        for _ in 0..3 + dice.below(6) {
            let (entity, limit) = (dice.below(ENTITIES.len()), 3 + dice.below(8));
            let unhurried = dice.once_in(2);
            at(&mut dice, Action::Read { entity, limit, unhurried });
        }
        for _ in 0..3 + dice.below(4) {
            at(&mut dice, Action::Upkeep);
        }
        type Draw = fn(&mut Seed) -> Action;
        let rare: [(u32, Draw); 7] = [
            (2, |dice| Action::Deploy { mapping: Mapping::ALL[dice.below(Mapping::ALL.len())] }),
            (2, |dice| Action::Rebuild { switch: dice.once_in(2), force: dice.once_in(3) }),
            (2, |dice| Action::Rollback { as_was: dice.once_in(4) }),
            (2, |dice| Action::SwitchToReady { force: dice.once_in(2) }),
            (6, |_| Action::DropReady),
            (4, |_| Action::ReplayRejects),
            (3, |dice| Action::Restart { process: dice.below(super::PROCESSES) }),
        ];
        for (once_in, make) in rare {
            for _ in 0..3 {
                if dice.once_in(once_in) {
                    let action = make(&mut dice);
                    at(&mut dice, action);
                }
            }
        }
        for scene in staged {
            let begins = dice.number() % (minutes * 60_000);
            actions.extend(scene.into_iter().map(|(after, action)| (Duration::from_millis(begins + after), action)));
        }
        actions.sort_by_key(|(at, _)| *at);
        let (look_again, without) = (dice.once_in(5), Vec::new());
        Self { seed, shape, records: size.records, rounds, actions, look_again, without, most_faults: u64::MAX }
    }

    /// Without the actions that are not at these positions.
    #[must_use]
    pub fn only(&self, keep: &[usize]) -> Self {
        let actions = keep.iter().filter_map(|at| self.actions.get(*at).cloned()).collect();
        Self { actions, ..self.clone() }
    }
}
