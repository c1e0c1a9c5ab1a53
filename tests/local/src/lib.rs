//! A whole local Teal to test: real files, real sockets, the stages that ship, and a stand-in as its source,
//! all in one process.
//!
//! Owns starting and driving such a system (`system`), reading it as a client does (`client`, `reader`), what
//! it must show (`expected`), judging what readers saw (`observations`), and timing a switch (`stopwatch`). The
//! tests are in `tests/`.
//!
//! Always holds: sockets are on free ports of 127.0.0.1, files in a directory that goes with the system; what
//! a test waits for is a state, and only a bound far beyond any real wait turns waiting into a failure.

pub mod client;
pub mod expected;
pub mod observations;
pub mod reader;
pub mod stopwatch;
pub mod system;
pub mod wait;

pub use client::{Client, Listing, Page};
pub use observations::{Observations, Shown, Truth, Violation};
pub use reader::Readers;
pub use stopwatch::{Closed, Stopwatch};
pub use system::{System, Tweaks};
pub use wait::until;
