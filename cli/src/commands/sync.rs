//! `teal sync`: starts a run a source, one after the other, and follows each to its end.

use serde_json::{Value as Json, json};
use teal_local::host::stop::Stop;

use super::{Context, follow};
use crate::args::SyncArgs;
use crate::exit::Exit;
use crate::render::{self, entries, text};
use crate::session::{self, Session};

const EXAMPLES: &str = "3";

pub async fn run(cx: &Context, args: &SyncArgs) -> anyhow::Result<Exit> {
    let stop = session::signals()?;
    let session = Session::work(&cx.place).await?;
    let working = session.start().await?;
    let result = sync(cx, args, &session, &stop).await;
    session::finish(working, result).await
}

async fn sync(cx: &Context, args: &SyncArgs, session: &Session, stop: &Stop) -> anyhow::Result<Exit> {
    let sources = match &args.source {
        Some(source) => vec![source.clone()],
        None => entries(&session.status().await?["sources"]).map(|(name, _)| name.clone()).collect(),
    };
    if sources.is_empty() {
        cx.output.remark("teal.yaml has no source; there is nothing to sync");
    }
    let mut exit = Exit::Complete;
    for source in &sources {
        let ended = if args.dry_run {
            dry_run(cx, session, source, stop).await
        } else {
            for_real(cx, args, session, source, stop).await
        };
        match ended {
            Ok(ended) => exit = exit.worse(ended),
            // The others have a right to be synced all the same.
            Err(error) if sources.len() > 1 && Exit::of_error(&error) != Exit::Interrupted => {
                cx.output.remark(&format!("error: {source}: {error:#}"));
                exit = exit.worse(Exit::of_error(&error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(exit)
}

async fn for_real(cx: &Context, args: &SyncArgs, session: &Session, source: &str, stop: &Stop) -> anyhow::Result<Exit> {
    let mode = match (args.full || args.no_switch || args.force, args.incremental) {
        (true, _) => Some("full"),
        (_, true) => Some("incremental"),
        _ => None,
    };
    let ask = json!({
        "source": source, "mode": mode, "switch": !args.no_switch, "force": args.force, "resume": session.is_alone(),
    });
    let run = start_and_follow(cx, session, source, &ask, stop).await?;
    // What was cut off has ended. If it was something else than what is asked for now, that is still to do.
    let asked = mode.is_none_or(|mode| run["mode"] == mode)
        && run["switch"] == !args.no_switch
        && (run["force"] == args.force || !args.force);
    tell(cx, &run)?;
    if asked || Exit::of_run(&run) != Exit::Complete {
        return Ok(Exit::of_run(&run));
    }
    let run = start_and_follow(cx, session, source, &ask, stop).await?;
    tell(cx, &run)?;
    Ok(Exit::of_run(&run))
}

/// Starts, resumes or waits for a run of the source, and follows it to its end.
async fn start_and_follow(
    cx: &Context,
    session: &Session,
    source: &str,
    ask: &Json,
    stop: &Stop,
) -> anyhow::Result<Json> {
    let started = session.client.post(&["sync"], ask).await?;
    let started = &started["runs"][0];
    let id = match text(&started["started"]) {
        "waits" => {
            let busy = text(&started["waits_for"]);
            cx.output.remark(&format!("{source}: run {busy} is at work; this one starts when it has ended"));
            follow::promised(&session.client, source, busy, stop).await?
        }
        how => {
            let id = text(&started["run"]).to_owned();
            if how == "resumes" && session.client.get(&["runs", &id], &[]).await?["state"] != "waiting-quota" {
                cx.output.remark(&format!("{source}: going on with run {id}, which was cut off"));
            }
            id
        }
    };
    follow::run(&session.client, &id, cx.output, stop, &format!("teal sync {source}")).await
}

pub fn tell(cx: &Context, run: &Json) -> anyhow::Result<()> {
    cx.output.result(run, || render::run::summary(run))?;
    if run["state"] == "waiting-quota" && !cx.output.json {
        cx.output.remark("the run keeps its pages and its place; `teal dev` goes on by itself, `teal sync` when asked");
    }
    Ok(())
}

/// Builds beside the active version, shows the difference, and drops the build.
async fn dry_run(cx: &Context, session: &Session, source: &str, stop: &Stop) -> anyhow::Result<Exit> {
    let ask = json!({ "source": source, "mode": "full", "switch": false });
    let run = start_and_follow(cx, session, source, &ask, stop).await?;
    let built = &run["builds"];
    if run["version"]["state"] != "ready" {
        tell(cx, &run)?;
        return Ok(Exit::of_run(&run));
    }
    let query = [("to", built.to_string()), ("examples", EXAMPLES.to_owned())];
    let diff = session.client.get(&["diff"], &query).await;
    // Whether it could be shown or not, nobody asked for it to stay.
    session.client.post(&["drop"], &json!({ "version": built })).await?;
    if let Some(local) = &session.local {
        local.upkeep.round(false, &teal::pipeline::poll::Budget::default()).await?;
    }
    let diff = diff?;
    let mut shown = run.clone();
    shown["diff"] = diff.clone();
    shown["dry_run"] = true.into();
    shown["version"]["state"] = "dropped".into();
    cx.output.result(&shown, || {
        let active = render::version(&run["active"]);
        format!(
            "{}\n{}\ndry run: readers see {active} as before; only the history of run {} stays",
            render::diff::diff(&diff, &cx.output),
            render::run::summary(&shown),
            text(&run["id"]),
        )
    })?;
    Ok(Exit::of_run(&run))
}
