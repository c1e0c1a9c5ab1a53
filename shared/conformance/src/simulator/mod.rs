//! The real stages in a world where everything goes wrong, on one thread, from one seed.
//!
//! ```text
//! plan ──► simulation ──► tasks (invocations, senders, readers, people) ──► stages
//!              │                                                              │ each port call
//!              │                                                            world: delays, failures, deaths
//!              │                                                              │
//!              └── executor: who is next             in-memory adapters, sources ──► oracle: is it right?
//! ```
//!
//! Owns nothing of a stage and nothing of a contract: it drives the one and bends the other only as far as it
//! allows. `executor` owns time and order, `faults` the dice, `plan` what happens anyway, `sources` the systems
//! that are synced, `oracle` the promises, `shrink` finding a short history for a failure.
//!
//! Always holds: a plan and nothing else decides everything that happens. The same plan gives the same history
//! on every machine.

pub mod audit;
mod executor;
mod faults;
mod library;
mod oracle;
mod plan;
mod process;
mod shrink;
mod simulation;
mod source;
mod sources;
mod system;
mod world;

use teal::domain::Millis;

pub use faults::Kind;
pub use library::Library;
pub use oracle::{Promise, Violation};
pub use plan::{Action, ENTITIES, Plan, Size};
pub use shrink::{Shrunk, shrink};
pub use simulation::{Report, simulate};
pub use source::{Page, Query, Record, Source, Style};
pub use sources::{News, Sources};
pub use system::{API_KEY, HOOK_SECRET, Mapping, SOURCES, Shape, bundle};

/// 2030-01-01T00:00:00Z.
const START: Millis = Millis(1_893_456_000_000);
/// Processes that are alive at the same time.
const PROCESSES: usize = 3;
