//! The one thread that writes to a database file, and group commit.
//!
//! Jobs arrive over a channel. The thread takes what is waiting, runs each job in a savepoint of its own
//! inside one `BEGIN IMMEDIATE … COMMIT` (one that is alone needs none), and answers them all after the commit: so a hundred small writes
//! share one fsync, and an answer means that the write is durable.
//!
//! Always holds:
//!
//! - A job that fails, refuses or panics takes back its own savepoint and nothing else.
//! - Nobody is answered before the commit, not even a job that failed: what it saw may be another job's
//!   write that has yet to become durable. A failed commit is everybody's failure.
//! - Jobs run in the order of the calls to [`Writer::run`], one at a time, to their end even when the caller
//!   stops waiting.
//!
//! Knows nothing of what is stored: any database file can have one. Works under any executor.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use teal::ports::fault::{Fault, FaultKind};
use tokio::sync::oneshot;

use super::fault::{Trouble, fault, permanent};

/// Most jobs of one commit: what bounds how long the first of them waits for the last.
const GROUP: usize = 256;

pub struct Writer {
    /// `None` only while dropping: closing it is what ends the thread.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    file: String,
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

struct Write<F, A> {
    job: F,
    answer: A,
    object: String,
}

impl<F, A, T, E> Queued for Write<F, A>
where
    F: FnOnce(&Connection) -> Result<T, Trouble<E>> + Send,
    A: FnOnce(Result<T, E>) + Send + 'static,
    T: 'static,
    E: From<Fault> + 'static,
{
    fn run(self: Box<Self>, connection: &Connection) -> Ran {
        let Self { job, answer, object } = *self;
        let result = catch_unwind(AssertUnwindSafe(|| job(connection)))
            .unwrap_or_else(|panic| {
                let words = words_of(&*panic);
                Err(permanent(format!("{object}: a write panicked and was undone, which is a bug: {words}")).into())
            })
            .map_err(|trouble| trouble.named(&object));
        let keep = result.is_ok();
        let answer = Box::new(move |committed: Result<(), Fault>| answer(committed.map_err(E::from).and(result)));
        Ran { keep, answer }
    }

    fn refuse(self: Box<Self>, fault: Fault) {
        (self.answer)(Err(fault.into()));
    }
}

impl Writer {
    /// `file` names the file in faults. `after_group` is called when a group has its answers.
    pub fn start(
        file: &str,
        connection: Connection,
        after_group: impl FnMut(&Connection) + Send + 'static,
    ) -> Result<Self, Fault> {
        let (jobs, inbox) = channel();
        let name = file.to_owned();
        let thread = thread::Builder::new()
            .name("sqlite writer".into())
            .spawn(move || serve(&name, &connection, &inbox, after_group))
            .map_err(|error| {
                let what = format!("{file}: its writer thread did not start; try again");
                Fault::new(FaultKind::Transient, what).because(error)
            })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), file: file.to_owned() })
    }

    /// Queues `job` at once and answers when its group is committed. The job runs even if nobody waits for
    /// the answer. With an error, of the port's own or of SQLite, nothing of what it wrote stays. It must
    /// leave transactions alone: it runs inside one. `what` names in a fault what is written.
    pub fn run<T, E, F>(&self, what: &str, job: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: FnOnce(&Connection) -> Result<T, Trouble<E>> + Send + 'static,
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        // Whoever asked may have gone; the write stands all the same.
        let queued = self.submit(what, job, move |result| _ = sender.send(result));
        let file = self.file.clone();
        async move {
            queued?;
            answer.await.unwrap_or_else(|_| Err(gone(&file).into()))
        }
    }

    /// The same for a job of many callers: `then` gets the answer, on the writer's thread, and passes it on. It must
    /// be short, and must not wait.
    pub fn submit<T, E, F, A>(&self, what: &str, job: F, then: A) -> Result<(), Fault>
    where
        F: FnOnce(&Connection) -> Result<T, Trouble<E>> + Send + 'static,
        A: FnOnce(Result<T, E>) + Send + 'static,
        T: 'static,
        E: From<Fault> + 'static,
    {
        let write: Job = Box::new(Write { job, answer: then, object: format!("{}: {what}", self.file) });
        let queued = self.jobs.as_ref().is_some_and(|jobs| jobs.send(write).is_ok());
        if queued { Ok(()) } else { Err(gone(&self.file)) }
    }
}

/// Ends the thread after the jobs that are queued already.
impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        // The last owner may be a job of the thread itself, which cannot wait for its own end.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            // The thread answers panics of jobs by itself; one of its own has no one left to tell.
            let _ = thread.join();
        }
    }
}

fn gone(file: &str) -> Fault {
    permanent(format!("{file}: its writer has ended; start Teal again"))
}

/// What a panic said, where it said anything.
pub(super) fn words_of(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<&str>().copied();
    words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn serve(file: &str, connection: &Connection, inbox: &Receiver<Job>, mut after_group: impl FnMut(&Connection)) {
    let mut group = VecDeque::with_capacity(GROUP);
    while let Ok(first) = inbox.recv() {
        group.push_back(first);
        group.extend(inbox.try_iter().take(GROUP - 1));
        while !group.is_empty() {
            commit_group(file, connection, &mut group);
            after_group(connection);
        }
    }
}

/// Takes jobs off the group, runs and answers them. Leaves some only when the transaction was lost on the way.
fn commit_group(file: &str, connection: &Connection, group: &mut VecDeque<Job>) {
    let mut ran = Vec::with_capacity(group.len());
    match run_group(connection, group, &mut ran) {
        Ok(Group::Committed) => ran.into_iter().for_each(|job| (job.answer)(Ok(()))),
        Ok(Group::Lost) => {
            // A last job that failed has its own error for an answer, whatever became of the rest.
            let culprit = ran.pop_if(|last| !last.keep);
            for job in ran {
                let what = format!("{file}: another write broke the transaction; nothing was written, try again");
                (job.answer)(Err(Fault::new(FaultKind::Transient, what)));
            }
            if let Some(job) = culprit {
                (job.answer)(Ok(()));
            }
        }
        Err(error) => {
            if !connection.is_autocommit() {
                // If even this fails, the next BEGIN fails, and says so to its callers.
                let _ = connection.execute_batch("ROLLBACK");
            }
            let failure = fault(file, error);
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
    // A savepoint keeps a copy of every page that is written within it. Who is alone has the transaction for one.
    let alone = group.len() == 1;
    let [begin, undo, end] =
        if alone { ["", "ROLLBACK", ""] } else { ["SAVEPOINT job", "ROLLBACK TO job", "RELEASE job"] };
    let within = |sql: &'static str| if sql.is_empty() { Ok(0) } else { execute(sql) };
    execute("BEGIN IMMEDIATE")?;
    while let Some(job) = group.pop_front() {
        if let Err(error) = within(begin) {
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
            within(undo)?;
        }
        within(end)?;
    }
    if !connection.is_autocommit() {
        execute("COMMIT")?;
    }
    Ok(Group::Committed)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
