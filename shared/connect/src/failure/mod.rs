//! Failures of a stream, what an answer means, and when to ask again.

pub mod backoff;
pub mod filter;
pub mod handler;

pub use handler::ErrorHandler;

use crate::interpolate::TemplateError;

/// Why a stream can't go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    System,
    Config,
    Transient,
    /// The listing leads in a circle, or has no end: a system's error for whoever is told.
    Endless,
}

impl FailureKind {
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "system_error" => Some(Self::System),
            "config_error" => Some(Self::Config),
            "transient_error" => Some(Self::Transient),
            _ => None,
        }
    }

    /// As the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System | Self::Endless => "system_error",
            Self::Config => "config_error",
            Self::Transient => "transient_error",
        }
    }
}

impl Failure {
    pub fn system(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::System, message: message.into() }
    }

    pub fn endless(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Endless, message: message.into() }
    }

    pub fn config(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Config, message: message.into() }
    }

    pub fn transient(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Transient, message: message.into() }
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        let kind = match error {
            TemplateError::StreamState { .. } => FailureKind::Config,
            _ => FailureKind::System,
        };
        Self { kind, message: error.to_string() }
    }
}

macro_rules! system_failures {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::system(error.to_string())
            }
        }
    )*};
}
system_failures!(
    crate::datetime::DatetimeError,
    crate::decode::DecodeError,
    crate::extract::ExtractError,
    crate::transform::TransformError
);
