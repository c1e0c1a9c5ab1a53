//! Blobs in a folder and nothing else: where second copies of backups lie, on another disk for instance.
//!
//! Always holds: what [`super::files`] promises of large objects, here of all; one process gives names at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use teal::ports::blobs::Put;
use teal::ports::fault::FaultKind;
use teal::ports::{BlobAdmin, BlobError, BlobReader, BlobStore, BlobWriter, Elsewhere, Fault};

use super::files::Files;
use super::key::CheckedKey;
use super::{RealDisk, on_files};

pub struct FolderBlobs {
    files: Arc<Files>,
    /// Held while a name is given.
    naming: Arc<Mutex<()>>,
}

impl FolderBlobs {
    /// The folder is made if it is not there; objects lie in `blobs` in it.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        std::fs::create_dir_all(dir).map_err(|error| {
            Fault::new(FaultKind::Transient, format!("can't make the folder '{}'", dir.display())).because(error)
        })?;
        Ok(Self { files: Arc::new(Files::open(Arc::new(RealDisk), dir)?), naming: Arc::default() })
    }
}

#[async_trait]
impl BlobReader for FolderBlobs {
    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        let checked = CheckedKey::new(key)?;
        let found = on_files(&self.files, move |files| files.read(&checked)).await?;
        found.map(Bytes::from).ok_or_else(|| BlobError::Missing(key.to_owned()))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, BlobError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        Ok(on_files(&self.files, move |files| files.list(&prefix, after.as_deref(), limit)).await?)
    }
}

#[async_trait]
impl BlobWriter for FolderBlobs {
    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Put, BlobError> {
        let (checked, naming) = (CheckedKey::new(key)?, self.naming.clone());
        if !checked.fits_a_file_system() {
            let why = format!("'{key}' is too long for the name of a file");
            return Err(Fault::new(FaultKind::Permanent, why).into());
        }
        let put = on_files(&self.files, move |files| {
            let incoming = files.write_incoming(&checked, &bytes)?;
            let put = {
                let _naming = naming.lock().unwrap_or_else(PoisonError::into_inner);
                files.publish(&incoming, &checked)?
            };
            files.sync_directory_of(&checked)?;
            Ok(put)
        });
        Ok(put.await?)
    }
}

#[async_trait]
impl BlobAdmin for FolderBlobs {
    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let checked = CheckedKey::new(key)?;
        Ok(on_files(&self.files, move |files| files.delete(&checked)).await?)
    }
}

/// Folders as second places, each opened once.
pub struct Folders {
    /// What a relative name is relative to.
    base: PathBuf,
    open: Mutex<BTreeMap<String, Arc<FolderBlobs>>>,
}

impl Folders {
    #[must_use]
    pub fn new(base: PathBuf) -> Self {
        Self { base, open: Mutex::default() }
    }
}

#[async_trait]
impl Elsewhere for Folders {
    async fn open(&self, name: &str) -> Result<Arc<dyn BlobStore>, Fault> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(name) {
            return Ok(known.clone());
        }
        let folder = Arc::new(FolderBlobs::open(&self.base.join(name))?);
        open.insert(name.to_owned(), folder.clone());
        Ok(folder)
    }
}
