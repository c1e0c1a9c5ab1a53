//! `teal backup`: making, listing, checking and restoring; and `teal import`, which restores another
//! installation's export.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use teal_local::host::stop::Stop;

use super::{Context, follow};
use crate::args::{BackupCommand, ImportArgs, RestoreArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::render::run::{counted, summary};
use crate::render::{count, items, lists, number, text};
use crate::session::{self, Session};

/// Lines, and about how many bytes of them, that are sent at once.
const LINES: usize = 1000;
const BYTES: usize = 1_000_000;

pub async fn run(cx: &Context, command: &BackupCommand) -> anyhow::Result<Exit> {
    match command {
        BackupCommand::Now { full } => {
            let session = Session::look(&cx.place).await?;
            let begun = session.client.post(&["backups"], &json!({ "full": full })).await?;
            while session.client.post(&["backups", "make"], &json!({})).await?["continues"] == true {}
            cx.output.result(&begun, || match begun["backup"].as_str() {
                Some(id) => format!("backup {id} was made"),
                None => "nothing is new since the last backup".to_owned(),
            })?;
        }
        BackupCommand::List => {
            let session = Session::look(&cx.place).await?;
            let backups = session.client.get(&["backups"], &[]).await?;
            cx.output.result(&backups, || lists::backups(&backups))?;
        }
        BackupCommand::Verify { id } => {
            let session = Session::look(&cx.place).await?;
            let checked = verify(&session.client, id.as_deref()).await?;
            cx.output.result(&checked, || {
                let (parts, backups) = (count(&checked["parts"]), count(&checked["backups"]));
                let of =
                    if backups > 1 { format!(" of {backups} backups that stand on each other") } else { String::new() };
                format!("whole: {}{of}, {} bytes", counted(parts, "part"), number(count(&checked["bytes"])))
            })?;
        }
        BackupCommand::Restore(args) => return restore(cx, args).await,
    }
    Ok(Exit::Complete)
}

/// Checks every part, as many calls as it takes. The last answer, with the bytes of all.
async fn verify(client: &Client, id: Option<&str>) -> anyhow::Result<Json> {
    let (mut from, mut bytes) = (0, 0);
    loop {
        let query = [("from", from.to_string())];
        let mut checked = client.get(&["backups", id.unwrap_or("newest")], &query).await?;
        bytes += count(&checked["bytes"]);
        match checked["next"].as_u64() {
            Some(next) => from = next,
            None => {
                checked["bytes"] = bytes.into();
                return Ok(checked);
            }
        }
    }
}

async fn restore(cx: &Context, args: &RestoreArgs) -> anyhow::Result<Exit> {
    let stop = session::signals()?;
    let session = match cx.place.file.exists() {
        true => Session::work(&cx.place).await?,
        false => Session::look(&cx.place).await?,
    };
    verify(&session.client, args.id.as_deref()).await?;
    let mut ask = json!({ "switch": !args.build.no_switch, "force": args.build.force });
    if let Some(id) = &args.id {
        ask["backup"] = id.as_str().into();
    }
    let started = session.client.post(&["backups", "restore"], &ask).await?;
    finish(cx, &session, &started, &stop).await
}

pub async fn import(cx: &Context, args: &ImportArgs) -> anyhow::Result<Exit> {
    let stop = session::signals()?;
    let file = File::open(&args.rows).with_context(|| format!("can't read '{}'", args.rows.display()))?;
    let session = Session::work(&cx.place).await?;
    let begun = session.client.post(&["import"], &json!({})).await?;
    let import = text(&begun["import"]);
    let parts = send(&session.client, import, BufReader::new(file), &args.rows).await?;
    let ask = json!({
        "import": import, "parts": parts, "switch": !args.build.no_switch, "force": args.build.force,
    });
    let started = session.client.post(&["import", "end"], &ask).await?;
    finish(cx, &session, &started, &stop).await
}

/// Sends a file's lines, those of one entity at a time. How many times that was.
async fn send(client: &Client, import: &str, file: BufReader<File>, path: &Path) -> anyhow::Result<usize> {
    #[derive(Deserialize)]
    struct Named {
        entity: String,
    }
    let (mut n, mut lines, mut bytes, mut of) = (0, Vec::new(), 0, String::new());
    for (number, line) in file.lines().enumerate() {
        let place = || format!("'{}', line {}", path.display(), number + 1);
        let line = line.with_context(place)?;
        if line.trim().is_empty() {
            continue;
        }
        let Named { entity } = serde_json::from_str(&line)
            .with_context(|| format!("{} is not a line of an export; write one with `teal export`", place()))?;
        if !lines.is_empty() && (entity != of || lines.len() == LINES || bytes > BYTES) {
            let ask = json!({ "import": import, "n": n, "lines": std::mem::take(&mut lines) });
            client.post(&["import", "lines"], &ask).await.with_context(|| format!("before {}", place()))?;
            (n, bytes) = (n + 1, 0);
        }
        bytes += line.len();
        of = entity;
        lines.push(line);
    }
    if lines.is_empty() {
        bail!("'{}' has no lines to import", path.display());
    }
    client.post(&["import", "lines"], &json!({ "import": import, "n": n, "lines": lines })).await?;
    Ok(n + 1)
}

/// Follows the run that was started, with workers of ours where nobody else has them.
async fn finish(cx: &Context, session: &Session, started: &Json, stop: &Stop) -> anyhow::Result<Exit> {
    let working = session.start().await?;
    let followed = follow::run(&session.client, text(&started["run"]), cx.output, stop, "teal dev").await;
    let run = session::finish(working, followed).await?;
    let mut shown = run.clone();
    shown["backup"] = started["backup"].clone();
    cx.output.result(&shown, || summary(&run))?;
    if items(&run["verdict"]["blocked"]).is_empty() {
        return Ok(Exit::of_run(&run));
    }
    Ok(Exit::Refused)
}
