//! Group commit: who shares a commit, who is taken back, who is told what.

use std::sync::mpsc::channel;

use rusqlite::Connection;
use teal::ports::fault::{Fault, FaultKind};

use super::super::fault::Trouble;
use super::Writer;

fn writer(directory: &tempfile::TempDir) -> (Writer, Connection) {
    let path = directory.path().join("jobs.db");
    let connection = Connection::open(&path).unwrap();
    connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.execute_batch("CREATE TABLE done (n INTEGER PRIMARY KEY, filler BLOB)").unwrap();
    (Writer::start("jobs.db", connection, |_| {}).unwrap(), Connection::open(&path).unwrap())
}

fn insert(db: &Connection, n: i64) -> Result<(), Trouble> {
    db.execute("INSERT INTO done (n) VALUES (?1)", [n])?;
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
    drop(writer.run("done", move |_| -> Result<(), Trouble> {
        started.send(()).unwrap();
        held.recv().unwrap();
        Ok(())
    }));
    running.recv().unwrap();
    move || release.send(()).unwrap()
}

/// A job's own way to say no.
#[derive(Debug)]
enum Refusal {
    No,
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

#[tokio::test]
async fn a_job_that_is_alone_and_fails_leaves_nothing_and_the_next_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    let fails = |db: &Connection| {
        insert(db, 1)?;
        insert(db, 1)
    };
    writer.run("done", fails).await.unwrap_err();
    let panics = |db: &Connection| -> Result<(), Trouble> {
        insert(db, 2)?;
        panic!("on purpose")
    };
    writer.run("done", panics).await.unwrap_err();
    writer.run("done", |db| insert(db, 3)).await.unwrap();
    assert_eq!(done(&shell), [3]);
}

#[tokio::test]
async fn a_job_that_fails_refuses_or_panics_takes_back_only_its_own_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    let release = hold(&writer);
    let first = writer.run("done", |db| insert(db, 1));
    let failing = writer.run("line 2", |db| {
        insert(db, 2)?;
        insert(db, 2)
    });
    let refusing = writer.run("done", |db| -> Result<(), Trouble<Refusal>> {
        db.execute("INSERT INTO done (n) VALUES (3)", [])?;
        Err(Trouble::Known(Refusal::No))
    });
    let panicking = writer.run("line 4", |db| -> Result<(), Trouble> {
        insert(db, 4)?;
        panic!("a job may")
    });
    let last = writer.run("done", |db| insert(db, 5));
    release();
    first.await.unwrap();
    let fault = failing.await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permanent);
    assert!(fault.what.starts_with("jobs.db: line 2: UNIQUE"), "{fault}");
    assert!(matches!(refusing.await, Err(Refusal::No)));
    let fault = panicking.await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permanent);
    assert!(fault.what.contains("line 4") && fault.what.contains("a job may"), "{fault}");
    last.await.unwrap();
    assert_eq!(done(&shell), [1, 5]);
}

#[tokio::test]
async fn jobs_that_waited_together_become_visible_together() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    let release = hold(&writer);
    let first = writer.run("done", |db| insert(db, 1));
    let second = writer.run("done", move |db| -> Result<_, Trouble> {
        let before = done(&shell);
        insert(db, 2)?;
        Ok((before, done(db), shell))
    });
    release();
    first.await.unwrap();
    let (outside, inside, shell) = second.await.unwrap();
    assert_eq!((outside, inside), (vec![], vec![1, 2]));
    assert_eq!(done(&shell), [1, 2]);
}

#[tokio::test]
async fn an_answer_means_that_another_connection_sees_it() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    for n in 0..5 {
        writer.run("done", move |db| insert(db, n)).await.unwrap();
        assert_eq!(done(&shell), (0..=n).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn when_the_transaction_breaks_nobody_is_told_that_a_write_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    for says_so in [true, false] {
        let release = hold(&writer);
        let first = writer.run("done", |db| insert(db, 1));
        let breaking = writer.run("done", move |db| -> Result<(), Trouble> {
            // What SQLite does by itself when the disk is full.
            db.execute_batch("ROLLBACK")?;
            if says_so { Err(Fault::new(FaultKind::Full, "no room").into()) } else { Ok(()) }
        });
        let after = writer.run("done", move |db| insert(db, if says_so { 3 } else { 4 }));
        release();
        assert_eq!(first.await.unwrap_err().kind, FaultKind::Transient);
        let expected = if says_so { FaultKind::Full } else { FaultKind::Transient };
        assert_eq!(breaking.await.unwrap_err().kind, expected);
        after.await.unwrap();
    }
    assert_eq!(done(&shell), [3, 4]);
}

#[tokio::test]
async fn a_commit_that_fails_is_everybodys_failure_and_the_thread_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = writer.run("done", |db| insert(db, 1));
    let second = writer.run("done", |db| insert(db, 2));
    assert_eq!(first.await.unwrap_err().kind, FaultKind::Transient);
    assert_eq!(second.await.unwrap_err().kind, FaultKind::Transient);
    shell.execute_batch("COMMIT").unwrap();
    writer.run("done", |db| insert(db, 3)).await.unwrap();
    assert_eq!(done(&shell), [3]);
}

#[tokio::test]
async fn a_refusal_is_not_told_before_what_it_saw_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    // A deferred check fails at the commit, and not at the statement.
    shell.execute_batch("CREATE TABLE child (n INTEGER REFERENCES done (n) DEFERRABLE INITIALLY DEFERRED)").unwrap();
    drop(writer);
    let enforcing = Connection::open(directory.path().join("jobs.db")).unwrap();
    enforcing.pragma_update(None, "foreign_keys", true).unwrap();
    let writer = Writer::start("jobs.db", enforcing, |_| {}).unwrap();
    let release = hold(&writer);
    let doomed = writer.run("done", |db| -> Result<(), Trouble> {
        insert(db, 1)?;
        db.execute("INSERT INTO child VALUES (99)", [])?;
        Ok(())
    });
    let refusing = writer.run("done", |db| -> Result<(), Trouble<Refusal>> {
        assert_eq!(done(db), [1]);
        Err(Trouble::Known(Refusal::No))
    });
    release();
    doomed.await.unwrap_err();
    let Err(Refusal::Fault(fault)) = refusing.await else { panic!("what it saw was never stored") };
    assert!(fault.what.contains("FOREIGN KEY"), "{fault}");
    assert_eq!(done(&shell), [0; 0]);
}

#[tokio::test]
async fn dropping_the_writer_finishes_what_is_queued_also_where_nobody_waits() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, shell) = writer(&directory);
    let release = hold(&writer);
    drop(writer.run("done", |db| insert(db, 1000)));
    let jobs: Vec<_> = (0..300).map(|n| writer.run("done", move |db| insert(db, n))).collect();
    release();
    drop(writer);
    assert_eq!(done(&shell), (0..300).chain([1000]).collect::<Vec<_>>());
    for job in jobs {
        job.await.unwrap();
    }
}
