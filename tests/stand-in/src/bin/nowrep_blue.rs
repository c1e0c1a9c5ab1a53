//! `nowrep-blue`: NowRepBlue's stand-in, for people to try Teal against. Options come from the environment.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use teal_stand_in::{Blue, BlueOptions};
use tokio::net::TcpListener;

const HELP: &str = "\
nowrep-blue: a stand-in for a model agency's API

It takes no arguments; set these in the environment:
  BLUE_LISTEN      address to listen on                 (127.0.0.1:8377)
  BLUE_KEY         what clients send as bearer token    (blue-key)
  BLUE_TALENTS     number of talents                    (2000)
  BLUE_BOARDS      number of boards                     (40)
  BLUE_MEDIA_TAGS  number of media tags                 (60)
  BLUE_SEED        other seeds give other data          (1)
  BLUE_PER_SECOND  most requests a second               (no limit)
  BLUE_LATENCY_MS  added to every answer                (0)

Listings:  GET /api/talents  /api/boards  /api/media-tags
Commands:  POST /control/edit        {\"kind\": \"talents\", \"ids\": [1, 2], \"patch\": {\"status\": \"on_hold\"}}
           POST /control/delete      {\"kind\": \"talents\", \"ids\": [3]}
           POST /control/insert      {\"kind\": \"boards\", \"count\": 2}
           POST /control/generation  {\"generation\": 7}
           POST /control/delivery    {\"event\": \"talent.updated\", \"id\": 1}
           POST /control/faults      {\"fault\": {\"status\": 500}, \"endpoint\": \"talents\", \"page\": 2, \"times\": 1}
           GET, DELETE /control/faults  /control/counters
Faults:    {\"status\": N}  {\"too-many\": \"missing\" | {\"seconds\": N} | {\"date\": N}}  {\"slow\": MILLISECONDS}
           \"truncated\"  \"error-inside\"  \"empty-page\"  \"endless\"  \"invalid-json\"  \"drop\"";

#[tokio::main]
async fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            // A reader such as `head` may leave early, which is no failure.
            let _ = writeln!(std::io::stdout(), "{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("nowrep-blue takes no argument '{other}'; see nowrep-blue --help");
            return ExitCode::FAILURE;
        }
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nowrep-blue: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let listen = std::env::var("BLUE_LISTEN").unwrap_or_else(|_| "127.0.0.1:8377".to_owned());
    let defaults = BlueOptions::default();
    let options = BlueOptions {
        seed: number("BLUE_SEED")?.unwrap_or(defaults.seed),
        talents: number("BLUE_TALENTS")?.unwrap_or(2000),
        boards: number("BLUE_BOARDS")?.unwrap_or(40),
        media_tags: number("BLUE_MEDIA_TAGS")?.unwrap_or(60),
        key: std::env::var("BLUE_KEY").unwrap_or(defaults.key),
        per_second: number("BLUE_PER_SECOND")?,
        latency: Duration::from_millis(number("BLUE_LATENCY_MS")?.unwrap_or(0)),
        clock: defaults.clock,
        epoch: defaults.epoch,
    };
    let listener = TcpListener::bind(&listen)
        .await
        .map_err(|error| format!("can't listen on {listen}: {error}; set BLUE_LISTEN to another address"))?;
    let blue = Blue::start_on(listener, options).map_err(|error| error.to_string())?;
    println!("nowrep-blue listens on {}; stop it with Ctrl-C", blue.url());
    tokio::signal::ctrl_c().await.map_err(|error| error.to_string())
}

fn number<N: std::str::FromStr>(name: &str) -> Result<Option<N>, String> {
    match std::env::var(name) {
        Err(_) => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| format!("{name} must be a whole number, not '{text}'")),
    }
}
