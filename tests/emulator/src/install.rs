//! The Python environment that the emulator lives in.

pub use teal_python::environment;

/// What it needs.
pub const EMULATOR: &str = include_str!("../requirements.txt");
