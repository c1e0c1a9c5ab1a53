//! Every stage of one process, put together over whatever ports it is given.

use std::sync::Arc;

use teal::metrics;
use teal::pipeline::Systems;
use teal::pipeline::admin::Admin;
use teal::pipeline::backup::{Backups, Shelf};
use teal::pipeline::poll::Poll;
use teal::pipeline::serve::Serve;
use teal::pipeline::switch::Switch;
use teal::pipeline::transform::Transform;
use teal::pipeline::upkeep::Upkeep;
use teal::pipeline::webhook::{Memory, Webhook};
use teal::ports::{
    BlobAdmin, BlobReader, BlobWriter, Clock, Elsewhere, EntityAdmin, EntityReader, EntityWriter, Entropy, InTurn,
    Ledger, LedgerReader, QueueSender, Secrets, Upstream,
};

pub struct Stages {
    pub systems: Arc<Systems>,
    pub poll: Arc<Poll>,
    pub transform: Arc<Transform>,
    pub switch: Arc<Switch>,
    pub admin: Arc<Admin>,
    pub upkeep: Arc<Upkeep>,
    pub backups: Arc<Backups>,
    pub serve: Arc<Serve>,
    pub webhook: Webhook,
}

/// The ports of one process. A port of several roles is given as the adapter that has them all.
pub struct Ports<L, E, B> {
    pub ledger: Arc<L>,
    /// The ledger as readers see it.
    pub served: Arc<dyn LedgerReader>,
    pub entities: Arc<E>,
    pub blobs: Arc<B>,
    pub queue: Arc<dyn QueueSender>,
    pub secrets: Arc<dyn Secrets>,
    pub upstream: Arc<dyn Upstream>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub elsewhere: Arc<dyn Elsewhere>,
}

impl Stages {
    pub fn new<L, E, B>(ports: Ports<L, E, B>, systems: Systems) -> Self
    where
        L: Ledger + 'static,
        E: EntityAdmin + EntityWriter + EntityReader + 'static,
        B: BlobReader + BlobWriter + BlobAdmin + 'static,
    {
        let Ports { ledger, served, entities, blobs, queue, secrets, upstream, clock, entropy, elsewhere } = ports;
        let systems = Arc::new(systems);
        let (candidates, outside) = (ledger.clone(), upstream.clone());
        let meter = metrics::none();
        let shelf = Arc::new(Shelf { here: blobs.clone(), elsewhere, systems: systems.clone(), clock: clock.clone() });
        let switch = Arc::new(Switch {
            ledger: ledger.clone(),
            admin: entities.clone(),
            writer: entities.clone(),
            reader: entities.clone(),
            blobs: blobs.clone(),
            queue: queue.clone(),
            systems: systems.clone(),
            clock: clock.clone(),
            meter: meter.clone(),
        });
        Self {
            backups: Arc::new(Backups {
                ledger: ledger.clone(),
                reader: entities.clone(),
                blobs: blobs.clone(),
                shelf: shelf.clone(),
                systems: systems.clone(),
                clock: clock.clone(),
                entropy: entropy.clone(),
                meter: meter.clone(),
            }),
            poll: Arc::new(Poll {
                ledger: ledger.clone(),
                entities: entities.clone(),
                blobs: blobs.clone(),
                raws: blobs.clone(),
                queue: queue.clone(),
                upstream,
                systems: systems.clone(),
                clock: clock.clone(),
                entropy: entropy.clone(),
                shelf,
                meter: meter.clone(),
            }),
            transform: Arc::new(Transform {
                ledger: ledger.clone(),
                entities: entities.clone(),
                blobs: blobs.clone(),
                raws: blobs.clone(),
                queue: queue.clone(),
                systems: systems.clone(),
                clock: clock.clone(),
                meter: meter.clone(),
            }),
            admin: Arc::new(Admin {
                ledger: ledger.clone(),
                entities: entities.clone(),
                reader: entities.clone(),
                blobs: blobs.clone(),
                queue: queue.clone(),
                systems: systems.clone(),
                switch: switch.clone(),
                clock: clock.clone(),
            }),
            upkeep: Arc::new(Upkeep {
                ledger,
                entities: entities.clone(),
                blobs: blobs.clone(),
                blob_admin: blobs.clone(),
                queue: queue.clone(),
                systems: systems.clone(),
                switch: switch.clone(),
                clock: clock.clone(),
            }),
            serve: Arc::new(Serve { entities, ledger: served, clock: clock.clone() }),
            webhook: Webhook {
                intake: Arc::new(InTurn { blobs: blobs.clone(), queue }),
                blobs,
                secrets,
                ledger: candidates,
                upstream: outside,
                memory: Memory::default(),
                clock,
                entropy,
                meter,
            },
            systems,
            switch,
        }
    }
}
