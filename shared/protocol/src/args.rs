//! The flags, the same as those of the CDK's command.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Print what the connector must be told
    Spec(Place),
    /// Try whether the connector can reach its source with a configuration
    Check(Configured),
    /// Print the streams that the source has
    Discover(Configured),
    /// Show, for people, what becomes of a stream's first pages
    Preview(Preview),
    /// Read streams; records and states go to stdout
    Read(Reading),
}

#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The connector's manifest
    #[arg(long, value_name = "FILE")]
    pub manifest_path: PathBuf,
    /// Say more on stdout
    #[arg(long)]
    pub debug: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Configured {
    #[command(flatten)]
    pub place: Place,
    /// The configuration, as JSON
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub struct Preview {
    #[command(flatten)]
    pub configured: Configured,
    /// The stream; the first one if not given
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// How many pages
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub pages: usize,
}

#[derive(Clone, Debug, Args)]
pub struct Reading {
    #[command(flatten)]
    pub configured: Configured,
    /// Which streams to read, and how
    #[arg(long, value_name = "FILE")]
    pub catalog: PathBuf,
    /// Where the last sync ended
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}
