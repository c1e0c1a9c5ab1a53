//! What the tests of the AWS adapters share: harnesses and a whole system on the emulator.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

pub mod harness;
pub mod talents;
pub mod world;

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
