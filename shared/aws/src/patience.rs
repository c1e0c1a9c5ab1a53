//! How often and how long a call is tried again that the SDK does not try again by itself: a transaction that
//! another one was in the way of, what a batch left undone.
//!
//! Always holds: waits are drawn from nothing to twice the bound before (full jitter), and there is an end.

use std::time::Duration;

use teal::ports::{Clock, Entropy};

/// The budget of one call of a port.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Attempts, the first included.
    pub attempts: u32,
    /// Bound of the first wait; it doubles from then on.
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Patience {
    /// Ten seconds and a bit, if every wait is as long as it may be.
    fn default() -> Self {
        Self { attempts: 12, first: Duration::from_millis(20), longest: Duration::from_secs(2) }
    }
}

/// One call's way through its budget.
#[derive(Debug)]
pub struct Trying {
    patience: Patience,
    attempt: u32,
}

impl Patience {
    #[must_use]
    pub fn begin(self) -> Trying {
        Trying { patience: self, attempt: 1 }
    }
}

impl Trying {
    /// Waits before the next attempt; `false`, at once, when the budget is spent.
    pub async fn again(&mut self, clock: &dyn Clock, entropy: &dyn Entropy) -> bool {
        if self.attempt >= self.patience.attempts {
            return false;
        }
        let bound = self.patience.first.saturating_mul(1 << (self.attempt - 1).min(16)).min(self.patience.longest);
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        clock.sleep(Duration::from_micros(entropy.next() % micros)).await;
        self.attempt += 1;
        true
    }
}
