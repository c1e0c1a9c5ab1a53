//! The borders hold: crates point one way, modules point one way, and `teal` knows no database, no SDK and
//! no host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the core must never pull in, not even through another crate.
const FORBIDDEN: [&str; 12] = [
    "aws-types",
    "aws-sdk-",
    "aws-smithy-",
    "lambda_http",
    "lambda_runtime",
    "libsqlite3-sys",
    "rusqlite",
    "reqwest",
    "hyper",
    "axum",
    "tokio",
    "rand",
];

/// Which of our crates may use which, at run time.
const CRATES: [(&str, &[&str]); 7] = [
    ("teal-gate", &[]),
    ("teal", &["teal-gate"]),
    ("teal-connect", &["teal", "teal-gate"]),
    ("teal-real", &["teal", "teal-gate"]),
    ("teal-local", &["teal", "teal-gate", "teal-real"]),
    ("teal-aws", &["teal", "teal-gate", "teal-real"]),
    ("teal-protocol", &["teal", "teal-gate", "teal-connect"]),
];

/// Which folder of `shared/src` may use which others.
const MODULES: [(&str, &[&str]); 6] = [
    ("domain", &["domain"]),
    ("config", &["config", "domain"]),
    ("ports", &["ports", "domain"]),
    ("metrics", &["metrics", "domain"]),
    ("pipeline", &["pipeline", "ports", "config", "metrics", "domain"]),
    ("trigger", &["trigger", "pipeline", "ports", "config", "metrics", "domain"]),
];

fn shared() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every package that `name` needs at run time or while building, itself left out.
fn needs(name: &str) -> BTreeSet<String> {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "--package", name, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .args(["--offline", "--locked"])
        .current_dir(shared())
        .output()
        .expect("cargo runs, it runs this test");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8_lossy(&out.stdout);
    text.lines().filter_map(|line| line.split(' ').next()).filter(|n| *n != name).map(str::to_owned).collect()
}

#[test]
fn the_core_needs_no_database_no_sdk_and_no_host() {
    let needs = needs("teal");
    assert!(needs.contains("serde"), "cargo tree was not understood: {needs:?}");
    let wrong: Vec<&String> = needs
        .iter()
        .filter(|name| FORBIDDEN.iter().any(|f| *name == f || (f.ends_with('-') && name.starts_with(f))))
        .collect();
    assert!(wrong.is_empty(), "teal must not need {wrong:?}; put it behind a port, into an adapter crate");
}

#[test]
fn crates_point_one_way() {
    for (name, allowed) in CRATES {
        let ours: Vec<String> =
            needs(name).into_iter().filter(|n| n.starts_with("teal") && !allowed.contains(&n.as_str())).collect();
        assert!(ours.is_empty(), "{name} must not need {ours:?}");
    }
}

#[test]
fn modules_point_one_way() {
    let mut wrong = Vec::new();
    for (folder, allowed) in MODULES {
        for file in rust_files(&shared().join("src").join(folder)) {
            let code = std::fs::read_to_string(&file).expect("a file of the crate can be read");
            for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for used in line.split("crate::").skip(1).map(first_word) {
                    let is_folder = MODULES.iter().any(|(name, _)| *name == used);
                    if is_folder && !allowed.contains(&used) {
                        wrong.push(format!("{}:{} uses {used}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the direction:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is_about() {
    let silent: Vec<String> = rust_files(&shared())
        .into_iter()
        .filter(|file| !file.components().any(|part| part.as_os_str() == "target"))
        .filter(|file| !std::fs::read_to_string(file).expect("a file of the crate can be read").starts_with("//!"))
        .filter(|file| !file.to_string_lossy().ends_with("tests.rs"))
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "these open without //!:\n{}", silent.join("\n"));
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder of the crate can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
    out
}
