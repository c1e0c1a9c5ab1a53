//! The admin API over a local system.

use std::sync::Arc;

use async_trait::async_trait;
use teal::domain::QueueName;
use teal::pipeline::admin::console::{Console, Depths, QueueDepth};
use teal::ports::Fault;

use crate::app::Local;
use crate::inbox::Queue;

impl Local {
    /// The admin API; what the command line asks in this process and, over HTTP, in another one.
    #[must_use]
    pub fn console(&self) -> Arc<Console> {
        Arc::new(Console {
            admin: self.admin.clone(),
            poll: self.poll.clone(),
            switch: self.switch.clone(),
            backups: self.backups.clone(),
            ledger: self.ledger.clone(),
            blobs: self.upkeep.blobs.clone(),
            queue: self.queue.clone(),
            clock: self.clock.clone(),
            depths: Some(Arc::new(InboxDepths(self.queue.clone()))),
        })
    }
}

struct InboxDepths(Arc<Queue>);

#[async_trait]
impl Depths for InboxDepths {
    async fn depth(&self, queue: QueueName) -> Result<QueueDepth, Fault> {
        let depth = self.0.depth(queue).await?;
        Ok(QueueDepth { visible: depth.visible, in_flight: depth.in_flight, delayed: depth.delayed, dead: depth.dead })
    }
}
