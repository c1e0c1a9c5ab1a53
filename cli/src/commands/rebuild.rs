//! `teal rebuild`: the next version from kept raw; shows the difference before anybody switches.

use serde_json::{Value as Json, json};
use teal_local::host::stop::Stop;

use super::{Context, follow};
use crate::args::RebuildArgs;
use crate::exit::Exit;
use crate::render::{self, text};
use crate::session::{self, Session};

pub async fn run(cx: &Context, args: &RebuildArgs) -> anyhow::Result<Exit> {
    let stop = session::signals()?;
    let session = Session::work(&cx.place).await?;
    let working = session.start().await?;
    let result = rebuild(cx, args, &session, &stop).await;
    session::finish(working, result).await
}

async fn rebuild(cx: &Context, args: &RebuildArgs, session: &Session, stop: &Stop) -> anyhow::Result<Exit> {
    let started = session.client.post(&["rebuild"], &json!({ "switch": false })).await?;
    let run = follow::run(&session.client, text(&started["run"]), cx.output, stop, "teal dev").await?;
    let built = &run["builds"];
    let ready = run["version"]["state"] == "ready";
    let diff = if ready {
        let query = [("to", built.to_string()), ("examples", args.examples.to_string())];
        session.client.get(&["diff"], &query).await?
    } else {
        Json::Null
    };
    let switches = args.switch && (args.force || Exit::of_run(&run) == Exit::Complete);
    let moved = if ready && switches {
        session.client.post(&["switch"], &json!({ "version": built, "force": args.force })).await?
    } else {
        Json::Null
    };
    let mut shown = run.clone();
    shown["diff"] = diff.clone();
    shown["moved"] = moved.clone();
    cx.output.result(&shown, || {
        let mut lines = Vec::new();
        if !diff.is_null() {
            lines.push(render::diff::diff(&diff, &cx.output));
        }
        lines.push(render::run::summary(&run));
        if !moved.is_null() {
            lines.push(super::moves::moved(&moved));
        }
        lines.join("\n")
    })?;
    Ok(if moved.is_null() { Exit::of_run(&run) } else { Exit::Complete })
}
