//! `teal demo`: the whole of Teal at work on made-up data, with nothing to configure. Also a test of the
//! whole: it fails when anything it shows is not as promised.
//!
//! ```text
//! system   what is deployed            world    what runs              script   what is done, what must be seen
//! client   reads over HTTP             readers  who reads meanwhile    report   how it is told
//! ```
//!
//! Owns the order of things and the output. Always holds: nothing is read from the user's files, nothing is
//! left behind but the directory that `--keep` names, and only loopback is talked to.

mod client;
mod readers;
mod report;
mod script;
mod system;
mod world;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::json;

use self::readers::Readers;
use self::report::{Style, Summary};
use self::script::{Act, Play, Scene};
use self::world::World;

/// With fewer, one talent is so large a part of all that the guard would rightly wonder.
const LEAST_TALENTS: u64 = 50;
/// Where lines are broken on a terminal.
const WIDTH: usize = 100;

/// See Teal at work on made-up data.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Talents that the made-up source has. At 10 requests a second, each 1,000 take a second a listing
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(LEAST_TALENTS..=1_000_000))]
    pub talents: u64,
    /// Keep the data in this directory, which must be empty or not there
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Another number gives other talents
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// Plays the demo; with `json` as one object a step, the summary last. The exit code says whether everything
/// was as promised.
pub async fn run(args: &DemoArgs, json: bool) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let temporary = match &args.keep {
        Some(dir) => {
            must_be_empty(dir)?;
            None
        }
        None => Some(tempfile::Builder::new().prefix("teal-demo-").tempdir().context("no temporary directory")?),
    };
    let dir = match (&temporary, &args.keep) {
        (Some(temporary), _) => temporary.path(),
        (None, Some(keep)) => keep,
        (None, None) => unreachable!("without --keep the directory is temporary"),
    };
    let telling = Telling::new(json);
    let summary = tokio::select! {
        biased;
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("can't listen for Ctrl-C")?;
            eprintln!("\nstopped before the end");
            return Ok(ExitCode::from(130));
        }
        summary = play(args, dir, &telling, began) => summary?,
    };
    telling.close(&summary)?;
    if let Some(temporary) = temporary {
        temporary.close().context("the temporary directory can't be removed")?;
    }
    Ok(if summary.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn play(args: &DemoArgs, dir: &Path, telling: &Telling, began: Instant) -> anyhow::Result<Summary> {
    let world = World::start(dir, args.talents, args.seed).await.context("the demo can't start")?;
    let readers = Readers::start(&world.client);
    let mut play = Play::new(world, readers, args.talents, args.keep.is_some());
    let mut steps = 0;
    let mut ok = true;
    for (index, act) in Act::ALL.into_iter().enumerate() {
        let title = play.title(act, index + 1);
        telling.announce(&title)?;
        let mut scene = Scene::new(title);
        let played = play.play(act, &mut scene).await;
        let step = scene.end(played);
        telling.finish(&step)?;
        steps += 1;
        ok = step.ok;
        if !ok {
            break;
        }
    }
    let Play { world, readers, requests, closed_ms, .. } = play;
    let reading = readers.finish().await;
    let mut wrong = Vec::new();
    if reading.pages == 0 {
        wrong.push("the readers read nothing".to_owned());
    }
    if let Err(error) = world.end().await {
        wrong.push(format!("Teal did not end well: {error:#}"));
    }
    let ok = ok && reading.is_clean() && wrong.is_empty();
    let next = if ok { what_next(args.keep.as_deref()) } else { what_failed(args) };
    Ok(Summary {
        ok,
        steps,
        reading,
        requests,
        gates_closed_at_most_ms: closed_ms,
        ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        wrong,
        next,
    })
}

fn must_be_empty(dir: &Path) -> anyhow::Result<()> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => bail!("'{}' is not empty; name a new directory to keep the demo's data in", dir.display()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("can't use '{}'", dir.display())),
    }
}

/// How to look into it.
fn what_failed(args: &DemoArgs) -> Vec<(String, String)> {
    let DemoArgs { talents, seed, keep, .. } = args;
    match keep {
        Some(dir) => vec![(
            "every run with its outcome; the ledger is a table like any other".to_owned(),
            format!("sqlite3 {}/teal.db \"SELECT value FROM ledger WHERE part = 'run'\"", quoted(dir)),
        )],
        None => vec![(
            "the same again, and keep the data to look into it".to_owned(),
            format!("cargo run --release -- demo --talents {talents} --seed {seed} --keep demo-data"),
        )],
    }
}

/// What to type after the demo, with what it is for.
fn what_next(kept: Option<&Path>) -> Vec<(String, String)> {
    let mut next: Vec<(String, String)> = Vec::new();
    let mut add = |what: &str, command: String| next.push((what.to_owned(), command));
    match kept {
        Some(dir) => {
            let dir = quoted(dir);
            add(
                "query what was kept, with any SQLite shell",
                format!("sqlite3 {dir}/teal.db 'SELECT city, count(*) FROM talents_current GROUP BY city'"),
            );
            add(
                "go on with it; the source first, in a terminal of its own",
                "cargo run -p teal-stand-in --bin nowrep-blue".into(),
            );
            add(
                "then Teal, in another",
                format!("cargo run --release -- dev -f systems/nowrep/teal.yaml --data {dir}"),
            );
            add(
                "and read from a third",
                format!(
                    "curl -H \"Authorization: Bearer $(cat {dir}/token)\" 'http://127.0.0.1:8080/v1/talents?limit=3'"
                ),
            );
        }
        None => {
            add("the same again, and keep the data to look at", "cargo run --release -- demo --keep demo-data".into());
            add(
                "query it, with any SQLite shell",
                "sqlite3 demo-data/teal.db 'SELECT city, count(*) FROM talents_current GROUP BY city'".into(),
            );
            add(
                "run the system for real (systems/nowrep/README.md says more)",
                "cargo run --release -- dev -f systems/nowrep/teal.yaml".into(),
            );
            add(
                "and read from it",
                "curl -H \"Authorization: Bearer $(cat systems/nowrep/.teal/token)\" 'http://127.0.0.1:8080/v1/talents?limit=3'".into(),
            );
        }
    }
    next
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Tells what happens, for people or for programs.
struct Telling {
    /// `None` for programs.
    style: Option<Style>,
}

impl Telling {
    fn new(json: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let style = Style { color: terminal && !set("NO_COLOR") && !dumb, width: terminal.then_some(WIDTH) };
        Self { style: (!json).then_some(style) }
    }

    fn announce(&self, title: &report::Title) -> anyhow::Result<()> {
        self.style.map_or(Ok(()), |style| print(&report::announce(style, title)))
    }

    fn finish(&self, step: &report::Step) -> anyhow::Result<()> {
        match self.style {
            Some(style) => print(&report::finish(style, step)),
            None => print_json(step),
        }
    }

    fn close(&self, summary: &Summary) -> anyhow::Result<()> {
        match self.style {
            Some(style) => print(&report::close(style, summary)),
            None => print_json(&json!({ "summary": summary })),
        }
    }
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// Whoever reads may leave early (`| head`); what is tested goes on all the same.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("can't write the output"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_or_missing_directory_is_used() {
        let dir = tempfile::tempdir().unwrap();
        assert!(must_be_empty(dir.path()).is_ok());
        assert!(must_be_empty(&dir.path().join("new")).is_ok());
        std::fs::write(dir.path().join("mine"), "x").unwrap();
        let error = must_be_empty(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is not empty") && error.contains("name a new directory"), "{error}");
        assert!(must_be_empty(&dir.path().join("mine")).is_err());
    }

    #[test]
    fn commands_can_be_copied_whatever_the_directory_is_called() {
        assert_eq!(quoted(Path::new("demo-data/x_1")), "demo-data/x_1");
        assert_eq!(quoted(Path::new("it's mine")), r"'it'\''s mine'");
        let next = what_next(Some(Path::new("my data")));
        assert!(next.iter().any(|(_, command)| command.contains("sqlite3 'my data'/teal.db")), "{next:#?}");
    }
}
