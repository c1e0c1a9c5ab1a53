//! Whole objects by key: raw answers, deliveries, configurations.
//!
//! Always holds: an object that was put is durable before `put` returns, and never changes; readers see it
//! at once. Keys are printable ASCII of at most 900 bytes with `/` between their parts, no part `.` or `..`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::fault::{Fault, FaultKind};

const LONGEST_KEY: usize = 900;

/// Refuses, as every adapter must, what is no key.
pub fn check_key(key: &str) -> Result<(), Fault> {
    let printable = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let parts = key.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if printable && parts && key.len() <= LONGEST_KEY {
        return Ok(());
    }
    let what = format!(
        "'{}' is no key of an object: use at most {LONGEST_KEY} printable ASCII bytes, parts between '/', none of \
         them empty, '.' or '..'",
        key.escape_debug()
    );
    Err(Fault::new(FaultKind::Permanent, what))
}

#[async_trait]
pub trait BlobReader: Send + Sync {
    async fn get(&self, key: &str) -> Result<Bytes, BlobError>;

    /// Keys that start with `prefix`, in byte order, after `after` (exclusive), at most `limit`.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, BlobError>;
}

#[async_trait]
pub trait BlobWriter: Send + Sync {
    /// Puts the object unless one of that key is there; says which. The first put wins.
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, BlobError>;
}

#[async_trait]
pub trait BlobAdmin: Send + Sync {
    /// Deleting what is not there is no error.
    async fn delete(&self, key: &str) -> Result<(), BlobError>;
}

/// All roles together.
pub trait BlobStore: BlobReader + BlobWriter + BlobAdmin {}

impl<S: BlobReader + BlobWriter + BlobAdmin + ?Sized> BlobStore for S {}

/// Opens stores beside the system's own, for second copies of backups.
#[async_trait]
pub trait Elsewhere: Send + Sync {
    /// `name` is what `backups.second` in `teal.yaml` says: a folder, or a bucket. Asking again is cheap.
    async fn open(&self, name: &str) -> Result<Arc<dyn BlobStore>, Fault>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Stored,
    WasThere,
}

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("there is no object '{0}'")]
    Missing(String),
    #[error(transparent)]
    Fault(#[from] Fault),
}
