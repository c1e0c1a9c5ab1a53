//! The model passes the suites that it is the model for, and passes them as well when it is traced.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use teal::domain::{Millis, QueueName};
use teal::ports::{Ledger, QueueSender, Schedules, Secrets};
use teal_conformance::memory::{
    MemoryBlobs, MemoryEntities, MemoryLedger, MemoryQueue, MemorySchedules, MemorySecrets, Received, VirtualClock,
};
use teal_conformance::suites::blobs::{BlobStore, BlobsHarness};
use teal_conformance::suites::entities::{EntitiesHarness, EntityStore};
use teal_conformance::suites::ledger::LedgerHarness;
use teal_conformance::suites::queue::{Delivered, QueueHarness, QueueUnderTest};
use teal_conformance::suites::schedules::SchedulesHarness;
use teal_conformance::suites::secrets::SecretsHarness;
use teal_conformance::{Seed, Trace};

/// Memory that outlives its handles, as a disk does.
#[derive(Default)]
struct Kept<S>(Mutex<Arc<S>>);

impl<S: Default> Kept<S> {
    fn new_one(&self) -> Arc<S> {
        let mut kept = self.0.lock().unwrap();
        *kept = Arc::default();
        kept.clone()
    }

    fn same(&self) -> Arc<S> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl LedgerHarness for Kept<MemoryLedger> {
    async fn fresh(&self) -> Arc<dyn Ledger> {
        self.new_one()
    }

    async fn again(&self) -> Arc<dyn Ledger> {
        self.same()
    }
}

#[async_trait]
impl BlobsHarness for Kept<MemoryBlobs> {
    async fn fresh(&self) -> Arc<dyn BlobStore> {
        self.new_one()
    }

    async fn again(&self) -> Arc<dyn BlobStore> {
        self.same()
    }
}

#[async_trait]
impl EntitiesHarness for Kept<MemoryEntities> {
    async fn fresh(&self) -> Arc<dyn EntityStore> {
        self.new_one()
    }

    async fn again(&self) -> Arc<dyn EntityStore> {
        self.same()
    }
}

/// The same, seen through a trace that disturbs nothing.
#[derive(Default)]
struct Traced<S>(Kept<S>);

#[async_trait]
impl LedgerHarness for Traced<MemoryLedger> {
    async fn fresh(&self) -> Arc<dyn Ledger> {
        Trace::default().wrap(self.0.new_one())
    }

    async fn again(&self) -> Arc<dyn Ledger> {
        Trace::default().wrap(self.0.same())
    }
}

#[async_trait]
impl BlobsHarness for Traced<MemoryBlobs> {
    async fn fresh(&self) -> Arc<dyn BlobStore> {
        Trace::default().wrap(self.0.new_one())
    }

    async fn again(&self) -> Arc<dyn BlobStore> {
        Trace::default().wrap(self.0.same())
    }
}

#[async_trait]
impl EntitiesHarness for Traced<MemoryEntities> {
    async fn fresh(&self) -> Arc<dyn EntityStore> {
        Trace::default().wrap(self.0.new_one())
    }

    async fn again(&self) -> Arc<dyn EntityStore> {
        Trace::default().wrap(self.0.same())
    }
}

struct MemorySecretsHarness;

#[async_trait]
impl SecretsHarness for MemorySecretsHarness {
    async fn holding(&self, secrets: &[(&str, &str)]) -> Arc<dyn Secrets> {
        let store = MemorySecrets::default();
        for (name, value) in secrets {
            store.set(*name, *value);
        }
        Arc::new(store)
    }
}

struct MemorySchedulesHarness;

#[async_trait]
impl SchedulesHarness for MemorySchedulesHarness {
    async fn fresh(&self) -> Arc<dyn Schedules> {
        Arc::new(MemorySchedules::default())
    }
}

/// The queue of this seed; 0 for the kind one.
struct MemoryQueueHarness(u64);

struct UnderTest {
    queue: Arc<MemoryQueue>,
    clock: Arc<VirtualClock>,
}

#[async_trait]
impl QueueHarness for MemoryQueueHarness {
    async fn fresh(&self) -> Arc<dyn QueueUnderTest> {
        let clock = Arc::new(VirtualClock::at(Millis(0)));
        let queue = match self.0 {
            0 => MemoryQueue::kind(clock.clone()),
            seed => MemoryQueue::new(clock.clone(), Seed(seed)),
        };
        Arc::new(UnderTest { queue: Arc::new(queue), clock })
    }
}

#[async_trait]
impl QueueUnderTest for UnderTest {
    fn sender(&self) -> Arc<dyn QueueSender> {
        self.queue.clone()
    }

    async fn receive(&self, queue: QueueName) -> Vec<Delivered> {
        let deliver = |received: Received| Delivered {
            message: received.message(),
            receipt: received.id.to_string(),
            receives: received.receives,
        };
        self.queue.receive(queue, 10).into_iter().map(deliver).collect()
    }

    async fn delete(&self, queue: QueueName, receipt: &str) {
        let id = receipt.parse().unwrap();
        self.queue.delete(&Received { queue, id, body: String::new(), receives: 1 });
    }

    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }
}

mod ledger {
    use super::*;
    teal_conformance::ledger_suite!(Kept::<MemoryLedger>::default());
}

mod blobs {
    use super::*;
    teal_conformance::blobs_suite!(Kept::<MemoryBlobs>::default());
}

mod secrets {
    use super::*;
    teal_conformance::secrets_suite!(MemorySecretsHarness);
}

mod schedules {
    use super::*;
    teal_conformance::schedules_suite!(MemorySchedulesHarness);
}

mod kind_queue {
    use super::*;
    teal_conformance::queue_suite!(MemoryQueueHarness(0));
}

mod unkind_queue {
    use super::*;
    teal_conformance::queue_suite!(MemoryQueueHarness(11));
}

mod entities {
    use super::*;
    teal_conformance::entities_suite!(Kept::<MemoryEntities>::default());
    teal_conformance::entities_base_suite!(Kept::<MemoryEntities>::default());
}

mod traced_ledger {
    use super::*;
    teal_conformance::ledger_suite!(Traced::<MemoryLedger>::default());
}

mod traced_blobs {
    use super::*;
    teal_conformance::blobs_suite!(Traced::<MemoryBlobs>::default());
}

mod traced_entities {
    use super::*;
    teal_conformance::entities_suite!(Traced::<MemoryEntities>::default());
}
