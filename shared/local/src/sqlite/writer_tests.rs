use std::sync::mpsc as std_mpsc;

use tempfile::TempDir;

use super::super::open::{Synchronous, open};
use super::*;

fn start(dir: &TempDir) -> Writer {
    let path = dir.path().join("test.db");
    let connection = open(&path, Synchronous::Off).unwrap();
    connection.execute_batch("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)").unwrap();
    Writer::start(connection, &path).unwrap()
}

fn stored(dir: &TempDir) -> Vec<i64> {
    let connection = open(&dir.path().join("test.db"), Synchronous::Off).unwrap();
    let mut statement = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn insert(connection: &Connection, n: i64) -> Result<(), Failure> {
    connection.execute("INSERT INTO t VALUES (?1)", [n])?;
    Ok(())
}

/// Holds the writer's thread in a job until told, so that what is sent meanwhile forms one group.
async fn hold(writer: &Arc<Writer>) -> (std_mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (go, wait) = std_mpsc::channel();
    let (began, has_begun) = oneshot::channel();
    let task = tokio::spawn({
        let writer = Arc::clone(writer);
        async move {
            writer
                .run(move |_| {
                    began.send(()).unwrap();
                    wait.recv().unwrap();
                    Ok(())
                })
                .await
                .unwrap();
        }
    });
    has_begun.await.unwrap();
    (go, task)
}

#[tokio::test]
async fn a_failed_job_takes_no_other_of_its_group_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Arc::new(start(&dir));
    let (go, held) = hold(&writer).await;
    let fail = writer.run(|connection| {
        insert(connection, 2)?;
        insert(connection, 2)
    });
    let refuse = writer.try_run(|connection| {
        insert(connection, 4)?;
        Ok(Err::<(), _>(Undo("no")))
    });
    let panic = writer.run::<(), _>(|connection| {
        insert(connection, 5)?;
        panic!("a job of this test")
    });
    let release = async { go.send(()).unwrap() };
    let (one, two, three, four, five, ()) = tokio::join!(
        writer.run(|connection| insert(connection, 1)),
        fail,
        writer.run(|connection| insert(connection, 3)),
        refuse,
        panic,
        release
    );
    held.await.unwrap();
    one.unwrap();
    assert_eq!(two.unwrap_err().kind, FaultKind::Permanent);
    three.unwrap();
    assert_eq!(four.unwrap().unwrap_err(), Undo("no"));
    assert!(five.unwrap_err().what.contains("a job of this test"));
    assert_eq!(stored(&dir), [1, 3]);
}

#[tokio::test]
async fn when_the_transaction_is_lost_all_jobs_before_are_told_and_those_after_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Arc::new(start(&dir));
    let (go, held) = hold(&writer).await;
    let lose = writer.run(|connection| {
        // What SQLite does by itself when the disk is full.
        connection.execute_batch("ROLLBACK")?;
        Ok(())
    });
    let release = async { go.send(()).unwrap() };
    let (one, two, three, ()) = tokio::join!(
        writer.run(|connection| insert(connection, 1)),
        lose,
        writer.run(|connection| insert(connection, 3)),
        release
    );
    // The job that held the writer was in a group of its own, or in the lost one: it wrote nothing.
    let _ = held.await;
    assert_eq!(one.unwrap_err().kind, FaultKind::Transient);
    assert!(two.is_err());
    three.unwrap();
    assert_eq!(stored(&dir), [3]);
}

#[tokio::test]
async fn an_answer_means_that_another_connection_sees_it() {
    let dir = tempfile::tempdir().unwrap();
    let writer = start(&dir);
    for n in 0..5 {
        writer.run(move |connection| insert(connection, n)).await.unwrap();
        assert_eq!(stored(&dir).len() as i64, n + 1);
    }
}

#[tokio::test]
async fn a_full_database_is_a_full_fault_and_the_writer_goes_on_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let writer = start(&dir);
    writer
        .run(|connection| {
            connection.execute_batch("CREATE TABLE big (bytes BLOB)")?;
            Ok(())
        })
        .await
        .unwrap();
    let limit = |pages: u32| {
        writer.run(move |connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
            Ok(())
        })
    };
    let fill = || {
        writer.run(|connection| {
            connection.execute("INSERT INTO big VALUES (zeroblob(1000000))", [])?;
            Ok(())
        })
    };
    limit(10).await.unwrap();
    assert_eq!(fill().await.unwrap_err().kind, FaultKind::Full);
    limit(10_000).await.unwrap();
    fill().await.unwrap();
}

#[tokio::test]
async fn dropping_the_writer_finishes_what_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let writer = start(&dir);
    let mut abandoned = Box::pin(writer.run(|connection| insert(connection, 1)));
    // One poll hands the job over; then the caller goes away.
    let _ = futures::poll!(abandoned.as_mut());
    drop(abandoned);
    drop(writer);
    assert_eq!(stored(&dir), [1]);
}
