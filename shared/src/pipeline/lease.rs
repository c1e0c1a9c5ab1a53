//! Leases: who works on a source, or moves the pointer, now; and the fences that keep everyone else out.
//!
//! Always holds: a fence is given out once, and each is greater than all before it, over the whole system.
//! Taking a lease writes its fence as the item's mark, so a write that checks `NoneNewer(own fence)` is
//! refused from that moment on, however late it arrives.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::StageError;
use super::ledger::{self, Numbers, Stored};
use crate::domain::{Fence, Millis};
use crate::mutants::{self, Mutant};
use crate::ports::ledger::{ItemKey, Ledger, LedgerReader, Write};

/// How long a holder may be silent before somebody else may take over.
pub const LEASE: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The run, or the admin action.
    pub holder: String,
    pub fence: Fence,
    /// [`Millis`] 0 when it was given back.
    pub until: Millis,
    /// The call that is at work for the holder right now; 0 between calls. Queues repeat messages, and two
    /// calls that do the same work at the same time would do everything twice.
    #[serde(default)]
    pub worker: u64,
}

impl Lease {
    #[must_use]
    pub fn is_held(&self, now: Millis) -> bool {
        self.until > now
    }

    #[must_use]
    pub fn was_given_back(&self) -> bool {
        self.until == Millis(0)
    }
}

pub async fn read(ledger: &dyn LedgerReader, key: &ItemKey) -> Result<Option<Stored<Lease>>, StageError> {
    Ok(ledger::read(ledger, key).await?)
}

/// The writes that take a lease as it was last read, with a fence of its own.
pub fn take(
    key: ItemKey,
    seen: Option<&Stored<Lease>>,
    numbers: Option<&Stored<Numbers>>,
    holder: String,
    until: Millis,
    worker: u64,
) -> (Fence, [Write; 2]) {
    let mut next = numbers.map(|n| n.value).unwrap_or_default();
    next.fence = Fence(next.fence.0 + 1);
    let lease = Lease { holder, fence: next.fence, until, worker };
    let writes = [
        ledger::put_marked(key, &lease, next.fence.0, ledger::unchanged(seen)),
        ledger::put(ledger::numbers_key(), &next, ledger::unchanged(numbers)),
    ];
    (next.fence, writes)
}

/// The write that prolongs a lease, and is refused when somebody newer holds it.
#[must_use]
pub fn renew(key: ItemKey, holder: &str, fence: Fence, until: Millis, worker: u64) -> Write {
    let lease = Lease { holder: holder.to_owned(), fence, until, worker };
    let newest = if mutants::on(Mutant::LeaseWithoutFence) { u64::MAX } else { fence.0 };
    ledger::put_marked(key, &lease, fence.0, crate::ports::Precondition::NoneNewer(newest))
}

/// The write that gives a lease back. Its fence stays, so that older ones are still refused.
#[must_use]
pub fn give_back(key: ItemKey, holder: &str, fence: Fence) -> Write {
    renew(key, holder, fence, Millis(0), 0)
}

/// The write that ends a lease whose holder can only be dead. Its fence stays.
#[must_use]
pub fn expire(key: ItemKey, seen: &Stored<Lease>) -> Write {
    let lease = Lease { until: Millis(1), worker: 0, ..seen.value.clone() };
    ledger::put_marked(key, &lease, seen.mark, ledger::unchanged(Some(seen)))
}

/// Takes a lease for an admin action or a switch; `Busy` while somebody else holds it.
pub async fn acquire(
    ledger: &dyn Ledger,
    key: &ItemKey,
    holder: &str,
    now: Millis,
) -> Result<(Fence, Option<Lease>), StageError> {
    let seen = read(ledger, key).await?;
    if let Some(lease) = seen.as_ref().map(|s| &s.value).filter(|l| l.is_held(now) && l.holder != holder) {
        return Err(StageError::Busy(format!("{} is at work on it until {} at most", lease.holder, lease.until)));
    }
    let numbers = ledger::read(ledger, &ledger::numbers_key()).await?;
    let (fence, writes) = take(key.clone(), seen.as_ref(), numbers.as_ref(), holder.to_owned(), now.plus(LEASE), 0);
    match ledger.transact(writes.into()).await {
        Ok(()) => Ok((fence, seen.map(|s| s.value))),
        Err(error) if ledger::was_refused(&error) => {
            Err(StageError::Busy("somebody else took the lease at the same moment".into()))
        }
        Err(error) => Err(error.into()),
    }
}
