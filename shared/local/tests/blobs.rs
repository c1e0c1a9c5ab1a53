//! Local blobs, rows and files alike, keep the contract.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::Arc;

use async_trait::async_trait;
use teal_conformance::suites::blobs::{BlobStore, BlobsHarness};
use teal_local::blobs::LocalBlobs;
use teal_local::clock::SystemClock;
use teal_local::inbox::{Inbox, InboxOptions};
use teal_local::sqlite::Synchronous;

struct Directory(tempfile::TempDir);

impl Directory {
    fn open(&self) -> Arc<dyn BlobStore> {
        let options = InboxOptions { synchronous: Synchronous::Off, ..InboxOptions::default() };
        let inbox = Inbox::open(self.0.path(), Arc::new(SystemClock), options).unwrap();
        Arc::new(LocalBlobs::open(self.0.path(), inbox).unwrap())
    }
}

#[async_trait]
impl BlobsHarness for Directory {
    async fn fresh(&self) -> Arc<dyn BlobStore> {
        assert!(std::fs::read_dir(self.0.path()).unwrap().next().is_none(), "a suite asks once for a fresh store");
        self.open()
    }

    async fn again(&self) -> Arc<dyn BlobStore> {
        self.open()
    }
}

teal_conformance::blobs_suite!(Directory(tempfile::tempdir().unwrap()));
