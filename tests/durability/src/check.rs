//! The judgement: what a Teal had promised by some moment, and whether a new one keeps it with the disk that
//! was left of that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use teal::domain::{EntityName, Key, Pointer, RunState, SourceId, Version};
use teal::pipeline::admin::{RejectFilter, export};
use teal::pipeline::changelog::LogEntry;
use teal::pipeline::inbox::{self, Entry, Fate};
use teal::pipeline::ledger;
use teal::pipeline::poll::Budget;
use teal::ports::LedgerError;
use teal::ports::entities::ListQuery;
use teal_connect::ManifestConnectors;
use teal_local::Local;

use crate::drain::{drain, time_passes};
use crate::log::Event;
use crate::plan::{Makes, Plan, Syncs, deliver, webhook_stage, write_secrets};

/// What the subject had said by a moment.
#[derive(Clone, Debug, Default)]
pub struct Promised {
    pub deployed: bool,
    pub acked: BTreeSet<String>,
    /// The version that readers had.
    pub active: Version,
}

impl Promised {
    pub fn hear(&mut self, event: &Event) {
        let Event::Mark(mark) = event else { return };
        match mark.split_once(' ') {
            Some(("ack", id)) => {
                self.acked.insert(id.to_owned());
            }
            Some(("active", number)) => self.active = Version(number.parse().expect("the subject writes a number")),
            _ if mark == "deployed" => self.deployed = true,
            _ => {}
        }
    }
}

/// What was promised and is not kept, or must hold in any case and does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A database does not open, or is not in order.
    Unreadable(String),
    /// The configuration that was deployed is gone.
    Configuration,
    /// The version that readers had is gone.
    Version,
    /// What readers see is not one complete version.
    Incomplete(String),
    /// Deliveries that got a 2xx and are neither applied nor rejected.
    Acked(Vec<String>),
    /// Deliveries that were not entered into the change log once, or not done with once.
    Times(Vec<String>),
    /// The queues don't become empty, or the dead letters not.
    Stuck(String),
    /// Once everything is delivered, what readers see differs from the undisturbed run's.
    Export { missing: usize, extra: usize },
}

/// What an undisturbed Teal shows in the end, a line a row.
pub type Export = BTreeSet<String>;

/// Everything that is wrong with the disk at `dir`. `plan` is the subject's; its directory is not touched.
pub async fn losses(plan: &Plan, dir: &Path, promised: &Promised, undisturbed: &Export) -> Vec<Loss> {
    let mut losses = Vec::new();
    if let Err(loss) = look(plan, dir, promised, undisturbed, &mut losses).await {
        losses.push(loss);
    }
    losses
}

async fn look(
    plan: &Plan,
    dir: &Path,
    promised: &Promised,
    undisturbed: &Export,
    losses: &mut Vec<Loss>,
) -> Result<(), Loss> {
    let unreadable = |error: &dyn std::fmt::Display| Loss::Unreadable(error.to_string());
    let secrets = dir.join("secrets");
    write_secrets(&secrets).map_err(|error| unreadable(&error))?;
    // What is checked is what the disk held; the checking itself need not wait for one.
    let plan_of_check = Plan { dir: dir.to_owned(), syncs: Syncs::NONE, ..plan.clone() };
    let local = Local::open(plan_of_check.options(), Arc::new(ManifestConnectors)).map_err(|e| unreadable(&e))?;
    // Only now, so that it is Teal's own opening that finds the disk as it was left.
    for name in ["teal.db", "inbox.db"] {
        is_in_order(&dir.join(name)).map_err(|error| Loss::Unreadable(format!("{name}: {error}")))?;
    }
    time_passes(dir).map_err(Loss::Stuck)?;

    if promised.deployed && local.systems.current().await.is_err() {
        losses.push(Loss::Configuration);
    }
    local.deploy(&plan.bundle).await.map_err(|error| unreadable(&error))?;
    let pointer = pointer(&local).await?;
    if pointer.version < promised.active {
        losses.push(Loss::Version);
    }
    losses.extend(incomplete(&local, &pointer, plan, undisturbed).await?);

    local.upkeep.round(true, &Budget::default()).await.map_err(|error| Loss::Stuck(error.to_string()))?;
    drain(&local, dir).await.map_err(Loss::Stuck)?;
    let lost = lost(&local, plan, &promised.acked).await?;
    if !lost.is_empty() {
        losses.push(Loss::Acked(lost));
    }
    losses.extend(dead_letters(&local).await?);
    losses.extend(not_once(&local, plan, &promised.acked).await?);

    // Whoever got no answer sends again.
    let stage = webhook_stage(&local, &secrets);
    for hook in plan.hooks().filter(|hook| !promised.acked.contains(&hook.id)) {
        let status = deliver(&stage, hook).await;
        if !(200..300).contains(&status) {
            return Err(Loss::Stuck(format!("delivery {} was answered with {status}", hook.id)));
        }
    }
    drain(&local, dir).await.map_err(Loss::Stuck)?;
    losses.extend(not_once(&local, plan, &plan.hooks().map(|hook| hook.id.clone()).collect()).await?);
    let runs = ledger::recent_runs(local.ledger.as_ref(), usize::MAX).await.map_err(|error| unreadable(&error))?;
    if let Some(run) = runs.iter().find(|run| run.state != RunState::Ended) {
        return Err(Loss::Stuck(format!("run {} does not end", run.id)));
    }
    let shown = exported(&local).await?;
    if shown != *undisturbed {
        let missing = undisturbed.difference(&shown).count();
        losses.push(Loss::Export { missing, extra: shown.difference(undisturbed).count() });
    }
    Ok(())
}

/// What the directory that the subject left shows.
pub async fn undisturbed(plan: &Plan, dir: &Path) -> Result<Export, Loss> {
    let plan = Plan { dir: dir.to_owned(), syncs: Syncs::NONE, ..plan.clone() };
    let unreadable = |error: &dyn std::fmt::Display| Loss::Unreadable(error.to_string());
    write_secrets(&dir.join("secrets")).map_err(|error| unreadable(&error))?;
    let local = Local::open(plan.options(), Arc::new(ManifestConnectors)).map_err(|error| unreadable(&error))?;
    let all = plan.hooks().map(|hook| hook.id.clone()).collect();
    match &lost(&local, &plan, &all).await?[..] {
        [] => exported(&local).await,
        lost => Err(Loss::Acked(lost.to_vec())),
    }
}

fn is_in_order(path: &Path) -> Result<(), String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let check = || -> rusqlite::Result<String> {
        Connection::open_with_flags(path, flags)?.query_row("PRAGMA integrity_check", [], |row| row.get(0))
    };
    match check() {
        Ok(word) if word == "ok" => Ok(()),
        Ok(wrong) => Err(wrong),
        Err(error) => Err(error.to_string()),
    }
}

async fn pointer(local: &Local) -> Result<Pointer, Loss> {
    let unreadable = |what: String| Loss::Unreadable(what);
    let pointer = ledger::pointer(local.ledger.as_ref()).await.map_err(|error| unreadable(error.to_string()))?;
    let pointer = pointer.ok_or_else(|| unreadable("there is no pointer".into()))?;
    let manifest = ledger::manifest(local.ledger.as_ref(), pointer.version).await;
    let manifest = manifest.map_err(|error| unreadable(error.to_string()))?;
    if manifest.is_none_or(|manifest| manifest.generations != pointer.generations) {
        return Err(unreadable(format!("{} has no manifest that agrees with the pointer", pointer.version)));
    }
    Ok(pointer)
}

/// Compares what each generation counts with what it holds, and a listed version with its listing: every row
/// that the undisturbed run shows in the end, but for those that deliveries make or remove.
async fn incomplete(local: &Local, pointer: &Pointer, plan: &Plan, undisturbed: &Export) -> Result<Option<Loss>, Loss> {
    let unreadable = |error: &dyn std::fmt::Display| Loss::Unreadable(error.to_string());
    let mut counted = BTreeMap::new();
    for id in pointer.generation_ids() {
        let head = local.reader.head(&id).await.map_err(|error| unreadable(&error))?;
        let query = ListQuery { limit: usize::MAX >> 1, ..ListQuery::default() };
        let rows = local.reader.list(&id, &query).await.map_err(|error| unreadable(&error))?;
        if rows.len() as u64 != head.rows {
            let what = format!("{id} counts {} rows and has {}", head.rows, rows.len());
            return Ok(Some(Loss::Incomplete(what)));
        }
        counted.insert(id.entity.clone(), rows.len());
    }
    if pointer.version < Version(1) {
        return Ok(None);
    }
    let gone = plan.hooks().filter(|hook| matches!(hook.makes, Makes::Gone { .. })).count();
    let new = plan.hooks().filter(|hook| hook.is_about_something_new()).count();
    for (name, new, at_most_more) in [("talents", new, gone + new), ("boards", 0, 0), ("media_tags", 0, 0)] {
        let start = format!("{{\"entity\":\"{name}\",");
        let least = undisturbed.iter().filter(|line| line.starts_with(&start)).count() - new;
        let rows = counted.get(&EntityName::new(name)).copied().unwrap_or(0);
        if rows < least || rows > least + at_most_more {
            let what =
                format!("{} has {rows} {name}, and {least} to {} were listed", pointer.version, least + at_most_more);
            return Ok(Some(Loss::Incomplete(what)));
        }
    }
    Ok(None)
}

/// The acked deliveries of which nothing is to be seen.
async fn lost(local: &Local, plan: &Plan, acked: &BTreeSet<String>) -> Result<Vec<String>, Loss> {
    let unreadable = |error: &dyn std::fmt::Display| Loss::Unreadable(error.to_string());
    let pointer = pointer(local).await?;
    let talents = pointer
        .generation(&EntityName::new("talents"))
        .ok_or_else(|| unreadable(&"the active version has no talents"))?;
    let rejects =
        local.admin.rejects(&RejectFilter::default(), usize::MAX).await.map_err(|error| unreadable(&error))?;
    let mut lost = Vec::new();
    for hook in plan.hooks().filter(|hook| acked.contains(&hook.id)) {
        let row = match &hook.makes {
            Makes::Name { talent, .. } | Makes::Gone { talent } => {
                let row = local.reader.get(&talents, &Key::int(*talent)).await.map_err(|error| unreadable(&error))?;
                let schema = local.reader.head(&talents).await.map_err(|error| unreadable(&error))?.schema;
                row.map(|row| row.to_json(&schema))
            }
            Makes::Version(_) | Makes::Reject => None,
        };
        let is_kept = match &hook.makes {
            Makes::Version(version) => pointer.version >= *version,
            Makes::Name { name, .. } => row.is_some_and(|row| row["name"] == **name),
            Makes::Gone { .. } => row.is_none(),
            Makes::Reject => {
                let raw = format!("/hook/{}-", hook.id);
                rejects.iter().any(|(_, reject)| reject.raw.0.contains(&raw))
            }
        };
        if !is_kept {
            lost.push(hook.id.clone());
        }
    }
    Ok(lost)
}

/// Of those that were thanked for, what was not applied exactly once; of all, what was more than once.
async fn not_once(local: &Local, plan: &Plan, acked: &BTreeSet<String>) -> Result<Option<Loss>, Loss> {
    if !plan.once {
        return Ok(None);
    }
    let unreadable = |error: LedgerError| Loss::Unreadable(error.to_string());
    let (ledger, blue) = (local.ledger.as_ref(), SourceId::new("blue"));
    let entered: Vec<(String, LogEntry)> =
        ledger::read_all(ledger, &ledger::log_part(&blue), "").await.map_err(unreadable)?;
    let records: Vec<(String, Entry)> =
        ledger::read_all(ledger, &ledger::inbox_part(&blue), "").await.map_err(unreadable)?;
    let mut times: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (_, entry) in &entered {
        if let Some((id, _)) = inbox::name(&entry.raw).rsplit_once('-') {
            times.entry(id).or_default().0 += 1;
        }
    }
    for (_, record) in records.iter().filter(|(_, record)| record.fate == Fate::Applied) {
        times.entry(&record.id).or_default().1 += 1;
    }
    let changes = plan.hooks().filter(|hook| matches!(hook.makes, Makes::Name { .. }));
    let wrong = changes.filter(|hook| match times.get(hook.id.as_str()) {
        Some((entered, done)) => *entered > 1 || *done > 1 || acked.contains(&hook.id) && (*entered, *done) != (1, 1),
        None => acked.contains(&hook.id),
    });
    let wrong: Vec<String> = wrong.map(|hook| format!("{} {:?}", hook.id, times.get(hook.id.as_str()))).collect();
    Ok((!wrong.is_empty()).then_some(Loss::Times(wrong)))
}

async fn dead_letters(local: &Local) -> Result<Option<Loss>, Loss> {
    let mut dead = Vec::new();
    for name in teal::domain::QueueName::ALL {
        let letters = local.queue.dead_letters(name, 10).await.map_err(|fault| Loss::Stuck(fault.to_string()))?;
        dead.extend(letters.into_iter().map(|letter| letter.body));
    }
    Ok((!dead.is_empty()).then(|| Loss::Stuck(format!("{} dead letters: {}", dead.len(), dead.join(", ")))))
}

async fn exported(local: &Local) -> Result<Export, Loss> {
    let pointer = pointer(local).await?;
    let mut lines = Export::new();
    let all = export(local.reader.as_ref(), &pointer, |line| {
        lines.insert(line.to_owned());
    })
    .await;
    all.map_err(|error| Loss::Unreadable(error.to_string()))?;
    Ok(lines)
}
