//! Every port in memory: deterministic, without a runtime, and plain enough to be read as the definition.
//!
//! Owns the model that suites hold other adapters against, and [`MemoryWorld`], all of it together from
//! one seed. Durability is not claimed: what dies with the process is the process, so a crash is played by
//! dropping the stages and keeping the world.
//!
//! Always holds: no lock is held over an await; every listing has an order that no hash map decides.

mod blobs;
mod clock;
mod entities;
mod entropy;
mod ledger;
mod observer;
mod queue;
mod schedules;
mod secrets;
#[cfg(test)]
mod tests;
mod upstream;
mod world;

pub use blobs::MemoryBlobs;
pub use clock::VirtualClock;
pub use entities::MemoryEntities;
pub use entropy::SeededEntropy;
pub use ledger::MemoryLedger;
pub use observer::Observer;
pub use queue::{MemoryQueue, Received};
pub use schedules::MemorySchedules;
pub use secrets::MemorySecrets;
pub use upstream::ScriptedUpstream;
pub use world::MemoryWorld;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that panicked while it held the lock has failed anyway; the others may go on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
