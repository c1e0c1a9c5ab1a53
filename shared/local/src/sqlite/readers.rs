//! A small set of read connections, lent out one call at a time on the blocking pool.
//!
//! Owns the connections. Always holds: a call sees one consistent state, which holds every commit that was
//! answered before the call began; no connection keeps a read transaction between two calls.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, TransactionBehavior};
use teal::ports::Fault;
use teal::ports::fault::FaultKind;

use super::fault::{Failure, fault};
use super::open::{Synchronous, open};

/// More idle connections than this are closed instead of kept.
const KEPT: usize = 4;

#[derive(Clone)]
pub struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// The file must be there and have its tables by the first [`Readers::run`].
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { shared: Arc::new(Shared { path: path.into(), idle: Mutex::default() }) }
    }

    /// Runs `read` in one read transaction, off the async threads.
    pub async fn run<T, F>(&self, read: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.run(read)).await.map_err(|error| {
            let file = self.shared.path.display();
            Fault::new(FaultKind::Permanent, format!("reading '{file}' ended early; this is a bug")).because(error)
        })?
    }
}

impl Shared {
    fn run<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Fault> {
        let file = self.path.display().to_string();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = open(&self.path, Synchronous::Off)?;
                connection.pragma_update(None, "query_only", true).map_err(|error| fault(&file, error))?;
                connection
            }
        };
        let answer = connection
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(Failure::from)
            .and_then(|transaction| read(&transaction))
            .map_err(|failure| failure.into_fault(&file))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(answer)
    }
}
