//! The local queue keeps the contract, kind or not.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use teal::domain::{Message, Millis, QueueName};
use teal::ports::QueueSender;
use teal_conformance::memory::VirtualClock;
use teal_conformance::suites::queue::{Delivered, QueueHarness, QueueUnderTest};
use teal_local::inbox::{Inbox, InboxOptions, Queue, Receipt, Received};
use teal_local::sqlite::Synchronous;

const VISIBILITY: Duration = Duration::from_secs(60);

struct Directory {
    directory: tempfile::TempDir,
    shuffle_and_repeat: Option<u64>,
}

impl Directory {
    fn new(shuffle_and_repeat: Option<u64>) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), shuffle_and_repeat }
    }
}

struct UnderTest {
    queue: Arc<Queue>,
    clock: Arc<VirtualClock>,
    /// The receipts that were given out, by how they are written.
    receipts: Mutex<BTreeMap<String, Receipt>>,
}

#[async_trait]
impl QueueHarness for Directory {
    async fn fresh(&self) -> Arc<dyn QueueUnderTest> {
        let clock = Arc::new(VirtualClock::at(Millis(0)));
        let shuffle_and_repeat = self.shuffle_and_repeat;
        let options = InboxOptions { synchronous: Synchronous::Off, shuffle_and_repeat, ..InboxOptions::default() };
        let inbox = Inbox::open(self.directory.path(), clock.clone(), options).unwrap();
        Arc::new(UnderTest { queue: inbox.queue(), clock, receipts: Mutex::default() })
    }
}

#[async_trait]
impl QueueUnderTest for UnderTest {
    fn sender(&self) -> Arc<dyn QueueSender> {
        self.queue.clone()
    }

    async fn receive(&self, queue: QueueName) -> Vec<Delivered> {
        let received = self.queue.receive(queue, usize::MAX, VISIBILITY).await.unwrap();
        let mut receipts = self.receipts.lock().unwrap();
        let deliver = |received: Received| {
            receipts.insert(received.receipt.to_string(), received.receipt);
            Delivered {
                message: Message::decode(&received.body).unwrap(),
                receipt: received.receipt.to_string(),
                receives: received.receive_count,
            }
        };
        received.into_iter().map(deliver).collect()
    }

    async fn delete(&self, _: QueueName, receipt: &str) {
        let receipt = self.receipts.lock().unwrap()[receipt];
        self.queue.delete(vec![receipt]).await.unwrap();
    }

    async fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }
}

mod kind {
    use super::Directory;

    teal_conformance::queue_suite!(Directory::new(None));
}

mod unkind {
    use super::Directory;

    teal_conformance::queue_suite!(Directory::new(Some(11)));
}
