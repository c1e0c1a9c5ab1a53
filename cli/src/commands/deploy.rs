//! `teal deploy`: puts teal.yaml into force, here or, with `--at`, where Teal runs.

use serde_json::json;

use super::Context;
use crate::exit::Exit;
use crate::render::{items, text, version};
use crate::session::Session;

pub async fn run(cx: &Context) -> anyhow::Result<Exit> {
    let bundle = cx.place.checked_bundle()?;
    let session = Session::open(&cx.place)?;
    let deployed = session.client.post(&["deploy"], &json!({ "bundle": bundle })).await?;
    cx.output.result(&deployed, || {
        let hash = text(&deployed["hash"]);
        let what = if deployed["changed"] == true { "is in force now" } else { "was in force already" };
        let mut said = format!(
            "configuration {} {what}; {} is active",
            hash.get(..12).unwrap_or(hash),
            version(&deployed["version"])
        );
        for done in ["created", "changed", "removed"] {
            for schedule in items(&deployed["schedules"][done]) {
                said.push_str(&format!("\nschedule {} {done}", text(schedule)));
            }
        }
        said
    })?;
    Ok(Exit::Complete)
}
