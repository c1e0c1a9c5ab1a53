//! Real time and real randomness.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use teal::domain::Millis;
use teal::ports::{Clock, Entropy};

#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Millis {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Millis(0).plus(since),
            Err(before) => Millis(0).minus(before.duration()),
        }
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// A fast generator, seeded by the operating system.
pub struct SystemEntropy(Mutex<StdRng>);

impl Default for SystemEntropy {
    fn default() -> Self {
        Self(Mutex::new(StdRng::from_os_rng()))
    }
}

impl Entropy for SystemEntropy {
    fn next(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}

/// Says nothing of the generator's state, from which its numbers could be foretold.
impl fmt::Debug for SystemEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemEntropy")
    }
}
