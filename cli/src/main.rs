//! The `teal` command.

mod demo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps your own, always-readable copy of data that lives in other people's systems.
#[derive(Debug, Parser)]
#[command(name = "teal", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Demo(args) => demo::run(&args).await,
    }
}
