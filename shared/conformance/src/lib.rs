//! What every adapter of a port must keep, and what tests need to run Teal without a host.
//!
//! Owns one suite a port ([`suites`]), the in-memory adapters that are the model for the others
//! ([`memory`]), the recorder that writes down and disturbs port calls ([`trace`]), and a host over both
//! ([`runner`]). Owns no promise of
//! its own: contracts live in `teal::ports`, and a suite says them again in a form that can fail.
//!
//! Always holds: nothing here reads the real clock, spawns a task or draws an unseeded number, so one seed
//! gives one trace. For tests only; nothing that ships depends on it.

pub mod memory;
pub mod runner;
pub mod seed;
pub mod simulator;
pub mod stages;
pub mod suites;
pub mod trace;
pub mod watch;

pub use memory::MemoryWorld;
pub use runner::{Runner, Settings, Step};
pub use seed::Seed;
pub use trace::{Call, Decision, Tap, Trace};
