//! Commands that only look: `versions`, `runs`, `status`.

use super::Context;
use crate::args::{RunsCommand, VersionsArgs};
use crate::exit::Exit;
use crate::render;
use crate::session::Session;

pub async fn versions(cx: &Context, args: &VersionsArgs) -> anyhow::Result<Exit> {
    let session = Session::look(&cx.place).await?;
    match args.diff {
        Some(version) => {
            let query = [("to", version.to_string()), ("examples", args.examples.to_string())];
            let diff = session.client.get(&["diff"], &query).await?;
            cx.output.result(&diff, || render::diff::diff(&diff, &cx.output))?;
        }
        None => {
            let versions = session.client.get(&["versions"], &[]).await?;
            cx.output.result(&versions, || render::lists::versions(&versions))?;
        }
    }
    Ok(Exit::Complete)
}

pub async fn runs(cx: &Context, command: Option<&RunsCommand>) -> anyhow::Result<Exit> {
    let session = Session::look(&cx.place).await?;
    match command.unwrap_or(&RunsCommand::List { limit: 20 }) {
        RunsCommand::List { limit } => {
            let runs = session.client.get(&["runs"], &[("limit", limit.to_string())]).await?;
            cx.output.result(&runs, || render::lists::runs(&runs))?;
        }
        RunsCommand::Show { id } => {
            let run = session.client.get(&["runs", id], &[]).await?;
            cx.output.result(&run, || render::run::detail(&run))?;
        }
    }
    Ok(Exit::Complete)
}

pub async fn status(cx: &Context) -> anyhow::Result<Exit> {
    let status = Session::look(&cx.place).await?.status().await?;
    cx.output.result(&status, || render::status::status(&status))?;
    Ok(Exit::Complete)
}
