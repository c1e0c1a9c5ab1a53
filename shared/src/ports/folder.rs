//! How a folder of the host's own machine is asked through [`super::Upstream`], as if it were a source on the net.
//!
//! A request's URL is [`SCHEME`] and the folder, and its method [`LIST`] or [`READ`]. Connector manifests can say
//! neither method, so that one of somebody else's reads no file.

use serde::{Deserialize, Serialize};

pub const SCHEME: &str = "folder:";
/// The files behind the path in [`AFTER`], in the order of their paths, as a [`Listed`].
pub const LIST: &str = "LIST";
/// The bytes of the file in [`PATH`]; 404 when it is gone.
pub const READ: &str = "READ";

pub const AFTER: &str = "after";
/// Milliseconds of the epoch: only files that changed at that time or later.
pub const SINCE: &str = "since";
pub const PATH: &str = "path";
/// Of an answer: when the file was last written, RFC 3339.
pub const MODIFIED: &str = "modified";
/// Of an answer: why the file can't be read, in words.
pub const PROBLEM: &str = "problem";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub files: Vec<Entry>,
    /// Whether there are others behind the last one.
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From the folder, with `/` between its parts.
    pub path: String,
    /// Why there is no use in reading it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
