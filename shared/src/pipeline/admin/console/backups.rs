//! Backups on demand: made, listed, checked, restored; and another installation's export taken in.
//!
//! Always holds: a call works for a while and says where the next one goes on, so that it fits into whatever carries
//! it; nothing is restored but by a run.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::ask::Ask;
use super::{Answer, Console, view};
use crate::domain::Message;
use crate::pipeline::api::ApiResponse;
use crate::pipeline::backup::{Kind, Listed};
use crate::pipeline::error::StageError;
use crate::pipeline::poll::Budget;
use crate::ports::queue::{Outgoing, send_all};

/// How long one call works: less than API Gateway waits.
const CALL: Duration = Duration::from_secs(15);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MakeAsk {
    /// An increment where one will do, if not said.
    full: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NothingAsk {}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RestoreAsk {
    /// The newest one, if not said.
    backup: Option<String>,
    /// Yes, if not said.
    switch: Option<bool>,
    force: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinesAsk {
    import: String,
    /// Which lines these are, from 0.
    n: usize,
    lines: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndAsk {
    import: String,
    parts: usize,
    switch: Option<bool>,
    #[serde(default)]
    force: bool,
}

impl Console {
    pub(super) async fn backups(&self, ask: &Ask<'_>) -> Answer {
        if ask.method == "POST" {
            let MakeAsk { full } = ask.body()?;
            self.audit(ask.caller, "make a backup".to_owned()).await?;
            let backup = self.backups.begin(if full { Kind::Full } else { Kind::Increment }).await?;
            return Ok(ApiResponse::json(202, &json!({ "backup": backup })));
        }
        ask.reads(&[])?;
        let all = self.backups.shelf.list().await?;
        let shown: Vec<Json> = all.iter().rev().map(listed).collect();
        Ok(ApiResponse::json(200, &json!({ "backups": shown })))
    }

    /// Goes on with what is begun.
    pub(super) async fn make_backup(&self, ask: &Ask<'_>) -> Answer {
        let NothingAsk {} = ask.body()?;
        let made = self.backups.go_on(&self.for_a_while()).await?;
        Ok(ApiResponse::json(200, &json!(made)))
    }

    pub(super) async fn verify_backup(&self, ask: &Ask<'_>, id: &str) -> Answer {
        ask.reads(&["from"])?;
        let from = ask.number("from")?.unwrap_or(0);
        let checked = self.backups.shelf.verify(Some(id), from, &self.for_a_while()).await?;
        Ok(ApiResponse::json(200, &json!(checked)))
    }

    pub(super) async fn restore(&self, ask: &Ask<'_>) -> Answer {
        let RestoreAsk { backup, switch, force } = ask.body()?;
        let named = backup.as_deref().unwrap_or("the newest");
        self.audit(ask.caller, format!("restore backup {named}")).await?;
        self.deploy_if_none(backup.as_deref()).await?;
        self.start_restore(ask, backup.as_deref(), switch, force).await
    }

    async fn start_restore(&self, ask: &Ask<'_>, backup: Option<&str>, switch: Option<bool>, force: bool) -> Answer {
        let cause = ask.caller.subject.clone();
        let (run, backup) = self.poll.start_restore(backup, switch.unwrap_or(true), force, cause).await?;
        send_all(self.queue.as_ref(), vec![Outgoing::now(Message::Continue { run: run.clone() })]).await?;
        Ok(ApiResponse::json(202, &json!({ "run": run, "backup": backup })))
    }

    /// Where nothing is configured, what the backup was made under is put into force.
    async fn deploy_if_none(&self, backup: Option<&str>) -> Result<(), StageError> {
        match self.admin.systems.current().await {
            Err(StageError::NoConfig) => {}
            other => return other.map(|_| ()),
        }
        let chain = self.backups.shelf.chain(backup).await?;
        let wanted = &chain.newest().config;
        for bundle in crate::pipeline::poll::bundles(&chain).await?.iter().filter(|bundle| bundle.hash() == *wanted) {
            self.admin.deploy(bundle).await?;
        }
        Ok(())
    }

    pub(super) async fn begin_import(&self, ask: &Ask<'_>) -> Answer {
        let NothingAsk {} = ask.body()?;
        let import = self.backups.begin_import();
        self.audit(ask.caller, format!("begin {import}")).await?;
        Ok(ApiResponse::json(200, &json!({ "import": import })))
    }

    pub(super) async fn import_lines(&self, ask: &Ask<'_>) -> Answer {
        let LinesAsk { import, n, lines } = ask.body()?;
        self.backups.import_lines(&import, n, &lines).await?;
        Ok(ApiResponse::json(200, &json!({ "lines": lines.len() })))
    }

    pub(super) async fn end_import(&self, ask: &Ask<'_>) -> Answer {
        let EndAsk { import, parts, switch, force } = ask.body()?;
        self.audit(ask.caller, format!("restore {import}")).await?;
        self.backups.end_import(&import, parts).await?;
        self.start_restore(ask, Some(&import), switch, force).await
    }

    fn for_a_while(&self) -> Budget {
        Budget { deadline: Some(self.clock.now().plus(CALL)), ..Budget::default() }
    }
}

fn listed(one: &Listed) -> Json {
    let mut shown = json!({ "id": one.id, "places": one.places });
    match &one.manifest {
        Ok(manifest) => {
            shown["kind"] = json!(manifest.kind);
            shown["at"] = view::time(Some(manifest.at));
            shown["version"] = json!(manifest.version);
            shown["parts"] = manifest.parts.len().into();
            shown["bytes"] = manifest.parts.iter().map(|part| part.bytes).sum::<u64>().into();
            shown["rows"] = manifest.entities.values().map(|entity| entity.rows).sum::<u64>().into();
            shown["previous"] = json!(manifest.previous.as_ref().map(|link| &link.id));
        }
        Err(damaged) => shown["damaged"] = damaged.to_string().into(),
    }
    shown
}
