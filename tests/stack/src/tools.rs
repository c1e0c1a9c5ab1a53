//! The Python tools that look at the template: made once a user and list of packages, then reused.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Packages of one environment, pinned.
pub const SAM: &str = "aws-sam-cli==1.170.0\ncfn-lint==1.58.0\ncargo-lambda==1.9.2\n";
pub const CHECKOV: &str = "checkov==3.3.30\n";

/// The folder of an environment's programs. `None`, and a line that says why, when there can't be one.
///
/// # Panics
/// When they are required and absent.
#[must_use]
pub fn programs(packages: &str) -> Option<PathBuf> {
    match teal_emulator::install::environment(packages) {
        Ok(python) => python.parent().map(Path::to_owned),
        Err(why) => {
            let required = std::env::var("TEAL_REQUIRE_EMULATOR").is_ok_and(|value| value == "1");
            assert!(!required, "{packages:?} are required (TEAL_REQUIRE_EMULATOR=1) and absent: {why}");
            eprintln!("skipped: {packages:?} are absent: {why}");
            None
        }
    }
}

/// Runs a program at the top of the repository, with no network to be asked for.
///
/// # Panics
/// When it can't be started.
#[must_use]
pub fn run(programs: &Path, program: &str, arguments: &[&str]) -> Output {
    run_with(programs, program, arguments, &[])
}

/// The same, with more variables.
///
/// # Panics
/// When it can't be started.
#[must_use]
pub fn run_with(programs: &Path, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(programs.join(program));
    command.args(arguments).current_dir(crate::root());
    forget_cargo(&mut command);
    let path = std::env::join_paths(
        [programs.to_owned()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    command.env("PATH", path.expect("the environment's folder has no ':'"));
    command.envs([
        ("SAM_CLI_TELEMETRY", "0"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("BC_SKIP_MAPPING", "TRUE"),
    ]);
    command.envs(variables.iter().copied());
    command.output().unwrap_or_else(|error| panic!("{program} can't be started: {error}"))
}

/// Build scripts look at what cargo tells this test of its package, and would run again for it, each time.
pub fn forget_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name.as_ref());
        }
    }
}

/// What a program wrote, for a failure's message.
#[must_use]
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
