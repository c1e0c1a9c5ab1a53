//! What the process ends with, so that scripts can tell the cases apart.

use std::process::ExitCode;

use serde_json::Value as Json;

use teal_local::lock::LockError;

use crate::client::Refusal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Complete,
    Error,
    Usage,
    Partial,
    Refused,
    Busy,
    Interrupted,
}

/// Somebody pressed Ctrl-C. The text says how to go on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Interrupted(pub String);

impl Exit {
    #[cfg(test)]
    pub const ALL: [Self; 7] =
        [Self::Complete, Self::Error, Self::Usage, Self::Partial, Self::Refused, Self::Busy, Self::Interrupted];

    pub fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Refused => 4,
            Self::Busy => 5,
            Self::Interrupted => 130,
        }
    }

    /// How a run ended, as `GET /runs/{id}` tells it. One that has not ended waits for a quota.
    pub fn of_run(run: &Json) -> Self {
        match run["outcome"].as_str() {
            Some("complete" | "complete-empty") => Self::Complete,
            Some("failed") if run["verdict"]["blocked"].as_array().is_some_and(|why| !why.is_empty()) => Self::Refused,
            Some("failed") => Self::Error,
            _ => Self::Partial,
        }
    }

    pub fn of_error(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if cause.is::<Interrupted>() {
                return Self::Interrupted;
            }
            if let Some(refusal) = cause.downcast_ref::<Refusal>() {
                return match refusal.code.as_str() {
                    "TEAL-A001" => Self::Busy,
                    "TEAL-A002" => Self::Refused,
                    _ => Self::Error,
                };
            }
            if matches!(cause.downcast_ref::<LockError>(), Some(LockError::Held { .. })) {
                return Self::Busy;
            }
        }
        Self::Error
    }

    /// Of several, the one that needs most attention: an error before a refusal, a refusal before a part.
    pub fn worse(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Complete => 0,
            Self::Partial => 1,
            Self::Busy => 2,
            Self::Refused => 3,
            Self::Usage | Self::Error => 4,
            Self::Interrupted => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_runs_outcome_is_an_exit_code() {
        let of = |outcome: Json| Exit::of_run(&json!({ "outcome": outcome })).code();
        assert_eq!(of(json!("complete")), 0);
        assert_eq!(of(json!("complete-empty")), 0);
        assert_eq!(of(json!("partial-quota")), 3);
        assert_eq!(of(json!("partial-error")), 3);
        assert_eq!(of(json!("failed")), 1);
        assert_eq!(of(Json::Null), 3, "a run that waits is not complete");
        let guarded = json!({ "outcome": "failed", "verdict": { "blocked": ["talents would shrink"] } });
        assert_eq!(Exit::of_run(&guarded).code(), 4);
    }

    #[test]
    fn an_errors_kind_is_an_exit_code_whatever_was_said_around_it() {
        let refused = |code: &str| {
            let refusal = Refusal { status: 409, code: code.to_owned(), detail: "no".to_owned() };
            Exit::of_error(&Err::<(), _>(refusal).context("around").unwrap_err()).code()
        };
        assert_eq!(refused("TEAL-A001"), 5);
        assert_eq!(refused("TEAL-A002"), 4);
        assert_eq!(refused("TEAL-A008"), 1);
        let held = LockError::Held { dir: ".teal".into(), holder: "process 7".to_owned() };
        assert_eq!(Exit::of_error(&held.into()).code(), 5);
        assert_eq!(Exit::of_error(&Interrupted("stopped".to_owned()).into()).code(), 130);
        assert_eq!(Exit::of_error(&anyhow::anyhow!("anything")).code(), 1);
    }

    #[test]
    fn of_several_the_worst_counts() {
        assert_eq!(Exit::Complete.worse(Exit::Partial), Exit::Partial);
        assert_eq!(Exit::Error.worse(Exit::Complete), Exit::Error);
        assert_eq!(Exit::Refused.worse(Exit::Partial), Exit::Refused);
    }
}
