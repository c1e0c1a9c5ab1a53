//! PyAirbyte reads a source through the built command into its cache, twice: in full, and then what changed. Its
//! packages are installed once a user; where they can't be had, the test says so and passes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use teal_stand_in::Fake;
use teal_stand_in::fake::generic;

const PACKAGES: &str = "airbyte==0.71.3\n";
const READ: &str = include_str!("pyairbyte.py");

/// PyAirbyte calls a local executable with a command and its files; the manifest is for whoever wraps it to add.
fn connector(folder: &Path) -> String {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors/generic-rest.yaml");
    let teal = env!("CARGO_BIN_EXE_teal");
    let script = format!("#!/bin/sh\nexec '{teal}' connector \"$@\" --manifest-path '{}'\n", manifest.display());
    let path = folder.join("source-things");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

async fn read(python: &Path, folder: &Path, task: &Value) -> Value {
    let mut command = Command::new(python);
    command.args(["-c", READ, &task.to_string()]).current_dir(folder);
    // It looks for nothing beyond this machine, and tells nobody.
    command.envs([("AIRBYTE_OFFLINE_MODE", "1"), ("DO_NOT_TRACK", "1"), ("AIRBYTE_NO_UV", "1")]);
    command.envs([("HOME", folder), ("AIRBYTE_TEMP_DIR", folder), ("AIRBYTE_LOGGING_ROOT", &folder.join("logs"))]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{out}\n{err}"))
}

#[tokio::test]
async fn pyairbyte_reads_a_source_into_its_cache_and_then_what_changed() {
    let python = match tokio::task::spawn_blocking(|| teal_python::environment(PACKAGES)).await.unwrap() {
        Ok(python) => python,
        Err(why) => return println!("PyAirbyte: skipped, since it can't be installed: {why}"),
    };
    let fake = Fake::start(generic::api()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "base_url": fake.url(), "api_key": "generic-key" });
    let task = json!({ "executable": connector(folder.path()), "config": config, "streams": ["things", "parts"] });
    let first = read(&python, folder.path(), &task).await;
    assert_eq!(first["rows"], json!({ "things": 120, "parts": 3 }), "{first}");
    fake.put("things", generic::thing(7, 5000));
    fake.put("things", generic::thing(121, 5001));
    let second = read(&python, folder.path(), &task).await;
    assert_eq!(second["rows"]["things"], 121, "{second}");
    assert_eq!(second["newest"], 121, "{second}");
    // 7 changed and 121 is new; 119 and 120 lie within the lookback of a minute, and parts are read in full.
    assert_eq!(second["read"], 4 + 3, "{second}");
}
