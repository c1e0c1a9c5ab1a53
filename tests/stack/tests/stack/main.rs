//! The whole stack on an emulator: the project's own template, with its own binaries.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod bad_input;
mod nowrep;
mod roles;
mod trouble;
mod whole;
