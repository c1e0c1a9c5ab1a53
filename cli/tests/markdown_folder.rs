//! A folder of Markdown from its files to the API: written, changed, broken, deleted; on demand and watched.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod trial;

use std::time::Duration;

use serde_json::{Value as Json, json};
use trial::Trial;

const YAML: &str = "
system: archive
guard: { max_shrink: 100%, max_rejected: 100% }
sources:
  notes: { connector: markdown-folder.yaml, config: { folder: notes } }
entities:
  notes:
    from: notes.files
    record: path
    key: path
    fields:
      path: { type: string, required: true }
      title: string
      body: string
      topic: { path: front_matter.topic, type: string }
";

fn trial() -> Trial {
    let trial = Trial::new(YAML);
    trial.write("markdown-folder.yaml", include_str!("../../connectors/markdown-folder.yaml"));
    std::fs::create_dir_all(trial.dir.path().join("notes/wiki")).unwrap();
    trial.write("notes/joy.md", "---\ntitle: Joy\ntopic: hope\n---\nFirst words.\n");
    trial.write("notes/wiki/hoodie.md", "# A hoodie\n");
    trial
}

fn exported(trial: &Trial) -> Vec<(String, String, String)> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let ran = trial.run(&["export"]);
    let lines = ran.out.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    lines
        .map(|l| {
            let row = &l["row"];
            (text(&row["path"]), text(&row["title"]), text(&row["body"]))
        })
        .collect()
}

#[test]
fn files_that_are_written_changed_broken_and_deleted_arrive_at_the_next_sync() {
    let trial = trial();
    assert_eq!(trial.run(&["check"]).code, Some(0));
    trial.write("notes/broken.md", "---\ntitle: [\n---\n");
    let run = trial.run(&["sync", "--json"]).json();
    assert_eq!((&run["outcome"], &run["counts"]["entities"]["notes"]["new"]), (&json!("complete"), &json!(2)), "{run}");
    assert_eq!(run["counts"]["records"]["rejected"], 1, "{run}");
    let rejects = trial.run(&["rejects", "list"]);
    assert!(rejects.out.contains("broken.md") && rejects.out.contains("not YAML"), "{rejects:?}");
    let hoodie = ("wiki/hoodie.md".to_owned(), "A hoodie".to_owned(), "# A hoodie\n".to_owned());
    let joy = |body: &str| ("joy.md".to_owned(), "Joy".to_owned(), body.to_owned());
    assert_eq!(exported(&trial), [joy("First words.\n"), hoodie.clone()]);

    trial.write("notes/joy.md", "---\ntitle: Joy\n---\nOther words.\n");
    std::fs::remove_file(trial.dir.path().join("notes/broken.md")).unwrap();
    let run = trial.run(&["sync", "--incremental", "--json"]).json();
    let counts = &run["counts"]["entities"]["notes"];
    assert_eq!((&counts["changed"], &counts["unchanged"]), (&json!(1), &json!(1)), "{run}");
    assert_eq!(exported(&trial), [joy("Other words.\n"), hoodie.clone()]);

    std::fs::remove_file(trial.dir.path().join("notes/joy.md")).unwrap();
    assert_eq!(trial.run(&["sync", "--full", "--json"]).json()["outcome"], "complete");
    assert_eq!(exported(&trial), std::slice::from_ref(&hoodie));

    std::fs::rename(trial.dir.path().join("notes"), trial.dir.path().join("away")).unwrap();
    let ran = trial.run(&["sync", "--full", "--json"]);
    assert_eq!(ran.json()["outcome"], "failed", "{ran:?}");
    assert!(ran.out.contains("is not there"), "{ran:?}");
    assert_eq!(exported(&trial), [hoodie], "a folder that is missing deletes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_watched_while_teal_runs() {
    let trial = trial();
    let dev = trial.dev();
    let token = std::fs::read_to_string(trial.dir.path().join(".teal/token")).unwrap();
    teal_local::upstream::install_tls();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let shown = async |wanted: &[&str]| {
        for _ in 0..150 {
            let asked = client.get(dev.url("/v1/notes")).bearer_auth(token.trim()).send().await.unwrap();
            let answer = asked.text().await.unwrap();
            let answer: Json = serde_json::from_str(&answer).unwrap_or_default();
            let rows = answer["data"].as_array().cloned().unwrap_or_default();
            let titles: Vec<&str> = rows.iter().filter_map(|row| row["title"].as_str()).collect();
            if titles == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the API never showed {wanted:?}");
    };
    shown(&["Joy", "A hoodie"]).await;
    trial.write("notes/wiki/hoodie.md", "# Two hoodies\n");
    shown(&["Joy", "Two hoodies"]).await;
    std::fs::remove_file(trial.dir.path().join("notes/joy.md")).unwrap();
    shown(&["Two hoodies"]).await;
}
