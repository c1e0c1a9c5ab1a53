//! Secrets of one machine: from the environment, else from files.
//!
//! `blue-api-key` is the variable `TEAL_SECRET_BLUE_API_KEY`, or the content of the file `blue-api-key` in
//! the directory of secrets, without one newline at its end. Always holds: no message shows a secret; a
//! file that any user of the machine can read is refused; a secret that was found is kept until Teal ends,
//! one that was missing is looked for again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use teal::domain::Secret;
use teal::ports::fault::FaultKind;
use teal::ports::{Fault, Secrets};

type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

pub struct LocalSecrets {
    dir: PathBuf,
    environment: Environment,
    found: Mutex<BTreeMap<String, Secret>>,
}

impl LocalSecrets {
    /// `dir` need not be there.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::with_environment(dir, |name| std::env::var(name).ok())
    }

    pub fn with_environment(
        dir: impl Into<PathBuf>,
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self { dir: dir.into(), environment: Box::new(environment), found: Mutex::default() }
    }

    fn look_up(&self, name: &str) -> Result<Option<Secret>, Fault> {
        if let Some(value) = (self.environment)(&variable(name)) {
            return Ok(Some(Secret::new(value)));
        }
        read_file(&self.dir.join(name))
    }
}

#[async_trait]
impl Secrets for LocalSecrets {
    async fn get(&self, name: &str) -> Result<Option<Secret>, Fault> {
        let is_name = !name.is_empty()
            && name.len() <= 128
            && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-' || char == '_');
        if !is_name {
            return Err(Fault::new(
                FaultKind::Permanent,
                format!("'{}' can't name a secret; use letters, digits, '-' and '_'", name.escape_debug()),
            ));
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secret) = found.get(name) {
            return Ok(Some(secret.clone()));
        }
        let secret = self.look_up(name)?;
        if let Some(secret) = &secret {
            found.insert(name.to_owned(), secret.clone());
        }
        Ok(secret)
    }
}

fn variable(name: &str) -> String {
    format!("TEAL_SECRET_{}", name.to_ascii_uppercase().replace('-', "_"))
}

fn read_file(path: &Path) -> Result<Option<Secret>, Fault> {
    let failed = |error: io::Error| {
        Fault::new(FaultKind::Permanent, format!("can't read the secret file '{}': {error}", path.display()))
            .because(error)
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    refuse_readable_by_all(&file, path).map_err(failed)??;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let value = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Some(Secret::new(value)))
}

#[cfg(unix)]
fn refuse_readable_by_all(file: &File, path: &Path) -> io::Result<Result<(), Fault>> {
    use std::os::unix::fs::PermissionsExt;

    const READABLE_BY_OTHERS: u32 = 0o004;
    if file.metadata()?.permissions().mode() & READABLE_BY_OTHERS == 0 {
        return Ok(Ok(()));
    }
    let path = path.display();
    Ok(Err(Fault::new(
        FaultKind::Permanent,
        format!("the secret file '{path}' can be read by every user of this machine; run: chmod 600 '{path}'"),
    )))
}

#[cfg(not(unix))]
fn refuse_readable_by_all(_: &File, _: &Path) -> io::Result<Result<(), Fault>> {
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let _ = mode;
    }

    async fn value(secrets: &LocalSecrets, name: &str) -> Option<String> {
        secrets.get(name).await.unwrap().map(|secret| secret.expose().to_owned())
    }

    #[tokio::test]
    async fn the_environment_comes_before_the_file_and_one_newline_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("blue-api-key"), "from a file\n", 0o600);
        write(&dir.path().join("other"), " two lines\n\n", 0o600);
        let secrets = LocalSecrets::with_environment(dir.path(), |name| {
            (name == "TEAL_SECRET_BLUE_API_KEY").then(|| "from the environment".to_owned())
        });
        assert_eq!(value(&secrets, "blue-api-key").await.as_deref(), Some("from the environment"));
        assert_eq!(value(&secrets, "other").await.as_deref(), Some(" two lines\n"));
    }

    #[tokio::test]
    async fn a_found_secret_is_kept_and_a_missing_one_looked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = LocalSecrets::with_environment(dir.path().join("secrets"), |_| None);
        assert_eq!(value(&secrets, "key").await, None);
        std::fs::create_dir(dir.path().join("secrets")).unwrap();
        write(&dir.path().join("secrets/key"), "one", 0o600);
        assert_eq!(value(&secrets, "key").await.as_deref(), Some("one"));
        write(&dir.path().join("secrets/key"), "two", 0o600);
        assert_eq!(value(&secrets, "key").await.as_deref(), Some("one"));
    }

    #[tokio::test]
    async fn names_that_are_paths_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = LocalSecrets::with_environment(dir.path().join("secrets"), |_| None);
        write(&dir.path().join("outside"), "x", 0o600);
        for bad in ["../outside", "", ".", "a/b", "a b", "a\0"] {
            assert_eq!(secrets.get(bad).await.unwrap_err().kind, FaultKind::Permanent, "{bad}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_for_everybodys_eyes_is_refused_with_the_remedy_and_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("key"), "hunter2", 0o644);
        let fault = LocalSecrets::with_environment(dir.path(), |_| None).get("key").await.unwrap_err();
        assert!(fault.what.contains("chmod 600") && !fault.what.contains("hunter2"), "{fault}");
    }
}
