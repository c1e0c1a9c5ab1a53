//! Files that belong to a manifest.

use std::path::{Component, Path, PathBuf};

use teal_connect::node::Files;

/// Files in the manifest's folder, also by paths that begin with the name of that folder.
#[derive(Debug)]
pub struct Beside {
    folder: PathBuf,
}

impl Beside {
    pub fn of(manifest: &Path) -> Self {
        let folder = manifest.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        Self { folder: std::fs::canonicalize(&folder).unwrap_or(folder) }
    }
}

impl Files for Beside {
    fn read(&self, path: &str) -> Option<String> {
        let path = Path::new(path);
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return None;
        }
        let inside = match self.folder.file_name() {
            Some(name) => path.strip_prefix(name).ok(),
            None => None,
        };
        let found = std::fs::read_to_string(self.folder.join(path)).ok();
        found.or_else(|| std::fs::read_to_string(self.folder.join(inside?)).ok())
    }
}
