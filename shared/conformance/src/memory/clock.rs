//! A clock that stands still until it is told to move.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use teal::domain::Millis;
use teal::ports::Clock;

use super::lock;

/// Sleeping moves it forward at once, so a test never waits.
#[derive(Debug)]
pub struct VirtualClock(Mutex<Millis>);

impl VirtualClock {
    #[must_use]
    pub fn at(now: Millis) -> Self {
        Self(Mutex::new(now))
    }

    /// Sets the time, also to an earlier one, as real clocks do when they are corrected.
    pub fn set(&self, now: Millis) {
        *lock(&self.0) = now;
    }

    pub fn advance(&self, span: Duration) {
        let mut now = lock(&self.0);
        *now = now.plus(span);
    }

    pub fn step_back(&self, span: Duration) {
        let mut now = lock(&self.0);
        *now = now.minus(span);
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Millis {
        *lock(&self.0)
    }

    /// Moves at least a millisecond for any span but zero: a loop that sleeps until a time must get there.
    async fn sleep(&self, span: Duration) {
        let shortest = Duration::from_millis(u64::from(!span.is_zero()));
        self.advance(span.max(shortest));
    }
}
