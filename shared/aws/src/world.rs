//! Real time and real randomness.

pub use teal_real::clock::SystemClock;
pub use teal_real::entropy::SystemEntropy;
