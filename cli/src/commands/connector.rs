//! `teal connector …`: a manifest by itself, over the Airbyte protocol. Needs no teal.yaml.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use teal_protocol::{Command, Pace};

/// The command line of a connector that is asked for nothing else, such as a log. A platform starts one for each of
/// its listings: that is no time for all that the other commands can.
#[derive(Parser)]
struct Alone {
    #[command(subcommand)]
    command: Only,
}

#[derive(Subcommand)]
enum Only {
    Connector {
        #[command(subcommand)]
        command: Command,
    },
}

/// The connector's command, if that is all there is to do; what is wrong with it is for the whole command line to say.
pub fn alone() -> Option<Command> {
    if std::env::args_os().nth(1)? != "connector" || std::env::var_os("TEAL_LOG").is_some() {
        return None;
    }
    let Alone { command: Only::Connector { command } } = Alone::try_parse().ok()?;
    Some(command)
}

pub async fn run(command: Command) -> ExitCode {
    teal_protocol::run(command, Pace::default(), std::io::stdout().lock()).await.into()
}
