//! One thread that does all writes to a file, many callers' in one commit.
//!
//! Owns the write connection and its transactions. Knows no table: callers bring jobs. Always holds:
//!
//! - A job happens whole or not at all: each has a savepoint of its own, so a failed one takes no other
//!   with it.
//! - Jobs run in the order in which they came, one at a time.
//! - A caller has its answer only after the commit that its job is part of. If that commit fails, every
//!   job in it is answered with a fault, and nothing of them is stored.
//! - A job runs to its end even when its caller stops waiting.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use teal::ports::Fault;
use teal::ports::fault::FaultKind;
use tokio::sync::{mpsc, oneshot};

use super::fault::{self, Failure};

/// Callers beyond this many wait before their job is taken at all.
const WAITING: usize = 1024;

/// Jobs in one commit at most, so that the first of them does not wait for all of a flood.
const GROUP: usize = 256;

pub struct Writer {
    file: Arc<str>,
    /// `None` only while dropping: closing it is what ends the thread.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `path` names the file in errors.
    pub fn start(connection: Connection, path: &Path) -> Result<Self, Fault> {
        let file: Arc<str> = path.display().to_string().into();
        let (jobs, waiting) = mpsc::channel(WAITING);
        let thread = thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn({
                let file = Arc::clone(&file);
                move || write_all(&connection, &file, waiting)
            })
            .map_err(|error| {
                Fault::new(FaultKind::Transient, format!("can't start the thread that writes to '{file}'"))
                    .because(error)
            })?;
        Ok(Self { file, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `write` and returns once what it wrote is committed. An error undoes all that it wrote.
    pub async fn run<T, F>(&self, write: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let result = self.try_run(move |connection| write(connection).map(Ok::<T, Undo<Infallible>>)).await?;
        match result {
            Ok(value) => Ok(value),
            Err(Undo(never)) => match never {},
        }
    }

    /// Like [`Writer::run`] for a job that can also refuse: with `Ok(Err(Undo(why)))` nothing it wrote stays.
    pub async fn try_run<T, R, F>(&self, write: F) -> Result<Result<T, Undo<R>>, Fault>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: FnOnce(&Connection) -> Result<Result<T, Undo<R>>, Failure> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Box<dyn Job> =
            Box::new(OneJob { write: Some(write), result: None, answer, file: Arc::clone(&self.file) });
        let jobs = self.jobs.as_ref().expect("jobs are closed only by drop");
        jobs.send(job).await.map_err(|_| self.gone())?;
        answered.await.map_err(|_| self.gone())?
    }

    fn gone(&self) -> Fault {
        Fault::new(FaultKind::Permanent, format!("the writer of '{}' has ended; start Teal again", self.file))
    }
}

impl Drop for Writer {
    /// Waits until the last job is committed, so that whoever opens the file next finds it all.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // The thread answers panics of jobs by itself; one of its own has no one left to tell.
            let _ = thread.join();
        }
    }
}

/// A refusal, as opposed to a fault: the job looked and decided against it.
#[derive(Debug, PartialEq, Eq)]
pub struct Undo<R>(pub R);

trait Job: Send {
    /// Whether what it wrote shall stay.
    fn run(&mut self, connection: &Connection) -> Keep;

    /// `lost` is why the commit did not happen, if it did not.
    fn answer(self: Box<Self>, lost: Option<&Lost>);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

/// Why a whole group was not committed, said once for each of its jobs.
struct Lost {
    kind: FaultKind,
    what: String,
}

impl Lost {
    fn by_sqlite(file: &str, error: rusqlite::Error) -> Self {
        let fault = fault::fault(file, error);
        Self { kind: fault.kind, what: fault.what }
    }

    /// A neighbour's trouble says nothing about this job: it may try again, and meets its own.
    fn by_another_job(file: &str, error: &rusqlite::Error) -> Self {
        Self {
            kind: FaultKind::Transient,
            what: format!("a write to '{file}' was undone because another one in the same commit failed: {error}"),
        }
    }
}

struct OneJob<T, R, F> {
    write: Option<F>,
    result: Option<Result<Result<T, Undo<R>>, Fault>>,
    answer: oneshot::Sender<Result<Result<T, Undo<R>>, Fault>>,
    file: Arc<str>,
}

impl<T, R, F> Job for OneJob<T, R, F>
where
    T: Send,
    R: Send,
    F: FnOnce(&Connection) -> Result<Result<T, Undo<R>>, Failure> + Send,
{
    fn run(&mut self, connection: &Connection) -> Keep {
        let write = self.write.take().expect("a job runs once");
        let result = catch_unwind(AssertUnwindSafe(|| write(connection)))
            .unwrap_or_else(|panic| Err(panicked(&self.file, &*panic).into()))
            .map_err(|failure| failure.into_fault(&self.file));
        let keep = if matches!(result, Ok(Ok(_))) { Keep::Yes } else { Keep::No };
        self.result = Some(result);
        keep
    }

    fn answer(self: Box<Self>, lost: Option<&Lost>) {
        let result = match (self.result, lost) {
            // A job's own failure says more than the group's, which it may have caused.
            (Some(Err(fault)), _) => Err(fault),
            (_, Some(lost)) => Err(Fault::new(lost.kind, lost.what.clone())),
            (Some(result), None) => result,
            (None, None) => unreachable!("a group is committed only after all its jobs ran"),
        };
        // A caller who stopped waiting wants no answer.
        let _ = self.answer.send(result);
    }
}

fn panicked(file: &str, panic: &(dyn Any + Send)) -> Fault {
    let what = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Fault::new(
        FaultKind::Permanent,
        format!("a write to '{file}' panicked and was undone; this is a bug: {}", what.unwrap_or("no message")),
    )
}

fn write_all(connection: &Connection, file: &str, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = waiting.try_recv()
        {
            group.push(job);
        }
        write_group(connection, file, group);
    }
}

/// Commits a group. When SQLite gives up the transaction in the middle of it (a full disk does that), the
/// jobs so far are lost, and the rest try their luck in a new one.
fn write_group(connection: &Connection, file: &str, group: Vec<Box<dyn Job>>) {
    let mut rest = group.into_iter().peekable();
    while rest.peek().is_some() {
        let mut ran = Vec::new();
        let lost = run_jobs(connection, file, &mut rest, &mut ran).err();
        if lost.is_some() && !connection.is_autocommit() {
            // If even this fails, the next BEGIN fails, and says so to its callers.
            let _ = connection.execute_batch("ROLLBACK");
        }
        if ran.is_empty() {
            // The transaction could not begin: nobody in the group can be served now.
            ran.extend(rest.by_ref());
        }
        for job in ran {
            job.answer(lost.as_ref());
        }
    }
}

fn run_jobs(
    connection: &Connection,
    file: &str,
    rest: &mut impl Iterator<Item = Box<dyn Job>>,
    ran: &mut Vec<Box<dyn Job>>,
) -> Result<(), Lost> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| Lost::by_sqlite(file, error))?;
    for mut job in rest {
        let outcome = run_in_savepoint(connection, &mut *job);
        ran.push(job);
        outcome.map_err(|error| Lost::by_another_job(file, &error))?;
    }
    connection.execute_batch("COMMIT").map_err(|error| Lost::by_sqlite(file, error))
}

fn run_in_savepoint(connection: &Connection, job: &mut dyn Job) -> rusqlite::Result<()> {
    connection.execute_batch("SAVEPOINT job")?;
    match job.run(connection) {
        Keep::Yes => connection.execute_batch("RELEASE job"),
        Keep::No => connection.execute_batch("ROLLBACK TO job; RELEASE job"),
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
