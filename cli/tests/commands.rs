//! The built command, as people and scripts use it: a configuration on disk, a source that answers, exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod trial;

use serde_json::{Value as Json, json};
use teal_stand_in::{Blue, BlueOptions};
use tokio::net::TcpListener;
use trial::{Ran, Trial};

const YAML: &str = r#"
system: trial
sources:
  blue:
    connector: blue.yaml
    config: { base_url: "${BLUE_URL:-http://blue.example.com}", api_key: "${secret:blue-api-key}" }
entities:
  boards:
    from: blue.boards
    key: id
    fields:
      id: { type: integer, required: true }
      name: string
"#;

async fn with_source() -> (Trial, Blue) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = BlueOptions { talents: 3, boards: 5, media_tags: 2, ..BlueOptions::default() };
    let key = options.key.clone();
    let blue = Blue::start_on(listener, options).unwrap();
    let mut trial = Trial::new(YAML);
    trial.url = blue.url();
    trial.secret("blue-api-key", &key);
    (trial, blue)
}

#[test]
fn check_finds_a_right_configuration_right_and_names_the_secrets_that_are_missing() {
    let ran = Trial::new(YAML).run(&["check"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("TEAL_SECRET_BLUE_API_KEY"), "{ran:?}");
    assert!(ran.out.ends_with("teal.yaml is right: 1 source, 1 entity\n"), "{ran:?}");
}

#[test]
fn check_shows_every_problem_with_its_place_and_fails() {
    let trial = Trial::new(&YAML.replace("name: string", "name: strin").replace("key: id", "keys: id"));
    let ran = trial.run(&["check"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for told in ["teal.yaml:10:5", "teal.yaml:13:13", "help: ", "problems"] {
        assert!(ran.out.contains(told), "{told}: {}", ran.out);
    }
    let ran = trial.run(&["check", "--json"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.json()["ok"], false);
    assert!(ran.json()["problems"].as_array().unwrap().len() >= 2, "{ran:?}");
}

#[test]
fn check_finds_what_only_the_connector_knows() {
    let ran = Trial::new(&YAML.replace("blue.boards", "blue.bords")).run(&["check"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("has no stream 'bords'") && ran.out.contains("boards"), "{ran:?}");
    let trial = Trial::new(YAML);
    trial.write("blue.yaml", "type: DeclarativeSource\n");
    assert_eq!(trial.run(&["check"]).code, Some(1));
}

#[test]
fn what_is_missing_is_named_with_a_way_to_get_it() {
    let trial = Trial::new(YAML);
    let ran = trial.run(&["status"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("no data in '.teal' yet") && ran.err.contains("teal sync"), "{ran:?}");
    assert!(!trial.dir.path().join(".teal").exists(), "a command that looks makes nothing");
    for command in ["check", "sync", "status"] {
        let ran = trial.run(&["-f", "other.yaml", "--data", "none", command]);
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.contains("there is no 'other.yaml'") && ran.err.contains("teal demo"), "{ran:?}");
    }
    let ran = trial.run(&["sync"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("blue-api-key"), "{ran:?}");
}

#[test]
fn a_wrong_command_line_is_its_own_exit_code() {
    let trial = Trial::new(YAML);
    assert_eq!(trial.run(&["dance"]).code, Some(2));
    assert_eq!(trial.run(&["sync", "--full", "--incremental"]).code, Some(2));
    assert_eq!(trial.run(&["--help"]).code, Some(0));
    let schema = trial.run(&["schema"]);
    assert_eq!((schema.code, schema.json()["title"].as_str()), (Some(0), Some("teal.yaml")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_is_told_in_one_line_of_json_and_can_be_looked_at_afterwards() {
    let (trial, _blue) = with_source().await;
    let ran = trial.run(&["sync", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let run = ran.json();
    assert_eq!((&run["outcome"], &run["active"]), (&json!("complete"), &json!(1)));
    assert_eq!(run["counts"]["entities"]["boards"]["new"], 5);

    assert_eq!(trial.run(&["status", "--json"]).json()["entities"]["boards"]["rows"], 5);
    assert_eq!(trial.run(&["runs", "--json"]).json()["runs"][0]["id"], run["id"]);
    let shown = trial.run(&["runs", "show", run["id"].as_str().unwrap()]);
    assert!(shown.out.contains("blue full complete: read 5, new 5"), "{shown:?}");
    assert_eq!(trial.run(&["export"]).out.lines().count(), 5);
    let ran = trial.run(&["export", "--out", "all.jsonl"]);
    assert_eq!(ran.out, "5 rows of v1 in 'all.jsonl'\n");
    let again = trial.run(&["export"]).out;
    assert_eq!(std::fs::read_to_string(trial.dir.path().join("all.jsonl")).unwrap(), again);
    let ran = trial.run(&["rejects", "list"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "no rejects\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_difference_and_leaves_readers_with_what_they_had() {
    let (trial, blue) = with_source().await;
    assert_eq!(trial.run(&["sync", "-q"]).code, Some(0));
    let before = trial.run(&["export"]).out;
    // Another mapping makes other rows of the same records.
    trial.write("teal.yaml", &YAML.replace("name: string", "name: { type: string, default: none, path: nothing }"));
    let ran = trial.run(&["sync", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("boards: 0 added, 5 changed, 0 removed, 0 unchanged"), "{ran:?}");
    assert!(ran.out.contains("dry run: readers see v1 as before"), "{ran:?}");
    assert_eq!(trial.run(&["export"]).out, before);

    let ran = trial.run(&["rebuild", "--json"]);
    assert_eq!(ran.json()["diff"]["entities"]["boards"]["changed"], 5, "{ran:?}");
    assert_eq!(trial.run(&["export"]).out, before, "a rebuild waits for a word");
    let built = ran.json()["builds"].to_string();
    assert_eq!(trial.run(&["switch", &built]).code, Some(0));
    assert_ne!(trial.run(&["export"]).out, before);
    assert_eq!(trial.run(&["rollback"]).code, Some(0));
    assert_eq!(trial.run(&["export"]).out, before);
    assert_eq!(trial.run(&["switch", "99"]).code, Some(1));
    assert_eq!(trial.run(&["switch", "v1"]).code, Some(4), "it is active already");
    drop(blue);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_dev_runs_commands_are_answered_by_it() {
    let (trial, _blue) = with_source().await;
    let mut dev = trial.dev();

    let ran = trial.run(&["sync", "--json"]);
    assert_eq!((ran.code, &ran.json()["cause"]), (Some(0), &json!("token file")), "{ran:?}");
    let told: Json = serde_json::from_str(&dev.told.next().unwrap().unwrap()).unwrap();
    assert_eq!(told["id"], ran.json()["id"], "dev tells of it, too");
    teal_local::upstream::install_tls();
    let get = |address: &str, token: &str| {
        let request = reqwest::Client::builder().no_proxy().build().unwrap().get(dev.url(address));
        let request = request.bearer_auth(token.trim());
        async move { request.send().await.unwrap() }
    };
    let token = std::fs::read_to_string(trial.dir.path().join(".teal/token")).unwrap();
    let metrics = get("/metrics", &token).await;
    assert!(metrics.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let metrics = metrics.text().await.unwrap();
    for line in [
        "teal_run_outcome_total{source=\"blue\",mode=\"full\",outcome=\"complete\"} 1",
        "teal_rows_total{entity=\"boards\",fate=\"new\"} 5",
        "teal_active_version 1",
        "teal_dlq_depth{queue=\"transform\"} 0",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}:\n{metrics}");
    }
    assert_eq!(get("/metrics", "nobody's").await.status(), 401);
    assert_eq!(trial.run(&["backup", "now"]).code, Some(0), "a host that runs makes backups, too");
    assert!(trial.run(&["backup", "list"]).out.contains("-full"));
    assert_eq!(trial.run(&["rollback", "v0", "--json"]).json()["to"], 0);
    assert_eq!(trial.run(&["export"]).out, "");
    let second = trial.run(&["dev", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, Some(5), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_in_a_second_place_makes_the_system_again_and_a_damaged_one_does_not() {
    let (trial, _blue) = with_source().await;
    let backups = tempfile::tempdir().unwrap();
    let yaml = format!("{YAML}backups: {{ full: rate(1 day), keep: 7d, second: '{}' }}\n", backups.path().display());
    trial.write("teal.yaml", &yaml);
    assert_eq!(trial.run(&["backup", "now"]).code, Some(1), "there is no data yet");
    assert_eq!(trial.run(&["sync", "--full"]).code, Some(0));
    let ran = trial.run(&["backup", "now"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(trial.run(&["backup", "list"]).out.contains("here, second"));
    assert!(trial.run(&["backup", "verify"]).out.starts_with("whole: "));
    let export = trial.run(&["export"]).out;

    let other = Trial::new(&yaml);
    let ran = other.run(&["backup", "restore", "--json"]);
    assert_eq!((ran.code, &ran.json()["outcome"]), (Some(0), &json!("complete")), "{ran:?}");
    assert_eq!(other.run(&["export"]).out, export);

    let part = std::fs::read_dir(backups.path().join("blobs/backup/part")).unwrap().next().unwrap().unwrap().path();
    for file in std::fs::read_dir(part).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let third = Trial::new(&yaml);
    let ran = third.run(&["backup", "restore"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("was changed"), "{ran:?}");
    assert_eq!(third.run(&["export"]).out, "");
    assert_eq!(third.run(&["backup", "verify"]).code, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_log_says_which_run_source_stream_and_version_it_is_about() {
    let (trial, _blue) = with_source().await;
    let mut sync = trial.command(&["sync", "--full", "--log-format", "json"]);
    let ran = Ran::of(sync.env("TEAL_LOG", "teal=info").output().unwrap());
    let lines = ran.err.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let ended = lines.into_iter().find(|line| line["fields"]["message"] == "run ended").expect("a run ended");
    let (span, run) = (&ended["span"], &ended["fields"]["run"]);
    assert_eq!((&span["name"], &span["run"], &span["version"]), (&json!("message"), run, &json!("v1")), "{ended}");
    assert_eq!((&span["queue"], &span["attempt"]), (&json!("switch"), &json!(1)), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_imported_by_another_installation() {
    let (trial, _blue) = with_source().await;
    assert_eq!(trial.run(&["sync", "--full"]).code, Some(0));
    let file = trial.dir.path().join("rows.jsonl").display().to_string();
    assert_eq!(trial.run(&["export", "--out", &file]).code, Some(0));
    let other = Trial::new(YAML);
    let ran = other.run(&["import", &file]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(other.run(&["export"]).out, trial.run(&["export"]).out);
    trial.write("rows.jsonl", "{\"entity\":\"boards\",\"key\":\"7\",\"row\":{\"id\":8,\"name\":\"x\"}}\n");
    let ran = other.run(&["import", &file]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("its key is '7'"), "{ran:?}");
}
