//! A raw object: the bytes as they came, with where, when and how they were asked for.
//!
//! Always holds: immutable once stored; no secret inside (request headers are stored by name only); the
//! key carries the page slot's or delivery's identity, so equal bodies never collapse into one.
//!
//! Layout of keys:
//!
//! ```text
//! raw/{tenant}/{account}/{source}/run/{run}/{stream}/{slot:08}-{nonce}
//! raw/{tenant}/{account}/{source}/hook/{delivery}
//! ```

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::names::{RunId, SourceId, StreamName};
use super::time::Millis;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawKey(pub String);

impl RawKey {
    #[must_use]
    pub fn page(source: &SourceId, run: &RunId, stream: &StreamName, slot: u64, nonce: u64) -> Self {
        Self(format!("raw/{source}/run/{run}/{stream}/{slot:08}-{nonce:016x}"))
    }

    /// Whether it is a page that this run fetched.
    #[must_use]
    pub fn is_page_of(&self, source: &SourceId, run: &RunId) -> bool {
        self.0.starts_with(&format!("raw/{source}/run/{run}/"))
    }

    #[must_use]
    pub fn delivery(source: &SourceId, delivery: &str) -> Self {
        Self(format!("raw/{source}/hook/{delivery}"))
    }
}

impl fmt::Display for RawKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Stored as one line of JSON (the head), a newline, and the body's bytes as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    pub head: RawHead,
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawHead {
    pub source: SourceId,
    /// When the request was sent, or the time that the delivery itself states.
    pub stated: Millis,
    pub from: RawFrom,
    /// Headers of the answer or the delivery, names in lower case, secret ones left out.
    pub headers: Vec<(String, String)>,
    /// SHA-256 of the body, in hex.
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RawFrom {
    Page {
        stream: StreamName,
        slot: u64,
        /// The connector's own position, with which it reads its records out of the body again.
        position: serde_json::Value,
        method: String,
        url: String,
        status: u16,
        /// Answers that belong to the page as well, and whose bodies come before its own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<Part>,
    },
    Delivery {
        id: String,
        received: Millis,
        /// Whether `stated` comes from the sender. If not, the delivery may only trigger a fetch.
        timed: bool,
        /// The delivery that it was one event of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<RawKey>,
    },
    /// An object that was fetched because a delivery was about it.
    Object {
        /// Which one, and when: what its key is made of.
        id: String,
        stream: StreamName,
        /// Path in the body to the record.
        record: String,
        /// The record's key: the source does not have the object, so that it is deleted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gone: Option<serde_json::Value>,
    },
    /// Rows of another installation, as lines of its export: there are no records of a source behind them.
    Rows { stream: StreamName },
}

/// One of several answers that a page is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub bytes: usize,
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Raw {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.body.len() + 1024);
        serde_json::to_writer(&mut out, &self.head).expect("a raw head has only string keys");
        out.push(b'\n');
        out.extend_from_slice(&self.body);
        out.into()
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, BadRaw> {
        let end = bytes.iter().position(|b| *b == b'\n').ok_or(BadRaw::NoHead)?;
        let head = serde_json::from_slice(&bytes[..end])?;
        Ok(Self { head, body: bytes.slice(end + 1..) })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BadRaw {
    #[error("the raw object has no head line; it was not written by Teal or was cut short")]
    NoHead,
    #[error("the raw object's head can't be read: {0}")]
    Head(#[from] serde_json::Error),
}
