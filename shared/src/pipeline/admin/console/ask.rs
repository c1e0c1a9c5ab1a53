//! One question: who asks, and what it says. Reads parameters and bodies strictly, so that a typing mistake
//! is an error and not a default.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::Bundle;
use crate::config::problem::nearest;
use crate::domain::{Mode, Version};
use crate::pipeline::admin::RejectFilter;
use crate::pipeline::api::{Code, Problem, Query};
use crate::pipeline::caller::Caller;

pub(super) struct Ask<'a> {
    pub caller: &'a Caller,
    pub method: &'a str,
    pub query: &'a Query,
    pub body: Bytes,
}

impl Ask<'_> {
    pub fn must_be(&self, method: &'static str) -> Result<(), Problem> {
        if self.method == method {
            return Ok(());
        }
        let detail = format!("use {method} here, not {}", self.method);
        Err(Problem::new(Code::Method, detail).with("allow", method))
    }

    /// An action's body; nothing at all is the same as an empty object.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.must_be("POST")?;
        self.known(&[])?;
        let body: &[u8] = if self.body.trim_ascii().is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body).map_err(|error| Problem::new(Code::Body, format!("the body is wrong: {error}")))
    }

    /// A question with these parameters and no others.
    pub fn reads(&self, known: &[&str]) -> Result<(), Problem> {
        self.must_be("GET")?;
        self.known(known)
    }

    fn known(&self, known: &[&str]) -> Result<(), Problem> {
        for (name, _) in self.query {
            if !known.contains(&name.as_str()) {
                let help = match (nearest(name, known.iter().copied()), known) {
                    (Some(meant), _) => format!("did you mean '{meant}'?"),
                    (None, []) => "it takes none".to_owned(),
                    (None, known) => format!("it takes {}", known.join(", ")),
                };
                return Err(wrong(format!("there is no parameter '{name}' here; {help}")));
            }
        }
        Ok(())
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    pub fn number(&self, name: &str) -> Result<Option<usize>, Problem> {
        self.text(name)
            .map(|text| text.parse().map_err(|_| wrong(format!("'{name}' must be a number, not '{text}'"))))
            .transpose()
    }

    /// `3` or `v3`.
    pub fn version(&self, name: &str) -> Result<Option<Version>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let digits = text.strip_prefix('v').unwrap_or(&text);
        let number =
            digits.parse().map_err(|_| wrong(format!("'{name}' must be a version such as v3, not '{text}'")))?;
        Ok(Some(Version(number)))
    }
}

pub(super) fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Parameter, detail)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SyncAsk {
    pub source: Option<String>,
    /// Incremental where the source can, else full.
    pub mode: Option<Mode>,
    /// Whether a build that verifies becomes active by itself. Yes, if not said.
    pub switch: Option<bool>,
    pub force: bool,
    /// Join a run of this source that has not ended, instead of waiting for it. For a caller that knows that
    /// it was cut off, and that upkeep has woken it.
    pub resume: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RebuildAsk {
    /// Not, if not said: a changed mapping is looked at first.
    pub switch: bool,
    pub force: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SwitchAsk {
    pub version: Version,
    #[serde(default)]
    pub force: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RollbackAsk {
    /// The one that was active before, if not said.
    pub version: Option<Version>,
    pub as_was: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CandidateAsk {
    pub source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DropAsk {
    pub version: Version,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeployAsk {
    pub bundle: Bundle,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RejectsAsk {
    pub id: Option<String>,
    pub entity: Option<String>,
    pub source: Option<String>,
    pub code: Option<String>,
    pub run: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeliveriesAsk {
    pub id: Option<String>,
    pub source: Option<String>,
    pub state: Option<String>,
    pub since: Option<String>,
    pub until: Option<String>,
}

impl From<RejectsAsk> for RejectFilter {
    fn from(ask: RejectsAsk) -> Self {
        Self { id: ask.id, entity: ask.entity, source: ask.source, code: ask.code, run: ask.run }
    }
}
