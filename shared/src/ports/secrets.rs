//! Secrets by name. Adapters may cache; callers must not.

use async_trait::async_trait;

use super::fault::Fault;
use crate::domain::Secret;

#[async_trait]
pub trait Secrets: Send + Sync {
    /// `None` when there is no secret of this name.
    async fn get(&self, name: &str) -> Result<Option<Secret>, Fault>;
}
