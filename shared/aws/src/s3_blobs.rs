//! Blobs on S3: an object a key, in one bucket.
//!
//! Always holds: a put is conditional on there being no object, so the first one wins; its SHA-256 goes along, and
//! S3 keeps nothing else. A put whose answer was lost, and which the SDK repeats, is told `WasThere`.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use teal::ports::blobs::{Put, check_key};
use teal::ports::fault::FaultKind;
use teal::ports::{BlobAdmin, BlobError, BlobReader, BlobStore, BlobWriter, Elsewhere, Fault};

use crate::AwsClients;
use crate::fault::{fault, passes};

/// Keys in one answer to a listing.
const MOST_LISTED: usize = 1000;

pub struct S3Blobs {
    clients: Arc<AwsClients>,
    bucket: String,
}

impl S3Blobs {
    pub fn new(clients: Arc<AwsClients>, bucket: impl Into<String>) -> Self {
        Self { clients, bucket: bucket.into() }
    }

    fn object(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

/// Other buckets, by name, or by `region/name` where they are in another region.
pub struct Buckets(Arc<AwsClients>);

impl Buckets {
    #[must_use]
    pub fn new(clients: Arc<AwsClients>) -> Self {
        Self(clients)
    }
}

#[async_trait]
impl Elsewhere for Buckets {
    async fn open(&self, name: &str) -> Result<Arc<dyn BlobStore>, Fault> {
        Ok(Arc::new(match name.split_once('/') {
            Some((region, bucket)) => S3Blobs::new(self.0.in_region(region), bucket),
            None => S3Blobs::new(self.0.clone(), name),
        }))
    }
}

#[async_trait]
impl BlobReader for S3Blobs {
    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        check_key(key)?;
        let trouble = |error| match error {
            GetError::Missing => BlobError::Missing(key.to_owned()),
            GetError::Fault(fault) => fault.into(),
        };
        self.read(key).await.map_err(trouble)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, BlobError> {
        let mut found: Vec<String> = Vec::new();
        let mut after = after.map(str::to_owned);
        while found.len() < limit {
            let wanted = (limit - found.len()).min(MOST_LISTED);
            let request = self
                .clients
                .s3()
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_start_after(after.take())
                .max_keys(i32::try_from(wanted).unwrap_or(i32::MAX));
            let page = request.send().await.map_err(|error| fault(error, "s3:ListBucket", &self.object(prefix)))?;
            let more = page.is_truncated == Some(true);
            found.extend(page.contents.into_iter().flatten().filter_map(|object| object.key));
            if !more {
                break;
            }
            after = found.last().cloned();
        }
        found.truncate(limit);
        Ok(found)
    }
}

enum GetError {
    Missing,
    Fault(Fault),
}

impl S3Blobs {
    async fn read(&self, key: &str) -> Result<Bytes, GetError> {
        let mut trying = self.clients.patience.begin();
        loop {
            let sent = self.clients.s3().get_object().bucket(&self.bucket).key(key).send().await;
            let body = match sent {
                Ok(answer) => answer.body.collect().await,
                Err(error) if matches!(error.as_service_error(), Some(GetObjectError::NoSuchKey(_))) => {
                    return Err(GetError::Missing);
                }
                Err(error) => return Err(GetError::Fault(fault(error, "s3:GetObject", &self.object(key)))),
            };
            // The SDK's attempts end with the answer's head; its body can still break off.
            match body {
                Ok(body) => return Ok(body.into_bytes()),
                Err(_) if trying.again(&*self.clients.clock, &*self.clients.entropy).await => {}
                Err(error) => {
                    let what = format!("{}: the object's bytes broke off", self.object(key));
                    return Err(GetError::Fault(Fault::new(FaultKind::Transient, what).because(error)));
                }
            }
        }
    }
}

#[async_trait]
impl BlobWriter for S3Blobs {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, BlobError> {
        check_key(key)?;
        let mut trying = self.clients.patience.begin();
        loop {
            let request = self.clients.s3().put_object().bucket(&self.bucket).key(key).if_none_match("*");
            let request = request.checksum_algorithm(ChecksumAlgorithm::Sha256);
            let Err(error) = request.body(ByteStream::from(bytes.clone())).send().await else {
                return Ok(Put::Stored);
            };
            match error.code() {
                Some("PreconditionFailed") => return Ok(Put::WasThere),
                // Two puts at once: one of them will be there in a moment.
                Some(code) if passes(code) && trying.again(&*self.clients.clock, &*self.clients.entropy).await => {}
                _ => return Err(fault(error, "s3:PutObject", &self.object(key)).into()),
            }
        }
    }
}

#[async_trait]
impl BlobAdmin for S3Blobs {
    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        check_key(key)?;
        let request = self.clients.s3().delete_object().bucket(&self.bucket).key(key);
        request.send().await.map_err(|error| fault(error, "s3:DeleteObject", &self.object(key)))?;
        Ok(())
    }
}
