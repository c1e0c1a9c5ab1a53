//! The given cases, against what the Python engine did with them.
//!
//! This binary is its own candidate: called with a command of the protocol it carries that out, with waits cut
//! short as the harness asks; called as a test it hands itself to the harness. The harness is not part of the
//! project: without it, or without `faketime` and Python, the test says so and passes.

use std::io::Write;
use std::path::Path;
use std::process::{Command as Process, ExitCode};
use std::time::Duration;

use clap::Parser;
use teal_protocol::{Command, Pace, run};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn note(wait: Duration) {
    if let Ok(path) = std::env::var("CONFORM_SLEEP_LOG")
        && wait.as_secs_f64() >= 0.5
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{:?}", wait.as_secs_f64());
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|arg| ["spec", "check", "discover", "read"].contains(&arg.as_str())) {
        let most = std::env::var("CONFORM_MAX_SLEEP").ok().and_then(|text| text.parse().ok());
        let pace = Pace { most: most.map(Duration::from_secs_f64), noted: Some(note) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        return runtime.block_on(run(Cli::parse().command, pace, std::io::stdout().lock())).into();
    }
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let has_python = Process::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    for (is_there, what) in [
        (harness.join("conform.py").exists(), "the conformance harness (../shared/conformance beside the clone)"),
        (Path::new(FAKETIME).exists(), "Debian's faketime"),
        (has_python, "python3"),
    ] {
        if !is_there {
            println!("conformance: skipped, since {what} is absent");
            return ExitCode::SUCCESS;
        }
    }
    let candidate = std::env::current_exe().expect("a program knows where it is");
    let mut code = ExitCode::SUCCESS;
    for (set, faults) in
        [("cases/real", false), ("cases/handmade", false), ("cases/real", true), ("cases/handmade", true)]
    {
        let mut harness_run = Process::new("python3");
        harness_run.current_dir(&harness).args(["conform.py", "compare", set, "--golden", "--timeout", "300"]);
        harness_run.arg("--candidate").arg(&candidate);
        if faults {
            harness_run.arg("--faults");
        }
        println!("conformance: {set}{}", if faults { ", with faults" } else { "" });
        if !harness_run.status().is_ok_and(|status| status.success()) {
            code = ExitCode::FAILURE;
        }
    }
    code
}
