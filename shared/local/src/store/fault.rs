//! What an SQLite error means to a caller of a port: retry, make room, or give up.
//!
//! Always holds: the kind comes from SQLite's result code, never from its text; the message names the file
//! and the object that was being read or written, and the remedy where there is one.

use rusqlite::ErrorCode;
use teal::ports::fault::{Fault, FaultKind};
use teal::ports::{EntitiesError, LedgerError};

/// The fault that `error` is, met while doing something with `object` (`teal.db: talents_v7`).
#[must_use]
pub fn fault(object: &str, error: rusqlite::Error) -> Fault {
    let kind = kind(&error);
    let what = match kind {
        FaultKind::Full => format!("{object}: the disk is full; make room on it and try again"),
        FaultKind::Transient => format!("{object}: {error}; try again"),
        FaultKind::Permanent => format!("{object}: {error}"),
    };
    Fault::new(kind, what).because(error)
}

fn kind(error: &rusqlite::Error) -> FaultKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => FaultKind::Full,
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory,
        ) => FaultKind::Transient,
        _ => FaultKind::Permanent,
    }
}

/// Inside a job: either SQLite's error, which gets its object's name at the border, or the port's own.
#[derive(Debug)]
pub enum Trouble<E> {
    Sql(rusqlite::Error),
    Known(E),
}

impl<E: From<Fault>> Trouble<E> {
    pub fn named(self, object: &str) -> E {
        match self {
            Self::Sql(error) => fault(object, error).into(),
            Self::Known(error) => error,
        }
    }
}

impl<E> From<rusqlite::Error> for Trouble<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl<E: From<Fault>> From<Fault> for Trouble<E> {
    fn from(fault: Fault) -> Self {
        Self::Known(fault.into())
    }
}

impl From<EntitiesError> for Trouble<EntitiesError> {
    fn from(error: EntitiesError) -> Self {
        Self::Known(error)
    }
}

impl From<LedgerError> for Trouble<LedgerError> {
    fn from(error: LedgerError) -> Self {
        Self::Known(error)
    }
}

/// A request or a stored value that is wrong and stays wrong.
#[must_use]
pub fn permanent(what: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Permanent, what)
}
