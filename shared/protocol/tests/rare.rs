//! Components that few manifests have, against what the Python engine made of them. `rare/record.py` says how that
//! came about. The source is `rare/server.py`: without Python the test says so and passes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command as Process, Stdio};

use clap::Parser;
use teal_connect::value::{Map, Value, json};
use teal_protocol::{Command, Pace, run};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Every stream of a manifest, as the catalog that configures it.
fn catalog(manifest: &str) -> Value {
    let manifest = teal_connect::manifest_yaml::load(manifest).expect("a manifest").value;
    let streams = manifest["streams"].as_array().expect("a list").iter().map(|stream| {
        let mode = if stream.get("incremental_sync").is_some() { "incremental" } else { "full_refresh" };
        let about = json!({"name": &stream["name"], "json_schema": {}});
        json!({"stream": about, "sync_mode": mode, "destination_sync_mode": "append"})
    });
    json!({"streams": streams.collect::<Vec<_>>()})
}

/// What was printed, in the form of the records here.
fn outcome(printed: &str, succeeds: bool, mut requests: Vec<Value>) -> Value {
    let (mut records, mut states) = (BTreeMap::<String, Vec<Value>>::new(), Map::new());
    for line in printed.lines() {
        let message: Value = line.parse().expect("a message is JSON");
        if message["type"] == "RECORD" {
            let stream = message["record"]["stream"].as_str().expect("a name").to_owned();
            records.entry(stream).or_default().push(message["record"]["data"].clone());
        } else if message["type"] == "STATE" {
            let stream = &message["state"]["stream"];
            let name = stream["stream_descriptor"]["name"].as_str().expect("a name");
            states.insert(name.to_owned(), stream["stream_state"].clone());
        }
    }
    requests.sort_by_key(Value::to_string);
    let records: Map = records
        .into_iter()
        .map(|(stream, mut records)| {
            records.sort_by_key(Value::to_string);
            (stream, records.into())
        })
        .collect();
    json!({"succeeds": succeeds, "records": records, "states": states, "requests": requests})
}

/// Requests for tokens and fields race inside one engine: which there are counts, not how often.
fn comparable(mut outcome: Value) -> Value {
    for records in outcome["records"].as_object_mut().expect("an object").values_mut() {
        records
            .as_array_mut()
            .expect("a list")
            .sort_by_key(|record| serde_json::Value::from(record.clone()).to_string());
    }
    let requests = outcome["requests"].as_array_mut().expect("a list");
    requests.sort_by_key(Value::to_string);
    requests.dedup();
    outcome
}

async fn compare(name: &str, folder: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rare");
    let source =
        Process::new("python3").arg(here.join("server.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut source) = source else { return println!("rare components: skipped, since python3 is absent") };
    let mut said = BufReader::new(source.stdout.take().expect("it is piped"));
    let mut port = String::new();
    said.read_line(&mut port).expect("the source prints its port");
    let manifest = std::fs::read_to_string(here.join(format!("{name}.yaml"))).expect("a manifest");
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut line = vec!["teal".to_owned(), "read".to_owned()];
    let config = json!({"url": format!("http://127.0.0.1:{}", port.trim()), "key": "key-1", "mode": "second"});
    for (option, file, text) in [
        ("--manifest-path", "manifest.yaml", manifest.clone()),
        ("--config", "config.json", config.to_string()),
        ("--catalog", "catalog.json", catalog(&manifest).to_string()),
    ] {
        std::fs::write(folder.join(file), text).expect("a file");
        line.extend([option.to_owned(), folder.join(file).display().to_string()]);
    }
    let pace = Pace { most: Some(std::time::Duration::from_millis(10)), noted: None };
    let mut printed = Vec::new();
    let code = run(Cli::parse_from(line).command, pace, &mut printed).await;
    drop(source.stdin.take());
    let mut requests = String::new();
    said.read_to_string(&mut requests).expect("the source says what was asked for");
    source.wait().expect("the source ends");
    let shown = |text: &str| text.replace(&format!("127.0.0.1:{}", port.trim()), "127.0.0.1:PORT");
    let requests: Value = shown(&requests).parse().expect("a list");
    let printed = shown(&String::from_utf8(printed).expect("messages are texts"));
    let found = outcome(&printed, code == 0, requests.as_array().expect("a list").clone());
    let expected = std::fs::read_to_string(here.join(format!("{name}.json"))).expect("what the reference made of it");
    let (found, expected) = (comparable(found), comparable(expected.parse().expect("JSON")));
    for part in ["succeeds", "records", "states", "requests"] {
        assert_eq!(found[part], expected[part], "{part} of {name}\n{printed}");
    }
}

macro_rules! cases {
    ($($name:ident: $file:literal)*) => {
        $(#[tokio::test]
        async fn $name() {
            let folder = std::env::temp_dir().join(format!("teal-rare-{}", std::process::id()));
            compare($file, &folder).await;
            let _ = std::fs::remove_dir_all(folder.join($file));
        })*
    };
}
cases! {
    answers_of_every_form_become_the_same_records: "decoders"
    jobs_are_created_polled_downloaded_and_deleted_alike: "jobs"
    sizes_windows_and_resets_of_pages_come_out_alike: "pages"
    fields_and_schemas_that_the_source_describes_come_out_alike: "fields"
    tokens_of_sessions_and_chosen_authenticators_go_out_alike: "tokens"
}
