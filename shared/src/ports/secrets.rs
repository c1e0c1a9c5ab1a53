//! Secrets by name. Adapters may cache; callers must not.

use async_trait::async_trait;

use super::fault::Fault;
use crate::domain::Secret;

#[async_trait]
pub trait Secrets: Send + Sync {
    /// `None` when there is no secret of this name.
    async fn get(&self, name: &str) -> Result<Option<Secret>, Fault>;
}

/// For stages that ask no source and check no delivery: their connectors only read stored answers, and every
/// secret is there, and empty. What they are not given they can't give away.
pub struct EmptySecrets;

#[async_trait]
impl Secrets for EmptySecrets {
    async fn get(&self, _: &str) -> Result<Option<Secret>, Fault> {
        Ok(Some(Secret::new("")))
    }
}
