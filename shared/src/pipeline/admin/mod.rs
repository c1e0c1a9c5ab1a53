//! admin: what people do to a system. Deploys a configuration, compares versions, lists and replays
//! rejects, exports.
//!
//! `console` is the HTTP face of it all.
//!
//! Owns no data path: a resync or a rebuild is started with `poll`, a switch or a rollback is `switch`'s.

pub mod console;
pub mod deliveries;
mod deploy;
mod diff;
mod export;
mod rejects;

use std::sync::Arc;

pub use deploy::Deployed;
pub use diff::{EntityDiff, Example, VersionDiff};
pub use export::{export, export_page};
pub use rejects::RejectFilter;

use super::error::StageError;
use super::ledger;
use super::switch::Switch;
use super::systems::Systems;
use crate::domain::{EntityName, GenerationId, Manifest, VersionState};
use crate::ports::{BlobWriter, Clock, EntitiesError, EntityAdmin, EntityReader, Ledger, QueueSender};

pub struct Admin {
    pub ledger: Arc<dyn Ledger>,
    pub entities: Arc<dyn EntityAdmin>,
    pub reader: Arc<dyn EntityReader>,
    pub blobs: Arc<dyn BlobWriter>,
    pub queue: Arc<dyn QueueSender>,
    pub systems: Arc<Systems>,
    pub switch: Arc<Switch>,
    pub clock: Arc<dyn Clock>,
}

/// A version as `teal versions` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct VersionInfo {
    #[serde(flatten)]
    pub manifest: Manifest,
    /// Visible rows; `None` where the generation is gone.
    pub rows: std::collections::BTreeMap<EntityName, Option<u64>>,
}

impl Admin {
    /// Every version that is still known, newest first.
    pub async fn versions(&self) -> Result<Vec<VersionInfo>, StageError> {
        let mut out = Vec::new();
        for manifest in ledger::manifests(self.ledger.as_ref()).await?.into_iter().rev() {
            let mut rows = std::collections::BTreeMap::new();
            let readable = !matches!(manifest.state, VersionState::Retired | VersionState::Dropped);
            for id in manifest.generation_ids() {
                rows.insert(id.entity.clone(), if readable { self.rows_of(&id).await? } else { None });
            }
            out.push(VersionInfo { manifest, rows });
        }
        Ok(out)
    }

    async fn rows_of(&self, id: &GenerationId) -> Result<Option<u64>, StageError> {
        match self.reader.head(id).await {
            Ok(head) => Ok(Some(head.rows)),
            Err(EntitiesError::NoGeneration(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
