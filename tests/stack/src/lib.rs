//! Teal's deployment under test: event files, the template, and the whole stack on an emulator.
//!
//! Owns what these tests share. What can't be tested without Python says so and passes, unless
//! `TEAL_REQUIRE_EMULATOR=1`.

pub mod events;
pub mod grants;
pub mod rie;
pub mod stack;
pub mod tools;

use std::path::{Path, PathBuf};

/// The top of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("this package is in the repository")
}

/// The functions, by the name of their folder.
pub const FUNCTIONS: [&str; 7] = ["webhook", "poll", "transform", "switch", "serve", "admin", "upkeep"];
