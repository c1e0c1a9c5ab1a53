//! Everything that runs in a demo: a stand-in of the source, a Teal over a directory of its own, both on
//! loopback; and the few things that steps ask of them.
//!
//! Owns starting, waiting and ending. Judges nothing: steps do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use teal::domain::{Counts, EntityName, Message, Mode, Pointer, QueueName, Run, RunId, RunState, SourceId};
use teal::pipeline::ledger::{self, Audit};
use teal::pipeline::poll::{Asked, Started};
use teal::pipeline::switch::{MoveTo, Moved};
use teal::pipeline::{Loaded, StageError};
use teal::ports::Entropy;
use teal::ports::queue::{Outgoing, send_all};
use teal_connect::ManifestConnectors;
use teal_local::entropy::SystemEntropy;
use teal_local::host::stop::{self, Stop, Stopper};
use teal_local::{Local, LocalOptions, Running};
use teal_stand_in::{Blue, BlueOptions, Kind};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::client::Client;
use super::system::{self, API_KEY, HOOK_SECRET, Mapping, SOURCE};

/// Who the demo is in Teal's own records.
const WHO: &str = "demo";
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// Longest wait for what should be there at once.
const SOON: Duration = Duration::from_secs(60);

pub struct World {
    pub blue: Blue,
    pub local: Local,
    pub client: Client,
    pub url: String,
    pub hook_secret: String,
    pub dir: PathBuf,
    /// Longest wait for a run.
    patience: Duration,
    running: Running,
    serving: JoinHandle<std::io::Result<()>>,
    stopper: Stopper,
}

/// A run that ended.
pub struct Ended {
    pub run: Run,
    pub counts: Counts,
}

impl World {
    /// `dir` must be empty or not there.
    pub async fn start(dir: &Path, talents: u64, seed: u64) -> anyhow::Result<Self> {
        let random = SystemEntropy::default();
        let hook_secret = secret(dir, HOOK_SECRET, &format!("{:016x}{:016x}", random.next(), random.next()))?;
        let options = BlueOptions {
            seed,
            talents,
            boards: (talents / 50).max(4),
            media_tags: 60,
            key: secret(dir, API_KEY, &BlueOptions::default().key)?,
            ..BlueOptions::default()
        };
        let blue = Blue::start(options).await.context("the stand-in of the source can't listen on 127.0.0.1")?;

        let mut local = Local::open(LocalOptions::new(dir), Arc::new(ManifestConnectors))?;
        local.deploy(&system::bundle(Mapping::Shipped, &blue.url())).await?;
        let (stopper, stop) = stop::stop();
        let running = local.start(&stop, false).await?;
        let (url, serving) = serve(&mut local, stop).await?;
        let client = Client::new(url.clone())?;
        // Two orders of magnitude more than it takes.
        let patience = SOON + Duration::from_millis(talents * 20);
        Ok(Self { blue, local, client, url, hook_secret, dir: dir.to_owned(), patience, running, serving, stopper })
    }

    /// Ends everything, done with what is at hand. The data stays.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stopper.stop();
        self.running.finished().await;
        self.serving.await.context("the HTTP server panicked")??;
        self.blue.stop();
        Ok(())
    }

    pub fn hook_url(&self) -> String {
        format!("{}/hooks/{SOURCE}", self.url)
    }

    pub async fn deploy(&self, mapping: Mapping) -> anyhow::Result<()> {
        self.local.deploy(&system::bundle(mapping, &self.blue.url())).await?;
        Ok(())
    }

    pub async fn system(&self) -> anyhow::Result<Arc<Loaded>> {
        Ok(self.local.systems.current().await?)
    }

    pub async fn sync(&self, mode: Mode) -> anyhow::Result<Ended> {
        let source = SourceId::new(SOURCE);
        let asked = Asked { source, mode, cause: WHO.to_owned(), switch: true, force: false, trace: None };
        match self.local.poll.start(asked).await? {
            Started::Run(run) => self.work(run).await,
            other => bail!("the sync did not start: {other:?}"),
        }
    }

    pub async fn rebuild(&self, switch: bool) -> anyhow::Result<Ended> {
        self.work(self.local.poll.start_rebuild(switch, false, WHO.to_owned()).await?).await
    }

    /// Moves readers to a version that is ready or was active.
    pub async fn move_to(&self, version: teal::domain::Version) -> anyhow::Result<Moved> {
        let ask = MoveTo { version, force: false, as_was: false, who: WHO.to_owned() };
        let began = Instant::now();
        loop {
            match self.local.switch.move_to(&ask).await {
                // Whoever settled the last run is about to give the lease back.
                Err(StageError::Busy(_)) if began.elapsed() < SOON => tokio::time::sleep(LOOK).await,
                other => return Ok(other?),
            }
        }
    }

    async fn work(&self, id: RunId) -> anyhow::Result<Ended> {
        let message = Message::Continue { run: id.clone() };
        send_all(self.local.queue.as_ref(), vec![Outgoing::now(message)]).await?;
        let began = Instant::now();
        let ledger = self.local.ledger.as_ref();
        loop {
            let run = ledger::run(ledger, &id).await?.with_context(|| format!("run {id} is gone"))?.value;
            if run.state == RunState::Ended {
                return Ok(Ended { run, counts: ledger::counts(ledger, &id).await? });
            }
            if began.elapsed() > self.patience {
                let done = ledger::pages_done(ledger, &id).await?;
                bail!("run {id} did not end in {:?}: {:?}, {done} pages applied", self.patience, run.state);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub async fn pointer(&self) -> anyhow::Result<Pointer> {
        ledger::pointer(self.local.ledger.as_ref()).await?.context("there is no active version")
    }

    /// Visible rows of every entity in the active version.
    pub async fn rows(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut rows = BTreeMap::new();
        for id in self.pointer().await?.generation_ids() {
            rows.insert(id.entity.to_string(), self.local.reader.head(&id).await?.rows);
        }
        Ok(rows)
    }

    /// Grows with every change of what readers see of this entity.
    pub async fn sequence(&self, entity: &str) -> anyhow::Result<u64> {
        let id = self.pointer().await?.generation(&EntityName::new(entity)).context("the entity has no generation")?;
        Ok(self.local.reader.head(&id).await?.sequence)
    }

    /// For how long the switch of a run kept the gates closed, as the audit tells; `None` if it did not switch.
    pub async fn gates_closed_ms(&self, run: &RunId) -> anyhow::Result<Option<u64>> {
        let audits: Vec<(String, Audit)> = ledger::read_all(self.local.ledger.as_ref(), ledger::AUDIT, "").await?;
        let audit = audits.iter().rev().find(|(_, audit)| audit.who == run.as_str());
        Ok(audit.and_then(|(_, audit)| closed_in(&audit.what)))
    }

    /// Waits until every delivery that was accepted is applied.
    pub async fn applied(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.local.queue.depth(QueueName::Transform).await?.is_drained() {
            if began.elapsed() > SOON {
                bail!("deliveries wait in the queue for more than {SOON:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Reads the row over HTTP until `field` has this value. Gives the time that took.
    pub async fn until_read(&self, entity: &str, key: u64, field: &str, value: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let row = self.client.row(entity, key).await?.unwrap_or_default();
            if row[field] == value {
                return Ok(began.elapsed());
            }
            if began.elapsed() > SOON {
                bail!("{entity} {key} still shows {field} = {} and not \"{value}\" after {SOON:?}", row[field]);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many rows of each entity the source's records hold right now.
    pub fn rows_at_the_source(&self) -> BTreeMap<String, u64> {
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        let mut add = |entity: &str, number: usize| *rows.entry(entity.to_owned()).or_default() += number as u64;
        let len = |list: &serde_json::Value| list.as_array().map_or(0, Vec::len);
        let records = |kind| self.blue.ids(kind).into_iter().filter_map(move |id| self.blue.record(kind, id));
        for talent in records(Kind::Talents) {
            add("talents", 1);
            add("talents_measurements", 1);
            add("talents_socials", len(&talent["socials"]));
            add("talents_portfolios", len(&talent["portfolios"]));
            for portfolio in talent["portfolios"].as_array().into_iter().flatten() {
                add("portfolios_media", len(&portfolio["media"]));
                for medium in portfolio["media"].as_array().into_iter().flatten() {
                    add("media_tags_junction", len(&medium["tags"]));
                }
            }
        }
        for board in records(Kind::Boards) {
            add("boards", 1);
            add("boards_talents", len(&board["talents"]));
            add("boards_portfolios", len(&board["portfolios"]));
        }
        add("media_tags", records(Kind::MediaTags).count());
        rows
    }
}

async fn serve(local: &mut Local, stop: Stop) -> anyhow::Result<(String, JoinHandle<std::io::Result<()>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("Teal can't listen on 127.0.0.1")?;
    let url = format!("http://{}", listener.local_addr()?);
    let serving = local.serve(listener, None, true, stop).await?;
    Ok((url, tokio::spawn(serving)))
}

/// Gives Teal a secret, in a file that only its owner reads. If the environment has one of this name, Teal
/// would take that, and so must whoever is to share it.
fn secret(dir: &Path, name: &str, value: &str) -> anyhow::Result<String> {
    let variable = format!("TEAL_SECRET_{}", name.to_ascii_uppercase().replace('-', "_"));
    if let Ok(value) = std::env::var(variable) {
        return Ok(value);
    }
    let path = dir.join("secrets").join(name);
    write_private(&path, value).with_context(|| format!("can't write '{}'", path.display()))?;
    Ok(value.to_owned())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;

    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(path)?, "{text}")
}

fn closed_in(audit: &str) -> Option<u64> {
    audit.split_once("gates closed for ")?.1.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_of_a_switch_tells_how_long_gates_were_closed() {
        let audit = "switched v1 -> v2; 3 changes replayed, 0 left out, gates closed for 12 ms";
        assert_eq!(closed_in(audit), Some(12));
        assert_eq!(closed_in("replayed 3 rejects"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        assert_eq!(secret(dir.path(), "made-up-name", "word").unwrap(), "word");
        let path = dir.path().join("secrets/made-up-name");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "word\n");
    }
}
