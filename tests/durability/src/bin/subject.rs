//! The Teal whose power is cut. Runs under the recorder: a start, syncs while deliveries arrive, a
//! stop. Sets a mark after each thing that it has promised to somebody.
//!
//! Arguments: the plan, the directory of secrets, the file that takes marks.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use teal::domain::Version;
use teal::pipeline::ledger;
use teal::pipeline::poll::Budget;
use teal_connect::ManifestConnectors;
use teal_durability_tests::drain::{is_drained, time_passes};
use teal_durability_tests::plan::{Hook, Plan, deliver, webhook_stage};
use teal_local::Local;
use teal_local::host::stop::stop;
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

const LOOK: Duration = Duration::from_millis(10);

#[derive(Clone)]
struct Marks(Arc<Mutex<File>>);

impl Marks {
    /// One write a mark: the recorder takes each write for one.
    fn set(&self, mark: &str) -> Result<(), Failure> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(format!("{mark}\n").as_bytes())?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let [plan, secrets, marks] = std::env::args()
        .skip(1)
        .map(PathBuf::from)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "three paths, please")?;
    let plan: Plan = serde_json::from_slice(&std::fs::read(plan)?)?;
    let marks = Marks(Arc::new(Mutex::new(File::create(marks)?)));
    let local = Arc::new(Local::open(plan.options(), Arc::new(ManifestConnectors))?);
    // The operator's, and not synced: whoever looks after a power cut brings them again.
    teal_durability_tests::plan::write_secrets(&plan.dir.join("secrets"))?;
    local.deploy(&plan.bundle).await?;
    marks.set("deployed")?;
    // What an earlier subject had at hand is visible again by now.
    time_passes(&plan.dir)?;
    let (stopper, stop) = stop();
    let running = local.start(&stop, false).await?;

    for phase in &plan.phases {
        let left = |hooks: &[Hook]| -> Vec<Hook> {
            hooks.iter().filter(|hook| !plan.acked.contains(&hook.id)).cloned().collect()
        };
        let (first, then) = (left(&phase.first), left(&phase.then));
        let rest = phase.rest;
        send(&local, &secrets, &marks, &first, rest).await?;
        let mut senders = JoinSet::new();
        for nth in 0..phase.senders {
            let hooks: Vec<Hook> = then.iter().skip(nth).step_by(phase.senders).cloned().collect();
            let (local, secrets, marks) = (local.clone(), secrets.clone(), marks.clone());
            senders.spawn(async move { send(&local, &secrets, &marks, &hooks, rest).await });
        }
        while let Some(sent) = senders.join_next().await {
            sent??;
        }
        wait_for(&local, phase.version).await?;
        marks.set(&format!("active {}", phase.version.0))?;
        // Lets go of what no version needs any more.
        local.upkeep.round(false, &Budget::default()).await?;
    }
    marks.set("done")?;

    stopper.stop();
    running.finished().await;
    Ok(())
}

async fn send(local: &Local, secrets: &Path, marks: &Marks, hooks: &[Hook], rest: Duration) -> Result<(), Failure> {
    let stage = webhook_stage(local, secrets);
    for hook in hooks {
        let status = deliver(&stage, hook).await;
        if !(200..300).contains(&status) {
            return Err(format!("delivery {} was answered with {status}", hook.id).into());
        }
        marks.set(&format!("ack {}", hook.id))?;
        local.clock.sleep(rest).await;
    }
    Ok(())
}

/// Returns once readers have this version and nothing is left to do.
async fn wait_for(local: &Local, version: Version) -> Result<(), Failure> {
    loop {
        let pointer = ledger::pointer(local.ledger.as_ref()).await?;
        if pointer.is_some_and(|pointer| pointer.version >= version) && is_drained(local).await? {
            return Ok(());
        }
        local.clock.sleep(LOOK).await;
    }
}
