//! A system as its `teal.yaml` declares it, checked and compiled.
//!
//! Owns the model that the stages work with, and the loader that makes it and reports everything that is
//! wrong at once. Owns no secret's value and no connector's inside: a manifest's text is carried along.
//!
//! Always holds: compiling is pure. A [`Bundle`] holds every byte that matters (files and the environment's
//! values that they refer to), its hash names it, and compiling it again gives the same system.

pub mod bundle;
pub mod jq;
pub mod model;
pub mod path;
pub mod schedule;

pub use bundle::Bundle;
pub use model::*;
