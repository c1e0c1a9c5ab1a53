//! A system as its `teal.yaml` declares it, checked and compiled.
//!
//! Owns the model that the stages work with, and the loader that makes it and reports everything that is
//! wrong at once. Owns no secret's value and no connector's inside: a manifest's text is carried along.
//!
//! Always holds: compiling is pure. A [`Bundle`] holds every byte that matters (files and the environment's
//! values that they refer to), its hash names it, and compiling it again gives the same system.

pub mod after;
pub mod bundle;
pub mod jq;
pub mod json_schema;
pub mod keys;
pub mod load;
pub mod model;
pub mod path;
pub mod problem;
pub mod schedule;
mod units;
mod yaml;

pub use after::After;
pub use bundle::Bundle;
pub use json_schema::json_schema;
pub use load::{load, load_without_programs};
pub use model::*;
pub use problem::{Problem, Problems};
pub use units::duration;
