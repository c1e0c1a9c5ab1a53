//! How the sources are doing, in a few numbers, for whoever watches from outside and is woken by them.

use std::time::Duration;

use super::Upkeep;
use crate::domain::{Millis, Mode, Run, SourceId};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, ConfigItem, Stored};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Sources whose last run that ended did not end complete.
    pub failing: Vec<SourceId>,
    /// Of the sources that have a schedule: the longest time since a complete run began, or, where there was
    /// none, since the configuration came into force. `None` when no source has a schedule.
    pub longest_lag: Option<Duration>,
}

impl Upkeep {
    pub async fn health(&self) -> Result<Health, StageError> {
        let item: Option<Stored<ConfigItem>> = ledger::read(self.ledger.as_ref(), &ledger::config_key()).await?;
        let Some(deployed) = item.map(|item| item.value.at) else { return Ok(Health::default()) };
        let loaded = self.systems.current().await?;
        let runs = ledger::recent_runs(self.ledger.as_ref(), usize::MAX).await?;
        let sources = loaded.system.sources.values().map(|source| {
            let has_schedule = source.full.is_some() || source.incremental.is_some();
            (SourceId::new(source.name.as_str()), has_schedule)
        });
        Ok(judge(sources, &runs, deployed, self.clock.now()))
    }
}

fn judge(sources: impl Iterator<Item = (SourceId, bool)>, runs: &[Run], deployed: Millis, now: Millis) -> Health {
    let mut health = Health::default();
    for (source, has_schedule) in sources {
        let mut ended: Vec<(Millis, &Run)> = runs
            .iter()
            .filter(|run| run.mode != Mode::Rebuild && run.sources.contains(&source))
            .filter_map(|run| Some((run.ended?, run)))
            .collect();
        ended.sort_by_key(|(ended, _)| *ended);
        let is_complete = |run: &Run| run.outcome.is_some_and(|outcome| outcome.is_success());
        if ended.last().is_some_and(|(_, run)| !is_complete(run)) {
            health.failing.push(source);
        }
        if has_schedule {
            let complete = ended.iter().rev().find(|(_, run)| is_complete(run)).map(|(_, run)| run.started);
            health.longest_lag = health.longest_lag.max(Some(now.since(complete.unwrap_or(deployed))));
        }
    }
    health
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Outcome, RunState};

    fn run(mode: Mode, started: i64, ended: Option<i64>, outcome: Outcome) -> Run {
        Run {
            id: format!("run-{started}").as_str().into(),
            mode,
            sources: vec![SourceId::new("blue")],
            config: crate::domain::ConfigHash::new("c"),
            fence: crate::domain::Fence(1),
            state: RunState::Ended,
            builds: None,
            switch: true,
            force: false,
            cause: "schedule".into(),
            started: Millis(started),
            ended: ended.map(Millis),
            pages: None,
            outcome: Some(outcome),
            reason: None,
        }
    }

    fn judged(has_schedule: bool, runs: &[Run]) -> (usize, Option<u64>) {
        let sources = [(SourceId::new("blue"), has_schedule)].into_iter();
        let health = judge(sources, runs, Millis(1_000), Millis(100_000));
        (health.failing.len(), health.longest_lag.map(|lag| lag.as_secs()))
    }

    #[test]
    fn a_source_fails_by_its_last_run_and_lags_by_its_last_complete_one() {
        let complete = run(Mode::Full, 10_000, Some(20_000), Outcome::Complete);
        let failed = run(Mode::Incremental, 30_000, Some(40_000), Outcome::Failed);
        let later = run(Mode::Incremental, 50_000, Some(60_000), Outcome::CompleteEmpty);
        assert_eq!(judged(true, std::slice::from_ref(&complete)), (0, Some(90)));
        assert_eq!(judged(true, &[complete.clone(), failed.clone()]), (1, Some(90)));
        assert_eq!(judged(true, &[later, failed, complete]), (0, Some(50)), "whatever order they are listed in");
    }

    #[test]
    fn a_source_that_never_ran_lags_since_it_was_deployed_and_one_without_schedule_never() {
        assert_eq!(judged(true, &[]), (0, Some(99)));
        assert_eq!(judged(false, &[]), (0, None));
    }

    #[test]
    fn rebuilds_and_runs_under_way_say_nothing_of_a_source() {
        let rebuild = run(Mode::Rebuild, 10_000, Some(20_000), Outcome::Failed);
        let under_way = run(Mode::Full, 30_000, None, Outcome::Failed);
        assert_eq!(judged(true, &[rebuild, under_way]), (0, Some(99)));
    }
}
