//! `teal deliveries` and `teal leases`: what webhooks brought, what became of it, and what keeps it coming.

use serde_json::{Map, Value as Json};

use super::{Context, gate, rejects};
use crate::args::DeliveriesCommand;
use crate::exit::Exit;
use crate::render::run::counted;
use crate::render::{self, count};
use crate::session::{self, Session};

pub async fn run(cx: &Context, command: &DeliveriesCommand) -> anyhow::Result<Exit> {
    match command {
        DeliveriesCommand::List { filter, limit } => {
            let session = Session::look(&cx.place).await?;
            let mut query = filter.given();
            query.push(("limit", limit.to_string()));
            let deliveries = session.client.get(&["deliveries"], &query).await?;
            cx.output.result(&deliveries, || render::deliveries::list(&deliveries))?;
        }
        DeliveriesCommand::Show { id } => {
            let session = Session::look(&cx.place).await?;
            let delivery = session.client.get(&["deliveries", id], &[]).await?;
            cx.output.result(&delivery, || render::deliveries::one(&delivery))?;
        }
        DeliveriesCommand::Refused { source, limit } => gate::refused(cx, source.clone(), *limit).await?,
        DeliveriesCommand::Explain(args) => return gate::explain(cx, args).await,
        DeliveriesCommand::Sign(args) => gate::sign(cx, args).await?,
        DeliveriesCommand::Token { source, wait } => gate::token(cx, source, *wait).await?,
        DeliveriesCommand::Replay { id, filter } => {
            let stop = session::signals()?;
            let session = Session::work(&cx.place).await?;
            let working = session.start().await?;
            let mut given: Map<String, Json> =
                filter.given().into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
            given.extend(id.clone().map(|id| ("id".to_owned(), id.into())));
            let result = async {
                let sent = session.client.post(&["deliveries", "replay"], &Json::Object(given)).await?;
                let left = rejects::applied(&session, &stop).await?;
                cx.output.result(&sent, || {
                    let sent = counted(count(&sent["deliveries"]), "delivery");
                    let sent = sent.strip_suffix("deliverys").map_or(sent.clone(), |n| format!("{n}deliveries"));
                    format!("{sent} gone through again; {} left", counted(left, "reject"))
                })
            };
            let result = result.await;
            session::finish(working, result).await?;
        }
    }
    Ok(Exit::Complete)
}

pub async fn leases(cx: &Context) -> anyhow::Result<Exit> {
    let session = Session::look(&cx.place).await?;
    let leases = session.client.get(&["leases"], &[]).await?;
    cx.output.result(&leases, || render::deliveries::leases(&leases))?;
    Ok(Exit::Complete)
}
