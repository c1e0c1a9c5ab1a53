//! `teal rejects`: what could not be applied, why, and once more.

use std::time::Duration;

use serde_json::{Map, Value as Json};
use teal_local::host::stop::Stop;

use super::Context;
use crate::args::{RejectFilter, RejectsCommand};
use crate::exit::{Exit, Interrupted};
use crate::render::run::counted;
use crate::render::{self, count};
use crate::session::{self, Session};

const LOOK_EVERY: Duration = Duration::from_millis(150);

pub async fn run(cx: &Context, command: &RejectsCommand) -> anyhow::Result<Exit> {
    match command {
        RejectsCommand::List { filter, limit } => {
            let session = Session::look(&cx.place).await?;
            let mut query = filter.given();
            query.push(("limit", limit.to_string()));
            let rejects = session.client.get(&["rejects"], &query).await?;
            cx.output.result(&rejects, || render::lists::rejects(&rejects))?;
        }
        RejectsCommand::Show { id } => {
            let session = Session::look(&cx.place).await?;
            let reject = session.client.get(&["rejects", id], &[]).await?;
            cx.output.result(&reject, || render::lists::reject(&reject))?;
        }
        RejectsCommand::Replay { filter } => {
            let stop = session::signals()?;
            let session = Session::work(&cx.place).await?;
            let working = session.start().await?;
            let result = replay(cx, filter, &session, &stop).await;
            session::finish(working, result).await?;
        }
    }
    Ok(Exit::Complete)
}

async fn replay(cx: &Context, filter: &RejectFilter, session: &Session, stop: &Stop) -> anyhow::Result<()> {
    let given: Map<String, Json> = filter.given().into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
    let sent = session.client.post(&["rejects", "replay"], &Json::Object(given)).await?;
    let left = applied(session, stop).await?;
    let mut shown = sent.clone();
    shown["rejects"] = left.into();
    cx.output.result(&shown, || {
        let sent = counted(count(&sent["raw_objects"]), "raw object");
        let hint = match left {
            0 => "",
            _ => "\na version keeps the mapping that it was built with; `teal rebuild` applies a corrected one",
        };
        format!("{sent} applied again; {} left{hint}", counted(left, "reject"))
    })
}

/// Waits for the workers: when their queue is empty, all that was sent again has been tried. Gives the rejects that are left.
pub async fn applied(session: &Session, stop: &Stop) -> anyhow::Result<u64> {
    loop {
        let status = session.status().await?;
        let queue = &status["queues"]["transform"];
        if count(&queue["visible"]) + count(&queue["in_flight"]) + count(&queue["delayed"]) == 0 {
            return Ok(count(&status["rejects"]));
        }
        if stop.or(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return Err(
                Interrupted("stopped; what is queued is applied by the next `teal dev` or `teal sync`".into()).into()
            );
        }
    }
}
