//! One process a data directory.
//!
//! Owns `teal.lock`, which says who works on the directory, and making that directory. Always holds: the
//! operating system frees the lock when its process ends, however it ends; the file's text is only for
//! people; the directory's own name is durable before anything is stored in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The directory is ours until this is dropped.
#[derive(Debug)]
pub struct DataLock {
    file: File,
    path: PathBuf,
}

impl DataLock {
    /// Makes the directory if it is missing, and those above it.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("teal.lock");
        let failed = |error| LockError::Io { path: path.clone(), error };
        make_durable(dir).map_err(failed)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Some systems let nobody read a locked file; then the holder stays unnamed.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim().replace('\n', ", ");
                let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
                return Err(LockError::Held { dir: dir.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut lock = Self { file, path };
        lock.write(None)?;
        Ok(lock)
    }

    /// Lets whoever finds the directory locked know where this process answers.
    pub fn serving(&mut self, address: SocketAddr) -> Result<(), LockError> {
        self.write(Some(address))
    }

    fn write(&mut self, address: Option<SocketAddr>) -> Result<(), LockError> {
        let mut text = format!("process {}\n", std::process::id());
        if let Some(address) = address {
            text.push_str(&format!("serving http://{address}\n"));
        }
        let mut rewrite = || -> io::Result<()> {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(text.as_bytes())
        };
        rewrite().map_err(|error| LockError::Io { path: self.path.clone(), error })
    }
}

/// What is synced inside a directory is lost with the directory's name, which only its parent's sync keeps.
fn make_durable(dir: &Path) -> io::Result<()> {
    let parent = match dir.parent() {
        None => return Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    let was_there = dir.is_dir();
    if !was_there {
        make_durable(parent)?;
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => return Err(error),
            _ => {}
        }
    }
    // Also when it was there: whoever made it may have been killed before this. Windows has no such call.
    let synced = if cfg!(unix) { File::open(parent).and_then(|parent| parent.sync_all()) } else { Ok(()) };
    match synced {
        // Somebody else made it, in a directory that we must not read.
        Err(error) if was_there && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("the data directory '{}' is in use by {holder}; stop it, or choose another directory", .dir.display())]
    Held { dir: PathBuf, holder: String },
    #[error("can't lock the data directory with '{}': {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_the_directory_and_where_it_answers() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut lock = DataLock::take(&data).unwrap();
        let told = DataLock::take(&data).unwrap_err().to_string();
        assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
        lock.serving("127.0.0.1:4000".parse().unwrap()).unwrap();
        let told = DataLock::take(&data).unwrap_err().to_string();
        assert!(told.contains("http://127.0.0.1:4000"), "{told}");
        drop(lock);
        DataLock::take(&data).unwrap();
    }

    #[test]
    fn directories_above_that_are_missing_are_made_too() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b/data");
        DataLock::take(&data).unwrap();
        assert!(data.join("teal.lock").is_file());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataLock::take(&file).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }));
        assert!(error.to_string().contains("file"), "{error}");
    }
}
