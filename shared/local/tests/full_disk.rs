//! A full disk is said clearly, loses nothing, and is over once there is room again.
//!
//! The disk is a memory disk of a few megabytes. Where the machine lets nobody mount one, these tests say
//! so and pass: the same is tested with SQLite's own limit on a file's pages beside the code.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use teal::domain::{
    Effect, EntityName, Fence, Field, FieldType, GenerationId, Key, Message, Millis, Order, QueueName, RecordChange,
    Row, Schema, Value,
};
use teal::ports::blobs::Put;
use teal::ports::entities::{Gate, GenerationSpec, ListQuery, Writer};
use teal::ports::fault::{Fault, FaultKind};
use teal::ports::{
    BlobError, BlobReader, BlobWriter, EntitiesError, EntityAdmin, EntityReader, EntityWriter, Outgoing, QueueSender,
};
use teal_local::blobs::LocalBlobs;
use teal_local::clock::SystemClock;
use teal_local::inbox::{Inbox, InboxOptions};
use teal_local::store::{StoreOptions, TealDb};

/// A disk of a few megabytes.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where it can't be mounted.
    fn mount(megabytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("skipped: no small disk to fill, because mounting a tmpfs needs root");
            return None;
        }
        Some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn resize(&self, megabytes: u32) {
        let options = format!("remount,size={megabytes}m");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.path()).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[track_caller]
fn assert_full(fault: &Fault, file: &str) {
    assert_eq!(fault.kind, FaultKind::Full, "{fault}");
    assert!(fault.what.contains(file) && fault.what.contains("free some"), "{fault}");
}

#[tokio::test]
async fn a_store_on_a_full_disk_says_so_keeps_what_it_had_and_goes_on_after() {
    let Some(disk) = SmallDisk::mount(4) else { return };
    let open = || TealDb::open(disk.path().join("teal.db"), StoreOptions::default()).unwrap();
    let db = open();
    let id = GenerationId { entity: EntityName::new("talents"), number: 1 };
    db.create(talents(&id)).await.unwrap();
    let mut page = 0;
    let fault = loop {
        match db.merge(&id, Writer::Live, &format!("page {page}"), &talents_of(page)).await {
            Ok(_) => page += 1,
            Err(EntitiesError::Fault(fault)) => break fault,
            Err(other) => panic!("{other}"),
        }
        assert!(page < 1_000, "the disk never filled");
    };
    assert_full(&fault, "teal.db");
    assert!(page > 0, "nothing fitted");

    // Reads go on, and see every page that was answered, whole.
    let has_pages = async |db: &TealDb, pages: u64| {
        let head = db.head(&id).await.unwrap();
        let query = ListQuery { limit: usize::MAX, ..ListQuery::default() };
        let rows = db.list(&id, &query).await.unwrap();
        assert_eq!((head.rows, rows.len() as u64), (pages * PAGE.unsigned_abs(), pages * PAGE.unsigned_abs()));
        assert_eq!(head.sum, rows.iter().fold(0, |sum: u64, row| sum.wrapping_add(row.hash().0)));
    };
    has_pages(&db, page.unsigned_abs()).await;
    let again = db.merge(&id, Writer::Live, "again", &talents_of(page)).await;
    assert!(matches!(again, Err(EntitiesError::Fault(fault)) if fault.kind == FaultKind::Full));

    disk.resize(16);
    db.merge(&id, Writer::Live, "again", &talents_of(page)).await.unwrap();
    has_pages(&db, page.unsigned_abs() + 1).await;
    drop(db);
    has_pages(&open(), page.unsigned_abs() + 1).await;
}

#[tokio::test]
async fn an_inbox_on_a_full_disk_says_so_keeps_what_it_took_and_goes_on_after() {
    let Some(disk) = SmallDisk::mount(4) else { return };
    let open = || Inbox::open(disk.path(), Arc::new(SystemClock), InboxOptions::default()).unwrap();
    let inbox = open();
    let queue = inbox.queue();
    let blobs = LocalBlobs::open(disk.path(), inbox.clone()).unwrap();
    let mut taken = BTreeMap::new();
    // Small ones are rows, large ones are files: both fill the disk to the last byte.
    for (kind, size, file) in [("large", 300_000, "blobs"), ("small", 20_000, "inbox.db")] {
        let fault = loop {
            let (key, bytes) = (format!("raw/{kind}-{}", taken.len()), Bytes::from(vec![taken.len() as u8; size]));
            match blobs.put_if_absent(&key, bytes.clone()).await {
                Ok(put) => assert_eq!(put, Put::Stored),
                Err(BlobError::Fault(fault)) => break fault,
                Err(other) => panic!("{other}"),
            }
            taken.insert(key, bytes);
            assert!(taken.len() < 1_000, "the disk never filled");
        };
        assert_full(&fault, file);
    }
    let message = |run: String| Outgoing::now(Message::Settle { run: run.as_str().into() });
    let mut sent = 0;
    let fault = loop {
        match queue.send(vec![message("x".repeat(10_000))]).await.remove(0) {
            Ok(()) => sent += 1,
            Err(fault) => break fault,
        }
        assert!(sent < 1_000, "the disk never filled");
    };
    assert_full(&fault, "inbox.db");

    disk.resize(16);
    queue.send(vec![message("after".into())]).await.remove(0).unwrap();
    let after = Bytes::from_static(b"there is room");
    blobs.put_if_absent("raw/after", after.clone()).await.unwrap();
    taken.insert("raw/after".into(), after);
    drop((blobs, queue, inbox));

    let inbox = open();
    let blobs = LocalBlobs::open(disk.path(), inbox.clone()).unwrap();
    for (key, bytes) in &taken {
        assert_eq!(blobs.get(key).await.unwrap(), bytes, "{key}");
    }
    let listed = blobs.list("", None, usize::MAX).await.unwrap();
    assert_eq!(listed, taken.into_keys().collect::<Vec<_>>());
    let mut received = 0;
    loop {
        let batch = inbox.queue().receive(QueueName::Switch, 10, Duration::from_secs(600)).await.unwrap();
        if batch.is_empty() {
            break;
        }
        received += batch.len();
    }
    assert_eq!(received, sent + 1);
}

/// Rows of a page.
const PAGE: i64 = 50;

fn talents(id: &GenerationId) -> GenerationSpec {
    let field = |name: &str, kind| Field { name: name.into(), kind, required: false, index: false };
    let schema = Schema {
        entity: id.entity.clone(),
        fields: vec![field("id", FieldType::Integer), field("about", FieldType::String)],
        key: vec!["id".into()],
        relations: vec![],
    };
    GenerationSpec {
        id: id.clone(),
        schema: Arc::new(schema),
        floor: Millis(0),
        owner_is_key: true,
        base: None,
        gate: Gate::Open,
        fence: Fence(1),
    }
}

fn talents_of(page: i64) -> Vec<RecordChange> {
    let talent = |id| {
        let rows = vec![Row { key: Key::int(id), values: vec![Value::Int(id), Value::Text("about ".repeat(100))] }];
        let order = Order { provider: None, stated: Millis(10), hash: 0 };
        RecordChange::new(Key::int(id), Effect::Upsert { order, rows, complete: true })
    };
    (page * PAGE..(page + 1) * PAGE).map(talent).collect()
}
