//! Randomness from a seed.

use std::sync::Mutex;

use teal::ports::Entropy;

use super::lock;
use crate::seed::Seed;

#[derive(Debug)]
pub struct SeededEntropy(Mutex<Seed>);

impl SeededEntropy {
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next(&self) -> u64 {
        lock(&self.0).number()
    }
}
