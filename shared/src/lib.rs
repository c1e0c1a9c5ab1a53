//! Teal's core: what the words mean, what the stages need from the world, and the stages themselves.
//!
//! Owns the domain, the compiled configuration, the port contracts, what is measured, the pipeline and the triggers that
//! turn a host's events into stage calls. Owns no database, no SDK and no host: those live in adapter
//! crates that depend on this one.
//!
//! Always holds: `domain` imports nothing of ours, `config`, `metrics` and `ports` only `domain`, `pipeline`
//! those four, `trigger` the pipeline. Nothing here reads the environment, the wall clock or a random number,
//! spawns a task or uses a timer; all of that arrives through ports, so that one seed gives one trace.

pub mod config;
pub mod domain;
pub mod metrics;
pub mod mutants;
pub mod pipeline;
pub mod ports;
pub mod trigger;
