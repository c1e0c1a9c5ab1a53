//! The stages, and what they share. Each takes ports and nothing else: no environment, no wall clock, no
//! task of its own.
//!
//! ```text
//! webhook ─┐                         ┌─► serve
//!          ├─► transform ─► entities ┤
//! poll ────┘        └─► switch ──────┘      admin, upkeep, backup
//! ```

pub mod admin;
pub mod api;
pub mod backup;
pub mod call;
pub mod caller;
pub mod changelog;
pub mod channels;
pub mod confirm;
pub mod disposition;
pub mod errand;
pub mod error;
#[cfg(test)]
pub(crate) mod fakes;
pub mod gaps;
pub mod gauges;
pub mod inbox;
pub mod lease;
pub mod ledger;
pub mod limits;
pub mod normalize;
pub mod poll;
pub mod schedules;
pub mod serve;
pub mod switch;
pub mod systems;
pub mod transform;
pub mod upkeep;
pub mod webhook;

pub use error::StageError;
pub use systems::{Compiled, Loaded, Systems};
