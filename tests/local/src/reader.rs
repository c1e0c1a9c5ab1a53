//! Readers that read without a pause: whole listings in pages, one entity after the other, and single rows.

use std::sync::{Arc, Mutex, PoisonError};

use teal::domain::{Version, VersionState};
use teal::pipeline::ledger;
use teal::ports::LedgerReader;
use teal_local::host::stop::{Stop, Stopper, stop};
use tokio::task::JoinSet;

use crate::client::{Client, Listing, Missed, stamp_of};
use crate::expected::ENTITIES;
use crate::observations::Observations;
use crate::wait::until;

/// Some readers and what they have seen.
pub struct Readers {
    seen: Arc<Mutex<Observations>>,
    stopper: Stopper,
    tasks: JoinSet<()>,
}

/// One of them.
#[derive(Clone)]
pub struct Reader {
    pub number: usize,
    pub client: Client,
    pub ledger: Arc<dyn LedgerReader>,
    /// Rows in a page.
    pub limit: usize,
    /// Talents that every version has.
    pub talents: Vec<u64>,
}

impl Reader {
    /// Goes once through all entities. Stops early when told to.
    pub async fn round(&self, seen: &Mutex<Observations>, stop: Option<&Stop>) {
        let first = self.number % ENTITIES.len();
        for (entity, _) in ENTITIES.iter().cycle().skip(first).take(ENTITIES.len()) {
            if stop.is_some_and(Stop::is_stopped) {
                return;
            }
            let listing = self.client.list(entity, self.limit).await;
            let gone = self.is_gone(&listing).await;
            lock(seen).listing(self.number, entity, &listing, gone);
            for talent in &self.talents {
                for entity in ["talents", "talents_measurements"] {
                    let answer = self.client.row(entity, &talent.to_string()).await;
                    let answer = answer.map(|(version, row)| (version, stamp_of(&row)));
                    lock(seen).row(self.number, entity, &talent.to_string(), answer);
                }
            }
        }
    }

    /// Whether the version of a listing that was cut off can't be read any more.
    async fn is_gone(&self, listing: &Listing) -> bool {
        let (Some(Missed::Gone), Some(page)) = (&listing.cut_short, listing.pages.first()) else { return false };
        let manifest = ledger::manifest(self.ledger.as_ref(), Version(page.version)).await;
        match manifest.expect("the ledger can be read") {
            None => true,
            Some(manifest) => matches!(manifest.state, VersionState::Retired | VersionState::Dropped),
        }
    }
}

impl Readers {
    #[must_use]
    pub fn start(readers: Vec<Reader>) -> Self {
        let seen = Arc::new(Mutex::new(Observations::default()));
        let (stopper, stop) = stop();
        let mut tasks = JoinSet::new();
        for reader in readers {
            let (seen, stop) = (seen.clone(), stop.clone());
            tasks.spawn(async move {
                while !stop.is_stopped() {
                    reader.round(&seen, Some(&stop)).await;
                }
            });
        }
        Self { seen, stopper, tasks }
    }

    /// Waits until every reader has got an answer since the last mark, then sets the next.
    pub async fn mark(&self) {
        let readers = self.tasks.len();
        let before = self.seen().answers().clone();
        until("every reader gets an answer", async || {
            let now = self.seen().answers().clone();
            let all = now.len() == readers && now.iter().all(|(reader, answers)| before.get(reader) != Some(answers));
            all.then_some(())
        })
        .await;
        self.seen().mark();
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Observations> {
        lock(&self.seen)
    }

    /// # Panics
    /// When a reader panicked.
    pub async fn finish(mut self) -> Observations {
        self.stopper.stop();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a reader reads to the end");
        }
        self.seen().clone()
    }
}

fn lock(seen: &Mutex<Observations>) -> std::sync::MutexGuard<'_, Observations> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
