//! A `teal dev` of its own data directory that can be killed and started again, and what can be asked of it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use teal::domain::{Run, SourceId, StreamName};
use teal::pipeline::changelog::LogEntry;
use teal::pipeline::inbox::{self, Entry, Fate};
use teal::pipeline::ledger::{self, StreamProgress};
use teal_local::store::{StoreOptions, TealDb};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What `x-sync-secret-key` must say.
pub const SECRET: &str = "made-up-sync-key";
/// The stand-in's.
const API_KEY: &str = "blue-key";
/// Nothing here takes this long, also on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A system's files. Outlives the processes that work on them.
pub struct Place {
    dir: TempDir,
    blue: String,
}

impl Place {
    /// NowRep's own `teal.yaml` and connector, without schedule and limit and with pages of `page` records.
    pub fn new(blue: &str, page: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        let lines: Vec<String> = read("systems/nowrep/teal.yaml")
            .lines()
            .filter(|line| !line.starts_with("    schedule:") && !line.starts_with("    limits:"))
            .map(|line| line.replace("../../connectors/nowrep-blue.yaml", "blue.yaml"))
            .collect();
        let connector = read("connectors/nowrep-blue.yaml");
        let smaller = connector.replace("size: 100", &format!("size: {page}")).replace("size: 50", "size: 5");
        std::fs::write(dir.path().join("teal.yaml"), lines.join("\n")).unwrap();
        std::fs::write(dir.path().join("blue.yaml"), smaller).unwrap();
        let secrets = dir.path().join("data/secrets");
        std::fs::create_dir_all(&secrets).unwrap();
        for (name, value) in [("blue-api-key", API_KEY), ("sync-secret-key", SECRET)] {
            std::fs::write(secrets.join(name), value).unwrap();
            std::fs::set_permissions(secrets.join(name), Permissions::from_mode(0o600)).unwrap();
        }
        Self { dir, blue: blue.to_owned() }
    }

    /// Puts something else into its `teal.yaml`.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.dir.path().join("teal.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "the example has no '{from}'");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// How often each delivery is in the change log, by its id, while no process has the directory.
    pub async fn entered(&self, source: &str) -> BTreeMap<String, usize> {
        let db = TealDb::open(self.data().join("teal.db"), StoreOptions::default()).unwrap();
        let part = ledger::log_part(&SourceId::new(source));
        let entries: Vec<(String, LogEntry)> = ledger::read_all(db.as_ref(), &part, "").await.unwrap();
        counted(entries.iter().filter_map(|(_, entry)| inbox::name(&entry.raw).rsplit_once('-')).map(|(id, _)| id))
    }

    /// How often each delivery is recorded as applied, by its id, while no process has the directory.
    pub async fn done_with(&self, source: &str) -> BTreeMap<String, usize> {
        let db = TealDb::open(self.data().join("teal.db"), StoreOptions::default()).unwrap();
        let part = ledger::inbox_part(&SourceId::new(source));
        let entries: Vec<(String, Entry)> = ledger::read_all(db.as_ref(), &part, "").await.unwrap();
        let applied = entries.iter().filter(|(_, entry)| entry.fate == Fate::Applied);
        counted(applied.map(|(_, entry)| entry.id.as_str()))
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn events_file(&self) -> PathBuf {
        self.dir.path().join("events")
    }

    /// Every event of every process so far.
    pub fn events(&self) -> Vec<String> {
        self.events_from(0)
    }

    /// A process that was killed may have left half a line: it counts as never written.
    fn events_from(&self, offset: u64) -> Vec<String> {
        let Ok(mut file) = File::open(self.events_file()) else { return Vec::new() };
        file.seek(SeekFrom::Start(offset)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(ToOwned::to_owned).collect()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teal"));
        let root = self.dir.path();
        command.arg("--file").arg(root.join("teal.yaml")).arg("--data").arg(self.data());
        command.env("BLUE_URL", &self.blue).env_remove("TEAL_PROBE").env_remove("TEAL_PROBE_DIE");
        command
    }

    /// What everything that the processes logged says.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The canonical export, while no process has the directory.
    pub fn export(&self) -> String {
        let output = self.command().arg("export").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The runs, newest first, while no process has the directory.
    pub async fn runs(&self) -> Vec<Run> {
        let db = TealDb::open(self.data().join("teal.db"), StoreOptions::default()).unwrap();
        ledger::recent_runs(db.as_ref(), 10).await.unwrap()
    }

    /// How many pages of each stream count for a run.
    pub async fn slots(&self, run: &Run, streams: &[&str]) -> Vec<u64> {
        let db = TealDb::open(self.data().join("teal.db"), StoreOptions::default()).unwrap();
        let mut out = Vec::new();
        for stream in streams {
            let key = ledger::stream_key(&run.id, &SourceId::new("blue"), &StreamName::new(stream));
            let progress = ledger::read::<StreamProgress>(db.as_ref(), &key).await.unwrap();
            out.push(progress.map_or(0, |progress| progress.value.slots));
        }
        out
    }
}

fn counted<'a>(all: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    all.for_each(|one| *counts.entry(one.to_owned()).or_default() += 1);
    counts
}

/// One process after the other. Dies with the test.
pub struct Teal<'p> {
    place: &'p Place,
    child: Child,
    /// Reads what the process prints, until its end.
    listener: Option<JoinHandle<()>>,
    address: watch::Sender<Option<String>>,
    /// Length of the file of events when the process started.
    began: u64,
}

impl<'p> Teal<'p> {
    pub fn start(place: &'p Place, address: watch::Sender<Option<String>>, die: Option<&str>) -> Self {
        let began = std::fs::metadata(place.events_file()).map_or(0, |file| file.len());
        let (child, listener) = spawn(place, &address, die);
        Self { place, child, listener: Some(listener), address, began }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.forget_address();
    }

    /// Waits for the listener first, so that nobody announces the address of a dead process.
    fn forget_address(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
        self.address.send_replace(None);
    }

    /// A new process on the same data.
    pub fn restart(&mut self, die: Option<&str>) {
        *self = Self::start(self.place, self.address.clone(), die);
    }

    /// Whether the process has ended by itself.
    pub fn is_dead(&mut self) -> bool {
        let dead = self.child.try_wait().unwrap().is_some();
        if dead {
            self.forget_address();
        }
        dead
    }

    /// Events of this process.
    pub fn events(&self) -> Vec<String> {
        self.place.events_from(self.began)
    }

    pub async fn ready(&self) -> String {
        let mut address = self.address.subscribe();
        let ready = tokio::time::timeout(PATIENCE, address.wait_for(Option::is_some)).await;
        ready.unwrap_or_else(|_| panic!("teal dev does not start:\n{}", self.place.log())).unwrap().clone().unwrap()
    }

    /// Returns once no run is open, every queue is empty and all is as it should be; `false` when the process
    /// died meanwhile.
    pub async fn drained(&mut self) -> bool {
        let began = Instant::now();
        loop {
            let address = self.address.borrow().clone();
            let status = match address {
                Some(address) => self.status(&address).await,
                None => None,
            };
            if status.as_ref().is_some_and(is_drained) {
                return true;
            }
            if self.is_dead() {
                return false;
            }
            assert!(began.elapsed() < PATIENCE, "does not drain: {status:#?}\n{}", self.place.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What `teal status` is made from.
    async fn status(&self, address: &str) -> Option<Json> {
        let token = std::fs::read_to_string(self.place.data().join("token")).ok()?;
        let host = address.strip_prefix("http://")?;
        let head = format!(
            "GET /admin/status HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            token.trim()
        );
        let mut stream = TcpStream::connect(host).await.ok()?;
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let text = String::from_utf8(answer).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str(body).ok()
    }
}

impl Drop for Teal<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(place: &Place, address: &watch::Sender<Option<String>>, die: Option<&str>) -> (Child, JoinHandle<()>) {
    let log = OpenOptions::new().append(true).create(true).open(place.dir.path().join("log")).unwrap();
    let mut command = place.command();
    command.args(["--json", "dev", "--listen", "127.0.0.1:0"]).env("TEAL_PROBE", place.events_file());
    if let Some(die) = die {
        command.env("TEAL_PROBE_DIE", die);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let address = address.clone();
    let listener = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // The last line of a process that was killed may be half a line.
            let said: Json = serde_json::from_str(&line).unwrap_or_default();
            if let Some(api) = said["api"].as_str() {
                address.send_replace(Some(api.to_owned()));
            }
        }
    });
    (child, listener)
}

/// Nothing at work, nothing waiting, nothing put aside, nothing rejected.
fn is_drained(status: &Json) -> bool {
    let idle = status["sources"]["blue"]["running"].is_null() && status["building"].is_null();
    let queues = status["queues"].as_object().expect("a local Teal knows its queues");
    let empty = queues.values().all(|queue| queue.as_object().unwrap().values().all(|count| count == 0));
    idle && empty && status["rejects"] == 0
}
