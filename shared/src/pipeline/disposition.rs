//! What happens to a message when handling it went wrong: the one place that decides.
//!
//! Owns the three dispositions and the table from errors to them. Owns no backoff (the queue has its own)
//! and no reject list: a stage that can name the record writes that itself and counts it as handled.
//!
//! Always holds: the decision follows the error's type, never its text; whatever may pass by itself is
//! retried, throttling included; nothing is dropped silently, because a rejected message goes to the dead
//! letters, where an operator reads the reason and replays it.

use std::time::Duration;

use crate::domain::message::BadMessage;
use crate::domain::raw::BadRaw;
use crate::ports::fault::FaultKind;
use crate::ports::{BlobError, ConnectorError, EntitiesError, Fault, LedgerError};

/// How long a store without room is left alone: somebody has to make room first.
const FULL_WAIT: Duration = Duration::from_secs(60);

/// What becomes of a message whose handling stopped early. Stages return `Result<(), Disposition>`, so
/// that `?` on any port's error ends the handling with the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The message comes again. `after` is how long it should at least rest, where that is known; a host
    /// that can't hold it back lets the queue's own wait decide.
    Retry { why: String, after: Option<Duration> },
    /// Handling it again gives the same. It goes to the dead letters.
    Reject { why: String },
    /// There is nothing left to do: somebody else did it, or it stopped mattering.
    Done,
}

impl Disposition {
    #[must_use]
    pub fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: why.into(), after: None }
    }

    #[must_use]
    pub fn retry_after(why: impl Into<String>, after: Duration) -> Self {
        Self::Retry { why: why.into(), after: Some(after) }
    }

    #[must_use]
    pub fn reject(why: impl Into<String>) -> Self {
        Self::Reject { why: why.into() }
    }
}

/// Everything below a stage that can stop it.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Entities(#[from] EntitiesError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    #[error(transparent)]
    Raw(#[from] BadRaw),
    #[error(transparent)]
    Message(#[from] BadMessage),
}

impl Trouble {
    /// Whether the same call may work later. A refused condition, a closed gate, a stale fence and a
    /// vanished generation count as well: the next attempt reads pointer, run and fence again and acts on
    /// what it finds, and only the stage knows when that is nothing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(decide(self), Disposition::Retry { .. })
    }
}

/// The table. Takes a reference, so that a caller can still show or wrap the error.
#[must_use]
pub fn decide(trouble: &Trouble) -> Disposition {
    let why = || trouble.to_string();
    match trouble {
        Trouble::Fault(fault)
        | Trouble::Blob(BlobError::Fault(fault))
        | Trouble::Entities(EntitiesError::Fault(fault))
        | Trouble::Ledger(LedgerError::Fault(fault)) => match fault.kind {
            FaultKind::Transient => Disposition::retry(why()),
            FaultKind::Full => Disposition::retry_after(why(), FULL_WAIT),
            FaultKind::Permanent => Disposition::reject(why()),
        },
        Trouble::Entities(
            EntitiesError::GateClosed(_) | EntitiesError::NoGeneration(_) | EntitiesError::StaleBuilder { .. },
        )
        | Trouble::Ledger(LedgerError::Refused { .. }) => Disposition::retry(why()),
        // Objects are durable before anything names them: one that is missing was erased.
        Trouble::Blob(BlobError::Missing(_)) => Disposition::reject(why()),
        Trouble::Connector(_) | Trouble::Raw(_) | Trouble::Message(_) => Disposition::reject(why()),
    }
}

impl<E: Into<Trouble>> From<E> for Disposition {
    fn from(error: E) -> Self {
        decide(&error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Fence, GenerationId};
    use crate::ports::ItemKey;

    fn generation() -> GenerationId {
        GenerationId { entity: "talents".into(), number: 3 }
    }

    fn fault(kind: FaultKind) -> Fault {
        Fault::new(kind, "table 'talents_v3'")
    }

    #[test]
    fn what_may_pass_by_itself_is_retried_whatever_port_it_came_through() {
        let troubles: [Trouble; 7] = [
            fault(FaultKind::Transient).into(),
            BlobError::from(fault(FaultKind::Transient)).into(),
            LedgerError::from(fault(FaultKind::Full)).into(),
            LedgerError::Refused { index: 0, key: ItemKey::new("system", "pointer") }.into(),
            EntitiesError::GateClosed(generation()).into(),
            EntitiesError::NoGeneration(generation()).into(),
            EntitiesError::StaleBuilder { id: generation(), fence: Fence(4) }.into(),
        ];
        for trouble in troubles {
            assert!(trouble.is_retryable(), "{trouble}");
        }
    }

    #[test]
    fn what_stays_wrong_is_rejected_with_its_reason() {
        let troubles: [Trouble; 5] = [
            EntitiesError::from(fault(FaultKind::Permanent)).into(),
            BlobError::Missing("raw/x".into()).into(),
            ConnectorError::Body("not JSON".into()).into(),
            BadRaw::NoHead.into(),
            BadMessage::Format(9).into(),
        ];
        for trouble in troubles {
            assert_eq!(decide(&trouble), Disposition::Reject { why: trouble.to_string() });
        }
    }

    #[test]
    fn a_store_without_room_is_left_alone_for_a_while() {
        let disposition = Disposition::from(fault(FaultKind::Full));
        assert!(matches!(disposition, Disposition::Retry { after: Some(_), .. }), "{disposition:?}");
    }

    #[test]
    fn the_question_mark_ends_a_stage_with_the_right_disposition() {
        fn stage() -> Result<(), Disposition> {
            Err(EntitiesError::GateClosed(generation()))?;
            Ok(())
        }
        assert!(matches!(stage(), Err(Disposition::Retry { after: None, .. })));
    }
}
