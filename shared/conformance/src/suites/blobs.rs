//! The blobs' contract: the first put wins and stays, listings are in byte order, bad keys are refused.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use teal::ports::BlobError;
pub use teal::ports::BlobStore;
use teal::ports::blobs::Put;
use teal::ports::fault::FaultKind;

#[async_trait]
pub trait BlobsHarness: Sync {
    /// An empty store.
    async fn fresh(&self) -> Arc<dyn BlobStore>;

    /// The store that `fresh` gave last, opened once more as another process would.
    async fn again(&self) -> Arc<dyn BlobStore>;
}

#[macro_export]
macro_rules! blobs_suite {
    ($harness:expr) => {
        $crate::suite_tests!(
            blobs,
            $harness,
            [
                what_was_put_is_read_back,
                any_bytes_come_back_as_they_were,
                an_object_of_five_megabytes_comes_back_as_it_was,
                the_first_put_wins_and_says_so,
                of_concurrent_puts_one_wins_whole,
                what_is_missing_is_said_to_be_missing,
                a_deleted_object_is_gone_and_may_be_put_again,
                a_listing_is_in_byte_order,
                a_listing_can_be_cut_and_continued,
                a_prefix_need_not_end_at_a_slash,
                a_listing_holds_objects_of_every_size,
                a_key_may_be_the_start_of_another,
                keys_differ_in_case,
                a_long_key_is_a_key,
                what_is_no_key_is_refused,
                what_was_put_is_there_for_the_next_process,
            ]
        );
    };
}

async fn put(store: &dyn BlobStore, key: &str, bytes: &'static [u8]) -> Put {
    store.put_if_absent(key, Bytes::from_static(bytes)).await.unwrap()
}

#[track_caller]
fn assert_missing(result: Result<Bytes, BlobError>, key: &str) {
    match result {
        Err(BlobError::Missing(missing)) => assert_eq!(missing, key),
        other => panic!("'{key}' should be missing, got {other:?}"),
    }
}

/// Bytes without a pattern that a compressor or a text layer could profit from.
fn noise(len: usize) -> Bytes {
    let mut seed = crate::Seed(len as u64);
    (0..len).map(|_| seed.number().to_le_bytes()[0]).collect()
}

pub async fn what_was_put_is_read_back(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    assert_eq!(put(&*store, "raw/-/-/blue/run/r1/talents/00000000-1f", b"{}").await, Put::Stored);
    assert_eq!(store.get("raw/-/-/blue/run/r1/talents/00000000-1f").await.unwrap(), "{}");
}

pub async fn any_bytes_come_back_as_they_were(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    let every_byte: Bytes = (0..=255u8).collect();
    let bodies = [Bytes::new(), Bytes::from_static(b"\0"), Bytes::from_static(b"\r\n\xff\xfe"), every_byte];
    for (n, body) in bodies.iter().enumerate() {
        store.put_if_absent(&format!("bytes/{n}"), body.clone()).await.unwrap();
    }
    for (n, body) in bodies.iter().enumerate() {
        assert_eq!(store.get(&format!("bytes/{n}")).await.unwrap(), body);
    }
}

pub async fn an_object_of_five_megabytes_comes_back_as_it_was(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    let large = noise(5 * 1024 * 1024);
    assert_eq!(store.put_if_absent("large", large.clone()).await.unwrap(), Put::Stored);
    assert!(store.get("large").await.unwrap() == large);
    assert_eq!(put(&*store, "large", b"small").await, Put::WasThere);
    assert!(store.get("large").await.unwrap() == large);
}

pub async fn the_first_put_wins_and_says_so(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    assert_eq!(put(&*store, "a/b", b"first").await, Put::Stored);
    assert_eq!(put(&*store, "a/b", b"second").await, Put::WasThere);
    assert_eq!(put(&*store, "a/b", b"first").await, Put::WasThere, "also for the very same bytes");
    assert_eq!(store.get("a/b").await.unwrap(), "first");
    assert_eq!(store.put_if_absent("a/b", noise(1 << 20)).await.unwrap(), Put::WasThere, "whatever the size");
    assert_eq!(store.get("a/b").await.unwrap(), "first");
}

pub async fn of_concurrent_puts_one_wins_whole(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    // Sizes apart enough to be kept in different ways where an adapter has more than one.
    let bodies: Vec<Bytes> = [10, 1 << 20, 11, 1 << 19, 12].map(noise).into();
    let puts = join_all(bodies.iter().map(|body| store.put_if_absent("race", body.clone()))).await;
    let puts: Vec<Put> = puts.into_iter().map(Result::unwrap).collect();
    let winners: Vec<usize> = (0..bodies.len()).filter(|n| puts[*n] == Put::Stored).collect();
    assert_eq!(winners.len(), 1, "{puts:?}");
    assert!(store.get("race").await.unwrap() == bodies[winners[0]]);
    assert_eq!(store.list("race", None, 10).await.unwrap(), ["race"]);
}

pub async fn what_is_missing_is_said_to_be_missing(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    assert_missing(store.get("a").await, "a");
    put(&*store, "a/b/c", b"1").await;
    assert_missing(store.get("a/b").await, "a/b");
    assert_missing(store.get("a/b/c/d").await, "a/b/c/d");
    assert!(store.list("z", None, 10).await.unwrap().is_empty());
}

pub async fn a_deleted_object_is_gone_and_may_be_put_again(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    store.delete("a/b").await.expect("deleting what is not there is no error");
    put(&*store, "a/b", b"1").await;
    store.put_if_absent("a/large", noise(1 << 20)).await.unwrap();
    for key in ["a/b", "a/large"] {
        store.delete(key).await.unwrap();
        store.delete(key).await.unwrap();
        assert_missing(store.get(key).await, key);
    }
    assert!(store.list("a", None, 10).await.unwrap().is_empty());
    assert_eq!(put(&*store, "a/b", b"2").await, Put::Stored);
    assert_eq!(store.get("a/b").await.unwrap(), "2");
}

pub async fn a_listing_is_in_byte_order(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    // The slash sorts between '.' and '0': walking folders gives another order.
    let in_order = ["k/A", "k/a", "k/a-b", "k/a.b", "k/a/b", "k/a/b/c", "k/a0", "k/a_b", "k/ab", "k/b"];
    for key in in_order.iter().rev() {
        put(&*store, key, b"1").await;
    }
    assert_eq!(store.list("k/", None, 100).await.unwrap(), in_order);
    assert_eq!(store.list("", None, 100).await.unwrap(), in_order);
}

pub async fn a_listing_can_be_cut_and_continued(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    let keys: Vec<String> = (0..11).map(|n| format!("list/{}/{n:02}", n % 3)).collect();
    for key in &keys {
        put(&*store, key, b"1").await;
    }
    put(&*store, "other", b"1").await;
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let slice = store.list("list/", after.as_deref(), 4).await.unwrap();
        assert!(slice.len() <= 4);
        let Some(last) = slice.last() else { break };
        after = Some(last.clone());
        seen.extend(slice);
        assert!(seen.len() < 20, "the listing does not end");
    }
    let mut expected = keys;
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(store.list("list/", Some("list/1/zz"), 1).await.unwrap(), ["list/2/02"], "`after` need not be there");
    assert_eq!(store.list("list/", Some("a"), 1).await.unwrap(), ["list/0/00"], "`after` may lie before the prefix");
    assert!(store.list("list/", Some("m"), 5).await.unwrap().is_empty());
    assert!(store.list("", None, 0).await.unwrap().is_empty());
}

pub async fn a_prefix_need_not_end_at_a_slash(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    for key in ["raw/blue/1", "raw/blue2/1", "raw/b%/1", "raw/bx/1", "raw/b_/1"] {
        put(&*store, key, b"1").await;
    }
    assert_eq!(store.list("raw/blue", None, 10).await.unwrap(), ["raw/blue/1", "raw/blue2/1"]);
    assert_eq!(store.list("raw/b%", None, 10).await.unwrap(), ["raw/b%/1"]);
    assert_eq!(store.list("raw/b_", None, 10).await.unwrap(), ["raw/b_/1"]);
    assert_eq!(store.list("raw/bx/1", None, 10).await.unwrap(), ["raw/bx/1"]);
}

pub async fn a_listing_holds_objects_of_every_size(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    for (key, len) in [("s/1", 0), ("s/2", 1 << 21), ("s/3", 100), ("s/4", 1 << 20), ("s/5", 70_000)] {
        store.put_if_absent(key, noise(len)).await.unwrap();
    }
    assert_eq!(store.list("s/", None, 3).await.unwrap(), ["s/1", "s/2", "s/3"]);
    assert_eq!(store.list("s/", Some("s/3"), 3).await.unwrap(), ["s/4", "s/5"]);
}

pub async fn a_key_may_be_the_start_of_another(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    for len in [3, 1 << 20] {
        let (short, long) = (format!("{len}/a"), format!("{len}/a/b"));
        store.put_if_absent(&long, noise(len + 1)).await.unwrap();
        store.put_if_absent(&short, noise(len)).await.unwrap();
        assert_eq!(store.get(&short).await.unwrap().len(), len);
        assert_eq!(store.get(&long).await.unwrap().len(), len + 1);
        store.delete(&short).await.unwrap();
        assert_eq!(store.get(&long).await.unwrap().len(), len + 1);
    }
}

pub async fn keys_differ_in_case(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    assert_eq!(put(&*store, "case/Ab", b"1").await, Put::Stored);
    assert_eq!(put(&*store, "case/aB", b"2").await, Put::Stored);
    assert_eq!(store.get("case/Ab").await.unwrap(), "1");
}

pub async fn a_long_key_is_a_key(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    let parts: Vec<String> = (0..9).map(|n| format!("{n}{}", "x".repeat(if n == 8 { 99 } else { 98 }))).collect();
    let longest = parts.join("/");
    assert_eq!(longest.len(), 900);
    for key in [longest.as_str(), "it's a (key) with: spaces, \"quotes\" & more~!", "..a/b../...", "-"] {
        assert_eq!(put(&*store, key, b"1").await, Put::Stored, "{key}");
        assert_eq!(store.get(key).await.unwrap(), "1");
        assert_eq!(store.list(key, None, 2).await.unwrap(), [key]);
    }
}

pub async fn what_is_no_key_is_refused(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    let too_long = "x/".repeat(450) + "x";
    let wrong = ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/.", "a\nb", "a\0b", "é", &too_long];
    for key in wrong {
        match store.put_if_absent(key, Bytes::from_static(b"1")).await {
            Err(BlobError::Fault(fault)) => assert_eq!(fault.kind, FaultKind::Permanent, "{key:?}"),
            other => panic!("{key:?} should be refused, got {other:?}"),
        }
        assert!(store.get(key).await.is_err(), "{key:?}");
    }
    assert!(store.list("", None, 10).await.unwrap().is_empty());
}

pub async fn what_was_put_is_there_for_the_next_process(harness: &dyn BlobsHarness) {
    let store = harness.fresh().await;
    put(&*store, "a/small", b"1").await;
    put(&*store, "a/empty", b"").await;
    store.put_if_absent("a/large", noise(1 << 20)).await.unwrap();
    drop(store);
    let store = harness.again().await;
    assert_eq!(store.list("a/", None, 10).await.unwrap(), ["a/empty", "a/large", "a/small"]);
    assert!(store.get("a/large").await.unwrap() == noise(1 << 20));
    assert_eq!(put(&*store, "a/small", b"2").await, Put::WasThere);
}
