//! What blobs on a disk are beyond the suite of the port: names of files, small and large ones, what is left after a crash.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::inbox::InboxOptions;
use crate::sqlite::Synchronous;
use crate::test_clock::TestClock;

fn open(dir: &Path) -> LocalBlobs {
    open_on(Arc::new(RealDisk), dir)
}

fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> LocalBlobs {
    let options = InboxOptions { synchronous: Synchronous::Off, ..InboxOptions::default() };
    LocalBlobs::open_on(disk, dir, Inbox::open(dir, TestClock::at(0), options).unwrap()).unwrap()
}

fn large(byte: u8) -> Bytes {
    vec![byte; SMALL + 1].into()
}

fn small(byte: u8) -> Bytes {
    vec![byte; SMALL].into()
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_in(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[tokio::test]
async fn small_objects_are_rows_large_ones_files_and_both_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path());
    assert_eq!(blobs.put_if_absent("a/small", small(1)).await.unwrap(), Put::Stored);
    assert_eq!(blobs.put_if_absent("a/large", large(2)).await.unwrap(), Put::Stored);
    assert_eq!(blobs.put_if_absent("a/empty", Bytes::new()).await.unwrap(), Put::Stored);
    drop(blobs);
    assert_eq!(files_in(&dir.path().join("blobs")), [dir.path().join("blobs/a/large.blob")]);
    let blobs = open(dir.path());
    assert_eq!(blobs.get("a/small").await.unwrap(), small(1));
    assert_eq!(blobs.get("a/large").await.unwrap(), large(2));
    assert_eq!(blobs.get("a/empty").await.unwrap(), Bytes::new());
}

#[tokio::test]
async fn the_first_put_wins_whatever_the_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path());
    for (name, first, second) in
        [("ss", small(1), small(2)), ("sl", small(1), large(2)), ("ls", large(1), small(2)), ("ll", large(1), large(2))]
    {
        assert_eq!(blobs.put_if_absent(name, first.clone()).await.unwrap(), Put::Stored, "{name}");
        assert_eq!(blobs.put_if_absent(name, second).await.unwrap(), Put::WasThere, "{name}");
        assert_eq!(blobs.get(name).await.unwrap(), first, "{name}");
    }
    assert_eq!(blobs.list("", None, 10).await.unwrap(), ["ll", "ls", "sl", "ss"]);
    assert!(files_in(&dir.path().join("blobs/.incoming")).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_racing_puts_exactly_one_is_stored_and_everybody_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path());
    for round in 0..5 {
        let key = format!("race/{round}/x");
        let puts = (0..16_u8).map(|n| {
            let (blobs, key) = (blobs.clone(), key.clone());
            tokio::spawn(async move {
                let bytes = if n % 2 == 0 { large(n) } else { small(n) };
                (n, blobs.put_if_absent(&key, bytes).await.unwrap())
            })
        });
        let mut winners = Vec::new();
        for put in puts.collect::<Vec<_>>() {
            let (n, put) = put.await.unwrap();
            if put == Put::Stored {
                winners.push(n);
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(blobs.get(&key).await.unwrap()[0], winners[0]);
        assert_eq!(blobs.list(&key, None, 10).await.unwrap(), [key]);
    }
}

#[tokio::test]
async fn lists_merge_rows_and_files_in_byte_order_and_go_on_after_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path());
    let long = format!("a/{}", "y".repeat(300));
    let mut keys = BTreeSet::new();
    for (n, key) in ["a", "a!", "a/b", "a/B", "a/b/c", "a-b/c", "a0", "b/x", "b/y.blob/z", "a/b c", "ab/z", &long]
        .into_iter()
        .enumerate()
    {
        let bytes = if n % 2 == 0 || key == long { large(1) } else { small(1) };
        blobs.put_if_absent(key, bytes).await.unwrap();
        keys.insert(key.to_owned());
    }
    for prefix in ["", "a", "a/", "a/b", "a/b/", "b/", "b/y", "b/y.blob/", "c", "a/b/c/d", "/", "a/../"] {
        let expected: Vec<&String> = keys.iter().filter(|key| key.starts_with(prefix)).collect();
        for limit in [1, 3, 100] {
            let mut listed: Vec<String> = Vec::new();
            loop {
                let page = blobs.list(prefix, listed.last().map(String::as_str), limit).await.unwrap();
                if page.is_empty() {
                    break;
                }
                assert!(page.len() <= limit);
                listed.extend(page);
            }
            assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "prefix '{prefix}', {limit} at a time");
        }
        // `after` need not be a key.
        let after = blobs.list(prefix, Some("a/a"), 100).await.unwrap();
        assert_eq!(
            after.iter().collect::<Vec<_>>(),
            keys.iter().filter(|k| k.starts_with(prefix) && k.as_str() > "a/a").collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_deleting_it_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path());
    assert!(matches!(blobs.get("x/y").await, Err(BlobError::Missing(key)) if key == "x/y"));
    blobs.delete("x/y").await.unwrap();
    for bytes in [small(1), large(1)] {
        blobs.put_if_absent("x/y", bytes).await.unwrap();
        blobs.delete("x/y").await.unwrap();
        assert!(matches!(blobs.get("x/y").await, Err(BlobError::Missing(_))));
        assert!(blobs.list("", None, 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn bad_keys_are_refused_by_every_call_and_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path());
    for bad in ["../teal", "a//b", "", "a/./b"] {
        assert!(
            matches!(blobs.put_if_absent(bad, large(1)).await, Err(BlobError::Fault(f)) if f.kind == FaultKind::Permanent)
        );
        assert!(matches!(blobs.get(bad).await, Err(BlobError::Fault(_))));
        assert!(matches!(blobs.delete(bad).await, Err(BlobError::Fault(_))));
    }
    assert!(files_in(&dir.path().join("blobs")).is_empty());
}

#[tokio::test]
async fn leftovers_of_a_crash_are_no_objects_and_go_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let left = dir.path().join("blobs/.incoming/0");
    std::fs::write(&left, "half").unwrap();
    let blobs = open(dir.path());
    assert!(!left.exists());
    blobs.put_if_absent("a", large(1)).await.unwrap();
    assert_eq!(blobs.list("", None, 10).await.unwrap(), ["a"]);
}

/// A real disk that can be full.
#[derive(Default)]
struct FullDisk(Arc<AtomicBool>);

struct FullFile(Box<dyn DiskFile>, Arc<AtomicBool>);

impl DiskFile for FullFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.1.load(Ordering::Relaxed) {
            self.0.write(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

impl Disk for FullDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FullFile(RealDisk.create(path)?, Arc::clone(&self.0))))
    }
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_directory(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_directory(path)
    }
    /// Like a file system that has no links.
    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        RealDisk.unlink(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        RealDisk.list(path)
    }
}

#[tokio::test]
async fn a_full_disk_is_a_full_fault_that_leaves_nothing_behind_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(true));
    let blobs = open_on(Arc::new(FullDisk(Arc::clone(&full))), dir.path());
    let Err(BlobError::Fault(fault)) = blobs.put_if_absent("a/b", large(1)).await else { panic!("it was full") };
    assert_eq!(fault.kind, FaultKind::Full);
    assert!(fault.what.contains("free some disk space"), "{fault}");
    assert!(matches!(blobs.get("a/b").await, Err(BlobError::Missing(_))));
    assert!(files_in(&dir.path().join("blobs")).is_empty());
    full.store(false, Ordering::Relaxed);
    assert_eq!(blobs.put_if_absent("a/b", large(2)).await.unwrap(), Put::Stored);
    assert_eq!(blobs.put_if_absent("a/b", large(3)).await.unwrap(), Put::WasThere);
    assert_eq!(blobs.get("a/b").await.unwrap(), large(2));
}
