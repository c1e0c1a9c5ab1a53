//! Waiting for a state.

use std::time::{Duration, Instant};

/// Far beyond what anything here takes, also on a machine that is busy with other things.
const TOO_LONG: Duration = Duration::from_secs(120);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Looks until there is something to see, and gives that.
///
/// # Panics
/// When it takes far too long; `what` says what did not happen.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < TOO_LONG, "it did not happen within {TOO_LONG:?}: {what}");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
