//! Finding the system that a command is about, and who answers for it.
//!
//! Always holds: with `--at` nothing is opened here, and only `teal deploy` puts a configuration into force there.
//! Otherwise the data directory is opened in this process unless another one has it; then that one is
//! asked over HTTP, if it serves. A command that only looks makes no data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Value as Json, json};
use teal::config::Bundle;
use teal::config::bundle::ROOT;
use teal::domain::Secret;
use teal_connect::ManifestConnectors;
use teal_local::app::{Local, LocalError, LocalOptions, Running};
use teal_local::host::stop::{Stop, Stopper, stop};
use teal_local::lock::LockError;
use teal_local::probe::ProbeOptions;

use crate::args::Global;
use crate::client::Client;

/// What a command is about, as the flags say it.
#[derive(Clone, Debug)]
pub struct Place {
    pub file: PathBuf,
    pub data: PathBuf,
    /// Who is asked instead of what is in `data`.
    pub at: Option<String>,
}

impl Place {
    pub fn of(global: &Global) -> Self {
        let file = if global.file.is_dir() { global.file.join(ROOT) } else { global.file.clone() };
        let beside = file.parent().unwrap_or(Path::new("")).join(".teal");
        Self { data: global.data.clone().unwrap_or(beside), file, at: global.at.clone() }
    }

    /// The configuration, gathered but not checked: that is for whoever compiles it.
    pub fn bundle(&self) -> anyhow::Result<Bundle> {
        if !self.file.exists() {
            bail!(Missing::File(self.file.clone()));
        }
        let read = |path: &str| std::fs::read_to_string(path);
        let bundle = Bundle::collect(&self.file.to_string_lossy(), read, |name| std::env::var(name).ok());
        bundle.with_context(|| format!("'{}' is wrong", self.file.display()))
    }

    /// The same, checked: before anything is made on disk or sent, and with every problem shown as the compiler
    /// would.
    pub fn checked_bundle(&self) -> anyhow::Result<Bundle> {
        let bundle = self.bundle()?;
        teal::config::load(&bundle).with_context(|| format!("'{}' is wrong", self.file.display()))?;
        Ok(bundle)
    }
}

/// Whoever is asked elsewhere wants to know who asks.
#[derive(Debug, thiserror::Error)]
#[error("there is no token for the Teal at {0}")]
pub struct NoToken(String);

/// What is not there, each with a way to get it.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    #[error("there is no '{}'", .0.display())]
    File(PathBuf),
    #[error("there is no data in '{}' yet", .0.display())]
    Data(PathBuf),
}

pub struct Session {
    pub client: Client,
    /// The system itself, where it is open in this process.
    pub local: Option<Local>,
}

/// Workers that go on until they are stopped.
pub struct Working {
    stopper: Stopper,
    running: Running,
}

impl Session {
    /// For commands that look at what is there, or move it.
    pub async fn look(place: &Place) -> anyhow::Result<Self> {
        if place.at.is_none() && !place.data.join("teal.db").exists() {
            if !place.file.exists() {
                bail!(Missing::File(place.file.clone()));
            }
            bail!(Missing::Data(place.data.clone()));
        }
        Self::open(place)
    }

    /// For commands that work by the configuration as it is written now: it is put into force first.
    pub async fn work(place: &Place) -> anyhow::Result<Self> {
        if place.at.is_some() {
            return Self::open(place);
        }
        let bundle = place.checked_bundle()?;
        let session = Self::open(place)?;
        if let Some(local) = &session.local {
            // We have the data to ourselves: whoever moved the pointer when the last process died is gone.
            local.switch.repair_alone().await?;
        }
        session.client.post(&["deploy"], &json!({ "bundle": bundle })).await?;
        Ok(session)
    }

    /// Whoever answers for the system, and nothing else.
    pub fn open(place: &Place) -> anyhow::Result<Self> {
        if let Some(address) = &place.at {
            let token = std::env::var("TEAL_TOKEN").ok().filter(|token| !token.is_empty());
            let token = token.ok_or_else(|| NoToken(address.clone()))?;
            let address = address.trim_end_matches('/').to_owned();
            return Ok(Self { client: Client::there(address, Secret::new(token))?, local: None });
        }
        match Local::open(options(place)?, Arc::new(ManifestConnectors)) {
            Ok(local) => Ok(Self { client: Client::here(local.console()), local: Some(local) }),
            Err(LocalError::Lock(LockError::Held { dir, holder })) => {
                let Some(address) = served_at(&holder) else {
                    return Err(LockError::Held { dir, holder }.into());
                };
                let token = read_token(&place.data)?;
                Ok(Self { client: Client::there(address.to_owned(), token)?, local: None })
            }
            Err(error) => Err(opening(error, &place.data)),
        }
    }

    /// Starts the workers, where nobody else has them running.
    pub async fn start(&self) -> anyhow::Result<Option<Working>> {
        let Some(local) = &self.local else { return Ok(None) };
        let (stopper, stop) = stop();
        let running = local.start(&stop, false).await?;
        Ok(Some(Working { stopper, running }))
    }

    /// Whether whatever looks unfinished can only have been cut off.
    pub fn is_alone(&self) -> bool {
        self.local.is_some()
    }

    pub async fn status(&self) -> anyhow::Result<Json> {
        self.client.get(&["status"], &[]).await
    }
}

impl Working {
    /// Lets what is at hand finish and takes nothing new.
    pub async fn finish(self) {
        self.stopper.stop();
        self.running.finished().await;
    }
}

/// Finishes the workers, if there are any, whatever the work came to.
pub async fn finish<T>(working: Option<Working>, result: anyhow::Result<T>) -> anyhow::Result<T> {
    if let Some(working) = working {
        working.finish().await;
    }
    result
}

/// Ctrl-C and SIGTERM, heard from now on.
pub fn signals() -> anyhow::Result<Stop> {
    teal_local::host::stop::on_signals().context("can't listen for Ctrl-C")
}

/// How the data directory is opened. Tests that kill Teal watch it through `TEAL_PROBE` and `TEAL_PROBE_DIE`.
pub fn options(place: &Place) -> anyhow::Result<LocalOptions> {
    let mut options = LocalOptions::new(&place.data);
    options.base = place.file.parent().unwrap_or(Path::new("")).to_owned();
    let file = std::env::var_os("TEAL_PROBE").map(PathBuf::from);
    let die =
        std::env::var("TEAL_PROBE_DIE").ok().map(|at| at.parse()).transpose().context("TEAL_PROBE_DIE is wrong")?;
    if file.is_some() || die.is_some() {
        options.probe = Some(ProbeOptions { file, die });
    }
    Ok(options)
}

pub fn opening(error: LocalError, data: &Path) -> anyhow::Error {
    let what = format!("can't open the data directory '{}'", data.display());
    match error {
        LocalError::Lock(lock @ LockError::Held { .. }) => lock.into(),
        other => anyhow::Error::new(other).context(what),
    }
}

/// The address in what the lock says of its holder: `process 7, serving http://127.0.0.1:8080`.
fn served_at(holder: &str) -> Option<&str> {
    let (_, address) = holder.split_once("serving ")?;
    Some(address.split([',', ' ']).next().unwrap_or(address))
}

fn read_token(data: &Path) -> anyhow::Result<Secret> {
    let path = data.join("token");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("another Teal has the data directory, and its token can't be read from '{}'", path.display())
    })?;
    Ok(Secret::new(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_says_where_to_ask() {
        assert_eq!(served_at("process 7, serving http://127.0.0.1:8080"), Some("http://127.0.0.1:8080"));
        assert_eq!(served_at("process 7"), None);
        assert_eq!(served_at("another process"), None);
    }
}
