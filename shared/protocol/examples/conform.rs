//! The protocol alone, for the conformance harness: its waits are cut short, and noted, as the harness asks.

use std::io::Write;
use std::time::Duration;

use clap::Parser;
use teal_protocol::{Command, Pace, run};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn note(wait: Duration) {
    if let Ok(path) = std::env::var("CONFORM_SLEEP_LOG")
        && wait.as_secs_f64() >= 0.5
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{:?}", wait.as_secs_f64());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let most = std::env::var("CONFORM_MAX_SLEEP").ok().and_then(|text| text.parse().ok()).map(Duration::from_secs_f64);
    let pace = Pace { most, noted: Some(note) };
    run(Cli::parse().command, pace, std::io::stdout().lock()).await.into()
}
