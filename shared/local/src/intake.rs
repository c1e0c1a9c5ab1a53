//! Deliveries on their way into `inbox.db`: object and message in one transaction, which everything shares that waits at
//! the same time.
//!
//! Owns what waits. Always holds: nobody is answered before the commit; of two with one key the one that came first
//! counts; large objects, which are files, go the way of any other object and message, one after the other.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use teal::domain::{Message, Millis, QueueName};
use teal::ports::blobs::Put;
use teal::ports::{Arrived, BlobError, Clock, Fault, InTurn, Intake};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::blobs::{BlobRow, LocalBlobs};
use crate::inbox::{Draft, Inbox, insert_message};
use crate::sqlite::{Trouble, permanent};

pub(crate) struct LocalIntake {
    blobs: Arc<LocalBlobs>,
    inbox: Inbox,
    clock: Arc<dyn Clock>,
    in_turn: InTurn,
    /// What the next transaction takes. Whoever finds it empty asks for one.
    waiting: Arc<Mutex<Vec<Waiting>>>,
}

struct Waiting {
    row: BlobRow,
    bytes: Bytes,
    message: Message,
    /// The message as it is sent if the object was not there.
    first: String,
    at: Millis,
    /// Gives the delivery back if its object is a file.
    answer: oneshot::Sender<Result<Result<Put, Arrived>, Fault>>,
}

impl LocalIntake {
    pub(crate) fn new(blobs: Arc<LocalBlobs>, inbox: Inbox, clock: Arc<dyn Clock>) -> Self {
        let in_turn = InTurn { blobs: blobs.clone(), queue: inbox.queue() };
        Self { blobs, inbox, clock, in_turn, waiting: Arc::default() }
    }

    /// Has everything written that waits when the writer comes to it.
    fn submit(&self) -> Result<(), Fault> {
        let taken: Arc<Mutex<Vec<Waiting>>> = Arc::default();
        let write = {
            let (waiting, taken, mut draft) = (self.waiting.clone(), taken.clone(), self.inbox.rows.draft());
            move |connection: &Connection| {
                let all = take(&waiting);
                let puts = all.iter().map(|one| one.write(connection, &mut draft)).collect::<Result<Vec<_>, Trouble>>();
                *taken.lock().unwrap_or_else(PoisonError::into_inner) = all;
                let puts = puts?;
                draft.enter(connection)?;
                Ok((puts, draft))
            }
        };
        let (waiting, queue, host) = (self.waiting.clone(), self.inbox.queue(), Handle::current());
        self.inbox.file.submit("deliveries", write, move |written: Result<(Vec<Option<Put>>, Draft), Fault>| {
            let mut taken = take(&taken);
            let written = written.map(|(puts, draft)| {
                draft.stands();
                puts
            });
            match &written {
                Ok(_) => queue.wake(QueueName::Transform),
                // If there was no transaction for them, they wait still.
                Err(_) if taken.is_empty() => taken = take(&waiting),
                Err(_) => {}
            }
            // There, waking each costs no call of the system.
            host.spawn(async move { answer(taken, written) });
        })
    }
}

/// Whoever asked may have gone.
fn answer(all: Vec<Waiting>, written: Result<Vec<Option<Put>>, Fault>) {
    match written {
        Ok(puts) => {
            for (Waiting { row, bytes, message, answer, .. }, put) in all.into_iter().zip(puts) {
                let arrived = || Arrived { key: row.key().to_owned(), bytes, message };
                let _ = answer.send(Ok(put.ok_or_else(arrived)));
            }
        }
        Err(fault) => {
            for one in all {
                let _ = one.answer.send(Err(Fault::new(fault.kind, fault.what.clone())));
            }
        }
    }
}

fn take(waiting: &Mutex<Vec<Waiting>>) -> Vec<Waiting> {
    std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Waiting {
    fn write(&self, connection: &Connection, draft: &mut Draft) -> Result<Option<Put>, Trouble> {
        let put = self.row.insert(connection, draft, &self.bytes)?;
        let queue = self.message.queue();
        match put {
            Some(Put::Stored) => insert_message(connection, queue, &self.first, self.at, self.at)?,
            Some(Put::WasThere) => {
                insert_message(connection, queue, &self.message.clone().again().encode(), self.at, self.at)?;
            }
            None => {}
        }
        Ok(put)
    }
}

#[async_trait]
impl Intake for LocalIntake {
    async fn take_in(&self, arrived: Arrived) -> Result<Put, BlobError> {
        let Some(row) = self.blobs.row(&arrived.key, arrived.bytes.len())? else {
            return self.in_turn.take_in(arrived).await;
        };
        let Arrived { key, bytes, message } = arrived;
        let (answer, answered) = oneshot::channel();
        let one = Waiting { row, bytes, first: message.encode(), message, at: self.clock.now(), answer };
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(one);
            waiting.len() == 1
        };
        if is_first && let Err(fault) = self.submit() {
            take(&self.waiting);
            return Err(fault.into());
        }
        let lost = |_| permanent(format!("'{key}' was not written; start Teal again"));
        match answered.await.map_err(lost)?? {
            Ok(put) => Ok(put),
            Err(arrived) => self.in_turn.take_in(arrived).await,
        }
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
