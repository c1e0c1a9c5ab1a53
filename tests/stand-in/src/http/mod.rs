//! What every stand-in shares: a desk with a key, a request limit, faults and counters around a [`Source`]
//! that knows the answers, and an HTTP server in front of it.
//!
//! Always holds: a request is counted before anything else can happen to it; a control request (`/control/…`)
//! needs no key, is never limited or faulted, and is not counted.

mod connection;
mod counters;
mod desk;
mod faults;
mod server;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Method;
use serde_json::Value;

pub use counters::{Counters, Counts, PageCount};
pub use desk::{Answered, Arrives, Desk, DeskOptions};
pub use faults::{Distortion, Fault, FaultRule, Faults, RetryHint};
pub use server::Server;
pub use webhook::{Webhook, post};

/// Milliseconds since 1970, from wherever a test wants them.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
#[must_use]
pub fn real_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => format!("{millis} ms"),
    }
}

/// What a source is asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// The whole `Authorization`.
    pub authorization: Option<String>,
    pub body: Bytes,
}

/// Which listing and which of its pages a request is for: what faults and counters go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    pub endpoint: &'static str,
    /// From 1, whatever the pagination.
    pub page: u64,
    /// Whether only changes were asked for.
    pub incremental: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

impl Reply {
    #[must_use]
    pub fn ok(body: Value) -> Self {
        Self { status: 200, headers: Vec::new(), body }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        Self { status, ..Self::ok(serde_json::json!({ "error": { "message": message.into() } })) }
    }
}

/// One API: its listings, and the changes that people and tests command.
pub trait Source: Send + Sync + 'static {
    /// `None` when nothing lives at the path.
    fn spot(&self, asked: &Asked) -> Option<Spot>;

    /// Why the request is refused, if its credentials are not right; `key` is the one that is.
    fn refuse(&self, asked: &Asked, key: &str) -> Option<Reply> {
        let given = asked.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
        (given != Some(key)).then(|| Reply::error(401, "a valid API key is required: Authorization: Bearer KEY"))
    }

    /// Whether what lives at the path is asked with this method.
    fn takes(&self, asked: &Asked) -> bool {
        asked.method == Method::GET
    }

    /// The answer, bent by `distortion` if that is given.
    fn answer(&self, asked: &Asked, spot: &Spot, distortion: Option<Distortion>) -> Reply;

    /// A command at `/control/{name}`; `None` when the source has none of this name.
    fn control(&self, name: &str, body: &Value) -> Option<Reply>;
}
