//! How things stand, for metrics: lag and lease of each source, the version that people read, the age of backups.
//!
//! Owns reading it out of the ledger, when a host asks: at a scrape, or once in a round of upkeep. No stage does.

use super::backup::Backups;
use super::error::StageError;
use super::lease;
use super::ledger::{self, ConfigItem, Stored};
use super::systems::Systems;
use super::{channels, gaps};
use crate::config::Source;
use crate::domain::{Millis, Mode, Outcome, Run, RunState, SourceId};
use crate::metrics::{
    ACTIVE_VERSION, BACKUP_AGE, LEASE_EXPIRY, Meter, SOURCE_LAG, SOURCES_FAILING, WEBHOOK_LEASE, WEBHOOK_LEASE_USED,
    WEBHOOK_SILENCE,
};
use crate::ports::{Clock, LedgerReader};

pub struct Gauges<'a> {
    pub ledger: &'a dyn LedgerReader,
    pub systems: &'a Systems,
    pub backups: &'a Backups,
    pub clock: &'a dyn Clock,
}

impl Gauges<'_> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds fit")]
    pub async fn record(&self, meter: &dyn Meter) -> Result<(), StageError> {
        let now = self.clock.now();
        let loaded = match self.systems.current().await {
            Err(StageError::NoConfig) => return Ok(()),
            loaded => loaded?,
        };
        let deployed: Option<Stored<ConfigItem>> = ledger::read(self.ledger, &ledger::config_key()).await?;
        let deployed = deployed.map_or(now, |item| item.value.at);
        let runs: Vec<(String, Run)> = ledger::read_all(self.ledger, ledger::RUN, "").await?;
        let mut failing = 0u32;
        for (name, configured) in &loaded.system.sources {
            let source = SourceId::new(name.as_str());
            let of_it: Vec<&Run> =
                runs.iter().map(|(_, run)| run).filter(|run| run.sources.contains(&source)).collect();
            let standing = standing(&of_it, deployed);
            failing += u32::from(standing.fails);
            if configured.full.is_some() || configured.incremental.is_some() {
                meter.seconds(&SOURCE_LAG, &[name.as_str()], now.since(standing.complete_as_of));
            }
            if let Some(run) = of_it.iter().find(|run| run.state != RunState::Ended)
                && let Some(lease) = lease::read(self.ledger, &ledger::run_lease_key(run)).await?
            {
                let left = (lease.value.until.0 - now.0) as f64 / 1000.0;
                meter.record(&LEASE_EXPIRY, &[name.as_str()], left);
            } else {
                meter.record(&LEASE_EXPIRY, &[name.as_str()], lease::LEASE.as_secs_f64());
            }
        }
        for configured in loaded.system.sources.values() {
            self.webhook(meter, configured, now).await?;
        }
        meter.record(&SOURCES_FAILING, &[], f64::from(failing));
        if let Some(pointer) = ledger::pointer(self.ledger).await? {
            meter.record(&ACTIVE_VERSION, &[], f64::from(pointer.version.0));
        }
        for (kind, at) in self.backups.made_at().await? {
            meter.seconds(&BACKUP_AGE, &[kind.as_str()], now.since(at));
        }
        Ok(())
    }
}

impl Gauges<'_> {
    /// How long its subscription lives, and how silent it is.
    async fn webhook(&self, meter: &dyn Meter, configured: &Source, now: Millis) -> Result<(), StageError> {
        let (name, source) = (configured.name.as_str(), SourceId::new(configured.name.as_str()));
        let Some(hook) = &configured.webhook else { return Ok(()) };
        if hook.after.lease.is_some() {
            let channels = channels::read(self.ledger, &source).await?;
            meter.seconds(&WEBHOOK_LEASE, &[name], channels.left(now));
            meter.record(&WEBHOOK_LEASE_USED, &[name], channels.used(now));
        }
        if let Some(times) = hook.after.silence
            && let Some(silence) = gaps::silence(self.ledger, &source, times, now).await?
        {
            meter.record(&WEBHOOK_SILENCE, &[name], silence.ratio);
        }
        Ok(())
    }
}

struct Standing {
    /// Its last run did not end complete.
    fails: bool,
    /// When its last complete run began, or it was deployed.
    complete_as_of: Millis,
}

fn standing(runs: &[&Run], deployed: Millis) -> Standing {
    let asks = |run: &&&Run| matches!(run.mode, Mode::Full | Mode::Incremental);
    let mut ended: Vec<(Millis, &Run)> = runs.iter().filter(asks).filter_map(|run| Some((run.ended?, *run))).collect();
    ended.sort_by_key(|(ended, _)| *ended);
    let is_complete = |run: &Run| run.outcome.is_some_and(Outcome::is_success);
    let complete = ended.iter().rev().find(|(_, run)| is_complete(run));
    Standing {
        fails: ended.last().is_some_and(|(_, run)| !is_complete(run)),
        complete_as_of: complete.map_or(deployed, |(_, run)| run.started),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mode: Mode, started: i64, ended: Option<i64>, outcome: Outcome) -> Run {
        let (id, config) = (format!("run-{started}").as_str().into(), crate::domain::ConfigHash::new("c"));
        Run {
            state: RunState::Ended,
            ended: ended.map(Millis),
            outcome: Some(outcome),
            ..Run::begun(id, mode, vec![SourceId::new("blue")], config, Millis(started))
        }
    }

    fn stands(runs: &[Run]) -> (bool, i64) {
        let standing = standing(&runs.iter().collect::<Vec<_>>(), Millis(1_000));
        (standing.fails, standing.complete_as_of.0)
    }

    #[test]
    fn a_source_fails_by_its_last_run_and_lags_by_its_last_complete_one() {
        let complete = run(Mode::Full, 10_000, Some(20_000), Outcome::Complete);
        let failed = run(Mode::Incremental, 30_000, Some(40_000), Outcome::Failed);
        let later = run(Mode::Incremental, 50_000, Some(60_000), Outcome::CompleteEmpty);
        assert_eq!(stands(std::slice::from_ref(&complete)), (false, 10_000));
        assert_eq!(stands(&[complete.clone(), failed.clone()]), (true, 10_000));
        assert_eq!(stands(&[later, failed, complete]), (false, 50_000), "whatever order they are listed in");
    }

    #[test]
    fn rebuilds_and_runs_under_way_say_nothing_of_a_source_which_lags_since_it_was_deployed() {
        let rebuild = run(Mode::Rebuild, 10_000, Some(20_000), Outcome::Failed);
        let under_way = run(Mode::Full, 30_000, None, Outcome::Failed);
        assert_eq!(stands(&[rebuild, under_way]), (false, 1_000));
    }
}
