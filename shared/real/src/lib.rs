//! The ports that are the same wherever Teal runs: the clock, randomness, HTTP requests to sources.
//!
//! Owns no storage and no host. Every host takes its own from here.

pub mod clock;
pub mod entropy;
pub mod public;
#[cfg(feature = "upstream")]
pub mod upstream;
