//! Teal on one machine: the ports over SQLite and files, and a host that hands the stages the same events
//! that Lambda would.
//!
//! Owns every side effect of a local Teal. Knows nothing of what the stages do. Always holds: what an
//! adapter has answered with `Ok` survives the end of the process and, by default, of the machine.

pub mod app;
pub mod blobs;
pub mod console;
mod folder;
pub mod host;
pub mod inbox;
mod intake;
pub mod lock;
mod metrics;
pub mod probe;
pub mod secrets;
pub mod sqlite;
pub mod store;

#[cfg(test)]
mod test_clock;

pub use teal_real::{clock, entropy, upstream};

pub use app::{Local, LocalError, LocalOptions, Running};
