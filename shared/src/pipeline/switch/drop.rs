//! Letting a build go that is ready and that nobody wants. Its rows are upkeep's to remove.

use super::Switch;
use crate::domain::{Manifest, Version, VersionState};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, Stored};

impl Switch {
    /// Drops a version that is ready and was never active. Under the mover's lease, so that nobody can be
    /// switching to it meanwhile.
    pub async fn drop_ready(&self, version: Version, who: &str) -> Result<(), StageError> {
        let fence = self.take_lease(who).await?;
        let dropped = self.mark_dropped(version).await;
        self.give_lease_back(who, fence, true).await?;
        dropped
    }

    async fn mark_dropped(&self, version: Version) -> Result<(), StageError> {
        let key = ledger::version_key(version);
        let seen: Stored<Manifest> =
            ledger::read(self.ledger.as_ref(), &key).await?.ok_or(StageError::NoVersion(version))?;
        if seen.value.state != VersionState::Ready {
            let why = format!("{version} is not a build that waits for a switch; only such a version is dropped");
            return Err(StageError::Impossible(why));
        }
        let dropped = Manifest { state: VersionState::Dropped, ..seen.value.clone() };
        let write = ledger::put(key, &dropped, ledger::unchanged(Some(&seen)));
        Ok(self.ledger.transact(vec![write]).await?)
    }
}
