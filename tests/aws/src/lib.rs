//! What the tests of the AWS adapters share: harnesses on the emulator, and a wire on which anything can happen.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

pub mod harness;
pub mod talents;
pub mod wire;

/// The harness of a suite, or the end of the test where there is no emulator.
#[macro_export]
macro_rules! on_the_emulator {
    ($harness:ty) => {
        match teal_emulator::shared() {
            Some(emulator) => <$harness>::new(emulator),
            None => return,
        }
    };
}
