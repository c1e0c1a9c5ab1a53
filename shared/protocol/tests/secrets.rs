//! Secrets of a configuration are in no message, whatever the source says back.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use clap::Parser;
use serde_json::{Map, Value, json};
use teal_connect::manifest_yaml;
use teal_protocol::{Command, Pace, run};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Refuses everything, and repeats the whole request in its answer.
fn mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            let body = json!({"error": String::from_utf8_lossy(&request[..read])}).to_string();
            let head =
                format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    address
}

fn manifest(address: &str) -> String {
    format!(
        r#"
type: DeclarativeSource
version: 7.0.0
check: {{type: CheckStream, stream_names: [things]}}
spec:
  type: Spec
  connection_specification:
    type: object
    properties:
      key: {{type: string, airbyte_secret: true, pattern: "^never"}}
      login: {{type: object, properties: {{password: {{type: string, airbyte_secret: true}}}}}}
streams:
  - type: DeclarativeStream
    name: things
    retriever:
      requester:
        url_base: "http://{address}/{{{{ config['login']['password'] }}}}"
        path: things
        request_parameters: {{key: "{{{{ config['key'] }}}}"}}
        authenticator: {{type: BasicHttpAuthenticator, username: me, password: "{{{{ config['login']['password'] }}}}"}}
        error_handler:
          type: DefaultErrorHandler
          response_filters:
            - {{type: HttpResponseFilter, http_codes: [400], action: FAIL, error_message: "refused: {{{{ response['error'] }}}} at {{{{ request_url }}}} for {{{{ config['key'] }}}}"}}
      record_selector: {{extractor: {{field_path: [data]}}}}
"#
    )
}

async fn said(folder: &Path, arguments: &[&str]) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut line = vec!["teal".to_owned()];
    line.extend(arguments.iter().map(|argument| match argument.strip_prefix('@') {
        Some(name) => file(name),
        None => (*argument).to_owned(),
    }));
    let mut out = Vec::new();
    // Waits that a source asks for are cut short.
    let pace = Pace { most: Some(std::time::Duration::from_millis(2)), noted: None };
    run(Cli::parse_from(line).command, pace, &mut out).await;
    String::from_utf8(out).expect("messages are texts")
}

#[tokio::test]
async fn no_message_holds_a_secret_that_the_source_repeats() {
    let folder = std::env::temp_dir().join(format!("teal-secrets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let address = mirror();
    write("wrong.yaml", manifest(&address));
    write("right.yaml", manifest(&address).replace(r#", pattern: "^never""#, ""));
    write("config.json", json!({"key": "canary-4711", "login": {"password": "canary 0815"}}).to_string());
    write("catalog.json", json!({"streams": [{"stream": {"name": "things", "json_schema": {}}, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]}).to_string());
    for manifest in ["@wrong.yaml", "@right.yaml"] {
        for command in ["check", "discover", "read", "preview"] {
            let mut arguments = vec![command, "--manifest-path", manifest, "--config", "@config.json"];
            if command == "read" {
                arguments.extend(["--catalog", "@catalog.json"]);
            }
            let said = said(&folder, &arguments).await;
            assert!(!said.is_empty());
            for canary in ["canary-4711", "canary 0815", "canary%200815", "canary+0815", "bWU6Y2FuYXJ5"] {
                assert!(!said.contains(canary), "{command} says {canary}: {said}");
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A configuration with a canary in every field that is marked, and the mirror at every address.
fn planted(schema: &Value, address: &str) -> Value {
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.contains(&name.into()));
    let mut config = Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let value = match field["type"].as_str() {
            _ if name.ends_with("_url") => format!("http://{address}").into(),
            // Its ending is the one that a key of Mailchimp must have.
            Some("string") if field["airbyte_secret"] == true => format!("canary-{name}-us1").into(),
            Some("object") => planted(field, address),
            Some("string") if required(name) => "example".into(),
            Some("array") if required(name) => json!(["example/one"]),
            _ => continue,
        };
        config.insert(name.clone(), value);
    }
    config.into()
}

fn canaries(config: &Value) -> usize {
    match config {
        Value::Object(members) => members.values().map(canaries).sum(),
        value => usize::from(value.as_str().is_some_and(|text| text.starts_with("canary-"))),
    }
}

#[tokio::test]
async fn no_marked_field_of_a_connector_that_ships_is_in_any_message() {
    let folder = std::env::temp_dir().join(format!("teal-canaries-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let address = mirror();
    let connectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors");
    let (mut planted_in_all, mut tried) = (0, 0);
    for entry in std::fs::read_dir(connectors).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let manifest: Value = manifest_yaml::load(&text).unwrap().value.into();
        let config = planted(&manifest["spec"]["connection_specification"], &address);
        planted_in_all += canaries(&config);
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        std::fs::write(folder.join("manifest.yaml"), text).unwrap();
        let place = ["--manifest-path", "@manifest.yaml", "--config", "@config.json"];
        let discovered = said(&folder, &[&["discover"], &place[..]].concat()).await;
        let names = discovered.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let names = names.flat_map(|message| message["catalog"]["streams"].as_array().cloned().unwrap_or_default());
        let names: Vec<Value> = names.map(|stream| stream["name"].clone()).collect();
        let about = |name: &Value| json!({ "stream": { "name": name, "json_schema": {} }, "sync_mode": "full_refresh", "destination_sync_mode": "append" });
        let catalog = json!({ "streams": names.iter().map(about).collect::<Vec<_>>() });
        std::fs::write(folder.join("catalog.json"), catalog.to_string()).unwrap();
        let mut all = discovered;
        all += &said(&folder, &[&["check"], &place[..]].concat()).await;
        all += &said(&folder, &[&["read"], &place[..], &["--catalog", "@catalog.json"]].concat()).await;
        for name in names.iter().filter_map(Value::as_str) {
            all += &said(&folder, &[&["preview"], &place[..], &["--stream", name]].concat()).await;
            tried += 1;
        }
        // In clear, and as Basic authentication has it, wherever in its text it begins.
        for canary in ["canary-", "Y2FuYXJ5", "jYW5hcnk", "NhbmFye"] {
            assert!(!all.contains(canary), "{}: {canary} in {all}", path.display());
        }
    }
    assert!(planted_in_all >= 10 && tried >= 25, "{planted_in_all} canaries, {tried} streams");
    std::fs::remove_dir_all(&folder).unwrap();
}
