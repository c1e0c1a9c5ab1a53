//! What several functions have in them besides their own stage, for those that have rows and raw objects.

use std::sync::Arc;

use teal::pipeline::Systems;
use teal::pipeline::backup::{Backups, Shelf};
use teal::pipeline::switch::Switch;
use teal::ports::{BlobReader, QueueSender};

use super::Function;
use crate::dynamodb::{entities::DynamoEntities, ledger::DynamoLedger};
use crate::s3_blobs::{Buckets, S3Blobs};

impl Function {
    /// The switch stage, which admin and upkeep have in them, too.
    #[must_use]
    pub fn switch(
        &self,
        ledger: Arc<DynamoLedger>,
        entities: Arc<DynamoEntities>,
        blobs: Arc<dyn BlobReader>,
        queue: Arc<dyn QueueSender>,
        systems: Arc<Systems>,
    ) -> Arc<Switch> {
        Arc::new(Switch {
            ledger,
            admin: entities.clone(),
            writer: entities.clone(),
            reader: entities,
            blobs,
            queue,
            systems,
            clock: self.clock(),
            meter: self.meter.clone(),
        })
    }

    /// The backups that there are, here and in the bucket that `backups.second` names.
    #[must_use]
    pub fn shelf(&self, here: Arc<dyn BlobReader>, systems: Arc<Systems>) -> Arc<Shelf> {
        let elsewhere = Arc::new(Buckets::new(self.clients.clone()));
        Arc::new(Shelf { here, elsewhere, systems, clock: self.clock() })
    }

    #[must_use]
    pub fn backups(
        &self,
        ledger: Arc<DynamoLedger>,
        reader: Arc<DynamoEntities>,
        blobs: Arc<S3Blobs>,
        shelf: Arc<Shelf>,
    ) -> Arc<Backups> {
        Arc::new(Backups {
            ledger,
            reader,
            blobs,
            systems: shelf.systems.clone(),
            shelf,
            clock: self.clock(),
            entropy: self.entropy(),
            meter: self.meter.clone(),
        })
    }
}
