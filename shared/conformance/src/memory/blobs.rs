//! Objects in a sorted map.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use teal::ports::blobs::Put;
use teal::ports::fault::FaultKind;
use teal::ports::{BlobAdmin, BlobError, BlobReader, BlobWriter, Fault};

use super::lock;

const LONGEST_KEY: usize = 900;

#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<String, Bytes>>);

#[async_trait]
impl BlobReader for MemoryBlobs {
    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        lock(&self.0).get(key).cloned().ok_or_else(|| BlobError::Missing(key.to_owned()))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, BlobError> {
        let start = after.map_or(Bound::Included(prefix), |after| {
            if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) }
        });
        Ok(lock(&self.0)
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .take(limit)
            .cloned()
            .collect())
    }
}

#[async_trait]
impl BlobWriter for MemoryBlobs {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, BlobError> {
        check_key(key)?;
        let mut objects = lock(&self.0);
        if objects.contains_key(key) {
            return Ok(Put::WasThere);
        }
        objects.insert(key.to_owned(), bytes);
        Ok(Put::Stored)
    }
}

#[async_trait]
impl BlobAdmin for MemoryBlobs {
    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        lock(&self.0).remove(key);
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), Fault> {
    let printable = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let parts = key.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if printable && parts && key.len() <= LONGEST_KEY {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::Permanent,
        format!(
            "{key:?} is no key of an object: use at most {LONGEST_KEY} printable ASCII bytes, parts between '/', \
             none of them empty, '.' or '..'"
        ),
    ))
}
