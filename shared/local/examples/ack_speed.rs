//! How fast deliveries are stored and thanked for, beside a bare server that writes and fsyncs each body in groups.
//!
//! ```text
//! cargo run --release -p teal-local --example ack_speed -- [seconds] [senders] [bytes] [directory]
//! ```
//!
//! Both answer over HTTP on loopback, to senders that keep their connections. First as fast as they can, then at half
//! of what Teal reached, where the time to an answer counts. Nothing works on what was stored, so that what is measured
//! is the way to the 2xx. The directory should be on the disk that is to be measured.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
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

    fn records(&self, stream: &StreamName, _: &Json, _: &[Response]) -> Result<Vec<Json>, ConnectorError> {
        Err(ConnectorError::NoStream(stream.clone()))
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let senders: u64 = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let bytes: usize = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let directory = tempfile::tempdir_in(arguments.next().map_or_else(std::env::temp_dir, PathBuf::from))?;
    let span = Duration::from_secs(seconds);

    let bare = bare(&directory.path().join("bare")).await?;
    let plain = load("bare server", bare, senders, bytes, span, None).await?;
    let (address, running) = teal(&directory.path().join("teal")).await?;
    let full = load("teal", address, senders, bytes, span, None).await?;
    load("bare server, same load", bare, senders, bytes, span, Some(full / 2)).await?;
    load("teal at half its load", address, senders, bytes, span, Some(full / 2)).await?;
    drop(running);
    println!("teal reaches {:.0} % of the bare server", 100.0 * full as f64 / plain as f64);
    Ok(())
}

/// A Teal that takes in and does nothing else.
async fn teal(dir: &Path) -> Outcome<(std::net::SocketAddr, impl Sized + use<>)> {
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
async fn bare(dir: &Path) -> Outcome<std::net::SocketAddr> {
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

/// Sends for so long, `rate` a second or as fast as it goes; prints and gives what was thanked for in a second.
async fn load(
    what: &str,
    address: std::net::SocketAddr,
    senders: u64,
    bytes: usize,
    span: Duration,
    rate: Option<u64>,
) -> Outcome<u64> {
    let ids = Arc::new(AtomicU64::new(u64::from(std::process::id()) << 32));
    let began = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for own in 0..senders {
        let ids = ids.clone();
        all.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let pace = rate.map(|rate| Duration::from_secs_f64(senders as f64 / rate.max(1) as f64));
            let mut due = began + pace.map_or(Duration::ZERO, |pace| pace.mul_f64(own as f64 / senders as f64));
            let (mut times, mut answer) = (Vec::new(), vec![0; 4096]);
            while began.elapsed() < span {
                if let Some(pace) = pace {
                    tokio::time::sleep_until(due.into()).await;
                    due += pace;
                }
                let id = ids.fetch_add(1, Ordering::Relaxed);
                let body = format!("{{\"n\":{id},\"text\":\"{}\"}}", "x".repeat(bytes));
                let request = format!(
                    "POST /hooks/s HTTP/1.1\r\nhost: {address}\r\nx-key: {KEY}\r\nx-id: {id:x}\r\ncontent-type: \
                     application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let sent = Instant::now();
                stream.write_all(request.as_bytes()).await?;
                // Answers are short: they come in one piece.
                let read = stream.read(&mut answer).await?;
                if !answer[..read].starts_with(b"HTTP/1.1 202") {
                    return Err(std::io::Error::other(String::from_utf8_lossy(&answer[..read]).into_owned()));
                }
                times.push(sent.elapsed());
            }
            Ok::<_, std::io::Error>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = all.join_next().await {
        times.extend(done??);
    }
    let took = began.elapsed();
    times.sort_unstable();
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or_default();
    let rate = (times.len() as f64 / took.as_secs_f64()) as u64;
    println!(
        "{what:<24} {rate:>6} acks/s  p50 {:>6.2} ms  p99 {:>6.2} ms  of {} deliveries of {bytes} bytes from {senders} senders",
        at(0.5).as_secs_f64() * 1000.0,
        at(0.99).as_secs_f64() * 1000.0,
        times.len()
    );
    Ok(rate)
}
