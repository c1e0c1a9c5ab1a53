//! What can go wrong inside a stage, gathered from the ports. What then happens to the message is decided
//! in one place, `disposition`.

use super::api::Code;
use crate::config::model::SecretName;
use crate::domain::raw::BadRaw;
use crate::domain::{ConfigHash, RunId, SourceName, Version};
use crate::ports::{BlobError, ConnectorError, EntitiesError, Fault, LedgerError};

#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Entities(#[from] EntitiesError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Raw(#[from] BadRaw),
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// Somebody else works on it now. Not an error of the work: come back later.
    #[error("{0}")]
    Busy(String),
    #[error("configuration {hash} can't be loaded: {why}")]
    Config { hash: ConfigHash, why: String },
    #[error("there is no configuration yet; deploy one first")]
    NoConfig,
    #[error("there is no source '{0}' in teal.yaml")]
    NoSource(SourceName),
    #[error("there is no secret '{}'; set it and try again", .0.0)]
    NoSecret(SecretName),
    #[error("there is no run '{0}'")]
    NoRun(RunId),
    #[error("there is no version {0}")]
    NoVersion(Version),
    /// What was asked for can't be done, and says what can.
    #[error("{0}")]
    Impossible(String),
}

impl From<super::backup::Damaged> for StageError {
    fn from(damaged: super::backup::Damaged) -> Self {
        Self::Impossible(damaged.to_string())
    }
}

impl StageError {
    /// What callers are told and logs are searched for.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Ledger(LedgerError::Fault(fault))
            | Self::Entities(EntitiesError::Fault(fault))
            | Self::Blob(BlobError::Fault(fault))
            | Self::Fault(fault) => {
                if fault.is_retryable() {
                    Code::Unavailable
                } else {
                    Code::Internal
                }
            }
            Self::Ledger(LedgerError::Refused { .. })
            | Self::Entities(
                EntitiesError::GateClosed(_) | EntitiesError::StaleBuilder { .. } | EntitiesError::Confirmed { .. },
            )
            | Self::Busy(_) => Code::Busy,
            Self::Config { .. } | Self::Connector(ConnectorError::Manifest(_)) => Code::Config,
            Self::Entities(EntitiesError::NoGeneration(_)) | Self::Impossible(_) | Self::Connector(_) => {
                Code::Impossible
            }
            Self::NoConfig => Code::NoConfig,
            Self::NoSource(_) => Code::NoSource,
            Self::NoSecret(_) => Code::NoSecret,
            Self::NoRun(_) => Code::NoRun,
            Self::NoVersion(_) => Code::NoVersion,
            Self::Blob(BlobError::Missing(_)) => Code::ObjectGone,
            Self::Raw(_) => Code::Internal,
        }
    }

    /// Whether trying again gives the same.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(super::disposition::decide(self), super::disposition::Disposition::Reject { .. })
    }
}
