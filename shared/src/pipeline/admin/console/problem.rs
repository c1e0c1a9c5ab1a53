//! From a stage's error to what the caller is told. Follows the error's type, never its text.

use super::Console;
use crate::domain::VersionState;
use crate::pipeline::api::{Code, Problem};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;
use crate::ports::LedgerError;

/// When to ask again after a fault that passes by itself, in seconds.
const AGAIN: u32 = 5;

pub(super) fn of(error: &StageError) -> Problem {
    if matches!(error, StageError::Ledger(LedgerError::Refused { .. })) {
        return Problem::new(Code::Busy, "somebody else changed it at the same moment; try again").retry_after(1);
    }
    let problem = Problem::new(error.code(), error.to_string());
    match problem.code {
        Code::Busy | Code::Unavailable => problem.retry_after(AGAIN),
        _ => problem,
    }
}

impl Console {
    /// The same, and where something does not exist, what does.
    pub(super) async fn explain(&self, error: StageError) -> Problem {
        let mut problem = of(&error);
        let known = match &error {
            StageError::NoSource(_) => self.sources().await.ok(),
            StageError::NoVersion(_) => self.readable_versions().await.ok(),
            StageError::NoRun(_) => self.last_runs().await.ok(),
            _ => None,
        };
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            problem.detail = format!("{}; there is {}", problem.detail, known.join(", "));
        }
        problem
    }

    pub(super) async fn sources(&self) -> Result<Vec<String>, StageError> {
        let loaded = self.admin.systems.current().await?;
        Ok(loaded.system.sources.keys().map(ToString::to_string).collect())
    }

    async fn readable_versions(&self) -> Result<Vec<String>, StageError> {
        let manifests = ledger::manifests(self.ledger.as_ref()).await?;
        let readable = manifests.iter().filter(|m| !matches!(m.state, VersionState::Retired | VersionState::Dropped));
        Ok(readable.map(|m| m.version.to_string()).collect())
    }

    async fn last_runs(&self) -> Result<Vec<String>, StageError> {
        let runs = ledger::recent_runs(self.ledger.as_ref(), 3).await?;
        Ok(runs.iter().map(|run| run.id.to_string()).collect())
    }
}
