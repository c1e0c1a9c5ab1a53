//! The schedules that a system should have, and the steps from those that it has.
//!
//! Owns their names and what they tell poll: `{"source": …, "mode": …}`. Always holds: what is so already costs
//! nothing, and reconciling twice does nothing the second time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::config::System;
use crate::domain::{Mode, SourceName};
use crate::ports::Fault;
use crate::ports::schedules::{NamedSchedule, Schedules};

/// What was done, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    pub created: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

/// One step on the way from what is there to what should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create(NamedSchedule),
    Change(NamedSchedule),
    Remove(String),
}

/// One schedule a source and mode; those of paused sources are kept and do nothing.
#[must_use]
pub fn wanted(system: &System, paused: &BTreeSet<SourceName>) -> Vec<NamedSchedule> {
    let mut wanted = Vec::new();
    for source in system.sources.values() {
        let modes = [(Mode::Full, &source.full), (Mode::Incremental, &source.incremental)];
        for (mode, schedule) in modes.into_iter().filter_map(|(mode, schedule)| Some((mode, schedule.as_ref()?))) {
            wanted.push(NamedSchedule {
                name: format!("{}.{mode}", source.name),
                expression: schedule.to_string(),
                zone: schedule.zone().to_owned(),
                input: json!({"source": source.name, "mode": mode}),
                paused: paused.contains(&source.name),
            });
        }
    }
    wanted
}

#[must_use]
pub fn steps(wanted: Vec<NamedSchedule>, present: Vec<NamedSchedule>) -> Vec<Step> {
    let mut present: BTreeMap<String, NamedSchedule> =
        present.into_iter().map(|schedule| (schedule.name.clone(), schedule)).collect();
    let mut steps = Vec::new();
    for schedule in wanted {
        match present.remove(&schedule.name) {
            None => steps.push(Step::Create(schedule)),
            Some(there) if there == schedule => {}
            Some(_) => steps.push(Step::Change(schedule)),
        }
    }
    steps.extend(present.into_keys().map(Step::Remove));
    steps
}

/// Takes every step. A failure leaves the rest for the next time.
pub async fn reconcile(schedules: &dyn Schedules, wanted: Vec<NamedSchedule>) -> Result<Reconciled, Fault> {
    let mut done = Reconciled::default();
    for step in steps(wanted, schedules.list().await?) {
        match step {
            Step::Create(schedule) => {
                schedules.put(&schedule).await?;
                done.created.push(schedule.name);
            }
            Step::Change(schedule) => {
                schedules.put(&schedule).await?;
                done.changed.push(schedule.name);
            }
            Step::Remove(name) => {
                schedules.delete(&name).await?;
                done.removed.push(name);
            }
        }
    }
    Ok(done)
}
