//! Running the subject under the recorder.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::{Disk, Files};
use crate::log::Log;
use crate::plan::Plan;

/// The recorder, compiled.
pub struct Recorder {
    library: PathBuf,
    dir: tempfile::TempDir,
}

/// What a run of the subject leaves.
pub struct Recording {
    pub log: Log,
    /// What the recorder watched; the plan's directory is in it.
    pub root: PathBuf,
    pub plan: Plan,
    /// What was there when the subject started.
    files: Files,
    _dir: tempfile::TempDir,
}

impl Recorder {
    /// `Ok(None)` where it can't be had: elsewhere than on Linux, or without a C compiler.
    pub fn compile() -> io::Result<Option<Self>> {
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        if Command::new(&compiler).arg("--version").output().is_err() {
            return Ok(None);
        }
        let dir = tempfile::tempdir()?;
        let library = dir.path().join("recorder.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorder.c");
        let output = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .output()?;
        if output.status.success() {
            Ok(Some(Self { library, dir }))
        } else {
            Err(io::Error::other(format!("recorder.c does not compile:\n{}", String::from_utf8_lossy(&output.stderr))))
        }
    }

    /// Runs `subject` to its end, on a disk with these files. `plan` gets the directory to work on.
    pub fn record(
        &self,
        subject: &Path,
        mut files: Files,
        plan: impl FnOnce(PathBuf) -> io::Result<Plan>,
    ) -> io::Result<Recording> {
        let dir = tempfile::tempdir_in(self.dir.path())?;
        let base = dir.path().canonicalize()?;
        let root = base.join("disk");
        std::fs::create_dir(&root)?;
        forget_shared_memory(&mut files);
        write_files(&files, &root)?;
        crate::plan::write_secrets(&base.join("secrets"))?;
        let plan = plan(root.join("data"))?;
        let told = base.join("plan.json");
        std::fs::write(&told, serde_json::to_vec(&plan)?)?;
        let (log, marks) = (base.join("log"), base.join("marks"));
        let output = Command::new(subject)
            .args([&told, &base.join("secrets"), &marks])
            .env("LD_PRELOAD", &self.library)
            .env("TEAL_RECORDER_LOG", &log)
            .env("TEAL_RECORDER_MARKS", &marks)
            .env("TEAL_RECORDER_ROOT", &root)
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("the subject failed with {}:\n{said}", output.status)));
        }
        Ok(Recording { log: Log::read(&log)?, root, plan, files, _dir: dir })
    }
}

impl Recording {
    /// The disk as it was when the subject started.
    pub fn disk(&self) -> io::Result<Disk<'_>> {
        Disk::new(&self.log, &self.root, &self.files)
    }
}

/// The memory that processes shared which had a database open: none has now, and SQLite makes it anew.
pub fn forget_shared_memory(files: &mut Files) {
    files.retain(|path, _| !path.to_string_lossy().ends_with("-shm"));
}

pub fn write_files(files: &Files, root: &Path) -> io::Result<()> {
    for (path, bytes) in files {
        let path = root.join(path);
        match bytes {
            None => std::fs::create_dir_all(path)?,
            Some(bytes) => std::fs::write(path, bytes)?,
        }
    }
    Ok(())
}
