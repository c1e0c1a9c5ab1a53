//! Randomness, as the stages see it: for nonces, jitter and tokens.

pub trait Entropy: Send + Sync {
    fn next(&self) -> u64;
}
