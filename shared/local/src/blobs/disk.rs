//! The calls on a file system that blobs make, one method each and none cleverer than the call, so that a
//! test can record them and rebuild what a disk may hold after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

pub trait Disk: Send + Sync {
    /// Makes an empty file; one that is there is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes the directory's entries durable, not what they name.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// A second name for a file; a taken name is an error.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn unlink(&self, path: &Path) -> io::Result<()>;

    fn exists(&self, path: &Path) -> io::Result<bool>;

    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// In any order.
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>>;
}

pub trait DiskFile: Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable, not the file's name.
    fn sync(&mut self) -> io::Result<()>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskEntry {
    pub name: String,
    pub is_directory: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // Windows can't sync a directory, and its file systems journal the names by themselves.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        fs::read_dir(path)?
            .filter_map(|entry| {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => return Some(Err(error)),
                };
                // A name that is not text is none of ours.
                let name = entry.file_name().into_string().ok()?;
                Some(entry.file_type().map(|kind| DiskEntry { name, is_directory: kind.is_dir() }))
            })
            .collect()
    }
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
