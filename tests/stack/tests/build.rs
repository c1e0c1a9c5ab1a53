//! `sam build` makes of the template what `sam deploy` takes, without Docker and without a network.
//!
//! ```sh
//! TEAL_SAM_BUILD=1 cargo test -p teal-stack-tests --test build
//! ```
//!
//! cargo-lambda compiles everything once more, for a target of its own, so that this is done on demand only.

use std::path::Path;

use teal_stack_tests::FUNCTIONS;
use teal_stack_tests::tools::{SAM, programs, run_with, said};

const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") { "x86_64" } else { "arm64" };

/// Which machine a program is for, as its head says it.
fn machine(program: &Path) -> u8 {
    let bytes = std::fs::read(program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert_eq!(&bytes[..4], b"\x7fELF", "{}", program.display());
    bytes[18]
}

#[test]
fn sam_builds_every_function() {
    if std::env::var("TEAL_SAM_BUILD").is_err() {
        eprintln!("skipped: TEAL_SAM_BUILD=1 tries `sam build`, which compiles everything once more");
        return;
    }
    let Some(programs) = programs(SAM) else { return };
    let built = tempfile::tempdir().unwrap();
    let arguments =
        ["build", "--build-dir", &built.path().to_string_lossy(), "--parameter-overrides"].map(str::to_owned);
    let architecture = format!("Architecture={ARCHITECTURE}");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain([architecture.as_str()]).collect();
    // Linked fast, by the linker that is there; a release differs in its profile and, to run on older systems, in that.
    let variables = [("SAM_BUILD_MODE", "debug"), ("CARGO_LAMBDA_COMPILER", "cargo"), ("CARGO_NET_OFFLINE", "true")];
    let done = run_with(&programs, "sam", &arguments, &variables);
    assert!(done.status.success(), "{}", said(&done));
    let own = machine(&std::env::current_exe().unwrap());
    for function in FUNCTIONS {
        let folder = format!("{}{}Function", function[..1].to_uppercase(), &function[1..]);
        assert_eq!(machine(&built.path().join(folder).join("bootstrap")), own, "{function}");
    }
    assert!(built.path().join("template.yaml").exists());
}
