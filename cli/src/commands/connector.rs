//! `teal connector …`: a manifest by itself, over the Airbyte protocol. Needs no teal.yaml.

use std::process::ExitCode;

use teal_protocol::{Command, Pace};

pub async fn run(command: Command) -> ExitCode {
    teal_protocol::run(command, Pace::default(), std::io::stdout().lock()).await.into()
}
