//! Putting a configuration into force.
//!
//! Always holds: a configuration is stored before it is pointed to; every declared entity has a generation
//! in the active version from then on, an empty one if it is new, so that readers and changes have a place.
//! A changed mapping changes no generation that exists: that is what `rebuild` or the next full run is for.

use super::Admin;
use crate::config::Bundle;
use crate::domain::{ConfigHash, Version};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::{self, ConfigItem, Stored};

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Deployed {
    pub hash: ConfigHash,
    /// Whether another configuration was in force before.
    pub changed: bool,
    /// The version that is active now.
    pub version: Version,
}

impl Admin {
    pub async fn deploy(&self, bundle: &Bundle) -> Result<Deployed, StageError> {
        let loaded = self.systems.load(bundle).await?;
        let hash = loaded.system.hash.clone();
        self.blobs.put_if_absent(&Bundle::blob_key(&hash), bundle.encode().into()).await?;
        let seen: Option<Stored<ConfigItem>> = ledger::read(self.ledger.as_ref(), &ledger::config_key()).await?;
        let changed = seen.as_ref().is_none_or(|s| s.value.hash != hash);
        if changed {
            let item = ConfigItem { hash: hash.clone(), at: self.clock.now() };
            let write = ledger::put(ledger::config_key(), &item, ledger::unchanged(seen.as_ref()));
            self.systems.deploying(self.ledger.transact(vec![write])).await?;
        }
        let version = self.switch.place_entities(&loaded).await?;
        Ok(Deployed { hash, changed, version })
    }
}
