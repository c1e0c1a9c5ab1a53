//! Measures what must not grow with the data: a full sync's peak memory, and how long a switch keeps the
//! gates closed.
//!
//! ```text
//! scale memory --records 1000000     one full sync of that many records; prints the peak of this process
//! scale switch --rows 1000000        switches between versions of that size while webhooks come in
//!              --webhooks 20         so many a second
//!              --switches 3
//! ```
//!
//! The system is a slim one, of one entity with five fields: media tags, whose records are small, so that a
//! million of them takes minutes and not hours. The stand-in makes records when it is asked for them, in a
//! process of its own: what is measured here is Teal's alone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use teal::config::Bundle;
use teal::domain::{Message, Mode, Outcome, Run, RunState, SourceId};
use teal::pipeline::ledger::{self, Audit};
use teal::pipeline::poll::{Asked, Started};
use teal::ports::queue::{Outgoing, send_all};
use teal_connect::ManifestConnectors;
use teal_local::host::stop::stop;
use teal_local::{Local, LocalOptions};
use teal_local_tests::Stopwatch;
use teal_stand_in::http::{post, rfc3339};
use teal_stand_in::{Blue, BlueOptions, real_clock};
use tokio::net::TcpListener;

const HELP: &str = "scale memory --records N | scale switch --rows N [--webhooks N] [--switches N]";
const SECRET: &str = "a secret of the stand-in";

const SYSTEM: &str = r#"
system: scale
sources:
  blue:
    connector: connector.yaml
    config: { base_url: "${BLUE_URL}", api_key: "${secret:blue-api-key}" }
    webhook:
      verify: shared-secret
      header: x-sync-secret-key
      secret: "${secret:sync-secret-key}"
      id: { header: x-delivery-id }
      stated: { path: sentAt, format: rfc3339 }
      on: [{ do: upsert, stream: media_tags, record: data }]
entities:
  media_tags:
    from: blue.media_tags
    key: id
    order: { path: updatedAt, type: timestamp, format: rfc3339 }
    fields:
      id:         { type: integer, required: true }
      label:      { type: string, required: true }
      slug:       { type: string, required: true }
      updated_at: { path: updatedAt, type: timestamp, format: rfc3339, required: true }
      generation: { type: integer, required: true }
"#;

/// The connector that ships, with pages of 500.
fn connector() -> String {
    let shipped = include_str!("../../../../connectors/nowrep-blue.yaml");
    shipped.replace("size: 100", "size: 500")
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: Option<u64>| -> anyhow::Result<u64> {
        let given = arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
        match given {
            Some(text) => text.parse().with_context(|| format!("{name} takes a whole number, not '{text}'")),
            None => default.with_context(|| format!("{name} is missing; use {HELP}")),
        }
    };
    match arguments.first().map(String::as_str) {
        Some("memory") => memory(number("--records", None)?).await,
        Some("switch") => {
            switch(number("--rows", None)?, number("--webhooks", Some(20))?, number("--switches", Some(3))?).await
        }
        Some("stand-in") => stand_in(number("--records", None)?).await,
        _ => bail!("use {HELP}"),
    }
}

async fn memory(records: u64) -> anyhow::Result<()> {
    let source = StandIn::start(records)?;
    let teal = Teal::start(&source.url).await?;
    println!("before        {}", Memory::now()?);
    let began = Instant::now();
    let run = teal.sync().await?;
    let took = began.elapsed();
    println!("{records} records {}", Memory::now()?);
    let counts = ledger::counts(teal.local.ledger.as_ref(), &run.id).await?;
    ensure!(counts.records.fetched == records, "{} records were fetched", counts.records.fetched);
    println!("took {:.1} s, {:.0} records/s, {} pages", took.as_secs_f64(), per_second(records, took), counts.pages);
    Ok(())
}

async fn switch(rows: u64, webhooks: u64, switches: u64) -> anyhow::Result<()> {
    let source = StandIn::start(rows)?;
    let teal = Teal::start(&source.url).await?;
    let run = teal.sync().await?;
    println!("{rows} rows are in {}", run.builds.unwrap_or_default());
    let sent = Arc::new(AtomicU64::new(0));
    let sender = tokio::spawn(send_webhooks(teal.hook.clone(), rows, webhooks, sent.clone()));
    // The first one replaced nothing.
    drop(teal.stopwatch.take());
    let mut closed = Vec::new();
    for _ in 0..switches {
        let before = sent.load(Ordering::Relaxed);
        let began = Instant::now();
        teal.sync().await?;
        let sent = sent.load(Ordering::Relaxed) - before;
        println!("a full run took {:.1} s; {sent} webhooks came meanwhile", began.elapsed().as_secs_f64());
        for switch in teal.stopwatch.take() {
            println!("gates closed for {switch}");
            closed.push(switch.whole());
        }
    }
    sender.abort();
    if let Err(error) = sender.await
        && error.is_panic()
    {
        bail!("a webhook was not taken in");
    }
    for (_, audit) in ledger::read_all::<Audit>(teal.local.ledger.as_ref(), ledger::AUDIT, "").await? {
        println!("{}", audit.what);
    }
    closed.sort_unstable();
    let (least, most) = (closed.first().context("no switch")?, closed.last().context("no switch")?);
    println!("gates closed for {:.2?} in the median, {least:.2?} to {most:.2?}", closed[closed.len() / 2]);
    Ok(())
}

/// Updates of one tag after the other.
async fn send_webhooks(hook: String, rows: u64, per_second: u64, sent: Arc<AtomicU64>) {
    let clock = real_clock();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(per_second.max(1)).unwrap_or(1));
    for number in 0.. {
        ticks.tick().await;
        let now = rfc3339(clock());
        let id = number * 7919 % rows + 1;
        let tag = json!({ "id": id, "label": "changed", "slug": "changed", "updatedAt": now, "generation": number });
        let body = json!({ "sentAt": now, "data": tag }).to_string();
        let delivery = format!("d{number}");
        let headers = [("x-sync-secret-key", SECRET), ("x-delivery-id", delivery.as_str())];
        let status = post(&hook, &headers, body.as_bytes()).await.expect("the webhook is answered");
        assert_eq!(status, 202, "webhook {number}");
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// A local Teal with its workers and its socket.
struct Teal {
    local: Arc<Local>,
    hook: String,
    stopwatch: Stopwatch,
    _running: (teal_local::Running, teal_local::host::stop::Stopper),
    _dir: tempfile::TempDir,
}

impl Teal {
    async fn start(url: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        write_secret(dir.path(), "blue-api-key", &BlueOptions::default().key)?;
        write_secret(dir.path(), "sync-secret-key", SECRET)?;
        let mut local = Local::open(LocalOptions::new(dir.path()), Arc::new(ManifestConnectors))?;
        let files = [("teal.yaml", SYSTEM), ("connector.yaml", &connector())];
        local
            .deploy(&Bundle {
                files: files.map(|(path, text)| (path.to_owned(), text.to_owned())).into(),
                env: [("BLUE_URL".to_owned(), url.to_owned())].into(),
            })
            .await?;
        let stopwatch = Stopwatch::watch(&mut local);
        let (stopper, stop) = stop();
        let running = local.start(&stop, false).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let hook = format!("http://{}/hooks/blue", listener.local_addr()?);
        tokio::spawn(local.serve(listener, None, false, stop).await?);
        Ok(Self { local: Arc::new(local), hook, stopwatch, _running: (running, stopper), _dir: dir })
    }

    async fn sync(&self) -> anyhow::Result<Run> {
        let (source, cause) = (SourceId::new("blue"), "scale".to_owned());
        let asked = Asked { source, mode: Mode::Full, cause, switch: true, force: false, trace: None };
        let Started::Run(id) = self.local.poll.start(asked).await? else { bail!("another run is at work") };
        let message = Outgoing::now(Message::Continue { run: id.clone() });
        send_all(self.local.queue.as_ref(), vec![message]).await?;
        loop {
            let run = ledger::run(self.local.ledger.as_ref(), &id).await?.context("the run is gone")?.value;
            if run.state == RunState::Ended {
                ensure!(run.outcome == Some(Outcome::Complete), "{:?}: {:?}", run.outcome, run.reason);
                return Ok(run);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn write_secret(dir: &Path, name: &str, value: &str) -> anyhow::Result<()> {
    let dir = dir.join("secrets");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join(name), value)?;
    #[cfg(unix)]
    std::fs::set_permissions(dir.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}

/// The source, in a process of its own that ends with this one.
struct StandIn {
    url: String,
    child: Child,
}

impl StandIn {
    fn start(records: u64) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["stand-in", "--records", &records.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("the stand-in has no output")?;
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        ensure!(!url.trim().is_empty(), "the stand-in did not start");
        Ok(Self { url: url.trim().to_owned(), child })
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Its input ends with this, and so does it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

async fn stand_in(records: u64) -> anyhow::Result<()> {
    let blue =
        Blue::start(BlueOptions { talents: 0, boards: 0, media_tags: records, ..BlueOptions::default() }).await?;
    println!("{}", blue.url());
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// What the operating system says of this process, in KiB.
struct Memory {
    peak: u64,
    now: u64,
    anonymous: u64,
    file: u64,
}

impl Memory {
    fn now() -> anyhow::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").context("this needs Linux")?;
        let line = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a line is missing")?;
            Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
        };
        Ok(Self { peak: line("VmHWM:")?, now: line("VmRSS:")?, anonymous: line("RssAnon:")?, file: line("RssFile:")? })
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { peak, now, anonymous, file } = self;
        let mib = |kib: &u64| kib / 1024;
        let (peak, now, anonymous, file) = (mib(peak), mib(now), mib(anonymous), mib(file));
        write!(f, "peak {peak} MiB, now {now} MiB ({anonymous} anonymous, {file} of files)")
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
