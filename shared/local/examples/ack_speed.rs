//! How fast deliveries are stored and thanked for, beside a bare server that writes and fsyncs each body in groups.
//!
//! ```text
//! cargo run --release -p teal-local --example ack_speed -- [seconds] [senders] [bytes] [directory]
//! ```
//!
//! Both answer over HTTP on loopback, on the same threads, to the same senders, which keep their connections. In turns as
//! fast as they can; then at half of what Teal reached, where the time to an answer counts. Nothing works on what was
//! stored, so that what is measured is the way to the 2xx. The directory should be on the disk that is to be measured.
//! What the bare server writes is bodies alone: it could neither tell what it has already nor give anything to anyone.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use serde_json::Value as Json;
use teal::config::Bundle;
use teal::domain::{Millis, Mode, StreamName};
use teal::ports::connector::{Connector, ConnectorConfig, Session};
use teal::ports::upstream::Response;
use teal::ports::{ConnectorError, Connectors, Entropy};
use teal_local::host::stop::stop;
use teal_local::{Local, LocalOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// As the `teal` command has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SYSTEM: &str = r#"
system: speed
sources:
  s:
    connector: none.yaml
    webhook:
      verify: shared-secret
      header: x-key
      secret: "${secret:key}"
      dedupe: { by: [{ header: x-id }] }
      on: [{ do: sync }]
entities: {}
"#;
const KEY: &str = "made-up-key";
const ROUNDS: usize = 3;
/// No two deliveries share one.
static IDS: AtomicU64 = AtomicU64::new(0);

/// A source that has nothing.
struct Nothing;

impl Connectors for Nothing {
    fn compile(&self, _: &str, _: &ConnectorConfig) -> Result<Arc<dyn Connector>, ConnectorError> {
        Ok(Arc::new(Self))
    }
}

impl Connector for Nothing {
    fn streams(&self) -> Vec<StreamName> {
        Vec::new()
    }

    fn incremental(&self, _: &StreamName) -> bool {
        false
    }

    fn begin(&self, stream: &StreamName, _: Mode, _: Option<&Json>, _: Millis) -> Result<Json, ConnectorError> {
        Err(ConnectorError::NoStream(stream.clone()))
    }

    fn session(&self, _: Arc<dyn Entropy>) -> Result<Box<dyn Session>, ConnectorError> {
        Err(ConnectorError::Body("it has nothing".to_owned()))
    }

    fn records(
        &self,
        stream: &StreamName,
        _: &Json,
        _: &[Response],
    ) -> Result<Vec<teal::ports::connector::Taken>, ConnectorError> {
        Err(ConnectorError::NoStream(stream.clone()))
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let senders: u64 = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let bytes: usize = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let directory = tempfile::tempdir_in(arguments.next().map_or_else(std::env::temp_dir, PathBuf::from))?;
    let span = Duration::from_secs(seconds);
    let load = |address, rate, like_uuids| Load { address, senders, bytes, span, rate, like_uuids };

    let bare = bare(&directory.path().join("bare")).await?;
    let (teal, running) = teal(&directory.path().join("teal")).await?;
    for (ids, like_uuids) in [("in order", false), ("like UUIDs", true)] {
        println!("ids {ids}, {bytes} bytes, {senders} senders");
        // In turns, because whatever else the machine does changes from one second to the next.
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let plain = load(bare, None, like_uuids).run("bare server").await?;
            let full = load(teal, None, like_uuids).run("teal").await?;
            rounds.push((full.rate / plain.rate, full.cpu.as_secs_f64() / plain.cpu.as_secs_f64(), full.rate));
        }
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (ratio, cpu, rate) = rounds[ROUNDS / 2];
        load(bare, Some(rate / 2.0), like_uuids).run("bare server, same load").await?;
        load(teal, Some(rate / 2.0), like_uuids).run("teal at half its load").await?;
        println!(
            "teal reaches {:.0} % of the bare server, with {cpu:.1} times its processor time an ack\n",
            100.0 * ratio
        );
    }
    drop(running);
    Ok(())
}

/// A Teal that takes in and does nothing else.
async fn teal(dir: &Path) -> Outcome<(SocketAddr, impl Sized + use<>)> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(dir.join("secrets"))?;
    std::fs::write(dir.join("secrets/key"), KEY)?;
    std::fs::set_permissions(dir.join("secrets/key"), std::fs::Permissions::from_mode(0o600))?;
    let mut local = Local::open(LocalOptions::new(dir), Arc::new(Nothing))?;
    let files = [("teal.yaml".to_owned(), SYSTEM.to_owned()), ("none.yaml".to_owned(), String::new())];
    local.deploy(&Bundle { files: files.into(), env: std::collections::BTreeMap::new() }).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stopper, stop) = stop();
    let answering = tokio::spawn(local.serve(listener, None, false, stop).await?);
    Ok((address, (local, stopper, answering)))
}

/// Writes what waits, syncs once, answers all of it.
async fn bare(dir: &Path) -> Outcome<SocketAddr> {
    std::fs::create_dir_all(dir)?;
    let mut file = File::create(dir.join("bodies"))?;
    let (sender, mut waiting) = mpsc::channel::<(Bytes, oneshot::Sender<()>)>(1024);
    std::thread::spawn(move || {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = vec![first];
            while let Ok(next) = waiting.try_recv() {
                group.push(next);
            }
            let written: std::io::Result<()> = group.iter().try_for_each(|(body, _)| file.write_all(body));
            if written.and_then(|()| file.sync_data()).is_ok() {
                group.into_iter().for_each(|(_, done)| _ = done.send(()));
            }
        }
    });
    let take = |State(sender): State<mpsc::Sender<(Bytes, oneshot::Sender<()>)>>, body: Bytes| async move {
        let (done, is_done) = oneshot::channel();
        let sent = sender.send((body, done)).await.is_ok();
        if sent && is_done.await.is_ok() { StatusCode::ACCEPTED } else { StatusCode::SERVICE_UNAVAILABLE }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/hooks/s", post(take)).with_state(sender);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// Requests that are sent for so long, `rate` a second or as fast as answers come.
struct Load {
    address: SocketAddr,
    senders: u64,
    bytes: usize,
    span: Duration,
    rate: Option<f64>,
    like_uuids: bool,
}

struct Measured {
    /// Thanked for, in a second.
    rate: f64,
    /// Processor time of the server for each.
    cpu: Duration,
}

impl Load {
    /// Prints what it measured, too.
    async fn run(self, what: &str) -> Outcome<Measured> {
        let began = Instant::now();
        let (done, finished) = oneshot::channel();
        // A thread of its own: what sending costs is told apart, and no server has to share its threads with it.
        std::thread::spawn(move || {
            let sent = || -> Outcome<_> {
                let before = processor_time("/proc/self/task")?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let times = runtime.block_on(self.send(began))?;
                let all = processor_time("/proc/self/task")?.saturating_sub(before);
                Ok((times, began.elapsed(), processor_time("/proc/thread-self")?, all))
            };
            let _ = done.send(sent());
        });
        let (mut times, took, sending, all) = finished.await??;
        times.sort_unstable();
        let at =
            |part: f64| times.get((times.len() as f64 * part) as usize).map_or(0.0, Duration::as_secs_f64) * 1000.0;
        let answers = u32::try_from(times.len().max(1))?;
        let measured =
            Measured { rate: times.len() as f64 / took.as_secs_f64(), cpu: all.saturating_sub(sending) / answers };
        println!(
            "{what:<24} {:>6.0} acks/s  p50 {:>5.2} ms  p99 {:>5.2} ms  processor {:>3} µs an ack, and sender's {:>2} µs",
            measured.rate,
            at(0.5),
            at(0.99),
            measured.cpu.as_micros(),
            (sending / answers).as_micros(),
        );
        Ok(measured)
    }

    /// How long each answer took.
    async fn send(self, began: Instant) -> Outcome<Vec<Duration>> {
        let all = (0..self.senders).map(|own| self.send_one_by_one(own, began));
        Ok(futures::future::try_join_all(all).await?.concat())
    }

    async fn send_one_by_one(&self, own: u64, began: Instant) -> std::io::Result<Vec<Duration>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let pace = self.rate.map(|rate| Duration::from_secs_f64(self.senders as f64 / rate.max(1.0)));
        let mut due = began + pace.map_or(Duration::ZERO, |pace| pace.mul_f64(own as f64 / self.senders as f64));
        // Only the id changes from one to the next; it is in the header and in the body.
        let body = format!("{{\"id\":\"{:032x}\",\"text\":\"{}\"}}", 0, "x".repeat(self.bytes));
        let head = format!(
            "POST /hooks/s HTTP/1.1\r\nhost: {}\r\nx-key: {KEY}\r\ncontent-type: application/json\r\ncontent-length: \
             {}\r\nx-id: {:032x}\r\n\r\n",
            self.address,
            body.len(),
            0
        );
        let ids = [head.len() - 36, head.len() + "{\"id\":\"".len()];
        let mut request = [head, body].concat().into_bytes();
        let (mut times, mut answer) = (Vec::new(), vec![0; 4096]);
        while began.elapsed() < self.span {
            if let Some(pace) = pace {
                tokio::time::sleep_until(due.into()).await;
                due += pace;
            }
            let nth = IDS.fetch_add(1, Ordering::Relaxed);
            let first = if self.like_uuids { nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { 0 };
            let id = format!("{first:016x}{nth:016x}");
            for at in ids {
                request[at..at + 32].copy_from_slice(id.as_bytes());
            }
            let sent = Instant::now();
            stream.write_all(&request).await?;
            // Answers are short: they come in one piece.
            let read = stream.read(&mut answer).await?;
            if !answer[..read].starts_with(b"HTTP/1.1 202") {
                return Err(std::io::Error::other(String::from_utf8_lossy(&answer[..read]).into_owned()));
            }
            times.push(sent.elapsed());
        }
        Ok(times)
    }
}

/// What a thread has used, or all threads of a process.
fn processor_time(of: &str) -> Outcome<Duration> {
    let of = Path::new(of);
    let threads: Vec<PathBuf> = match std::fs::read_dir(of) {
        Ok(threads) if of.ends_with("task") => {
            threads.map(|thread| Ok(thread?.path())).collect::<std::io::Result<_>>()?
        }
        _ => vec![of.to_owned()],
    };
    let mut all = 0;
    for thread in threads {
        // One that has just ended has no file.
        let Ok(text) = std::fs::read_to_string(thread.join("schedstat")) else { continue };
        all += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(all))
}
