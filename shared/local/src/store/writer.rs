//! The one thread that writes to a database file, and group commit.
//!
//! Jobs arrive over a channel. The thread takes what is waiting, runs each job in a savepoint of its own
//! inside one `BEGIN IMMEDIATE … COMMIT`, and answers them all after the commit: so a hundred small writes
//! share one fsync, and an answer means that the write is durable.
//!
//! Always holds:
//!
//! - A job that fails or panics takes back its own savepoint and nothing else.
//! - Nobody is answered before the commit, not even a job that failed: what it saw may be another job's
//!   write that has yet to become durable. A failed commit is everybody's failure.
//! - Jobs run in the order of the calls to [`Writer::run`].
//!
//! Knows nothing of what is stored: any database file can have one.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use teal::ports::fault::{Fault, FaultKind};
use tokio::sync::oneshot;

use super::fault::{fault, permanent};

/// Most jobs of one commit: what bounds how long the first of them waits for the last.
const GROUP: usize = 64;

pub struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    object: String,
}

/// What the thread does with a queued write: one of the two, once.
trait Queued: Send {
    fn run(self: Box<Self>, connection: &Connection) -> Ran;

    /// It never ran, because there was no transaction for it.
    fn refuse(self: Box<Self>, fault: Fault);
}

type Job = Box<dyn Queued>;

/// A job that has run and not been answered yet.
struct Ran {
    keep: bool,
    /// Called with what became of the group's commit.
    answer: Box<dyn FnOnce(Result<(), Fault>)>,
}

struct Write<F, T, E> {
    job: F,
    answer: oneshot::Sender<Result<T, E>>,
    object: String,
}

impl<F, T, E> Queued for Write<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send + 'static,
    E: From<Fault> + Send + 'static,
{
    fn run(self: Box<Self>, connection: &Connection) -> Ran {
        let Self { job, answer, object } = *self;
        let result = catch_unwind(AssertUnwindSafe(|| job(connection)))
            .unwrap_or_else(|_| Err(permanent(format!("{object}: a write panicked; nothing of it is stored")).into()));
        let keep = result.is_ok();
        let answer = Box::new(move |committed: Result<(), Fault>| {
            // Whoever asked may have gone; the write stands all the same.
            let _ = answer.send(committed.map_err(E::from).and(result));
        });
        Ran { keep, answer }
    }

    fn refuse(self: Box<Self>, fault: Fault) {
        let _ = self.answer.send(Err(fault.into()));
    }
}

impl Writer {
    /// `object` names the file in faults (`teal.db`).
    pub fn start(object: &str, connection: Connection) -> Result<Self, Fault> {
        let (jobs, inbox) = channel();
        let name = object.to_owned();
        let thread = thread::Builder::new()
            .name(format!("{object} writer"))
            .spawn(move || serve(&name, &connection, &inbox))
            .map_err(|error| {
                Fault::new(FaultKind::Transient, format!("{object}: its writer thread did not start")).because(error)
            })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), object: object.to_owned() })
    }

    /// Queues `job` at once and answers when its group is committed. The job runs even if nobody waits for
    /// the answer. It must leave transactions alone: it runs inside one.
    pub fn run<T, E, F>(&self, job: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let write: Job = Box::new(Write { job, answer: sender, object: self.object.clone() });
        let queued = self.jobs.as_ref().is_some_and(|jobs| jobs.send(write).is_ok());
        let object = self.object.clone();
        async move {
            let gone = || E::from(Fault::new(FaultKind::Transient, format!("{object}: its writer has ended")));
            if !queued {
                return Err(gone());
            }
            answer.await.unwrap_or_else(|_| Err(gone()))
        }
    }
}

/// Ends the thread after the jobs that are queued already.
impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        // The last owner may be a job of the thread itself, which cannot wait for its own end.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

fn serve(object: &str, connection: &Connection, inbox: &Receiver<Job>) {
    let mut group = VecDeque::with_capacity(GROUP);
    while let Ok(first) = inbox.recv() {
        group.push_back(first);
        group.extend(inbox.try_iter().take(GROUP - 1));
        while !group.is_empty() {
            commit_group(object, connection, &mut group);
        }
    }
}

/// Takes jobs off the group, runs and answers them. Leaves some only when the transaction was lost on the way.
fn commit_group(object: &str, connection: &Connection, group: &mut VecDeque<Job>) {
    let mut ran = Vec::with_capacity(group.len());
    match run_group(connection, group, &mut ran) {
        Ok(Group::Committed) => ran.into_iter().for_each(|job| (job.answer)(Ok(()))),
        Ok(Group::Lost) => {
            let culprit = ran.pop().filter(|job| !job.keep);
            for job in ran {
                let what = format!("{object}: another write broke the transaction; nothing was written");
                (job.answer)(Err(Fault::new(FaultKind::Transient, what)));
            }
            // It failed, so that its own error is its answer whatever became of the rest.
            if let Some(job) = culprit {
                (job.answer)(Ok(()));
            }
        }
        Err(error) => {
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
            let failure = fault(object, error);
            let copy = || Fault::new(failure.kind, failure.what.clone());
            ran.into_iter().for_each(|job| (job.answer)(Err(copy())));
            group.drain(..).for_each(|job| job.refuse(copy()));
        }
    }
}

enum Group {
    Committed,
    /// The last job that ran met an error on which SQLite rolls everything back, such as a full disk.
    Lost,
}

fn run_group(connection: &Connection, group: &mut VecDeque<Job>, ran: &mut Vec<Ran>) -> rusqlite::Result<Group> {
    let execute = |sql| connection.prepare_cached(sql)?.execute([]);
    execute("BEGIN IMMEDIATE")?;
    while let Some(job) = group.pop_front() {
        if let Err(error) = execute("SAVEPOINT job") {
            group.push_front(job);
            return Err(error);
        }
        let job = job.run(connection);
        let keep = job.keep;
        ran.push(job);
        if connection.is_autocommit() {
            return Ok(Group::Lost);
        }
        if !keep {
            execute("ROLLBACK TO job")?;
        }
        execute("RELEASE job")?;
    }
    execute("COMMIT")?;
    Ok(Group::Committed)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
