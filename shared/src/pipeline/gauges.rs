//! How things stand, for metrics: lag and lease of each source, the version that people read, the age of backups.
//!
//! Owns reading it out of the ledger, when a host asks: at a scrape, or once in a round of upkeep. No stage does.

use super::backup::Backups;
use super::error::StageError;
use super::systems::Systems;
use super::{lease, ledger};
use crate::domain::{Outcome, Run, RunState, SourceId};
use crate::metrics::{ACTIVE_VERSION, BACKUP_AGE, LEASE_EXPIRY, Meter, SOURCE_LAG};
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
        let loaded = self.systems.current().await?;
        let runs: Vec<(String, Run)> = ledger::read_all(self.ledger, ledger::RUN, "").await?;
        let runs: Vec<&Run> = runs.iter().map(|(_, run)| run).collect();
        for name in loaded.system.sources.keys() {
            let source = SourceId::new(name.as_str());
            let of_it: Vec<&&Run> = runs.iter().filter(|run| run.sources.contains(&source)).collect();
            let succeeded = of_it.iter().rev().find(|run| run.outcome.is_some_and(Outcome::is_success));
            if let Some(run) = succeeded.or(of_it.first()) {
                meter.seconds(&SOURCE_LAG, &[name.as_str()], now.since(run.started));
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
        if let Some(pointer) = ledger::pointer(self.ledger).await? {
            meter.record(&ACTIVE_VERSION, &[], f64::from(pointer.version.0));
        }
        for (kind, at) in self.backups.made_at().await? {
            meter.seconds(&BACKUP_AGE, &[kind.as_str()], now.since(at));
        }
        Ok(())
    }
}
