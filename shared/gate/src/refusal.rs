//! Why a request proves nothing, for the owner's eyes.
//!
//! Always holds: no text has a secret, a signature, or more of the request than a header's name.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the headers have {bytes} bytes, which is too much")]
    LargeHeaders { bytes: usize },
    #[error("this webhook does not take this method")]
    Method,
    #[error("{what} is missing")]
    Missing { what: String },
    #[error("{what} is there twice")]
    Twice { what: String },
    #[error("{what} can't be read: {why}")]
    Malformed { what: String, why: &'static str },
    #[error("no signature is of a kind that is accepted here (accepted: {accepted})")]
    Unknown { accepted: String },
    #[error("it was signed {by_ms} ms too long ago; is the clock of this machine right?")]
    TooOld { by_ms: u64 },
    #[error("it was signed {by_ms} ms in the future; is the clock of this machine right?")]
    TooNew { by_ms: u64 },
    #[error("no key is valid at this time")]
    NoKey,
    #[error("{what} differs from what the key gives")]
    Differs { what: &'static str },
    #[error("the topic is not one of this source's; add it to 'topics' if it is")]
    Topic,
    #[error("the channel is not one that this source opened")]
    Channel,
    #[error("an address in the message is not one of the sender's")]
    Address,
    #[error("the certificate can't be used: {0}")]
    Certificate(&'static str),
    #[error("a secret was proposed, and nobody waits for one")]
    NotAwaited,
    #[error("what is to be echoed is too long, or has characters that are not echoed")]
    Challenge,
}

impl Refusal {
    /// One word for counters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::LargeHeaders { .. } => "large-headers",
            Self::Method => "method",
            Self::Missing { .. } => "missing",
            Self::Twice { .. } => "twice",
            Self::Malformed { .. } => "malformed",
            Self::Unknown { .. } => "unknown-version",
            Self::TooOld { .. } => "too-old",
            Self::TooNew { .. } => "too-new",
            Self::NoKey => "no-key",
            Self::Differs { .. } => "differs",
            Self::Topic => "topic",
            Self::Channel => "channel",
            Self::Address => "address",
            Self::Certificate(_) => "certificate",
            Self::NotAwaited => "not-awaited",
            Self::Challenge => "challenge",
        }
    }
}
