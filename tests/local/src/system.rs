//! One whole Teal with its stand-in: started, driven, cut off and started again.
//!
//! Owns the example system's configuration with what a test wants otherwise, and commands that wait for what
//! they set off. The data directory, the sockets and the tasks go with the value.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use teal::config::Bundle;
use teal::domain::{Counts, Manifest, Message, Mode, Outcome, Pointer, Run, RunId, RunState, SourceId};
use teal::pipeline::poll::{Asked, Budget, Started};
use teal::pipeline::switch::{MoveTo, Moved};
use teal::pipeline::{StageError, ledger};
use teal::ports::queue::{Outgoing, send_all};
use teal_connect::ManifestConnectors;
use teal_local::host::stop::{Stopper, stop};
use teal_local::{Local, LocalOptions, Running};
use teal_stand_in::blue::Event;
use teal_stand_in::http::Webhook;
use teal_stand_in::{Blue, BlueOptions, Fault, FaultRule};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::wait::until;

const HOOK_SECRET: &str = "a secret of the stand-in";
const SOURCE: &str = "blue";

/// What a test wants otherwise than the example system has it.
#[derive(Clone, Debug)]
pub struct Tweaks {
    /// The block of the source's limits, in YAML's flow style.
    pub limits: String,
    /// The block of versions, in YAML's flow style.
    pub versions: String,
    /// The largest part of its rows that an entity may lose.
    pub max_shrink: String,
    /// Records in a page of the source: small ones make many pages of few records.
    pub page: u32,
    /// Where the source is, if not where the stand-in listens.
    pub url: Option<String>,
    /// Has the queues shuffle and repeat messages, with this seed.
    pub unkind: Option<u64>,
}

impl Default for Tweaks {
    /// No limit and one attempt, so that a fault is met at once; versions go as soon as they may.
    fn default() -> Self {
        Self {
            limits: "{ attempts: 1 }".to_owned(),
            versions: "{ keep: 2, raw: 3, grace: 100ms }".to_owned(),
            max_shrink: "20%".to_owned(),
            page: 20,
            url: None,
            unkind: None,
        }
    }
}

pub struct System {
    pub blue: Blue,
    pub local: Arc<Local>,
    working: Option<(Stopper, Running)>,
    client: Client,
    _serving: (Stopper, JoinHandle<io::Result<()>>),
    dir: TempDir,
}

/// How a build is kept from ever becoming visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The source fails on a page.
    Fault,
    /// Teal is stopped in the middle and started again, and then the source fails.
    Restart,
    /// The same, but Teal is cut off wherever it is.
    Crash,
}

impl System {
    /// # Panics
    /// When anything can't be started. So do all that follow when what they set off fails.
    pub async fn start(options: BlueOptions, tweaks: Tweaks) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the data");
        write_secret(dir.path(), "blue-api-key", &options.key);
        write_secret(dir.path(), "sync-secret-key", HOOK_SECRET);
        let blue = Blue::start(options).await.expect("the stand-in starts");
        let mut settings = LocalOptions::new(dir.path());
        settings.inbox.shuffle_and_repeat = tweaks.unkind;
        // No test here cuts the power, and what a process wrote outlives the process all the same.
        settings.store.synchronous = teal_local::store::Synchronous::Off;
        settings.inbox.synchronous = teal_local::sqlite::Synchronous::Off;
        let mut local = Local::open(settings, Arc::new(ManifestConnectors)).expect("the data directory opens");
        let url = tweaks.url.clone().unwrap_or_else(|| blue.url());
        local.deploy(&bundle(&tweaks, &url)).await.expect("the example system is in order");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (stopper, stop) = stop();
        let serving = local.serve(listener, None, false, stop).await.expect("the lock file can be written");
        let client = Client::new(base, local.token().clone());
        let serving = (stopper, tokio::spawn(serving));
        let mut system = Self { blue, local: Arc::new(local), working: None, client, _serving: serving, dir };
        system.start_workers().await;
        system
    }

    /// `teal.db`, for whoever wants to look into it with plain SQLite.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.dir.path().join("teal.db")
    }

    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    // ---- workers -----------------------------------------------------------------------------------

    pub async fn start_workers(&mut self) {
        let (stopper, stop) = stop();
        let running = self.local.start(&stop, false).await.expect("the workers start");
        self.working = Some((stopper, running));
    }

    /// Lets them finish what they have at hand.
    pub async fn stop_workers(&mut self) {
        if let Some((stopper, running)) = self.working.take() {
            stopper.stop();
            running.finished().await;
        }
    }

    /// Cuts them off wherever they are.
    pub fn crash_workers(&mut self) {
        self.working = None;
    }

    // ---- runs --------------------------------------------------------------------------------------

    pub async fn begin(&self, mode: Mode) -> RunId {
        let asked = Asked {
            source: SourceId::new(SOURCE),
            mode,
            cause: "test".to_owned(),
            switch: true,
            force: false,
            trace: None,
        };
        let started = until("a run can start", async || match self.local.poll.start(asked.clone()).await {
            Ok(started) => Some(started),
            Err(StageError::Busy(_)) => None,
            Err(error) => panic!("no run starts: {error}"),
        });
        match started.await {
            Started::Run(run) => self.go_on(run).await,
            other => panic!("no new run: {other:?}"),
        }
    }

    async fn go_on(&self, run: RunId) -> RunId {
        let message = Outgoing::now(Message::Continue { run: run.clone() });
        send_all(self.local.queue.as_ref(), vec![message]).await.expect("the queue takes a message");
        run
    }

    /// The run as it ended.
    pub async fn ended(&self, id: &RunId) -> Run {
        until(&format!("run {id} ends"), async || {
            let run = ledger::run(self.local.ledger.as_ref(), id).await.expect("the ledger can be read");
            run.map(|run| run.value).filter(|run| run.state == RunState::Ended)
        })
        .await
    }

    pub async fn sync(&self, mode: Mode) -> Run {
        let run = self.begin(mode).await;
        self.ended(&run).await
    }

    /// A full run that must end in a switch.
    pub async fn switch(&self) -> Run {
        let run = self.sync(Mode::Full).await;
        assert_eq!(run.outcome, Some(Outcome::Complete), "{:?}", run.reason);
        assert_eq!(Some(self.pointer().await.version), run.builds);
        run
    }

    pub async fn rebuild(&self) -> Run {
        let run = until("a rebuild can start", async || {
            match self.local.poll.start_rebuild(true, false, "test".to_owned()).await {
                Ok(run) => Some(run),
                Err(StageError::Busy(_)) => None,
                Err(error) => panic!("no rebuild starts: {error}"),
            }
        })
        .await;
        let run = self.go_on(run).await;
        self.ended(&run).await
    }

    /// Goes back to the version before.
    pub async fn rollback(&self) -> Moved {
        let version = self.pointer().await.previous.expect("there is a version to go back to");
        let ask = MoveTo { version, force: false, as_was: false, who: "test".to_owned() };
        // Whoever settled the last run may not have given the switch back yet.
        until("the switch is free", async || match self.local.switch.move_to(&ask).await {
            Ok(moved) => Some(moved),
            Err(StageError::Busy(_)) => None,
            Err(error) => panic!("no rollback: {error}"),
        })
        .await
    }

    /// A full run whose build never becomes visible, killed as `how` says, whatever it has done by then.
    pub async fn kill_build(&mut self, how: Kill) -> Run {
        // The stream that is listed last: everything else has been built by then.
        self.blue.fault(FaultRule::page("media-tags", 1, Fault::Status(500)).always());
        let id = match how {
            Kill::Fault => self.begin(Mode::Full).await,
            Kill::Restart | Kill::Crash => {
                self.blue.reset_counts();
                self.blue.fault(FaultRule::page("talents", 2, Fault::Slow(50)));
                let id = self.begin(Mode::Full).await;
                until("the second page is asked for", async || {
                    let counts = self.blue.counts();
                    counts.pages.get("talents").is_some_and(|pages| pages.contains_key(&2)).then_some(())
                })
                .await;
                match how {
                    Kill::Crash => self.crash_workers(),
                    _ => self.stop_workers().await,
                }
                self.start_workers().await;
                id
            }
        };
        let run = self.ended(&id).await;
        self.blue.clear_faults();
        assert!(run.outcome.is_some_and(|outcome| !outcome.is_success()), "{run:?}");
        run
    }

    /// One round of what a host does every minute: versions that nobody keeps go.
    pub async fn upkeep(&self) {
        self.local.upkeep.round(false, &Budget::default()).await.expect("upkeep does its round");
    }

    // ---- webhooks ----------------------------------------------------------------------------------

    #[must_use]
    pub fn hook(&self) -> String {
        format!("{}/hooks/{SOURCE}", self.client.base())
    }

    pub async fn deliver(&self, webhook: &Webhook) -> u16 {
        self.blue.deliver(&self.hook(), HOOK_SECRET, webhook).await.expect("the webhook is answered")
    }

    /// Sends what the stand-in has to say about a talent now, which must be taken in.
    pub async fn tell(&self, event: Event, talent: u64) {
        let webhook = self.blue.webhook(event, talent).expect("the talent is in that state");
        let status = self.deliver(&webhook).await;
        assert_eq!(status, 202, "webhook {} of talent {talent}", webhook.id);
    }

    // ---- the ledger --------------------------------------------------------------------------------

    pub async fn pointer(&self) -> Pointer {
        let pointer = ledger::pointer(self.local.ledger.as_ref()).await.expect("the ledger can be read");
        pointer.expect("the system was deployed")
    }

    pub async fn manifests(&self) -> Vec<Manifest> {
        ledger::manifests(self.local.ledger.as_ref()).await.expect("the ledger can be read")
    }

    pub async fn counts(&self, run: &RunId) -> Counts {
        ledger::counts(self.local.ledger.as_ref(), run).await.expect("the ledger can be read")
    }

    pub async fn runs(&self) -> BTreeSet<RunId> {
        let runs = ledger::recent_runs(self.local.ledger.as_ref(), 1000).await.expect("the ledger can be read");
        runs.into_iter().map(|run| run.id).collect()
    }
}

fn write_secret(dir: &Path, name: &str, value: &str) {
    let dir = dir.join("secrets");
    let file = dir.join(name);
    std::fs::create_dir_all(&dir).expect("a directory for secrets");
    std::fs::write(&file, value).expect("a secret can be written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a secret can be hidden");
    }
}

/// The example system as it ships, with the tweaks.
fn bundle(tweaks: &Tweaks, url: &str) -> Bundle {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systems/nowrep/teal.yaml");
    let root = root.to_string_lossy();
    let read = |path: &str| {
        let text = std::fs::read_to_string(path)?;
        Ok(if path == root { tweak_system(&text, tweaks) } else { tweak_connector(&text, tweaks) })
    };
    let env = |name: &str| (name == "BLUE_URL").then(|| url.to_owned());
    Bundle::collect(&root, read, env).expect("the example system is in order")
}

fn tweak_system(text: &str, tweaks: &Tweaks) -> String {
    let limits = "limits: { per_second: 10 }";
    assert!(
        text.contains(limits) && !text.contains("\nversions:") && !text.contains("\nguard:"),
        "the example system is not as it was"
    );
    let text = text.replace(limits, &format!("limits: {}", tweaks.limits));
    format!("{text}\nversions: {}\nguard: {{ max_shrink: {} }}\n", tweaks.versions, tweaks.max_shrink)
}

fn tweak_connector(text: &str, tweaks: &Tweaks) -> String {
    let text = text.replace(" size: 100,", &format!(" size: {},", tweaks.page));
    let changed = text.replace("size: 50 }", &format!("size: {} }}", tweaks.page));
    assert!(changed.matches(&format!("size: {}", tweaks.page)).count() == 3, "the connector is not as it was");
    changed
}
