//! Actions: each is audited, then handed to the stage that does it.

use serde_json::{Value as Json, json};

use super::ask::{Ask, DeployAsk, DropAsk, RebuildAsk, RejectsAsk, RollbackAsk, SwitchAsk, SyncAsk, wrong};
use super::{Answer, Console, problem};
use crate::domain::{Message, Mode, Run, RunId, RunState, SourceId, SourceName, Version, VersionState};
use crate::pipeline::admin::RejectFilter;
use crate::pipeline::api::ApiResponse;
use crate::pipeline::error::StageError;
use crate::pipeline::lease;
use crate::pipeline::ledger::{self, Building, Stored};
use crate::pipeline::poll::{Asked, Started};
use crate::pipeline::switch::{MoveTo, Moved};
use crate::pipeline::systems::Loaded;
use crate::ports::queue::{Outgoing, send_all};

impl Console {
    pub(super) async fn sync(&self, ask: &Ask<'_>) -> Answer {
        let wanted: SyncAsk = ask.body()?;
        if matches!(wanted.mode, Some(Mode::Rebuild | Mode::Restore)) {
            return Err(wrong(
                "rebuilds are asked for at /rebuild and restores at /backups/restore; 'mode' is full or incremental",
            )
            .into());
        }
        if wanted.mode == Some(Mode::Incremental) && (wanted.switch == Some(false) || wanted.force) {
            let why = "an incremental run changes the active version as it goes, so that there is nothing to hold \
                       back or to force; ask for a full one";
            return Err(wrong(why).into());
        }
        let loaded = self.admin.systems.current().await?;
        let mut runs = Vec::new();
        match &wanted.source {
            Some(name) => {
                let source = SourceName::new(name);
                loaded.source(&source)?;
                runs.push(self.sync_one(ask, &loaded, source, &wanted).await?);
            }
            None => {
                for source in loaded.system.sources.keys() {
                    let run = match self.sync_one(ask, &loaded, source.clone(), &wanted).await {
                        Ok(run) => run,
                        // The others are started all the same.
                        Err(error) => json!({
                            "source": source, "started": "not", "problem": problem::of(&error).detail,
                        }),
                    };
                    runs.push(run);
                }
            }
        }
        Ok(ApiResponse::json(202, &json!({ "runs": runs })))
    }

    async fn sync_one(
        &self,
        ask: &Ask<'_>,
        loaded: &Loaded,
        name: SourceName,
        wanted: &SyncAsk,
    ) -> Result<Json, StageError> {
        let source = SourceId::new(name.as_str());
        let switch = wanted.switch.unwrap_or(true);
        let mode = match wanted.mode {
            Some(mode) => mode,
            None if switch && !wanted.force && can_increment(loaded, &name)? => Mode::Incremental,
            None => Mode::Full,
        };
        self.audit(ask.caller, format!("sync {name} ({mode})")).await?;
        let cut_off = if wanted.resume { self.unfinished(&source).await? } else { None };
        let started = match cut_off {
            Some(run) => Started::Resumes(run.id),
            None => {
                if !switch || wanted.force {
                    self.must_be_free(&source).await?;
                }
                let cause = ask.caller.subject.clone();
                let asked = Asked { source, mode, cause, switch, force: wanted.force, trace: None };
                let started = self.poll.start(asked).await?;
                if let Started::Run(run) | Started::Resumes(run) = &started {
                    send_all(self.queue.as_ref(), vec![Outgoing::now(Message::Continue { run: run.clone() })]).await?;
                }
                started
            }
        };
        Ok(match started {
            Started::Run(run) => json!({ "source": name, "started": "run", "run": run }),
            Started::Resumes(run) => json!({ "source": name, "started": "resumes", "run": run }),
            Started::Waits(busy) => json!({ "source": name, "started": "waits", "waits_for": busy }),
        })
    }

    /// The run that has the source's lease and has not ended.
    async fn unfinished(&self, source: &SourceId) -> Result<Option<Run>, StageError> {
        let Some(lease) = lease::read(self.ledger.as_ref(), &ledger::lease_key(source)).await? else { return Ok(None) };
        let run = ledger::run(self.ledger.as_ref(), &RunId::new(&lease.value.holder)).await?;
        Ok(run.map(|run| run.value).filter(|run| run.state != RunState::Ended))
    }

    /// The note that a waiting sync leaves holds neither `switch` nor `force`, so such a one does not wait.
    async fn must_be_free(&self, source: &SourceId) -> Result<(), StageError> {
        if let Some(run) = self.unfinished(source).await? {
            return Err(StageError::Busy(format!("run {} of '{}' has not ended; wait for it", run.id, source.name)));
        }
        let building: Option<Stored<Building>> = ledger::read(self.ledger.as_ref(), &ledger::building_key()).await?;
        match building.map(|b| b.value) {
            Some(Building { version, run }) => {
                Err(StageError::Busy(format!("{version} is being built by run {run}; wait for it to end")))
            }
            None => Ok(()),
        }
    }

    pub(super) async fn rebuild(&self, ask: &Ask<'_>) -> Answer {
        let RebuildAsk { switch, force } = ask.body()?;
        self.audit(ask.caller, "rebuild".to_owned()).await?;
        let run = self.poll.start_rebuild(switch, force, ask.caller.subject.clone()).await?;
        send_all(self.queue.as_ref(), vec![Outgoing::now(Message::Continue { run: run.clone() })]).await?;
        Ok(ApiResponse::json(202, &json!({ "run": run })))
    }

    pub(super) async fn switch_to(&self, ask: &Ask<'_>) -> Answer {
        let SwitchAsk { version, force } = ask.body()?;
        let how = if force { ", past the guard" } else { "" };
        self.audit(ask.caller, format!("switch to {version}{how}")).await?;
        let who = ask.caller.subject.clone();
        let moved = self.switch.move_to(&MoveTo { version, force, as_was: false, who }).await?;
        Ok(ApiResponse::json(200, &moved_json(&moved)))
    }

    pub(super) async fn roll_back(&self, ask: &Ask<'_>) -> Answer {
        let RollbackAsk { version, as_was } = ask.body()?;
        let pointer = ledger::pointer(self.ledger.as_ref()).await?.ok_or(StageError::NoConfig)?;
        // Version 0 is what was there before any sync: nobody means it who does not say so.
        let version = version.or(pointer.previous.filter(|previous| *previous != Version(0))).ok_or_else(|| {
            let why = "there is no version to go back to but the empty v0; `teal rollback v0` goes there all the same";
            StageError::Impossible(why.into())
        })?;
        let target = ledger::manifest(self.ledger.as_ref(), version).await?.ok_or(StageError::NoVersion(version))?;
        if target.state == VersionState::Ready {
            let why = format!("{version} was never active; use `teal switch {version}`");
            return Err(StageError::Impossible(why).into());
        }
        let how = if as_was { ", as it was" } else { "" };
        self.audit(ask.caller, format!("roll back to {version}{how}")).await?;
        let who = ask.caller.subject.clone();
        let moved = self.switch.move_to(&MoveTo { version, force: false, as_was, who }).await?;
        Ok(ApiResponse::json(200, &moved_json(&moved)))
    }

    /// Lets a build go that is ready and was never active. Upkeep removes its rows.
    pub(super) async fn drop_version(&self, ask: &Ask<'_>) -> Answer {
        let DropAsk { version } = ask.body()?;
        self.audit(ask.caller, format!("drop {version}")).await?;
        self.switch.drop_ready(version, &ask.caller.subject).await?;
        Ok(ApiResponse::json(200, &json!({ "version": version, "state": VersionState::Dropped })))
    }

    pub(super) async fn deploy(&self, ask: &Ask<'_>) -> Answer {
        let DeployAsk { bundle } = ask.body()?;
        self.audit(ask.caller, format!("deploy {}", bundle.hash())).await?;
        let deployed = self.admin.deploy(&bundle).await?;
        Ok(ApiResponse::json(200, &json!(deployed)))
    }

    pub(super) async fn replay(&self, ask: &Ask<'_>) -> Answer {
        let wanted: RejectsAsk = ask.body()?;
        let filter = RejectFilter::from(wanted);
        self.must_exist(&filter).await?;
        self.audit(ask.caller, format!("replay rejects {filter:?}")).await?;
        let sent = self.admin.replay_rejects(&filter).await?;
        Ok(ApiResponse::json(202, &json!({ "raw_objects": sent })))
    }
}

fn can_increment(loaded: &Loaded, source: &SourceName) -> Result<bool, StageError> {
    let connector = loaded.connector(source)?;
    Ok(loaded.system.streams(source).iter().any(|stream| connector.incremental(stream)))
}

fn moved_json(moved: &Moved) -> Json {
    json!({
        "from": moved.from,
        "to": moved.to,
        "replayed": moved.replayed,
        "left_out": moved.left_out,
        "closed_ms": u64::try_from(moved.closed.as_millis()).unwrap_or(u64::MAX),
    })
}
