//! The demo as people start it. It checks itself; this checks that it ran to its end, told so, and left
//! nothing behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `teal demo` small, in a world of its own: temporary files in `temporary`, and a proxy that answers
/// nobody, which must not matter to what stays on this machine.
fn demo(temporary: &Path, arguments: &[&str]) -> Output {
    let dead = "http://127.0.0.1:9";
    Command::new(env!("CARGO_BIN_EXE_teal"))
        .args(["demo", "--talents", "60"])
        .args(arguments)
        .current_dir(temporary)
        .env("TMPDIR", temporary)
        .envs([("HTTP_PROXY", dead), ("http_proxy", dead), ("ALL_PROXY", dead)])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("TEAL_DATA")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn names_in(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_demo_goes_as_promised_says_so_in_json_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path(), &["--json"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}\n{}", text(&output.stderr));
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, steps) = lines.split_last().unwrap();
    assert_eq!(steps.len(), 9);
    for (index, step) in steps.iter().enumerate() {
        assert_eq!(step["step"], index + 1);
        assert_eq!(step["ok"], true, "{step:#}");
        assert_eq!(step["wrong"], serde_json::json!([]), "{step:#}");
    }
    let summary = &summary["summary"];
    assert_eq!(summary["ok"], true, "{summary:#}");
    let reading = &summary["reading"];
    assert_eq!((&reading["errors"], &reading["mixtures"]), (&0.into(), &0.into()), "{reading:#}");
    assert!(reading["listings"].as_u64().unwrap() > 0, "{reading:#}");
    assert_eq!(names_in(temporary.path()), [] as [String; 0]);
}

#[test]
fn kept_data_stays_and_is_never_written_over() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path(), &["--keep", "kept", "--seed", "7"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}\n{}", text(&output.stderr));
    assert!(shown.contains("All 9 steps went as promised."), "{shown}");
    assert!(shown.contains("sqlite3 kept/teal.db"), "{shown}");
    assert!(!shown.contains('\x1b'), "there are no colors in a pipe");
    assert_eq!(names_in(temporary.path()), ["kept"]);
    assert!(names_in(&temporary.path().join("kept")).contains(&"teal.db".to_owned()));

    let again = demo(temporary.path(), &["--keep", "kept"]);
    assert_eq!(again.status.code(), Some(1));
    let error = text(&again.stderr);
    assert!(error.contains("'kept' is not empty") && error.contains("name a new directory"), "{error}");
}

#[test]
fn a_demo_that_is_too_small_to_show_anything_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_teal")).args(["demo", "--talents", "3"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("50..="), "{}", text(&output.stderr));
}
