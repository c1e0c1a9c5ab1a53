//! What can be typed: commands, flags, and what `--help` says about them.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

const EPILOGUE: &str = "\
Exit codes:
  0    complete
  1    an error in use, configuration or the system
  2    the command line is wrong
  3    partial: a quota or an error cut the run short, and nothing incomplete became visible
  4    the guard stopped it, or what was asked for is refused
  5    busy: something else is at work
  130  interrupted";

/// Keeps your own, always-readable copy of data that lives in other people's systems.
#[derive(Debug, Parser)]
#[command(name = "teal", version, after_help = EPILOGUE, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The system's configuration, or the folder that holds it as teal.yaml
    #[arg(short, long, global = true, value_name = "FILE", default_value = "teal.yaml")]
    pub file: PathBuf,
    /// Where data is kept; `.teal` beside teal.yaml if not given
    #[arg(long, global = true, value_name = "DIR", env = "TEAL_DATA")]
    pub data: Option<PathBuf>,
    /// Ask the Teal at this address, such as one on AWS, with the token in TEAL_TOKEN; nothing is opened here
    #[arg(long, global = true, value_name = "URL", env = "TEAL_AT")]
    pub at: Option<String>,
    /// Print JSON on stdout, one result a line, and nothing else
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// How the log looks, on stderr
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Log more; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything in this process: HTTP, webhooks, schedules, workers
    Dev(DevArgs),
    /// Put teal.yaml into force; on AWS, its schedules with it
    Deploy,
    /// Bring sources up to date
    Sync(SyncArgs),
    /// Build the next version from kept raw, without a request to any source
    Rebuild(RebuildArgs),
    /// List versions, or compare one with the active version
    Versions(VersionsArgs),
    /// Make a version that is ready the one that people read
    Switch(SwitchArgs),
    /// Go back to an earlier version, with the changes since replayed into it
    Rollback(RollbackArgs),
    /// What ran, and how it ended
    Runs {
        #[command(subcommand)]
        command: Option<RunsCommand>,
    },
    /// What could not be applied, and why
    Rejects {
        #[command(subcommand)]
        command: RejectsCommand,
    },
    /// What webhooks brought, and what became of it
    Deliveries {
        #[command(subcommand)]
        command: DeliveriesCommand,
    },
    /// Subscriptions of webhooks that end by themselves, and how long they live
    Leases,
    /// What is read, what runs, what comes next
    Status,
    /// Check teal.yaml and its connectors; lists everything that is wrong
    Check,
    /// Print every row of the active version, one JSON object a line, in one order
    Export(ExportArgs),
    /// Make, list, check and restore backups
    Backup {
        #[command(subcommand)]
        command: BackupCommand,
    },
    /// Make the export of another installation a version of this one
    Import(ImportArgs),
    /// Print the JSON Schema of teal.yaml, for editors
    Schema,
    /// Run a connector's manifest by itself, as Airbyte's platform would
    Connector {
        #[command(subcommand)]
        command: teal_protocol::Command,
    },
    /// See Teal at work on made-up data
    Demo(crate::demo::DemoArgs),
}

#[derive(Debug, Args)]
pub struct DevArgs {
    /// Address to answer at
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: std::net::SocketAddr,
    /// Let everybody read without the token; administering still needs it
    #[arg(long)]
    pub open: bool,
}

#[derive(Debug, Args)]
pub struct SyncArgs {
    /// The source; all of them if not given
    pub source: Option<String>,
    /// List everything into a new version, then switch to it
    #[arg(long, conflicts_with = "incremental")]
    pub full: bool,
    /// Only what changed since the last run
    #[arg(long, conflicts_with_all = ["dry_run", "no_switch", "force"])]
    pub incremental: bool,
    /// Build beside the active version, show the difference, and let the build go
    #[arg(long, conflicts_with_all = ["force", "no_switch"])]
    pub dry_run: bool,
    /// Switch even where the guard says no
    #[arg(long, conflicts_with = "no_switch")]
    pub force: bool,
    /// Leave the new version ready; `teal switch` makes it active
    #[arg(long)]
    pub no_switch: bool,
}

#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Switch to the rebuilt version after showing the difference
    #[arg(long)]
    pub switch: bool,
    /// Switch even where the guard says no
    #[arg(long, requires = "switch")]
    pub force: bool,
    /// Rows of each kind to show per entity
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub examples: usize,
}

#[derive(Debug, Args)]
pub struct VersionsArgs {
    /// Compare this version with the active one
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub diff: Option<u32>,
    /// Rows of each kind to show per entity
    #[arg(long, value_name = "N", default_value_t = 3, requires = "diff")]
    pub examples: usize,
}

#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// Such as 3 or v3
    #[arg(value_parser = version)]
    pub version: u32,
    /// Switch even where the guard says no
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Such as 3 or v3; the version that was active before if not given
    #[arg(value_parser = version)]
    pub version: Option<u32>,
    /// Leave out the changes since then, and say how many they are
    #[arg(long)]
    pub as_was: bool,
}

#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// The last runs, newest first
    List {
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// One run with everything that is known of it
    Show {
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum RejectsCommand {
    /// Rejects with their reasons
    List {
        #[command(flatten)]
        filter: RejectFilter,
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// One reject with its record as the source sent it
    Show {
        /// The id that the list shows, or an unambiguous start of it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Apply the raw of rejects again, after the mapping was corrected
    Replay {
        #[command(flatten)]
        filter: RejectFilter,
    },
}

#[derive(Clone, Debug, Default, Args)]
pub struct RejectFilter {
    #[arg(long)]
    pub entity: Option<String>,
    #[arg(long)]
    pub source: Option<String>,
    /// Such as TEAL-R001
    #[arg(long)]
    pub code: Option<String>,
    #[arg(long)]
    pub run: Option<String>,
    /// An id, or the start of one
    #[arg(long)]
    pub id: Option<String>,
}

impl RejectFilter {
    /// Those that are given, by name.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("entity", &self.entity),
            ("source", &self.source),
            ("code", &self.code),
            ("run", &self.run),
            ("id", &self.id),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// Deliveries with what became of them, newest first
    List {
        #[command(flatten)]
        filter: DeliveryFilter,
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// One delivery: what it said, and what it caused
    Show {
        /// The id that the list shows, or an unambiguous start of it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Requests that proved nothing, kept for a day with the reason, newest first
    Refused {
        #[arg(long)]
        source: Option<String>,
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Why a request was refused: what was signed, over which bytes, and the first step that is wrong
    Explain(ExplainArgs),
    /// Headers with which the sender of a source would send this body, for curl
    Sign(SignArgs),
    /// The secret that a source's sender proposes: await one, then show it once
    Token {
        source: String,
        /// Take the next one that is proposed within the hour; without it, show what was proposed
        #[arg(long = "await")]
        wait: bool,
    },
    /// Go through deliveries once more, whatever came of them
    Replay {
        /// An id, or the start of one
        #[arg(required_unless_present_any = ["source", "state", "since"])]
        id: Option<String>,
        #[command(flatten)]
        filter: DeliveryFilter,
    },
}

#[derive(Clone, Debug, Default, Args)]
pub struct DeliveryFilter {
    #[arg(long)]
    pub source: Option<String>,
    #[arg(long, value_parser = ["waiting", "applied", "rejected", "duplicate", "split", "failed"])]
    pub state: Option<String>,
    /// A time such as 2030-01-31T14:00:00Z, or a span back from now such as 24h
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// The same
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

impl DeliveryFilter {
    /// Those that are given, by name.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let all = [("source", &self.source), ("state", &self.state), ("since", &self.since), ("until", &self.until)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Write to this file, which appears only when it is complete
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The id that `teal deliveries refused` shows
    #[arg(required_unless_present = "request", value_parser = NonEmptyStringValueParser::new())]
    pub id: Option<String>,
    /// A captured HTTP request instead: request line, headers, an empty line, the body; judged as of now
    #[arg(long, value_name = "FILE", conflicts_with = "id", requires = "source")]
    pub request: Option<PathBuf>,
    /// The source that the captured request is for
    #[arg(long, requires = "request")]
    pub source: Option<String>,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    pub source: String,
    /// File with the body, byte for byte
    #[arg(value_name = "FILE")]
    pub body: PathBuf,
    /// What the delivery is called, where that is signed
    #[arg(long, default_value = "msg_test")]
    pub id: String,
}

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Make one now: what is new since the last, or everything where that can't be told
    Now {
        /// Everything in any case
        #[arg(long)]
        full: bool,
    },
    /// Backups, newest first
    List,
    /// Check every part of a backup, and of those that it stands on
    Verify {
        /// The newest one if not given; `second/ID` is the copy in the second place
        id: Option<String>,
    },
    /// Build a version from a backup, then switch to it
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The newest one if not given; `second/ID` is the copy in the second place
    pub id: Option<String>,
    #[command(flatten)]
    pub build: BuildArgs,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// What `teal export --out FILE` wrote
    #[arg(value_name = "FILE")]
    pub rows: PathBuf,
    #[command(flatten)]
    pub build: BuildArgs,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Switch even where the guard says no
    #[arg(long, conflicts_with = "no_switch")]
    pub force: bool,
    /// Leave the new version ready; `teal switch` makes it active
    #[arg(long)]
    pub no_switch: bool,
}

fn version(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix('v').unwrap_or(text);
    digits.parse().map_err(|_| "a version is a number, such as 3 or v3".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn versions_are_written_with_or_without_their_letter() {
        for line in ["teal switch 3", "teal switch v3"] {
            let Command::Switch(args) = parse(line).unwrap().command else { panic!("{line}") };
            assert_eq!((args.version, args.force), (3, false));
        }
        assert!(parse("teal switch three").is_err());
        assert!(parse("teal rollback v2 --as-was").is_ok());
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        for line in [
            "teal sync --full --incremental",
            "teal sync --dry-run --incremental",
            "teal sync --dry-run --force",
            "teal sync --force --no-switch",
            "teal rebuild --force",
            "teal versions --examples 3",
            "teal runs show",
            "teal backup restore --force --no-switch",
            "teal import",
            "teal dance",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(parse("teal sync --full --incremental").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn an_empty_id_is_no_id() {
        assert!(Cli::try_parse_from(["teal", "runs", "show", ""]).is_err());
        assert!(Cli::try_parse_from(["teal", "rejects", "show", ""]).is_err());
    }

    #[test]
    fn global_flags_go_before_or_after_the_command() {
        for line in ["teal --json -f x.yaml status", "teal status --json -f x.yaml"] {
            let cli = parse(line).unwrap();
            assert!(cli.global.json, "{line}");
            assert_eq!(cli.global.file, PathBuf::from("x.yaml"), "{line}");
        }
    }

    #[test]
    fn help_tells_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        for code in crate::exit::Exit::ALL {
            assert!(help.contains(&format!("\n  {:<4} ", code.code())), "{code:?}");
        }
    }
}
