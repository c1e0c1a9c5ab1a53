//! A few read-only connections, each with a thread of its own, that take reads off one queue.
//!
//! Always holds: a read sees one moment of the file, with every commit that was answered before the read
//! was asked for; its transaction ends with it, so no reader keeps the log from being folded into the
//! file. A read that panics is a fault to its caller and nothing to the others. Works under any executor.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use teal::ports::fault::{Fault, FaultKind};
use tokio::sync::oneshot;

use super::fault::{Trouble, permanent};
use super::writer::words_of;

pub struct Readers {
    reads: Option<Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
    file: String,
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

impl Readers {
    /// `file` names the file in faults.
    pub fn start(file: &str, connections: Vec<Connection>) -> Result<Self, Fault> {
        let (reads, queue) = channel::<Read>();
        let queue = Arc::new(Mutex::new(queue));
        let mut readers = Self { reads: Some(reads), threads: Vec::new(), file: file.to_owned() };
        for connection in connections {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new()
                .name("sqlite reader".into())
                .spawn(move || serve(&connection, &queue))
                .map_err(|error| {
                    let what = format!("{file}: a reader thread did not start; try again");
                    Fault::new(FaultKind::Transient, what).because(error)
                })?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs `read` on one snapshot of the file. `what` names in a fault what is read.
    pub fn run<T, E, F>(&self, what: &str, read: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: FnOnce(&Connection) -> Result<T, Trouble<E>> + Send + 'static,
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let object = format!("{}: {what}", self.file);
        let boxed: Read = Box::new(move |connection| {
            let result = catch_unwind(AssertUnwindSafe(|| in_snapshot(connection, read))).unwrap_or_else(|panic| {
                let words = words_of(&*panic);
                Err(permanent(format!("{object}: a read panicked, which is a bug: {words}")).into())
            });
            // Whoever asked may have gone.
            let _ = sender.send(result.map_err(|trouble| trouble.named(&object)));
        });
        let queued = self.reads.as_ref().is_some_and(|reads| reads.send(boxed).is_ok());
        let file = self.file.clone();
        async move {
            let gone = || E::from(permanent(format!("{file}: its readers have ended; start Teal again")));
            if !queued {
                return Err(gone());
            }
            answer.await.unwrap_or_else(|_| Err(gone()))
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.reads = None;
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != thread::current().id()) {
            // The thread answers panics of reads by itself; one of its own has no one left to tell.
            let _ = thread.join();
        }
    }
}

fn serve(connection: &Connection, queue: &Mutex<Receiver<Read>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(read) => read(connection),
            Err(_) => return,
        }
    }
}

/// The transaction ends when it is dropped, also while a panic unwinds.
fn in_snapshot<T, E>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Trouble<E>>,
) -> Result<T, Trouble<E>> {
    let snapshot = connection.unchecked_transaction()?;
    read(&snapshot)
}
