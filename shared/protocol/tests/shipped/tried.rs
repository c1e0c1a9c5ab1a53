//! One connector with one configuration, and what every connector must be able to do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use teal_protocol::{Command, Pace, run};
use teal_stand_in::{Fake, Fault, FaultRule, RetryHint};
use tempfile::TempDir;

use crate::schema;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

pub struct Tried {
    folder: TempDir,
    manifest: PathBuf,
    name: &'static str,
}

/// What a reading gave.
#[derive(Debug)]
pub struct Read {
    pub code: u8,
    pub records: BTreeMap<String, Vec<Value>>,
    pub states: Vec<Value>,
    pub said: String,
}

impl Read {
    pub fn of(&self, stream: &str) -> &[Value] {
        self.records.get(stream).map_or(&[], Vec::as_slice)
    }

    /// The stream's states of all streams, the last of each, as the next reading wants them.
    fn last_states(&self) -> Value {
        let mut last = BTreeMap::new();
        for state in &self.states {
            last.insert(state["stream"]["stream_descriptor"]["name"].to_string(), state.clone());
        }
        last.into_values().collect()
    }
}

impl Tried {
    pub fn new(name: &'static str, config: &Value) -> Self {
        let folder = tempfile::tempdir().expect("there is room for files");
        let manifest =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../connectors").join(name).with_extension("yaml");
        std::fs::write(folder.path().join("config.json"), config.to_string()).expect("the folder was just made");
        Self { folder, manifest, name }
    }

    async fn say(&self, command: &str, files: &[(&str, &Value)]) -> (u8, Vec<Value>, String) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut line = vec!["teal".to_owned(), command.to_owned(), "--manifest-path".to_owned()];
        line.push(self.manifest.display().to_string());
        if command != "spec" {
            line.extend(["--config".to_owned(), path("config.json")]);
        }
        for (name, value) in files {
            std::fs::write(path(name), value.to_string()).expect("the folder is there");
            line.extend([format!("--{name}"), path(name)]);
        }
        let mut out = Vec::new();
        // Waits that a source asks for are cut short.
        let pace = Pace { most: Some(Duration::from_millis(2)), noted: None };
        let code = run(Cli::parse_from(line).command, pace, &mut out).await;
        let said = String::from_utf8(out).expect("messages are texts");
        // A preview is for people.
        let lines = said.lines().filter(|_| command != "preview");
        let messages = lines.map(|line| serde_json::from_str(line).expect("messages are JSON")).collect();
        (code, messages, said)
    }

    pub async fn check(&self) -> Value {
        let (_, messages, said) = self.say("check", &[]).await;
        let status = messages.iter().find(|message| message["type"] == "CONNECTION_STATUS");
        status.unwrap_or_else(|| panic!("{}: check says nothing: {said}", self.name))["connectionStatus"].clone()
    }

    pub async fn discover(&self) -> Vec<Value> {
        let (code, messages, said) = self.say("discover", &[]).await;
        assert_eq!(code, 0, "{}: {said}", self.name);
        let catalog = messages.iter().find(|message| message["type"] == "CATALOG").expect("there is a catalog");
        catalog["catalog"]["streams"].as_array().expect("streams are a list").clone()
    }

    /// Reads these streams; all of them when none is named.
    pub async fn read(&self, streams: &[&str], after: Option<&Read>) -> Read {
        let known = self.discover().await.into_iter();
        let wanted = known.filter(|stream| streams.is_empty() || streams.iter().any(|name| stream["name"] == **name));
        let configured = wanted.map(|stream| {
            let is_incremental = stream["supported_sync_modes"].as_array().is_some_and(|m| m.len() > 1);
            let mode = if is_incremental { "incremental" } else { "full_refresh" };
            json!({ "stream": stream, "sync_mode": mode, "destination_sync_mode": "append" })
        });
        let catalog = json!({ "streams": configured.collect::<Vec<_>>() });
        let state = after.map(Read::last_states);
        let mut files = vec![("catalog", &catalog)];
        files.extend(state.as_ref().map(|state| ("state", state)));
        let (code, messages, said) = self.say("read", &files).await;
        let mut out = Read { code, records: BTreeMap::new(), states: Vec::new(), said };
        for message in messages {
            match message["type"].as_str() {
                Some("RECORD") => {
                    let name = message["record"]["stream"].as_str().expect("a stream has a name").to_owned();
                    out.records.entry(name).or_default().push(message["record"]["data"].clone());
                }
                Some("STATE") => out.states.push(message["state"].clone()),
                _ => {}
            }
        }
        out
    }
}

/// What each connector is given and must make of it.
pub struct Case<'a> {
    pub name: &'static str,
    pub fake: &'a Fake,
    pub config: Value,
    /// The streams, and how many records each has.
    pub streams: &'a [(&'static str, usize)],
    /// An endpoint that faults meet, and a stream that asks it.
    pub endpoint: &'static str,
    pub stream: &'static str,
    /// The configuration's secret.
    pub secret: &'static str,
    /// What the message about wrong credentials says.
    pub remedy: &'static str,
}

impl Case<'_> {
    pub fn tried(&self) -> Tried {
        Tried::new(self.name, &self.config)
    }

    /// Everything that is the same for all of them. Gives the full reading.
    pub async fn hold(&self) -> Read {
        let tried = self.tried();
        let (code, messages, said) = tried.say("spec", &[]).await;
        assert_eq!(code, 0, "{said}");
        let properties = &messages[0]["spec"]["connectionSpecification"]["properties"];
        assert_eq!(properties[self.secret]["airbyte_secret"], true, "{}: {} is a secret", self.name, self.secret);

        let status = tried.check().await;
        assert_eq!(status["status"], "SUCCEEDED", "{}: {status}", self.name);
        self.refuses_wrong_credentials().await;
        let (code, _, said) = tried.say("preview", &[]).await;
        assert!(code == 0 && said.contains(self.streams[0].0), "{}: {said}", self.name);

        let schemas: BTreeMap<String, Value> = (tried.discover().await.into_iter())
            .map(|stream| (stream["name"].as_str().unwrap_or_default().to_owned(), stream))
            .collect();
        let read = tried.read(&[], None).await;
        assert_eq!(read.code, 0, "{}: {}", self.name, read.said);
        for (name, count) in self.streams {
            let stream = schemas.get(*name).unwrap_or_else(|| panic!("{}: there is no stream {name}", self.name));
            let keys = stream["source_defined_primary_key"].as_array().expect("a stream has a primary key");
            let records = read.of(name);
            assert_eq!(records.len(), *count, "{}: records of {name}: {}", self.name, read.said);
            let mut seen = std::collections::BTreeSet::new();
            for record in records {
                let wrong = schema::wrong(record, &stream["json_schema"]);
                assert!(wrong.is_empty(), "{} {name}: {wrong:?} in {record}", self.name);
                let key: Vec<String> = keys.iter().map(|path| at(record, path).to_string()).collect();
                assert!(!key.iter().any(|part| part == "null"), "{} {name}: no key in {record}", self.name);
                assert!(seen.insert(key.clone()), "{} {name}: {key:?} came twice", self.name);
            }
        }
        let named: Vec<&str> = self.streams.iter().map(|(name, _)| *name).collect();
        for name in schemas.keys() {
            assert!(named.contains(&name.as_str()), "{}: the stream {name} is not looked at", self.name);
        }
        self.survives_faults(read.of(self.stream)).await;
        read
    }

    async fn refuses_wrong_credentials(&self) {
        let mut config = self.config.clone();
        config[self.secret] = json!("canary-wrong-1");
        let tried = Tried::new(self.name, &config);
        let status = tried.check().await;
        assert_eq!(status["status"], "FAILED", "{}", self.name);
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.contains(self.remedy), "{}: the message helps nobody: {message}", self.name);
        assert!(!message.contains("canary-wrong"), "{}: {message}", self.name);
    }

    async fn survives_faults(&self, whole: &[Value]) {
        for fault in [Fault::Status(500), Fault::TooMany(RetryHint::Seconds(1)), Fault::Truncated, Fault::Drop] {
            let before = self.fake.counts().faulted;
            self.fake.fault(FaultRule::page(self.endpoint, 1, fault.clone()));
            let read = self.tried().read(&[self.stream], None).await;
            assert_eq!(read.code, 0, "{} after {fault:?}: {}", self.name, read.said);
            assert_eq!(sorted(read.of(self.stream)), sorted(whole), "{} after {fault:?}", self.name);
            assert_eq!(self.fake.counts().faulted, before + 1, "{}: {fault:?} met nobody", self.name);
        }
    }
}

/// Slices are read side by side, so their order differs.
fn sorted(records: &[Value]) -> Vec<String> {
    let mut out: Vec<String> = records.iter().map(Value::to_string).collect();
    out.sort();
    out
}

fn at<'v>(record: &'v Value, path: &Value) -> &'v Value {
    let steps = path.as_array().map_or(&[][..], Vec::as_slice);
    steps.iter().fold(record, |at, step| &at[step.as_str().unwrap_or_default()])
}
