//! What happens to a message when handling it went wrong: the one place that decides.
//!
//! Owns the three dispositions and the table from errors to them. Owns no backoff (the queue has its own)
//! and no reject list: a stage that can name the record writes that itself and counts it as handled.
//!
//! Always holds: the decision follows the error's type, never its text; whatever may pass by itself is
//! retried, throttling included; nothing is dropped silently, because a rejected message goes to the dead
//! letters, where an operator reads the reason and replays it.

use std::time::Duration;

use super::error::StageError;
use crate::ports::fault::FaultKind;
use crate::ports::{BlobError, EntitiesError, LedgerError};

/// How long a store without room is left alone: somebody has to make room first.
const FULL_WAIT: Duration = Duration::from_secs(60);

/// What becomes of a message whose handling stopped early. Every error of a stage or a port turns into one,
/// also by `?`.
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

/// The table. Takes a reference, so that a caller can still show or wrap the error.
///
/// A refused condition, a closed gate, a stale fence and a vanished generation are retried as well: the next
/// attempt reads pointer, run and fence again and acts on what it finds, and only the stage knows when that
/// is nothing.
#[must_use]
pub fn decide(error: &StageError) -> Disposition {
    let why = || format!("{}: {error}", error.code().as_str());
    match error {
        StageError::Fault(fault)
        | StageError::Blob(BlobError::Fault(fault))
        | StageError::Entities(EntitiesError::Fault(fault))
        | StageError::Ledger(LedgerError::Fault(fault)) => match fault.kind {
            FaultKind::Transient => Disposition::retry(why()),
            FaultKind::Full => Disposition::retry_after(why(), FULL_WAIT),
            FaultKind::Permanent => Disposition::reject(why()),
        },
        StageError::Entities(
            EntitiesError::GateClosed(_)
            | EntitiesError::NoGeneration(_)
            | EntitiesError::StaleBuilder { .. }
            | EntitiesError::Confirmed { .. },
        )
        | StageError::Ledger(LedgerError::Refused { .. })
        | StageError::Busy(_) => Disposition::retry(why()),
        // Somebody may be about to set or deploy what is missing; the queue's patience is theirs.
        StageError::NoConfig | StageError::NoSecret(_) => Disposition::retry(why()),
        // Objects are durable before anything names them: one that is missing was erased.
        StageError::Blob(BlobError::Missing(_)) => Disposition::reject(why()),
        StageError::Connector(_)
        | StageError::Raw(_)
        | StageError::Config { .. }
        | StageError::NoSource(_)
        | StageError::NoRun(_)
        | StageError::NoVersion(_)
        | StageError::Impossible(_) => Disposition::reject(why()),
    }
}

impl<E: Into<StageError>> From<E> for Disposition {
    fn from(error: E) -> Self {
        decide(&error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretName;
    use crate::domain::raw::BadRaw;
    use crate::domain::{Fence, GenerationId};
    use crate::ports::{ConnectorError, Fault, ItemKey};

    fn generation() -> GenerationId {
        GenerationId { entity: "talents".into(), number: 3 }
    }

    fn fault(kind: FaultKind) -> Fault {
        Fault::new(kind, "table 'talents_v3'")
    }

    #[test]
    fn what_may_pass_by_itself_is_retried_whatever_port_it_came_through() {
        let errors: [StageError; 10] = [
            fault(FaultKind::Transient).into(),
            BlobError::from(fault(FaultKind::Transient)).into(),
            LedgerError::from(fault(FaultKind::Full)).into(),
            LedgerError::Refused { index: 0, key: ItemKey::new("system", "pointer") }.into(),
            EntitiesError::GateClosed(generation()).into(),
            EntitiesError::NoGeneration(generation()).into(),
            EntitiesError::StaleBuilder { id: generation(), fence: Fence(4) }.into(),
            StageError::Busy("blue is being synced".into()),
            StageError::NoConfig,
            StageError::NoSecret(SecretName("blue-api-key".into())),
        ];
        for error in errors {
            assert!(matches!(decide(&error), Disposition::Retry { .. }), "{error}");
        }
    }

    #[test]
    fn what_stays_wrong_is_rejected_with_its_reason() {
        let errors: [StageError; 6] = [
            EntitiesError::from(fault(FaultKind::Permanent)).into(),
            BlobError::Missing("raw/x".into()).into(),
            ConnectorError::Body("not JSON".into()).into(),
            BadRaw::NoHead.into(),
            StageError::NoSource("blue".into()),
            StageError::Impossible("there is nothing to go back to".into()),
        ];
        for error in errors {
            let why = format!("{}: {error}", error.code().as_str());
            assert_eq!(decide(&error), Disposition::Reject { why });
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
