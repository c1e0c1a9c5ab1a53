//! A clock that only tests move.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use teal::domain::Millis;
use teal::ports::Clock;
use tokio::sync::watch;

pub struct TestClock(watch::Sender<Millis>);

impl TestClock {
    pub fn at(now: i64) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Millis(now))))
    }

    pub fn advance(&self, span: Duration) {
        self.0.send_modify(|now| *now = now.plus(span));
    }

    pub fn set(&self, now: i64) {
        self.0.send_replace(Millis(now));
    }

    /// Returns once this many sleeps wait on the clock: only then does moving it mean something.
    pub async fn sleepers(&self, count: usize) {
        while self.0.receiver_count() < count {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Millis {
        *self.0.borrow()
    }

    async fn sleep(&self, span: Duration) {
        let mut now = self.0.subscribe();
        let until = now.borrow().plus(span);
        now.wait_for(|now| *now >= until).await.expect("the clock outlives its sleepers");
    }
}
