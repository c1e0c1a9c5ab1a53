//! The log is folded while somebody writes, begins anew, and is never lost.

use rusqlite::Connection;

use super::super::open::{self, Layout, Synchronous};
use super::super::writer::Writer;
use super::{Folding, LONGEST};

const MOST: u32 = 40;
const LAYOUT: Layout = Layout {
    application: 7,
    version: 1,
    log_pages: MOST,
    writer_cache_kib: 100,
    create: "CREATE TABLE filler (n INTEGER PRIMARY KEY, bytes BLOB)",
};

fn file(directory: &tempfile::TempDir) -> (std::path::PathBuf, Connection) {
    let path = directory.path().join("log.db");
    let connection = open::open_writer(&path, &LAYOUT, Synchronous::Full).unwrap();
    (path, connection)
}

fn pages_of_the_log(path: &std::path::Path) -> u64 {
    let log = path.with_extension("db-wal");
    std::fs::metadata(log).map_or(0, |log| log.len() / 4096)
}

#[tokio::test]
async fn the_log_begins_anew_again_and_again_however_much_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut writing) = file(&directory);
    let own = open::open_beside(&path, Synchronous::Full).unwrap();
    let mut folding = Folding::start("log.db", &mut writing, own, MOST).unwrap();
    let writer = Writer::start("log.db", writing, move |connection| folding.after_group(connection)).unwrap();
    let fill = |n: i64| {
        writer.run("filler", move |db| -> Result<(), super::super::fault::Trouble> {
            db.execute("INSERT INTO filler (n, bytes) VALUES (?1, zeroblob(20000))", [n])?;
            Ok(())
        })
    };
    for n in 0..200 {
        fill(n).await.unwrap();
    }
    // 200 times six pages; the file of the log keeps the most that it has had.
    let most = pages_of_the_log(&path);
    assert!(most <= u64::from(MOST * LONGEST + 10), "{most} pages");
    drop(writer);
    assert_eq!(pages_of_the_log(&path), 0, "folded by the last who closes it");
    let shell = Connection::open(&path).unwrap();
    let rows: i64 = shell.query_row("SELECT count(*) FROM filler", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 200);
}

#[test]
fn somebody_who_reads_keeps_the_log_and_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (path, mut writing) = file(&directory);
    let own = open::open_beside(&path, Synchronous::Full).unwrap();
    let mut folding = Folding::start("log.db", &mut writing, own, MOST).unwrap();
    let reader = Connection::open(&path).unwrap();
    let rows =
        |reader: &Connection| reader.query_row("SELECT count(*) FROM filler", [], |row| row.get::<_, i64>(0)).unwrap();
    writing.execute("INSERT INTO filler (bytes) VALUES (zeroblob(20000))", []).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(rows(&reader), 1);
    for _ in 0..60 {
        writing.execute("INSERT INTO filler (bytes) VALUES (zeroblob(20000))", []).unwrap();
        folding.after_group(&writing);
    }
    assert_eq!(rows(&reader), 1, "what it began with");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(rows(&reader), 61);
}
