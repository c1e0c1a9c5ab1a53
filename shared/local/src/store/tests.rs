//! What is SQLite's own about `teal.db`: the file, its views, the ledger's table.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;
use teal::domain::{
    Effect, EntityName, Fence, Field, FieldType, GenerationId, Key, Millis, Order, Pointer, RecordChange, Row, Schema,
    Value, Version,
};
use teal::ports::entities::{Dropped, Gate, GenerationSpec, Writer};
use teal::ports::fault::FaultKind;
use teal::ports::ledger::pointer_key;
use teal::ports::{
    EntitiesError, EntityAdmin, EntityReader, EntityWriter, ItemKey, Ledger, LedgerError, LedgerReader, Precondition,
    Write,
};

use super::{StoreOptions, Synchronous, TealDb};
use crate::sqlite::Trouble;

pub fn open(path: &Path) -> Arc<TealDb> {
    TealDb::open(path, StoreOptions { synchronous: Synchronous::Off, readers: 2 }).unwrap()
}

pub fn field(name: &str, kind: FieldType, index: bool) -> Field {
    Field { name: name.into(), kind, required: false, index }
}

pub fn generation(entity: &str, number: u32) -> GenerationId {
    GenerationId { entity: EntityName::new(entity), number }
}

pub fn spec(id: GenerationId, fields: Vec<Field>) -> GenerationSpec {
    let schema = Schema { entity: id.entity.clone(), fields, key: vec!["id".into()], relations: vec![] };
    GenerationSpec {
        id,
        schema: Arc::new(schema),
        floor: Millis(0),
        owner_is_key: true,
        base: None,
        gate: Gate::Open,
        fence: Fence(1),
    }
}

pub fn upsert(id: i64, stated: i64, rest: Vec<Value>) -> RecordChange {
    let values = std::iter::once(Value::Int(id)).chain(rest).collect();
    RecordChange::new(
        Key::int(id),
        Effect::Upsert {
            order: Order { provider: None, stated: Millis(stated), hash: 0 },
            rows: vec![Row { key: Key::int(id), values }],
            complete: true,
        },
    )
}

fn people(number: u32) -> GenerationSpec {
    let fields = vec![field("id", FieldType::Integer, false), field("name", FieldType::String, true)];
    spec(generation("people", number), fields)
}

fn named(id: i64, name: &str) -> RecordChange {
    upsert(id, 10, vec![Value::Text(name.into())])
}

fn point_at(generations: &[(&str, u32)]) -> Write {
    let pointer = Pointer {
        version: Version(1),
        previous: None,
        generations: generations.iter().map(|(entity, number)| (EntityName::new(entity), *number)).collect(),
        fence: Fence(1),
        at: Millis(0),
    };
    let value = serde_json::to_value(pointer).unwrap();
    Write::Put { key: pointer_key(), value: value.into(), mark: 1, when: Precondition::None }
}

fn put(sort: &str, value: serde_json::Value, when: Precondition) -> Write {
    Write::Put { key: ItemKey::new("test", sort), value: value.into(), mark: 0, when }
}

fn names(path: &Path) -> Result<Vec<String>, rusqlite::Error> {
    let shell = Connection::open(path)?;
    let mut statement = shell.prepare("SELECT name FROM people_current ORDER BY id")?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

#[tokio::test]
async fn the_current_view_follows_the_pointer_and_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("teal.db");
    let db = open(&path);
    for (number, name) in [(1, "old"), (2, "new")] {
        db.create(people(number)).await.unwrap();
        db.merge(&generation("people", number), Writer::Live, "slot", &[named(1, name)]).await.unwrap();
    }
    assert!(names(&path).is_err());

    db.transact(vec![point_at(&[("people", 1)])]).await.unwrap();
    assert_eq!(names(&path).unwrap(), ["old"]);

    db.transact(vec![point_at(&[("people", 2)])]).await.unwrap();
    assert_eq!(names(&path).unwrap(), ["new"]);

    let refused = vec![point_at(&[("people", 1)]), put("x", json!(1), Precondition::Matches(9))];
    assert!(matches!(db.transact(refused).await, Err(LedgerError::Refused { index: 1, .. })));
    assert_eq!(names(&path).unwrap(), ["new"]);

    db.transact(vec![point_at(&[])]).await.unwrap();
    assert!(names(&path).is_err());
}

#[tokio::test]
async fn a_shell_never_sees_one_entity_switched_and_the_other_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("teal.db");
    let db = open(&path);
    for number in [1, 2] {
        for entity in ["people", "places"] {
            let fields = vec![field("id", FieldType::Integer, false)];
            db.create(spec(generation(entity, number), fields)).await.unwrap();
            let id = i64::from(number);
            db.merge(&generation(entity, number), Writer::Live, "s", &[upsert(id, 10, vec![])]).await.unwrap();
        }
    }
    db.transact(vec![point_at(&[("people", 1), ("places", 1)])]).await.unwrap();
    let shell = Connection::open(&path).unwrap();
    let seen = || {
        let sql = "SELECT people_current.id, places_current.id FROM people_current, places_current";
        shell.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).unwrap()
    };
    shell.execute_batch("BEGIN").unwrap();
    assert_eq!(seen(), (1, 1));
    db.transact(vec![point_at(&[("people", 2), ("places", 2)])]).await.unwrap();
    assert_eq!(seen(), (1, 1));
    shell.execute_batch("COMMIT").unwrap();
    assert_eq!(seen(), (2, 2));
}

#[tokio::test]
async fn a_generation_made_after_the_pointer_named_it_gets_its_view_and_loses_it_when_it_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("teal.db");
    let db = open(&path);
    db.transact(vec![point_at(&[("people", 1)])]).await.unwrap();
    db.create(people(1)).await.unwrap();
    assert_eq!(names(&path).unwrap(), [""; 0]);
    assert_eq!(db.drop_slice(&generation("people", 1), 10).await.unwrap(), Dropped::Gone);
    assert!(names(&path).is_err());
}

#[tokio::test]
async fn a_pointer_that_is_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("teal.db"));
    let write = Write::Put { key: pointer_key(), value: json!("v1").into(), mark: 0, when: Precondition::None };
    let Err(LedgerError::Fault(fault)) = db.transact(vec![write]).await else { panic!("it was stored") };
    assert_eq!(fault.kind, FaultKind::Permanent);
    assert_eq!(LedgerReader::get(&*db, &pointer_key()).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_stored_is_there_when_the_file_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("teal.db");
    let id = generation("people", 1);
    let db = open(&path);
    db.create(people(1)).await.unwrap();
    db.merge(&id, Writer::Live, "slot", &[named(1, "Ada")]).await.unwrap();
    db.transact(vec![put("item", json!({"a": 1.5}), Precondition::Absent)]).await.unwrap();
    let head = EntityReader::head(&*db, &id).await.unwrap();
    drop(db);

    let db = open(&path);
    assert_eq!(EntityReader::head(&*db, &id).await.unwrap(), head);
    assert_eq!(LedgerReader::get(&*db, &ItemKey::new("test", "item")).await.unwrap().unwrap().value, json!({"a": 1.5}));
}

#[tokio::test]
async fn a_closed_file_is_a_whole_copy_without_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("teal.db");
    let db = open(&path);
    db.transact(vec![put("item", json!(1), Precondition::Absent)]).await.unwrap();
    LedgerReader::get(&*db, &ItemKey::new("test", "item")).await.unwrap().unwrap();
    drop(db);
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["teal.db"]);
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let item = LedgerReader::get(&*open(&copy), &ItemKey::new("test", "item")).await.unwrap().unwrap();
    assert_eq!(item.value, json!(1));
}

#[tokio::test]
async fn a_revision_is_never_given_twice_even_over_a_delete() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("teal.db"));
    let key = ItemKey::new("test", "item");
    let mut last = 0;
    for round in 0..3 {
        db.transact(vec![put("item", json!(round), Precondition::Absent)]).await.unwrap();
        let revision = LedgerReader::get(&*db, &key).await.unwrap().unwrap().revision;
        assert!(revision > last);
        last = revision;
        let delete = Write::Delete { key: key.clone(), when: Precondition::Matches(revision) };
        db.transact(vec![delete]).await.unwrap();
    }
}

#[tokio::test]
async fn adding_keeps_the_mark_and_refuses_what_is_no_number() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("teal.db"));
    let key = ItemKey::new("test", "sums");
    let add =
        |name: &str, number| Write::Add { key: key.clone(), numbers: BTreeMap::from([(name.to_owned(), number)]) };
    let first =
        Write::Put { key: key.clone(), value: json!({"a": 1, "b": "x"}).into(), mark: 7, when: Precondition::None };
    db.transact(vec![first]).await.unwrap();
    db.transact(vec![add("a", -3)]).await.unwrap();
    db.transact(vec![add("c", 4)]).await.unwrap();
    assert!(db.transact(vec![add("b", 1)]).await.is_err());
    assert!(db.transact(vec![add("c", i64::MAX)]).await.is_err());
    let item = LedgerReader::get(&*db, &key).await.unwrap().unwrap();
    assert_eq!((item.value, item.mark), (json!({"a": -2, "b": "x", "c": 4}).into(), 7));
}

#[tokio::test]
async fn a_listing_goes_by_prefix_in_byte_order_and_takes_wildcards_as_letters() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("teal.db"));
    for sort in ["a", "a%1", "a%2", "a_1", "aé", "b", "a%"] {
        db.transact(vec![put(sort, json!(null), Precondition::None)]).await.unwrap();
    }
    let list = async |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        let items = LedgerReader::list(&*db, "test", prefix, after, limit).await.unwrap();
        items.into_iter().map(|item| item.key.sort).collect()
    };
    assert_eq!(list("a%", None, 9).await, ["a%", "a%1", "a%2"]);
    assert_eq!(list("a%", Some("a%1"), 9).await, ["a%2"]);
    assert_eq!(list("a%", Some("a"), 2).await, ["a%", "a%1"]);
    assert_eq!(list("", Some("a_1"), 9).await, ["aé", "b"]);
    assert_eq!(list("a", Some("b"), 9).await, [""; 0]);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    let words = "not a database, but long enough to have a header of one ".repeat(40);
    std::fs::write(&text, &words).unwrap();
    let fault = TealDb::open(&text, StoreOptions::default()).err().unwrap();
    assert!(fault.what.contains("not a database"), "{fault}");
    assert_eq!(std::fs::read_to_string(&text).unwrap(), words);

    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&foreign).unwrap();
    let fault = TealDb::open(&foreign, StoreOptions::default()).err().unwrap();
    assert!(fault.what.contains("another program"), "{fault}");
    assert_eq!(std::fs::read(&foreign).unwrap(), before);
}

#[test]
fn a_file_of_a_newer_teal_is_refused_with_both_formats_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("teal.db");
    drop(open(&path));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let fault = TealDb::open(&path, StoreOptions::default()).err().unwrap();
    assert_eq!(fault.kind, FaultKind::Permanent);
    assert!(fault.what.contains("format 3") && fault.what.contains("up to 2"), "{fault}");
}

#[tokio::test]
async fn commits_wait_for_the_disk_unless_a_test_says_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    for (synchronous, expected) in [(Synchronous::Full, 2), (Synchronous::Off, 0)] {
        let path = directory.path().join(format!("{synchronous:?}.db"));
        let db = TealDb::open(&path, StoreOptions { synchronous, ..StoreOptions::default() }).unwrap();
        let found: i64 = db
            .file
            .write("pragma", |db| Ok::<_, Trouble>(db.pragma_query_value(None, "synchronous", |row| row.get(0))?))
            .await
            .unwrap();
        assert_eq!(found, expected);
    }
    assert_eq!(StoreOptions::default().synchronous, Synchronous::Full);
}

#[tokio::test]
async fn a_full_disk_is_a_full_fault_and_the_store_goes_on_once_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("teal.db"));
    db.create(people(1)).await.unwrap();
    let id = generation("people", 1);
    let set_pages = |pages: i64| {
        let set = move |db: &Connection| {
            Ok::<_, Trouble>(db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?)
        };
        db.file.write("pragma", set)
    };
    set_pages(1).await.unwrap();
    let name = "x".repeat(1000);
    let many: Vec<_> = (0..200).map(|at| named(at, &name)).collect();
    let Err(EntitiesError::Fault(fault)) = db.merge(&id, Writer::Live, "slot", &many).await else {
        panic!("there was room")
    };
    assert_eq!(fault.kind, FaultKind::Full);
    assert!(fault.what.contains("people_v1") && fault.what.contains("free some space"), "{fault}");
    assert_eq!(EntityReader::head(&*db, &id).await.unwrap().rows, 0);

    set_pages(1_000_000).await.unwrap();
    assert_eq!(db.merge(&id, Writer::Live, "slot", &many).await.unwrap().new, 200);
}

#[tokio::test]
async fn a_read_that_panics_is_a_fault_and_its_reader_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("teal.db");
    let db = TealDb::open(&path, StoreOptions { synchronous: Synchronous::Off, readers: 1 }).unwrap();
    let panicking = db.file.read("nothing", |_| -> Result<(), Trouble> { panic!("a read may") });
    assert_eq!(panicking.await.unwrap_err().kind, FaultKind::Permanent);
    db.transact(vec![put("item", json!(1), Precondition::None)]).await.unwrap();
    let item = LedgerReader::get(&*db, &ItemKey::new("test", "item")).await.unwrap().unwrap();
    assert_eq!(item.value, json!(1));
}

#[tokio::test]
async fn readers_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("teal.db"));
    let write = |db: &Connection| -> Result<_, Trouble> { Ok(db.execute("DELETE FROM ledger", [])?) };
    assert_eq!(db.file.read("ledger", write).await.unwrap_err().kind, FaultKind::Permanent);
}
