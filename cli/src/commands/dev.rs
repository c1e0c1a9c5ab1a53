//! `teal dev`: the whole system in this process, until Ctrl-C.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value as Json, json};
use teal_connect::ManifestConnectors;
use teal_local::app::Local;
use teal_local::host::stop::Stop;
use tokio::net::TcpListener;

use super::Context;
use crate::args::DevArgs;
use crate::client::Client;
use crate::exit::Exit;
use crate::render::{self, entries, items, text, time, version};
use crate::session;

const LOOK_EVERY: Duration = Duration::from_millis(500);

pub async fn run(cx: &Context, args: &DevArgs) -> anyhow::Result<Exit> {
    let bundle = cx.place.bundle()?;
    teal::config::load(&bundle).with_context(|| format!("'{}' is wrong", cx.place.file.display()))?;
    let mut local = Local::open(session::options(&cx.place)?, Arc::new(ManifestConnectors))
        .map_err(|error| session::opening(error, &cx.place.data))?;
    let stop = session::signals()?;
    let client = Client::here(local.console());
    client.post(&["deploy"], &json!({ "bundle": bundle })).await?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("can't listen on {}; choose another address with --listen", args.listen))?;
    let address = listener.local_addr()?;
    let serving = local.serve(listener, Some(local.console()), args.open, stop.clone()).await?;
    let serving = tokio::spawn(serving);
    let running = local.start(&stop, true).await?;

    let status = client.get(&["status"], &[]).await?;
    let token = cx.place.data.join("token").display().to_string();
    let hello = json!({
        "event": "ready", "api": format!("http://{address}"), "token_file": token, "open": args.open, "status": status,
    });
    cx.output.result(&hello, || welcome(&hello))?;
    let watched = watch(cx, &client, &status["version"], &stop).await;

    cx.output.remark("stopping; once more to stop without waiting");
    running.finished().await;
    serving.await.context("the HTTP server panicked")??;
    watched?;
    Ok(Exit::Complete)
}

/// What is where.
fn welcome(hello: &Json) -> String {
    let status = &hello["status"];
    let api = text(&hello["api"]);
    let mut lines = vec![format!("{} at {api}, {} is active", text(&status["system"]), version(&status["version"]))];
    for (entity, _) in entries(&status["entities"]) {
        lines.push(format!("  read     {api}/v1/{entity}"));
    }
    if hello["open"] == true {
        lines.push("  token    not needed to read, because of --open".to_owned());
    } else {
        lines.push(format!("  token    in {}; send it as 'authorization: Bearer …'", text(&hello["token_file"])));
    }
    for (source, s) in entries(&status["sources"]) {
        if let Some(path) = s["webhook"].as_str() {
            lines.push(format!("  webhook  {api}{path} ({source})"));
        }
        for (mode, at) in [("full", &s["next_full"]), ("incremental", &s["next_incremental"])] {
            if at.is_string() {
                lines.push(format!("  next     {source} {mode} at {}", time(at)));
            }
        }
    }
    lines.push("stop with Ctrl-C; `teal status`, `teal sync` and the others work meanwhile".to_owned());
    lines.join("\n")
}

/// A line for each run that ends and each switch, until it is time to stop.
async fn watch(cx: &Context, client: &Client, active: &Json, stop: &Stop) -> anyhow::Result<()> {
    let mut told: BTreeSet<String> = ended(client).await?.iter().map(|run| text(&run["id"]).to_owned()).collect();
    let mut active = active.clone();
    while stop.or(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        for run in ended(client).await?.iter().rev() {
            let id = text(&run["id"]);
            if told.insert(id.to_owned()) {
                let run = client.get(&["runs", id], &[]).await?;
                active = run["active"].clone();
                cx.output.result(&run, || render::run::summary(&run))?;
            }
        }
        let now = client.get(&["versions"], &[]).await?["active"].clone();
        if now != active {
            let switched = json!({ "event": "switched", "from": active, "to": now });
            cx.output
                .result(&switched, || format!("switched: {} is active, was {}", version(&now), version(&active)))?;
            active = now;
        }
    }
    Ok(())
}

async fn ended(client: &Client) -> anyhow::Result<Vec<Json>> {
    let runs = client.get(&["runs"], &[("limit", "50".to_owned())]).await?;
    Ok(items(&runs["runs"]).iter().filter(|run| run["state"] == "ended").cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_says_what_is_where() {
        let hello = json!({
            "api": "http://127.0.0.1:8080", "token_file": ".teal/token", "open": false,
            "status": {
                "system": "nowrep", "version": 0, "entities": { "talents": {} },
                "sources": { "blue": {
                    "webhook": "/hooks/blue", "next_full": "2030-01-01T03:00:00.000Z", "next_incremental": null,
                } },
            },
        });
        let expected = "\
nowrep at http://127.0.0.1:8080, v0 is active
  read     http://127.0.0.1:8080/v1/talents
  token    in .teal/token; send it as 'authorization: Bearer …'
  webhook  http://127.0.0.1:8080/hooks/blue (blue)
  next     blue full at 2030-01-01 03:00:00Z
stop with Ctrl-C; `teal status`, `teal sync` and the others work meanwhile";
        assert_eq!(welcome(&hello), expected);
    }
}
