//! Blobs in a folder of their own keep the contract, as far as names of files go.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::Arc;

use async_trait::async_trait;
use teal_conformance::suites::blobs::{self, BlobStore, BlobsHarness};
use teal_local::blobs::FolderBlobs;

struct Directory(tempfile::TempDir);

#[async_trait]
impl BlobsHarness for Directory {
    async fn fresh(&self) -> Arc<dyn BlobStore> {
        self.again().await
    }

    async fn again(&self) -> Arc<dyn BlobStore> {
        Arc::new(FolderBlobs::open(self.0.path()).unwrap())
    }
}

/// All but the one of keys that are too long for a file's name: backups have none.
#[tokio::test]
async fn a_folder_keeps_what_backups_need() {
    let fresh = || Directory(tempfile::tempdir().unwrap());
    blobs::what_was_put_is_read_back(&fresh()).await;
    blobs::an_object_of_five_megabytes_comes_back_as_it_was(&fresh()).await;
    blobs::the_first_put_wins_and_says_so(&fresh()).await;
    blobs::of_concurrent_puts_one_wins_whole(&fresh()).await;
    blobs::what_is_missing_is_said_to_be_missing(&fresh()).await;
    blobs::a_deleted_object_is_gone_and_may_be_put_again(&fresh()).await;
    blobs::a_listing_is_in_byte_order(&fresh()).await;
    blobs::a_listing_can_be_cut_and_continued(&fresh()).await;
    blobs::a_prefix_need_not_end_at_a_slash(&fresh()).await;
    blobs::what_is_no_key_is_refused(&fresh()).await;
    blobs::what_was_put_is_there_for_the_next_process(&fresh()).await;
}
