//! All ports together: a whole system's surroundings from one seed.

use std::sync::Arc;

use teal::domain::Millis;

use super::{
    MemoryBlobs, MemoryEntities, MemoryLedger, MemoryQueue, MemorySecrets, ScriptedUpstream, SeededEntropy,
    VirtualClock,
};
use crate::seed::Seed;

/// 2030-01-01T00:00:00Z: any fixed time serves, a round one is easy to read in a failing test.
const START: Millis = Millis(1_893_456_000_000);

/// Every field coerces to the `Arc<dyn …>` that a stage asks for.
#[derive(Clone, Debug)]
pub struct MemoryWorld {
    pub entities: Arc<MemoryEntities>,
    pub ledger: Arc<MemoryLedger>,
    pub blobs: Arc<MemoryBlobs>,
    pub queue: Arc<MemoryQueue>,
    pub secrets: Arc<MemorySecrets>,
    pub upstream: Arc<ScriptedUpstream>,
    pub clock: Arc<VirtualClock>,
    pub entropy: Arc<SeededEntropy>,
    /// Where second copies of backups lie, whatever the place is called.
    pub second: Arc<MemoryBlobs>,
}

impl MemoryWorld {
    /// An empty world. The queue shuffles and repeats by the seed; the upstream refuses everything until
    /// it gets a script.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut seed = Seed(seed);
        let clock = Arc::new(VirtualClock::at(START));
        Self {
            entities: Arc::default(),
            ledger: Arc::default(),
            blobs: Arc::default(),
            queue: Arc::new(MemoryQueue::new(clock.clone(), seed.branch())),
            secrets: Arc::default(),
            upstream: Arc::default(),
            clock,
            entropy: Arc::new(SeededEntropy::new(seed.branch())),
            second: Arc::default(),
        }
    }
}
