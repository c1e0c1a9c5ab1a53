//! Large objects as files: how one is written, gets its name, is found and listed.
//!
//! Always holds: a file under its key's name is whole and synced; only [`Files::publish`] gives names, and
//! its caller makes sure that nobody else does at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use teal::ports::Fault;
use teal::ports::blobs::Put;
use teal::ports::fault::FaultKind;

use super::disk::Disk;
use super::key::{CheckedKey, directory_name, part_of};

/// The set of durable directories is forgotten beyond this many; they are synced once more then.
const REMEMBERED: usize = 10_000;

pub(super) struct Files {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    next_incoming: AtomicU64,
    /// Directories whose own name is known to be durable, so that a put syncs each only once.
    durable: Mutex<BTreeSet<PathBuf>>,
    /// Directories that are not there, by what their objects' keys begin with: most small objects have none that could be
    /// files. Nobody but us makes any.
    absent: Mutex<BTreeMap<String, PathBuf>>,
}

/// A file with all its bytes synced, and no name that readers look for. Gone when dropped.
pub(super) struct Incoming {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // What can't be removed now is removed at the next start.
        let _ = self.disk.unlink(&self.path);
    }
}

impl Files {
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, Fault> {
        let root = dir.join("blobs");
        let files = Self {
            disk,
            root,
            next_incoming: AtomicU64::new(0),
            durable: Mutex::new(BTreeSet::from([dir.to_owned()])),
            absent: Mutex::default(),
        };
        let incoming = files.incoming();
        files.make_directories(&incoming)?;
        for left in files.disk.list(&incoming).map_err(|error| judge(&incoming, error))? {
            let path = incoming.join(left.name);
            files.disk.unlink(&path).map_err(|error| judge(&path, error))?;
        }
        Ok(files)
    }

    pub fn exists(&self, key: &CheckedKey) -> Result<bool, Fault> {
        let parts = key.as_str().rsplit_once('/').map_or("", |(parts, _)| parts);
        if self.absent().contains_key(parts) || !key.fits_a_file_system() {
            return Ok(false);
        }
        let exists = |path: &Path| self.disk.exists(path).map_err(|error| judge(path, error));
        let path = self.path(key);
        let found = exists(&path)?;
        let directory = path.parent().unwrap_or(&self.root);
        if !found {
            let mut absent = self.absent();
            if absent.len() < REMEMBERED && !exists(directory)? {
                absent.insert(parts.to_owned(), directory.to_owned());
            }
        }
        Ok(found)
    }

    /// Held while a directory is made, and while one is found not to be there.
    fn absent(&self) -> MutexGuard<'_, BTreeMap<String, PathBuf>> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read(&self, key: &CheckedKey) -> Result<Option<Vec<u8>>, Fault> {
        if !key.fits_a_file_system() {
            return Ok(None);
        }
        let path = self.path(key);
        found(self.disk.read(&path)).map_err(|error| judge(&path, error))
    }

    /// Writes and syncs the bytes, and makes the directories that the key needs.
    pub fn write_incoming(&self, key: &CheckedKey, bytes: &[u8]) -> Result<Incoming, Fault> {
        if let Some(directory) = self.path(key).parent() {
            self.make_directories(directory)?;
        }
        let path = self.incoming().join(self.next_incoming.fetch_add(1, Ordering::Relaxed).to_string());
        let mut file = self.disk.create(&path).map_err(|error| judge(&path, error))?;
        // From here on the file goes when anything fails.
        let incoming = Incoming { disk: Arc::clone(&self.disk), path };
        file.write(bytes).and_then(|()| file.sync()).map_err(|error| judge(&incoming.path, error))?;
        Ok(incoming)
    }

    /// Gives the file its name unless that is taken. Durable after [`Files::sync_directory_of`].
    pub fn publish(&self, incoming: &Incoming, key: &CheckedKey) -> Result<Put, Fault> {
        let path = self.path(key);
        let linked = match self.disk.link(&incoming.path, &path) {
            // Some file systems have no links. Nobody else gives names meanwhile, so looking first is enough.
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                match self.disk.exists(&path) {
                    Ok(true) => return Ok(Put::WasThere),
                    Ok(false) => self.disk.rename(&incoming.path, &path),
                    Err(error) => Err(error),
                }
            }
            linked => linked,
        };
        match linked {
            Ok(()) => Ok(Put::Stored),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Put::WasThere),
            Err(error) => Err(judge(&path, error)),
        }
    }

    /// Makes durable what happened to the key's name.
    pub fn sync_directory_of(&self, key: &CheckedKey) -> Result<(), Fault> {
        let path = self.path(key);
        let directory = path.parent().unwrap_or(&self.root);
        self.disk.sync_directory(directory).map_err(|error| judge(directory, error))
    }

    pub fn delete(&self, key: &CheckedKey) -> Result<(), Fault> {
        if !key.fits_a_file_system() {
            return Ok(());
        }
        let path = self.path(key);
        match found(self.disk.unlink(&path)) {
            Ok(Some(())) => self.sync_directory_of(key),
            Ok(None) => Ok(()),
            Err(error) => Err(judge(&path, error)),
        }
    }

    /// Keys with the prefix, after `after`, in byte order.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, Fault> {
        // Whole parts of the prefix are a directory: nothing outside it needs a look.
        let base = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
        let mut directory = self.root.clone();
        directory.extend(base.split_terminator('/').map(directory_name));
        let mut listing = Listing { files: self, prefix, after: after.unwrap_or_default(), limit, keys: Vec::new() };
        if !base.split_terminator('/').any(|part| part.is_empty() || part == "." || part == "..") {
            listing.walk(&directory, base)?;
        }
        Ok(listing.keys)
    }

    fn path(&self, key: &CheckedKey) -> PathBuf {
        self.root.join(key.path())
    }

    fn incoming(&self) -> PathBuf {
        self.root.join(".incoming")
    }

    /// Makes a directory and those above it, and returns once the names of all are durable.
    fn make_directories(&self, directory: &Path) -> Result<(), Fault> {
        if self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(directory) {
            return Ok(());
        }
        let parent = directory.parent().expect("the data directory is above and known");
        self.make_directories(parent)?;
        let mut absent = self.absent();
        match self.disk.make_directory(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(judge(directory, error)),
        }
        absent.retain(|_, path| path != directory);
        drop(absent);
        // Also when it was there: whoever made it may not have come this far.
        self.disk.sync_directory(parent).map_err(|error| judge(parent, error))?;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= REMEMBERED {
            let data = self.root.parent().map(Path::to_owned);
            *durable = data.into_iter().collect();
        }
        durable.insert(directory.to_owned());
        Ok(())
    }
}

struct Listing<'a> {
    files: &'a Files,
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    keys: Vec<String>,
}

impl Listing<'_> {
    /// `base` is what all keys below `directory` start with.
    fn walk(&mut self, directory: &Path, base: &str) -> Result<(), Fault> {
        let entries = found(self.files.disk.list(directory)).map_err(|error| judge(directory, error))?;
        // A directory sorts with its slash, which puts everything below it in its place among its siblings.
        let mut below: Vec<(String, Option<String>)> = entries
            .unwrap_or_default()
            .into_iter()
            .filter_map(|entry| {
                let part = part_of(&entry.name, entry.is_directory)?;
                let key = if entry.is_directory { format!("{base}{part}/") } else { format!("{base}{part}") };
                Some((key, entry.is_directory.then_some(entry.name)))
            })
            .filter(|(key, _)| key.starts_with(self.prefix) || self.prefix.starts_with(key.as_str()))
            .collect();
        below.sort_unstable();
        for (key, is_directory) in below {
            if self.keys.len() >= self.limit {
                break;
            }
            match is_directory {
                Some(name) if self.after < key.as_str() || self.after.starts_with(&key) => {
                    self.walk(&directory.join(name), &key)?;
                }
                None if self.after < key.as_str() && key.starts_with(self.prefix) => self.keys.push(key),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Tells "not there" from trouble.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn judge(path: &Path, error: io::Error) -> Fault {
    let path = path.display();
    let (kind, what) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (FaultKind::Full, format!("no room left to write '{path}'; free some disk space and try again"))
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
            (FaultKind::Permanent, format!("can't use '{path}': {error}; give Teal the right to write there"))
        }
        _ => (FaultKind::Transient, format!("can't use '{path}' right now: {error}")),
    };
    Fault::new(kind, what).because(error)
}
