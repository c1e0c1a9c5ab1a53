//! The seam between the pipeline and whatever knows a source's API. A connector makes requests and reads
//! answers, and sends nothing itself. Compiled once per configuration.
//!
//! The flow of a stream: `begin` gives the first position; a session is opened at a position and stepped, until
//! it gives a page or another position. Positions and cursors are the connector's own JSON: poll stores them and
//! hands them back. Transform gets the records of a stored page with `records`, with the position that it was
//! asked at.
//!
//! Always holds: what is not in a page (tokens) is in no position either, and lives as long as the session.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::entropy::Entropy;
use super::upstream::{Request, Response};
use crate::domain::raw::RawFrom;
use crate::domain::{Millis, Mode, Raw, Secret, StreamName};

pub trait Connector: Send + Sync {
    /// The streams that it has; some connectors have others besides, which only the source can tell.
    fn streams(&self) -> Vec<StreamName>;

    /// Whether the source itself may describe streams that are not in `streams`.
    fn describes_more(&self) -> bool {
        false
    }

    /// The folder of the host's own machine that it reads, for hosts that can watch one.
    fn folder(&self) -> Option<&str> {
        None
    }

    /// Whether the stream can ask for what changed since a cursor. If not, an incremental run skips it.
    fn incremental(&self, stream: &StreamName) -> bool;

    /// Where a listing starts. `cursor` is what the last complete one left; `None` for a full run.
    fn begin(
        &self,
        stream: &StreamName,
        mode: Mode,
        cursor: Option<&Value>,
        now: Millis,
    ) -> Result<Value, ConnectorError>;

    /// What reads the source's streams, one after the other, for as long as one call works.
    fn session(&self, entropy: Arc<dyn Entropy>) -> Result<Box<dyn Session>, ConnectorError>;

    /// How many streams may be read at the same time, each by a session of its own.
    fn concurrency(&self) -> usize {
        1
    }

    /// Streams that must not be read at the same time, by group.
    fn apart(&self) -> Vec<Vec<StreamName>> {
        Vec::new()
    }

    /// The records of a page that a session gave, asked for at `position`.
    fn records(&self, stream: &StreamName, position: &Value, page: &[Response]) -> Result<Vec<Taken>, ConnectorError>;
}

/// A record of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Or why it can't be read: it alone is rejected then, and not its page.
    pub record: Result<Value, String>,
    /// By its own cursor it is older than what the listing before had come to.
    pub late: bool,
}

impl From<Result<Value, String>> for Taken {
    fn from(record: Result<Value, String>) -> Self {
        Self { record, late: false }
    }
}

/// Reads one stream at a time. Keeps tokens and answers that several requests need, in memory alone.
pub trait Session: Send {
    /// One more for another stream, with the same tokens and rates; `None` where streams are read one after the other.
    fn another(&self) -> Option<Box<dyn Session>> {
        None
    }

    /// Goes to a position of a stream; whatever was open before is left.
    fn open(&mut self, stream: &StreamName, position: &Value) -> Result<(), ConnectorError>;

    /// What comes next. The same request again, for as long as it has no answer.
    fn step(&mut self, now: Millis) -> Result<Step, ConnectorError>;

    /// Takes an answer of any status to the request that the last step asked for.
    fn answer(&mut self, now: Millis, response: Response) -> Result<(), ConnectorError>;
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// To be sent. Its answer is for the session; what of it is to be stored comes back as a page.
    Ask(Request),
    /// A page, all of it.
    Page { answers: Vec<Answered>, next: Next },
    /// The listing is complete, and no page is left of it. As [`Next::End`].
    End { cursor: Option<Value> },
    /// Something that is no page was done; from here on it need not be done again.
    Moved(Value),
    /// Time has to pass before the next step.
    Wait { wait: Duration, why: Waiting },
    /// Asking on will not help now; another time it may. `quota`: the source counts our requests.
    Exhausted { quota: bool, why: String },
    /// The last answer leads nowhere. Opened at the position again, the source may give another one.
    Misled { why: String },
    /// Asking again will not help.
    Refused { why: String },
}

/// An answer that is part of a page, and what was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    pub method: String,
    /// Without secrets.
    pub url: String,
    pub asked: Millis,
    pub response: Response,
    /// Whether the same body would mean the same page. Not where a list ends because its headers name no next page:
    /// those may come to name one while the body stays.
    pub by_body: bool,
}

/// The answers that a stored page is made of.
#[must_use]
pub fn answers_of(raw: &Raw) -> Vec<Response> {
    let RawFrom::Page { status, parts, .. } = &raw.head.from else { return Vec::new() };
    let mut out = Vec::with_capacity(parts.len() + 1);
    let mut from = 0;
    for part in parts {
        let end = (from + part.bytes).min(raw.body.len());
        out.push(Response { status: part.status, headers: part.headers.clone(), body: raw.body.slice(from..end) });
        from = end;
    }
    out.push(Response { status: *status, headers: raw.head.headers.clone(), body: raw.body.slice(from..) });
    out
}

#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Page(Value),
    /// The listing is complete. `cursor` is where the next incremental run starts.
    End {
        cursor: Option<Value>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The source counts our requests.
    Quota(String),
    /// The source is ill.
    Ill(String),
    /// The source is at work, or the manifest spaces its requests.
    Busy,
}

/// Compiles connectors: manifest text and resolved configuration in, connector out.
pub trait Connectors: Send + Sync {
    fn compile(&self, manifest: &str, config: &ConnectorConfig) -> Result<Arc<dyn Connector>, ConnectorError>;
}

/// The `config` block of a source with its secrets filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectorConfig {
    pub plain: Value,
    /// Values of `plain`'s members that are secrets, by member name; their place in `plain` is missing.
    pub secrets: std::collections::BTreeMap<String, Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// The manifest or its configuration is wrong; each message names the place and the remedy.
    #[error("{}", .0.join("\n"))]
    Manifest(Vec<String>),
    #[error("the connector has no stream '{0}'")]
    NoStream(StreamName),
    /// The body is not what the manifest says it is.
    #[error("{0}")]
    Body(String),
}
