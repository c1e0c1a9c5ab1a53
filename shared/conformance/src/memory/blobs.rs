//! Objects in a sorted map.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use teal::ports::blobs::{Put, check_key};
use teal::ports::{BlobAdmin, BlobError, BlobReader, BlobWriter};

use super::lock;
use super::observer::{Observer, Told};

#[derive(Debug, Default)]
pub struct MemoryBlobs {
    objects: Mutex<BTreeMap<String, Bytes>>,
    told: Told,
}

impl MemoryBlobs {
    /// Tells the observer of every change from now on, for as long as somebody else keeps it.
    pub fn observe(&self, observer: &Weak<dyn Observer>) {
        self.told.set(observer.clone());
    }
}

#[async_trait]
impl BlobReader for MemoryBlobs {
    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        lock(&self.objects).get(key).cloned().ok_or_else(|| BlobError::Missing(key.to_owned()))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, BlobError> {
        let start = after.map_or(Bound::Included(prefix), |after| {
            if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) }
        });
        Ok(lock(&self.objects)
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
        {
            let mut objects = lock(&self.objects);
            if objects.contains_key(key) {
                return Ok(Put::WasThere);
            }
            objects.insert(key.to_owned(), bytes.clone());
        }
        self.told.tell(|observer| observer.stored(key, &bytes));
        Ok(Put::Stored)
    }
}

#[async_trait]
impl BlobAdmin for MemoryBlobs {
    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        if lock(&self.objects).remove(key).is_some() {
            self.told.tell(|observer| observer.deleted(key));
        }
        Ok(())
    }
}
