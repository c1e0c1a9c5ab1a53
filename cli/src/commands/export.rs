//! `teal export`: every row of the version that is active when it begins, in one order.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::Context;
use crate::args::ExportArgs;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::Output;
use crate::render::run::counted;
use crate::render::{items, text, version};
use crate::session::Session;

pub async fn run(cx: &Context, args: &ExportArgs) -> anyhow::Result<Exit> {
    let session = Session::look(&cx.place).await?;
    let Some(path) = &args.out else {
        export(&session.client, &mut Stdout(&cx.output)).await?;
        return Ok(Exit::Complete);
    };
    let partial = path.with_extension("partial");
    let (of, rows) = to_file(&session.client, &partial).await?;
    std::fs::rename(&partial, path).with_context(|| format!("can't make '{}'", path.display()))?;
    let shown = json!({ "version": of, "rows": rows, "file": path });
    cx.output
        .result(&shown, || format!("{} of {} in '{}'", counted(rows, "row"), version(&json!(of)), path.display()))?;
    Ok(Exit::Complete)
}

async fn to_file(client: &Client, path: &Path) -> anyhow::Result<(u64, u64)> {
    let failed = || format!("can't write '{}'", path.display());
    let file = File::create(path).with_context(failed)?;
    let mut lines = Lines(BufWriter::new(file));
    let done = export(client, &mut lines).await.with_context(failed)?;
    lines
        .0
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .and_then(|f| f.sync_all())
        .with_context(failed)?;
    Ok(done)
}

trait Sink {
    fn line(&mut self, line: &str) -> anyhow::Result<()>;
}

struct Stdout<'a>(&'a Output);

impl Sink for Stdout<'_> {
    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        self.0.line(line)
    }
}

struct Lines(BufWriter<File>);

impl Sink for Lines {
    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.0, "{line}")?)
    }
}

/// Returns which version it was, and how many rows.
async fn export(client: &Client, sink: &mut dyn Sink) -> anyhow::Result<(u64, u64)> {
    let mut query: Vec<(&str, String)> = Vec::new();
    let mut rows = 0;
    loop {
        let page = client.get(&["export"], &query).await?;
        for line in items(&page["lines"]) {
            sink.line(text(line))?;
            rows += 1;
        }
        let of = page["version"].as_u64().context("the answer names no version")?;
        let next = &page["next"];
        if next.is_null() {
            return Ok((of, rows));
        }
        let at = |name: &str| text(&next[name]).to_owned();
        query = vec![("version", of.to_string()), ("entity", at("entity")), ("after", at("after"))];
    }
}
