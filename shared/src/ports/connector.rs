//! The seam between the pipeline and whatever knows a source's API. Pure: a connector makes requests and
//! reads answers, and sends nothing itself. Compiled once per configuration.
//!
//! The flow of a stream: `begin` gives the first position, `request` the request for a position, `read`
//! judges the answer and says where to go next. Positions and cursors are the connector's own JSON: poll
//! stores them and hands them back. Transform gets the records of a stored answer with `records`, with the
//! position that it was asked at.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::upstream::{Request, Response};
use crate::domain::{Millis, Mode, Secret, StreamName};

pub trait Connector: Send + Sync {
    fn streams(&self) -> Vec<StreamName>;

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

    fn request(&self, stream: &StreamName, position: &Value) -> Result<Request, ConnectorError>;

    /// Judges an answer of any status.
    fn read(&self, stream: &StreamName, position: &Value, response: &Response) -> Answer;

    /// The records in the body of an answer that `read` called a page.
    fn records(&self, stream: &StreamName, position: &Value, body: &Bytes) -> Result<Vec<Value>, ConnectorError>;
}

/// What an answer means for the listing.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Page {
        next: Next,
    },
    /// Asking again later may help: `after` is the source's own word where it gave one. `quota` says that
    /// the source counts our requests, rather than being ill.
    Retry {
        after: Option<RetryAfter>,
        quota: bool,
        why: String,
    },
    /// Asking again will not help.
    Refused {
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Page(Value),
    /// The listing is complete. `cursor` is where the next incremental run starts.
    End {
        cursor: Option<Value>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    Seconds(u64),
    At(Millis),
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
