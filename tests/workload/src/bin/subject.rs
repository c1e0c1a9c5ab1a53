//! A local Teal that a test kills: workers and HTTP on a port of its own, until it is killed or its standard
//! input ends. A line there asks for a round of upkeep; the line that it prints says where it answers.
//!
//! Arguments: the data directory, and the configuration to begin with, used while there is none.

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use teal::config::Bundle;
use teal::pipeline::StageError;
use teal::pipeline::poll::Budget;
use teal_connect::ManifestConnectors;
use teal_local::host::stop::stop;
use teal_local::sqlite::Synchronous;
use teal_local::{Local, LocalOptions};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let [dir, bundle] =
        std::env::args().skip(1).map(PathBuf::from).collect::<Vec<_>>().try_into().map_err(|_| "two paths, please")?;
    let mut options = LocalOptions::new(dir);
    // Nobody cuts the power here, and what a process wrote outlives the process all the same.
    options.store.synchronous = Synchronous::Off;
    options.inbox.synchronous = Synchronous::Off;
    let mut local = Local::open(options, Arc::new(ManifestConnectors))?;
    if let Err(StageError::NoConfig) = local.systems.current().await {
        let bundle: Bundle = serde_json::from_slice(&std::fs::read(bundle)?)?;
        local.deploy(&bundle).await?;
    }
    let (stopper, stop) = stop();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = local.serve(listener, Some(local.console()), false, stop.clone()).await?;
    let serving = tokio::spawn(serving);
    // In one piece: whoever reads it may find the process killed in the middle of a line.
    std::io::stdout().write_all(format!("http://{address}\n").as_bytes())?;
    // It answers before it has looked at what the one before left behind, as `teal dev` does.
    let running = local.start(&stop, false).await?;

    let (asked, mut rounds) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = asked.send(());
        }
    });
    while rounds.recv().await.is_some() {
        if let Err(error) = local.upkeep.round(false, &Budget::default()).await {
            eprintln!("upkeep: {error}");
        }
    }
    stopper.stop();
    running.finished().await;
    serving.await??;
    Ok(())
}
