//! Where readers are, as JSON that can be stored and taken up again.
//!
//! Always holds: no record, no token and no configuration is in a position.

use crate::value::{Map, Value};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cursor::partitioned::Partitioned;
use crate::cursor::{Intervals, Point};
use crate::paginate::Rounds;
use crate::partition::{Partition, RouterPosition};

/// A stream between two slices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReaderPosition {
    pub started: Timestamp,
    pub origin: Option<Point>,
    pub progress: CursorProgress,
    pub router: RouterPosition,
    /// The partition whose windows are being read, and how many of them were begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Current>,
    #[serde(default)]
    pub is_done: bool,
    #[serde(default)]
    pub is_finished: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Current {
    pub partition: Partition,
    pub intervals: Intervals,
    pub next: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cursor", rename_all = "snake_case")]
pub enum CursorProgress {
    None,
    Single { intervals: Intervals },
    Partitioned { partitioned: Box<Partitioned> },
}

/// A slice between two pages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlicePosition {
    pub partition: Partition,
    pub cursor: Map,
    /// Windows that are left of one that was split, the next one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<(Map, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowed: Option<Map>,
    #[serde(default)]
    pub depth: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Value>,
    #[serde(default)]
    pub begun: bool,
    #[serde(default)]
    pub finished: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Point>,
    #[serde(default)]
    pub rounds: Rounds,
    #[serde(default)]
    pub sizes: Sizes,
    #[serde(default)]
    pub resets: Resets,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest: Option<Point>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Box<super::jobs::Job>>,
}

/// Page sizes that were asked for in place of the manifest's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<i64>,
    pub attempts: u32,
    pub at_least: u32,
}

/// Paginations that began anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resets {
    pub records: u64,
    pub same: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Point>,
}
