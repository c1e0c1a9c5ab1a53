//! One process a data directory.
//!
//! Owns `teal.lock`, which says who works on the directory. Always holds: the operating system frees the
//! lock when its process ends, however it ends; the file's text is only for people.

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
    /// Makes the directory if it is missing.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("teal.lock");
        let failed = |error| LockError::Io { path: path.clone(), error };
        std::fs::create_dir_all(dir).map_err(failed)?;
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
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataLock::take(&file).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }));
        assert!(error.to_string().contains("file"), "{error}");
    }
}
