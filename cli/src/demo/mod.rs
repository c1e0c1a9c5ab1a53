//! `teal demo`: Teal at work on made-up data.

use std::process::ExitCode;

use crate::args::DemoArgs;

pub async fn run(_args: &DemoArgs) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
