//! What an SQLite error means to a caller of a port: retry, make room, or give up.
//!
//! Always holds: the kind comes from SQLite's result code, never from its text; the message names the file
//! and the object that was being read or written, and the remedy where there is one.

use rusqlite::ErrorCode;
use teal::ports::fault::{Fault, FaultKind};

/// Inside a job: either SQLite's error, which gets its object's name at the border, or the port's own.
///
/// Lets a job use `?` on SQLite's calls without naming the object at each of them.
#[derive(Debug)]
pub enum Trouble<E = Fault> {
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

/// The fault that `error` is, met while doing something with `object` (`teal.db: talents_v7`).
#[must_use]
pub fn fault(object: &str, error: rusqlite::Error) -> Fault {
    let kind = kind(&error);
    let what = match kind {
        FaultKind::Full => format!("{object}: no room left on its disk; free some space and try again"),
        FaultKind::Transient => format!("{object}: {error}; try again"),
        FaultKind::Permanent => format!("{object}: {error}"),
    };
    Fault::new(kind, what).because(error)
}

fn kind(error: &rusqlite::Error) -> FaultKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => FaultKind::Full,
        // The log's index is a file of its own, and SQLite has no better word for no room to grow it.
        Some(ErrorCode::SystemIoFailure) if is_no_room_for_the_index(error) => FaultKind::Full,
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

fn is_no_room_for_the_index(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

/// A request or a stored value that is wrong and stays wrong.
#[must_use]
pub fn permanent(what: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Permanent, what)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn of(code: i32) -> Fault {
        fault("inbox.db: messages", rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn a_full_disk_names_the_object_and_the_remedy() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            let fault = of(code);
            assert_eq!(fault.kind, FaultKind::Full);
            assert!(fault.what.contains("inbox.db: messages") && fault.what.contains("free some space"), "{fault}");
        }
    }

    #[test]
    fn only_what_may_pass_by_itself_is_transient() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_IOERR, ffi::SQLITE_IOERR_FSYNC] {
            assert_eq!(of(code).kind, FaultKind::Transient, "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_CONSTRAINT, ffi::SQLITE_READONLY] {
            assert_eq!(of(code).kind, FaultKind::Permanent, "{code}");
        }
    }

    #[test]
    fn a_ports_own_error_keeps_its_words() {
        let known = Trouble::Known(permanent("not this way"));
        assert_eq!(known.named("inbox.db").what, "not this way");
    }
}
