//! The Airbyte protocol: a manifest checked, listed and read from the command line, one JSON message a line.
//!
//! Owns the HTTP client, the waits, the concurrency and the messages. Owns no meaning of a manifest: that is
//! `teal-connect`, whose readers are stepped here.
//!
//! Always holds: no secret of the configuration is in any message but those that carry the configuration.

mod args;
mod check;
mod client;
mod drive;
mod files;
mod messages;
mod preview;
mod read;
mod roots;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use teal_connect::failure::{Failure, FailureKind};
use teal_connect::problem::{Kind, Problem};
use teal_connect::session::{Entropy, Session};
use teal_connect::source::catalog::Catalog;
use teal_connect::source::check::Check;
use teal_connect::source::secrets::Secrets;
use teal_connect::source::stream::describe;
use teal_connect::source::{Built, Source, States, listed};
use teal_connect::value::{Value, json};

pub use args::{Command, Configured, Place, Preview, Reading};
use client::Client;
use drive::{Asked, drive};
use files::Beside;
use messages::Messages;

/// How waits are spent. Tests of conformance spend less of them.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    pub most: Option<Duration>,
    /// Called with every wait for another attempt.
    pub noted: Option<fn(Duration)>,
}

impl Pace {
    async fn wait(&self, wait: Duration) {
        if let Some(noted) = self.noted {
            noted(wait);
        }
        tokio::time::sleep(self.most.map_or(wait, |most| wait.min(most))).await;
    }
}

/// What a command works with.
struct Work<'a, W: Write> {
    source: Source,
    session: Session,
    client: Client,
    pace: Pace,
    out: &'a mut Messages<W>,
}

/// Why a command ends early.
enum Stop {
    Failed(Failure),
    /// Nobody reads what is written.
    Closed,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<std::io::Error> for Stop {
    fn from(_: std::io::Error) -> Self {
        Self::Closed
    }
}

fn problems(problems: Vec<Problem>) -> Failure {
    let is_config = problems.iter().all(|problem| problem.kind == Kind::Config);
    let kind = if is_config { FailureKind::Config } else { FailureKind::System };
    Failure { kind, message: listed(&problems) }
}

/// Carries a command out; the exit code is 0, or 1 when it failed.
pub async fn run<W: Write>(command: Command, pace: Pace, out: W) -> u8 {
    let mut out = Messages::new(out);
    match carry_out(command, pace, &mut out).await {
        Ok(code) => out.flush().map_or(1, |()| code),
        Err(Stop::Closed) => 1,
        Err(Stop::Failed(failure)) => {
            let _ = out.error(&failure, None, Timestamp::now()).and_then(|()| out.flush());
            1
        }
    }
}

async fn carry_out<W: Write>(command: Command, pace: Pace, out: &mut Messages<W>) -> Result<u8, Stop> {
    match command {
        Command::Spec(place) => {
            let source = source(&place.manifest_path, None, Catalog::default(), States::new())?;
            let spec = source.spec.as_ref().map_or(Value::Null, |spec| spec.message.clone());
            out.send(&json!({"type": "SPEC", "spec": spec}))?;
            Ok(0)
        }
        Command::Check(at) => {
            let mut work = Work::new(&at, Catalog::default(), States::new(), pace, out)?;
            let why = match work.source.validate() {
                Err(failure) => Some(failure.message),
                Ok(()) => work.check().await?,
            };
            out.connection(why.as_deref())?;
            Ok(0)
        }
        Command::Discover(at) => {
            let mut work = Work::new(&at, Catalog::default(), States::new(), pace, out)?;
            work.source.validate()?;
            let streams = work.discover().await?;
            out.send(&json!({"type": "CATALOG", "catalog": {"streams": streams}}))?;
            Ok(0)
        }
        Command::Preview(preview) => {
            let mut work = Work::new(&preview.configured, Catalog::default(), States::new(), pace, out)?;
            work.source.validate()?;
            work.preview(preview.stream.as_deref(), preview.pages).await
        }
        Command::Read(reading) => {
            let catalog = json_file(&reading.catalog)?;
            let catalog = Catalog::read(&catalog).map_err(Failure::config)?;
            let states = match &reading.state {
                Some(path) => states_of(&json_file(path)?)?,
                None => States::new(),
            };
            let mut work = Work::new(&reading.configured, catalog, states, pace, out)?;
            work.source.validate()?;
            work.read().await
        }
    }
}

fn json_file(path: &Path) -> Result<Value, Failure> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::config(format!("can't read {shown}: {error}")))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::config(format!("{shown} is not JSON: line {}, column {}", error.line(), error.column()))
    })
}

fn source(manifest: &Path, config: Option<Value>, catalog: Catalog, states: States) -> Result<Source, Failure> {
    let text = std::fs::read_to_string(manifest)
        .map_err(|error| Failure::system(format!("can't read the manifest {}: {error}", manifest.display())))?;
    Source::new(&text, config, Arc::new(Beside::of(manifest)), catalog, states, Timestamp::now()).map_err(problems)
}

/// The state of each stream, from messages of either kind.
fn states_of(value: &Value) -> Result<States, Failure> {
    let mut out = States::new();
    let mut take = |stream: &Value| {
        let name = stream.pointer("/stream_descriptor/name").and_then(Value::as_str);
        if let (Some(name), Some(state)) = (name, stream.get("stream_state").filter(|state| !state.is_null())) {
            out.insert(name.to_owned(), state.clone());
        }
    };
    let messages = value.as_array().ok_or_else(|| Failure::config("the state is no list of state messages"))?;
    for message in messages {
        match (message.get("stream"), message.get("global")) {
            (Some(stream), _) => take(stream),
            (None, Some(global)) => {
                global.get("stream_states").and_then(Value::as_array).into_iter().flatten().for_each(&mut take);
            }
            (None, None) => return Err(Failure::config("a state message has neither 'stream' nor 'global'")),
        }
    }
    Ok(out)
}

impl<'a, W: Write> Work<'a, W> {
    fn new(
        at: &Configured,
        catalog: Catalog,
        states: States,
        pace: Pace,
        out: &'a mut Messages<W>,
    ) -> Result<Self, Stop> {
        let config = json_file(&at.config)?;
        let source = source(&at.place.manifest_path, Some(config), catalog, states)?;
        if let Some(migrated) = &source.migrated {
            std::fs::write(&at.config, migrated.to_string())
                .map_err(|error| Failure::config(format!("can't keep the migrated configuration: {error}")))?;
            out.config(migrated, Timestamp::now())?;
        }
        if let Some(spec) = &source.spec {
            out.secrets = Secrets::of(spec.connection(), &source.config);
        }
        let session = source.session(entropy()).map_err(problems)?;
        let client = Client::new().map_err(|fault| Failure::system(fault.to_string()))?;
        Ok(Self { source, session, client, pace, out })
    }

    /// For the rest of a check, other values count.
    fn override_config(&mut self, check: &Check) -> Result<(), Stop> {
        self.source.override_config(&check.overrides);
        if let Some(spec) = &self.source.spec {
            self.out.secrets.add_all(&Secrets::of(spec.connection(), &self.source.config));
        }
        self.session = self.source.session(entropy()).map_err(problems)?;
        Ok(())
    }

    async fn build(&mut self, wanted: Option<Vec<String>>) -> Result<Vec<Built>, Stop> {
        let mut building = self.source.building(wanted)?;
        drive(&mut building, &mut self.session, &self.client, &self.pace, self.out).await
    }

    async fn discover(&mut self) -> Result<Vec<Value>, Stop> {
        let mut out = Vec::new();
        for built in self.build(None).await? {
            let stream = match built.stream {
                Ok(stream) => stream,
                Err(why) if why.iter().all(|problem| problem.kind == Kind::Custom) => {
                    let text = format!("stream '{}' is left out: {}", built.name, listed(&why));
                    self.out.log(teal_connect::session::Level::Warn, &text)?;
                    continue;
                }
                Err(why) => return Err(problems(why).into()),
            };
            if let Some(failure) = stream.schema.failure() {
                return Err(failure.into());
            }
            let mut asked = Asked { schema: &stream.schema, sample: None };
            drive(&mut asked, &mut self.session, &self.client, &self.pace, self.out).await?;
            let schema = stream.schema.known(&self.session).unwrap_or_default();
            out.push(describe(&stream, &schema));
        }
        Ok(out)
    }

    /// Passes on what the readers have to say.
    fn notices(&mut self, now: Timestamp) -> Result<(), Stop> {
        for notice in std::mem::take(&mut self.session.notices) {
            self.out.notice(&notice, now)?;
        }
        Ok(())
    }
}

fn entropy() -> Entropy {
    use rand::rand_core::{OsRng, TryRngCore};
    Arc::new(|| {
        let mut bytes = [0; 16];
        // Without the system's randomness, waits are not spread and identifiers repeat; nothing else uses it.
        let _ = OsRng.try_fill_bytes(&mut bytes);
        u128::from_le_bytes(bytes)
    })
}
