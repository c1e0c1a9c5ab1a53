//! Time, as the stages see it. A test's clock is virtual, and so no test waits for a real one.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::Millis;

#[async_trait]
pub trait Clock: Send + Sync {
    /// May step back between two calls: real clocks do.
    fn now(&self) -> Millis;

    async fn sleep(&self, span: Duration);
}
