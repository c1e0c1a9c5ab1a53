//! Secrets that a test made up.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use teal::domain::Secret;
use teal::ports::{Fault, Secrets};

use super::lock;

#[derive(Debug, Default)]
pub struct MemorySecrets(Mutex<BTreeMap<String, Secret>>);

impl MemorySecrets {
    pub fn set(&self, name: impl Into<String>, value: impl Into<String>) {
        lock(&self.0).insert(name.into(), Secret::new(value));
    }
}

#[async_trait]
impl Secrets for MemorySecrets {
    async fn get(&self, name: &str) -> Result<Option<Secret>, Fault> {
        Ok(lock(&self.0).get(name).cloned())
    }
}
