//! Records that are not where the manifest looks for them: said once, and no failure.

use std::path::Path;

use clap::Parser;
use serde_json::json;
use teal_protocol::{Command, Pace, run};
use teal_stand_in::Fake;
use teal_stand_in::fake::generic;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[tokio::test]
async fn a_page_without_records_where_they_are_looked_for_is_a_warning_and_shown_by_preview() {
    let fake = Fake::start(generic::api()).await.expect("loopback has a free port");
    let folder = tempfile::tempdir().expect("there is room for files");
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("the folder is there");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors/generic-rest.yaml");
    let manifest = std::fs::read_to_string(manifest).expect("the template ships");
    write("manifest.yaml", manifest.replace("field_path: [data]", "field_path: [rows, all]"));
    write("config.json", json!({ "base_url": fake.url(), "api_key": "generic-key" }).to_string());
    let stream = json!({ "name": "things", "json_schema": {} });
    let configured = json!({ "stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append" });
    write("catalog.json", json!({ "streams": [configured] }).to_string());
    let said = async |command: &str| {
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (manifest, config, catalog) = (file("manifest.yaml"), file("config.json"), file("catalog.json"));
        let mut line = vec!["teal", command, "--manifest-path", &manifest, "--config", &config];
        if command == "read" {
            line.extend(["--catalog", &catalog]);
        }
        let mut out = Vec::new();
        assert_eq!(run(Cli::parse_from(line).command, Pace::default(), &mut out).await, 0);
        String::from_utf8(out).expect("messages are texts")
    };
    let told = "the answer has nothing at the field_path ['rows', 'all']";
    let read = said("read").await;
    assert_eq!(read.matches(told).count(), 1, "{read}");
    assert!(read.contains("WARN") && read.contains("COMPLETE"), "{read}");
    assert!(said("preview").await.contains(told));
}
