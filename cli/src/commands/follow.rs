//! Watching a run until it ends, parks for long, or somebody has seen enough.

use std::time::Duration;

use serde_json::Value as Json;
use teal_local::host::stop::Stop;

use crate::client::Client;
use crate::exit::Interrupted;
use crate::output::Output;
use crate::progress::Progress;
use crate::render::{items, text};

const LOOK_EVERY: Duration = Duration::from_millis(150);
/// A quota that resets later than this is not waited for here: the run is parked, and costs nothing.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a run that was promised may take to appear after the one before it ended.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);

/// Follows a run to its end. What comes back has ended, or waits for a quota longer than we do.
pub async fn run(client: &Client, id: &str, output: Output, stop: &Stop, again: &str) -> anyhow::Result<Json> {
    let mut progress: Option<Progress> = None;
    loop {
        let run = client.get(&["runs", id], &[]).await?;
        if run["state"] == "ended" || waits_long(&run) {
            if let Some(progress) = progress {
                progress.finish();
            }
            return Ok(run);
        }
        if progress.is_none() {
            progress = Some(Progress::new(output, expected(client, &run).await?));
        }
        if let Some(progress) = &mut progress {
            progress.update(&run);
        }
        if stop.or(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            if let Some(progress) = progress {
                progress.finish();
            }
            return Err(Interrupted(format!("stopped; nothing is lost: `{again}` goes on with run {id}")).into());
        }
    }
}

/// The run of a source that was promised for when another one has ended.
pub async fn promised(client: &Client, source: &str, after: &str, stop: &Stop) -> anyhow::Result<String> {
    let mut waited = Duration::ZERO;
    loop {
        let runs = client.get(&["runs"], &[("limit", "50".to_owned())]).await?;
        let of_it = |run: &&Json| items(&run["sources"]).iter().any(|s| s == source) && text(&run["id"]) > after;
        // Listed newest first: the first that came after is the last of these.
        if let Some(run) = items(&runs["runs"]).iter().rev().find(of_it) {
            return Ok(text(&run["id"]).to_owned());
        }
        let before = items(&runs["runs"]).iter().find(|run| run["id"] == after);
        if before.is_none_or(|run| run["state"] == "ended") {
            waited += LOOK_EVERY;
        }
        if waited > APPEARS_WITHIN {
            anyhow::bail!("the sync of '{source}' did not start after run {after} ended; `teal status` says more");
        }
        if stop.or(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            let why =
                format!("stopped; the sync of '{source}' waits for run {after} and starts with the next `teal dev`");
            return Err(Interrupted(why).into());
        }
    }
}

/// The pages of the last complete run of the same kind.
async fn expected(client: &Client, run: &Json) -> anyhow::Result<Option<u64>> {
    let runs = client.get(&["runs"], &[("limit", "50".to_owned())]).await?;
    let same = |other: &&Json| {
        other["mode"] == run["mode"] && other["sources"] == run["sources"] && other["outcome"] == "complete"
    };
    Ok(items(&runs["runs"]).iter().find(same).and_then(|run| run["pages"].as_u64()))
}

fn waits_long(run: &Json) -> bool {
    let until = run["until"].as_str().and_then(|until| until.parse::<jiff::Timestamp>().ok());
    let longest = i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX);
    run["state"] == "waiting-quota"
        && until.is_some_and(|until| until.as_millisecond() - jiff::Timestamp::now().as_millisecond() > longest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_far_reset_is_not_waited_for() {
        let far = json!({ "state": "waiting-quota", "until": "9000-01-01T00:00:00.000Z" });
        let past = json!({ "state": "waiting-quota", "until": "2000-01-01T00:00:00.000Z" });
        assert!(waits_long(&far));
        assert!(!waits_long(&past));
        assert!(!waits_long(&json!({ "state": "fetching", "until": null })));
    }
}
