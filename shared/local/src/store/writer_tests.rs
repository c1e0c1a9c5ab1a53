//! Group commit: who shares a commit, who is taken back, who is told what.

use std::sync::mpsc::channel;

use rusqlite::Connection;
use teal::ports::fault::{Fault, FaultKind};

use super::Writer;

fn writer(directory: &tempfile::TempDir) -> (Writer, Connection) {
    let path = directory.path().join("jobs.db");
    let connection = Connection::open(&path).unwrap();
    connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.execute_batch("CREATE TABLE done (n INTEGER PRIMARY KEY, filler BLOB)").unwrap();
    (Writer::start("jobs.db", connection).unwrap(), Connection::open(&path).unwrap())
}

fn insert(db: &Connection, n: i64) -> Result<(), Fault> {
    db.execute("INSERT INTO done (n) VALUES (?1)", [n]).map_err(|error| super::fault("jobs.db", error))?;
    Ok(())
}

fn done(shell: &Connection) -> Vec<i64> {
    let mut statement = shell.prepare("SELECT n FROM done ORDER BY n").unwrap();
    let done = statement.query_map([], |row| row.get(0)).unwrap();
    done.collect::<Result<_, _>>().unwrap()
}

/// Holds the thread in a first job, so that all that is queued meanwhile becomes one group.
fn hold(writer: &Writer) -> impl FnOnce() + use<> {
    let (release, held) = channel::<()>();
    let (started, running) = channel();
    drop(writer.run(move |_| -> Result<(), Fault> {
        started.send(()).unwrap();
        held.recv().unwrap();
        Ok(())
    }));
    running.recv().unwrap();
    move || release.send(()).unwrap()
}

#[tokio::test]
async fn a_job_that_fails_or_panics_takes_back_only_its_own_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    let release = hold(&writer);
    let first = writer.run(|db| insert(db, 1));
    let failing = writer.run(|db| {
        insert(db, 2)?;
        Err::<(), _>(Fault::new(FaultKind::Permanent, "no"))
    });
    let panicking = writer.run(|db| -> Result<(), Fault> {
        insert(db, 3)?;
        panic!("a job may")
    });
    let last = writer.run(|db| insert(db, 4));
    release();
    first.await.unwrap();
    assert_eq!(failing.await.unwrap_err().what, "no");
    assert_eq!(panicking.await.unwrap_err().kind, FaultKind::Permanent);
    last.await.unwrap();
    assert_eq!(done(&shell), [1, 4]);
}

#[tokio::test]
async fn jobs_that_waited_together_become_visible_together() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    let release = hold(&writer);
    let first = writer.run(|db| insert(db, 1));
    let second = writer.run(move |db| {
        let before = done(&shell);
        insert(db, 2)?;
        Ok::<_, Fault>((before, done(db), shell))
    });
    release();
    first.await.unwrap();
    let (outside, inside, shell) = second.await.unwrap();
    assert_eq!((outside, inside), (vec![], vec![1, 2]));
    assert_eq!(done(&shell), [1, 2]);
}

#[tokio::test]
async fn when_the_transaction_breaks_nobody_is_told_that_a_write_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    let release = hold(&writer);
    let first = writer.run(|db| insert(db, 1));
    let breaking = writer.run(|db| {
        db.execute_batch("ROLLBACK").unwrap();
        Err::<(), _>(Fault::new(FaultKind::Full, "no room"))
    });
    let after = writer.run(|db| insert(db, 3));
    release();
    assert!(first.await.unwrap_err().is_retryable());
    assert_eq!(breaking.await.unwrap_err().kind, FaultKind::Full);
    after.await.unwrap();
    assert_eq!(done(&shell), [3]);
}

#[tokio::test]
async fn a_commit_that_fails_is_everybodys_failure_and_the_thread_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = writer.run(|db| insert(db, 1));
    let second = writer.run(|db| insert(db, 2));
    assert_eq!(first.await.unwrap_err().kind, FaultKind::Transient);
    assert_eq!(second.await.unwrap_err().kind, FaultKind::Transient);
    shell.execute_batch("COMMIT").unwrap();
    writer.run(|db| insert(db, 3)).await.unwrap();
    assert_eq!(done(&shell), [3]);
}

#[tokio::test]
async fn dropping_the_writer_finishes_what_is_queued() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    let release = hold(&writer);
    let jobs: Vec<_> = (0..200).map(|n| writer.run(move |db| insert(db, n))).collect();
    release();
    drop(writer);
    assert_eq!(done(&shell), (0..200).collect::<Vec<_>>());
    for job in jobs {
        job.await.unwrap();
    }
}
