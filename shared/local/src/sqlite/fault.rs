//! Judges SQLite's errors, once, for all adapters over it.

use rusqlite::ErrorCode;
use teal::ports::fault::{Fault, FaultKind};

/// What went wrong inside a job of the writer: SQLite's own error, not yet judged, or one that is.
///
/// Lets a job use `?` on SQLite's calls without naming its file at each of them.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Failure {
    #[must_use]
    pub fn into_fault(self, file: &str) -> Fault {
        match self {
            Self::Sqlite(error) => fault(file, error),
            Self::Fault(fault) => fault,
        }
    }
}

/// Turns an error of SQLite on `file` into a fault that says whether trying again can help.
#[must_use]
pub fn fault(file: &str, error: rusqlite::Error) -> Fault {
    let kind = kind(&error);
    let what = match kind {
        FaultKind::Full => format!("no room left to write to '{file}'; free some disk space and try again"),
        FaultKind::Transient => format!("'{file}' can't be used right now: {error}"),
        FaultKind::Permanent => format!("'{file}' refused: {error}"),
    };
    Fault::new(kind, what).because(error)
}

pub(super) fn kind(error: &rusqlite::Error) -> FaultKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => FaultKind::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SystemIoFailure) => FaultKind::Transient,
        _ => FaultKind::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn of(code: i32) -> Fault {
        fault("inbox.db", rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn a_full_disk_names_the_file_and_the_remedy() {
        let fault = of(ffi::SQLITE_FULL);
        assert_eq!(fault.kind, FaultKind::Full);
        assert!(fault.what.contains("inbox.db") && fault.what.contains("free some disk space"), "{fault}");
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
}
