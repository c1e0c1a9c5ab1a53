//! What could not be applied, and why: nothing vanishes (P10).
//!
//! A reject names the raw object, so that it can be read, the mapping fixed and the raw replayed.

use serde::{Deserialize, Serialize};

use super::names::{ConfigHash, EntityName, RunId, SourceId, StreamName};
use super::raw::RawKey;
use super::time::Millis;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    pub source: SourceId,
    pub stream: StreamName,
    /// `None` when the record could not be read at all.
    pub entity: Option<EntityName>,
    /// The record's or row's key as shown to people, where it has one.
    pub key: Option<String>,
    /// Position of the record in its raw object.
    pub record: u32,
    pub reason: RejectReason,
    pub raw: RawKey,
    /// Whose mapping rejected it.
    pub config: ConfigHash,
    pub run: Option<RunId>,
    pub at: Millis,
}

/// Stable codes; each has a page under docs/errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectReason {
    /// Such as `TEAL-R001`.
    pub code: String,
    /// The field at fault, where it is one field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// In words, with what was found and what was expected. Never a secret.
    pub message: String,
}
