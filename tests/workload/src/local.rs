//! A local Teal as a subject: a process of its own on a directory, killed by its own id.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use teal::config::Bundle;
use teal::domain::Secret;
use teal::ports::Fault;
use teal_conformance::simulator::{API_KEY, HOOK_SECRET};
use teal_local::blobs::LocalBlobs;
use teal_local::clock::SystemClock;
use teal_local::inbox::{Inbox, InboxOptions};
use teal_local::store::{StoreOptions, TealDb};
use teal_local::upstream::HttpUpstream;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::subject::{Door, Place, Stored, Subject};

/// Its directory goes, and its process ends, when it is dropped.
pub struct LocalSubject {
    program: PathBuf,
    dir: TempDir,
    http: Arc<HttpUpstream>,
    place: watch::Sender<Option<Place>>,
    process: Option<Process>,
}

struct Process {
    child: Child,
    /// Reads where it answers.
    listener: JoinHandle<()>,
}

impl LocalSubject {
    /// `program` is the subject's binary; `bundle` what it is configured with when it first starts.
    pub fn new(program: impl Into<PathBuf>, bundle: &Bundle) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let secrets = dir.path().join("data/secrets");
        std::fs::create_dir_all(&secrets)?;
        for (name, value) in [("api-key", API_KEY), ("hook", HOOK_SECRET)] {
            std::fs::write(secrets.join(name), value)?;
            std::fs::set_permissions(secrets.join(name), Permissions::from_mode(0o600))?;
        }
        serde_json::to_writer(File::create(dir.path().join("bundle"))?, bundle)?;
        let http = Arc::new(HttpUpstream::new().map_err(io::Error::other)?);
        let (place, _) = watch::channel(None);
        Ok(Self { program: program.into(), dir, http, place, process: None })
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn spawn(&self) -> io::Result<Process> {
        let log = OpenOptions::new().append(true).create(true).open(self.dir.path().join("log"))?;
        let mut command = Command::new(&self.program);
        command.arg(self.data()).arg(self.dir.path().join("bundle"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().expect("its output is piped");
        let (place, token) = (self.place.clone(), self.data().join("token"));
        let listener = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(token) = std::fs::read_to_string(&token) {
                    place.send_replace(Some(Place { base: line, token: Secret::new(token.trim()) }));
                }
            }
        });
        Ok(Process { child, listener })
    }

    fn stores(&self) -> Result<Stored, Fault> {
        let db = TealDb::open(self.data().join("teal.db"), StoreOptions::default())?;
        let inbox = Inbox::open(&self.data(), Arc::new(SystemClock), InboxOptions::default())?;
        let blobs = Arc::new(LocalBlobs::open(&self.data(), inbox)?);
        Ok(Stored { ledger: db.clone(), entities: db, blobs })
    }

    /// Where its data lies, for whoever keeps it to look into a failure.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Subject for LocalSubject {
    fn start(&mut self) {
        self.kill();
        self.process = Some(self.spawn().expect("the subject's binary was built for this test"));
    }

    fn kill(&mut self) {
        if let Some(Process { mut child, listener }) = self.process.take() {
            // It may have ended by itself; its exit is collected in any case.
            let _ = child.kill();
            let _ = child.wait();
            // So that nobody announces the address of a dead process.
            let _ = listener.join();
        }
        self.place.send_replace(None);
    }

    fn upkeep(&mut self) {
        if let Some(stdin) = self.process.as_mut().and_then(|process| process.child.stdin.as_mut()) {
            // One that is dead looks after itself when it is started again.
            let _ = stdin.write_all(b"upkeep\n");
        }
    }

    fn door(&self) -> Door {
        Door { http: self.http.clone(), place: self.place.subscribe() }
    }

    fn open(&self) -> Stored {
        self.stores().expect("what a killed process leaves can be opened")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for LocalSubject {
    fn drop(&mut self) {
        self.kill();
    }
}
