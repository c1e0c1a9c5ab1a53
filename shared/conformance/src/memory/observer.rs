//! Hearing of every change of a world in the moment that it happens, whoever made it.
//!
//! Owns the seam between the in-memory adapters and whoever checks what must hold. Always holds: an adapter
//! tells of a change after it took effect, with no lock held, so that an observer may read every adapter; one
//! that is gone is no longer told.

use std::fmt;
use std::sync::{OnceLock, Weak};

use bytes::Bytes;
use teal::domain::{Fence, GenerationId, Message, RecordChange};
use teal::ports::Write;
use teal::ports::entities::{Gate, GenerationSpec, Writer};

pub trait Observer: Send + Sync {
    fn wrote(&self, writes: &[Write]);
    fn merged(&self, id: &GenerationId, writer: Writer, slot: &str, changes: &[RecordChange]);
    fn created(&self, spec: &GenerationSpec);
    fn gated(&self, ids: &[GenerationId], gate: Gate, fence: Fence);
    fn dropped(&self, id: &GenerationId);
    fn stored(&self, key: &str, bytes: &Bytes);
    fn deleted(&self, key: &str);
    fn sent(&self, message: &Message);
}

/// What an adapter tells its changes to, if anybody listens.
#[derive(Default)]
pub struct Told(OnceLock<Weak<dyn Observer>>);

impl Told {
    pub fn set(&self, observer: Weak<dyn Observer>) {
        // One observer a world: a second one would be a mistake of the test, and is not told anything.
        let _ = self.0.set(observer);
    }

    pub(super) fn tell(&self, what: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = self.0.get().and_then(Weak::upgrade) {
            what(observer.as_ref());
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Told").field(&self.0.get().is_some()).finish()
    }
}
