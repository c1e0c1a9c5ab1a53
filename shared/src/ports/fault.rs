//! Why a store or a service could not do what it was asked, decided once, in the adapter that knows.

/// Something below a port went wrong. Whether trying again can help is part of the value, never of its text.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Fault {
    pub kind: FaultKind,
    /// Names the object (a file, a table, a key) and, where there is one, the remedy. Never a secret.
    pub what: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Busy, throttled, timed out or unreachable: the same call may work later.
    Transient,
    /// No room left. Retryable once somebody makes room; nothing was written.
    Full,
    /// The store's content or the request is wrong: the same call will fail again.
    Permanent,
}

impl Fault {
    pub fn new(kind: FaultKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind != FaultKind::Permanent
    }
}
