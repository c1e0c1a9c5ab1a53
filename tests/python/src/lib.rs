//! Python environments for tests: made once a user and set of requirements, then reused.
//!
//! Always holds: an environment that is not whole is never used: the mark that says so is written last.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The Python of the environment that has these packages, one a line, pinned; made if it isn't there. With the
/// reason where there can be none.
pub fn environment(packages: &str) -> Result<PathBuf, String> {
    let directory = directory(packages)?;
    let python = directory.join("bin").join("python");
    let ready = directory.join("ready");
    if ready.exists() {
        return Ok(python);
    }
    let trouble = |what: &str, error: std::io::Error| format!("{what} '{}': {error}", directory.display());
    fs::create_dir_all(&directory).map_err(|error| trouble("can't make", error))?;
    let lock = File::create(directory.join("lock")).map_err(|error| trouble("can't lock", error))?;
    lock.lock().map_err(|error| trouble("can't lock", error))?;
    if ready.exists() {
        return Ok(python);
    }
    let requirements = directory.join("requirements.txt");
    fs::write(&requirements, packages).map_err(|error| trouble("can't write to", error))?;
    run(Command::new("python3").arg("-m").arg("venv").arg(&directory))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(pip).arg(&requirements))?;
    fs::write(&ready, "").map_err(|error| trouble("can't write to", error))?;
    Ok(python)
}

fn directory(packages: &str) -> Result<PathBuf, String> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")));
    let cache = cache.ok_or("neither XDG_CACHE_HOME nor HOME says where to keep it")?;
    let digest = Sha256::digest(packages);
    let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(cache.join("teal").join(format!("venv-{hash}")))
}

fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let done = command.output().map_err(|error| format!("{shown}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("{shown} failed: {}", said.lines().last().unwrap_or_default()))
}
