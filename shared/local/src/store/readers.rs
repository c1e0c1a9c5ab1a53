//! A few read-only connections, each with a thread of its own, that take reads off one queue.
//!
//! Always holds: a read sees one moment of the file, and its transaction ends with it: no reader keeps the
//! log from being folded into the file. Works under any executor.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use teal::ports::fault::{Fault, FaultKind};
use tokio::sync::oneshot;

use super::fault::{Trouble, permanent};

pub struct Readers {
    reads: Option<Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
    object: String,
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

impl Readers {
    pub fn start(object: &str, connections: Vec<Connection>) -> Result<Self, Fault> {
        let (reads, queue) = channel::<Read>();
        let queue = Arc::new(Mutex::new(queue));
        let mut readers = Self { reads: Some(reads), threads: Vec::new(), object: object.to_owned() };
        for connection in connections {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new()
                .name(format!("{object} reader"))
                .spawn(move || serve(&connection, &queue))
                .map_err(|error| {
                    Fault::new(FaultKind::Transient, format!("{object}: a reader thread did not start")).because(error)
                })?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs `read` on one snapshot of the file. `what` names what is read in a fault.
    pub fn run<T, E, F>(&self, what: String, read: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: FnOnce(&Connection) -> Result<T, Trouble<E>> + Send + 'static,
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let object = format!("{}: {what}", self.object);
        let name = object.clone();
        let boxed: Read = Box::new(move |connection| {
            let result = catch_unwind(AssertUnwindSafe(|| in_snapshot(connection, read)));
            let panicked = |_| Err(Trouble::Known(permanent(format!("{name}: a read panicked")).into()));
            let _ = sender.send(result.unwrap_or_else(panicked).map_err(|trouble| trouble.named(&name)));
        });
        let queued = self.reads.as_ref().is_some_and(|reads| reads.send(boxed).is_ok());
        async move {
            let gone = || E::from(Fault::new(FaultKind::Transient, format!("{object}: its readers have ended")));
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
