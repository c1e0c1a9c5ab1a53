//! What is set off again and again, where the host does not tick by itself: a system's schedules by name.

use async_trait::async_trait;
use serde_json::Value;

use super::fault::Fault;

#[derive(Clone, Debug, PartialEq)]
pub struct NamedSchedule {
    /// Unique within a system: letters, digits, `-`, `_` and `.`, at most 64.
    pub name: String,
    /// In EventBridge's syntax: `rate(1 hour)`, `cron(0 3 * * ? *)`.
    pub expression: String,
    /// An IANA name.
    pub zone: String,
    /// What the function that it sets off is told.
    pub input: Value,
    /// Kept, and sets nothing off.
    pub paused: bool,
}

#[async_trait]
pub trait Schedules: Send + Sync {
    /// Every schedule of the system, by name.
    async fn list(&self) -> Result<Vec<NamedSchedule>, Fault>;

    /// Makes it, or changes it to be so.
    async fn put(&self, schedule: &NamedSchedule) -> Result<(), Fault>;

    /// Deleting what is not there is no error.
    async fn delete(&self, name: &str) -> Result<(), Fault>;
}
