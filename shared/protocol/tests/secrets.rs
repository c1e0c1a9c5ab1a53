//! Secrets of a configuration are in no message, whatever the source says back.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use clap::Parser;
use serde_json::json;
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
    run(Cli::parse_from(line).command, Pace::default(), &mut out).await;
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
