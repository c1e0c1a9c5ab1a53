//! Permits: no source gets more requests than its limit, from however many functions at once (P9).
//!
//! Requests are spaced, not bucketed: each permit is a moment in time, taken from the ledger with a
//! compare-and-set, `(1 s + LIFE) / limit` after the one before. A permit is good for [`LIFE`] from its
//! moment; whoever comes later takes a new one. So the limit + 1st request after any request is at least
//! a second later, whatever the delays.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::StageError;
use super::ledger;
use crate::domain::{Millis, SourceId};
use crate::mutants::{self, Mutant};
use crate::ports::{Clock, Entropy, Ledger};

/// How late a permit may be used.
pub const LIFE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Limit {
    /// When the next permit begins, at the earliest.
    next: Millis,
}

/// Waits for a moment at which one request may go out. Returns at once where there is no limit.
pub async fn permit(
    ledger: &dyn Ledger,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    source: &SourceId,
    per_second: Option<f64>,
) -> Result<(), StageError> {
    let Some(per_second) = per_second.filter(|n| *n > 0.0) else { return Ok(()) };
    let spacing = (Duration::from_secs(1) + LIFE).div_f64(per_second);
    loop {
        let seen = ledger::read::<Limit>(ledger, &ledger::limit_key(source)).await?;
        let moment = seen.as_ref().map_or(Millis(0), |s| s.value.next).max(clock.now());
        // A fraction of a millisecond is rounded up: spacing may only grow.
        let next = Limit { next: moment.plus(spacing + Duration::from_micros(999)) };
        let write = ledger::put(ledger::limit_key(source), &next, ledger::unchanged(seen.as_ref()));
        match ledger.transact(vec![write]).await {
            Ok(()) => {}
            Err(error) if ledger::was_refused(&error) => {
                clock.sleep(Duration::from_millis(1 + entropy.next() % 10)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let wait = moment.since(clock.now());
        if mutants::on(Mutant::NoPermit) {
            return Ok(());
        }
        if !wait.is_zero() {
            clock.sleep(wait).await;
        }
        if clock.now() <= moment.plus(LIFE) {
            return Ok(());
        }
    }
}
