//! The `teal` command: what people type, and what they see.
//!
//! Owns the command line, the words and the exit codes. Owns no rule of the pipeline: commands ask the admin
//! API, in this process or in the one that has the data directory.

mod args;
mod client;
mod commands;
mod demo;
mod exit;
mod output;
mod progress;
mod render;
mod session;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use teal_local::lock::LockError;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command, LogFormat};
use crate::client::Refusal;
use crate::commands::{
    Context, backup, check, connector, deliveries, deploy, dev, export, look, moves, rebuild, rejects, sync,
};
use crate::exit::Exit;
use crate::output::Output;
use crate::session::{Missing, NoToken, Place};

/// Deliveries and records are many small allocations, which one thread makes and another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(command) = connector::alone() {
        return one_thread().block_on(connector::run(command));
    }
    let cli = Cli::parse();
    log(&cli);
    let runtime = match &cli.command {
        Command::Connector { .. } => one_thread(),
        _ => tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts"),
    };
    runtime.block_on(run(cli))
}

/// A connector waits on one socket after the other: more threads only hand its answers around.
fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

async fn run(cli: Cli) -> ExitCode {
    let cx = Context { place: Place::of(&cli.global), output: Output::new(&cli.global) };
    let result = match &cli.command {
        Command::Demo(args) => return demo::run(args, cli.global.json).await.unwrap_or_else(|error| fail(&cx, &error)),
        Command::Connector { command } => return connector::run(command.clone()).await,
        Command::Dev(args) => dev::run(&cx, args).await,
        Command::Deploy => deploy::run(&cx).await,
        Command::Sync(args) => sync::run(&cx, args).await,
        Command::Rebuild(args) => rebuild::run(&cx, args).await,
        Command::Versions(args) => look::versions(&cx, args).await,
        Command::Switch(args) => moves::switch(&cx, args).await,
        Command::Rollback(args) => moves::rollback(&cx, args).await,
        Command::Runs { command } => look::runs(&cx, command.as_ref()).await,
        Command::Rejects { command } => rejects::run(&cx, command).await,
        Command::Deliveries { command } => deliveries::run(&cx, command).await,
        Command::Leases => deliveries::leases(&cx).await,
        Command::Status => look::status(&cx).await,
        Command::Check => check::run(&cx).await,
        Command::Export(args) => export::run(&cx, args).await,
        Command::Backup { command } => backup::run(&cx, command).await,
        Command::Import(args) => backup::import(&cx, args).await,
        Command::Schema => schema(&cx),
    };
    result.map_or_else(|error| fail(&cx, &error), ExitCode::from)
}

fn schema(cx: &Context) -> anyhow::Result<Exit> {
    cx.output.line(&serde_json::to_string_pretty(&teal::config::json_schema())?)?;
    Ok(Exit::Complete)
}

/// Says what went wrong, why, and what to do about it where we know.
fn fail(cx: &Context, error: &anyhow::Error) -> ExitCode {
    let exit = Exit::of_error(error);
    if exit == Exit::Interrupted {
        eprintln!("{error}");
        return exit.into();
    }
    let may_color = cx.output.color && std::io::stderr().is_terminal();
    let paint = |code, text: &str| if may_color { cx.output.paint(code, text) } else { text.to_owned() };
    eprintln!("{} {error}", paint("31", "error:"));
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some errors quote their cause already.
        if !said.contains(&cause) {
            eprintln!("  because: {cause}");
            said = cause;
        }
    }
    if let Some(help) = error.chain().find_map(help) {
        eprintln!("{} {help}", paint("36", "help:"));
    }
    exit.into()
}

fn help(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(missing) = cause.downcast_ref::<Missing>() {
        return Some(match missing {
            Missing::File(_) => "name one with --file, or see Teal at work with `teal demo`".to_owned(),
            Missing::Data(_) => "`teal sync` or `teal dev` makes it; --data names another directory".to_owned(),
        });
    }
    if cause.is::<NoToken>() {
        return Some("export TEAL_TOKEN with a token that the Teal there knows as an admin's".to_owned());
    }
    if cause.is::<teal::config::Problems>() {
        return Some("`teal check` shows this without doing anything".to_owned());
    }
    if matches!(cause.downcast_ref::<LockError>(), Some(LockError::Held { .. })) {
        return Some("wait for it to end; while `teal dev` runs, commands are answered by it".to_owned());
    }
    let refusal = cause.downcast_ref::<Refusal>()?;
    Some(match refusal.code.as_str() {
        "TEAL-A001" => "`teal status` shows what is at work".to_owned(),
        "TEAL-A003" => "`teal check` shows everything that is wrong".to_owned(),
        "TEAL-A004" => "`teal sync` or `teal dev` puts teal.yaml into force".to_owned(),
        "TEAL-A006" => "`teal check` lists the secrets that are missing".to_owned(),
        "TEAL-A007" => "`teal runs list` shows those that are known".to_owned(),
        "TEAL-A010" => "`teal deliveries list` shows those that are known".to_owned(),
        "TEAL-A008" => "`teal versions` shows those that are known".to_owned(),
        "TEAL-S003" | "TEAL-S004" => "the token file does not fit the Teal that runs; stop it and try again".to_owned(),
        _ => return None,
    })
}

/// The log goes to stderr. Quiet unless asked for: results and progress are what people came for, and what is
/// tried again is no news to them.
fn log(cli: &Cli) {
    let global = &cli.global;
    let level = match global.verbose {
        0 if matches!(cli.command, Command::Dev(_)) => "error,teal=warn,teal_local=warn",
        0 => "error",
        1 => "warn,teal=info,teal_local=info",
        _ => "info,teal=debug,teal_local=debug,teal_connect=debug",
    };
    let filter = EnvFilter::try_from_env("TEAL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match global.log_format {
        LogFormat::Text => log.with_ansi(colors).init(),
        LogFormat::Json => log.json().init(),
    }
}
