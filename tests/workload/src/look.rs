//! One seed from its plan to its verdict, in the simulator's three parts: the plan is carried out while the
//! subject is killed; then it comes to rest; then everything is rebuilt and synced once more, undisturbed.
//!
//! Always holds: what is stored is looked at while nobody works on it.

use std::sync::Arc;

use serde_json::json;
use teal::domain::Version;
use teal::pipeline::ledger;
use teal_conformance::simulator::audit::{self, Audited, Known, Stores};
use teal_conformance::simulator::{API_KEY, HOOK_SECRET, Mapping, Plan, SOURCES};
use teal_stand_in::{Fault, FaultRule};

use crate::driver::Driver;
use crate::outside::{Configurations, Memory, Outside};
use crate::sources::{Listening, now};
use crate::subject::Subject;

/// What came of a seed that kept every promise.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub kills: u64,
    /// After the drain, before anything was rebuilt.
    pub audited: Audited,
    pub memory: Memory,
}

/// A world for one plan: its sources, and a subject that is configured for them.
pub struct Scene<S> {
    pub plan: Plan,
    pub sources: Arc<Listening>,
    pub configurations: Arc<Configurations>,
    pub subject: S,
    pub outside: Arc<Outside>,
    /// What must be seen nowhere.
    pub secrets: Vec<&'static str>,
}

impl<S: Subject> Scene<S> {
    /// `make` makes the subject, which begins with the plain mapping.
    pub async fn new(
        plan: Plan,
        make: impl FnOnce(&teal::config::Bundle) -> std::io::Result<S>,
    ) -> std::io::Result<Self> {
        let sources = Arc::new(Listening::start(&plan).await?);
        let configurations = Arc::new(Configurations::new(plan.shape, &sources.url()));
        let subject = make(&configurations.bundles[&Mapping::Plain])?;
        let secrets = vec![API_KEY, HOOK_SECRET];
        Ok(Self { plan, sources, configurations, subject, outside: Arc::default(), secrets })
    }

    fn driver(&mut self) -> Driver<'_> {
        let mut driver =
            Driver::new(&mut self.subject, self.sources.clone(), self.configurations.clone(), self.plan.seed);
        driver.outside = self.outside.clone();
        driver
    }

    /// Carries out the plan with so many kills on top of those that it has itself, and comes to rest.
    pub async fn live(&mut self, kills: usize) -> Result<u64, String> {
        self.spoil();
        let plan = self.plan.clone();
        let mut driver = self.driver();
        driver.carry_out(&plan, kills).await;
        let kills = driver.kills;
        self.sources.desk.faults.clear();
        self.driver().comes_to_rest().await;
        self.untroubled()?;
        Ok(kills)
    }

    /// A few answers of the sources go wrong.
    fn spoil(&self) {
        let mut dice = teal_conformance::Seed(self.plan.seed).branch();
        for fault in [Fault::Status(500), Fault::Truncated, Fault::Drop, Fault::ErrorInside, Fault::InvalidJson] {
            if dice.once_in(3) {
                let skip = dice.number() % 30;
                self.sources.desk.faults.add(FaultRule::nth(skip + 1, fault));
            }
        }
    }

    /// Ends the subject and looks at everything that is stored.
    pub async fn audit(&mut self, memory: &Memory) -> Result<Audited, String> {
        self.subject.kill();
        self.audit_dead(memory).await.map_err(|failed| failed.to_string())
    }

    async fn audit_dead(&self, memory: &Memory) -> Result<Audited, audit::Failed> {
        let stored = self.subject.open();
        let sources = self.sources.world().truth();
        audit::audit(stores(&stored), &self.known(&sources, memory)).await
    }

    fn known<'k>(&'k self, sources: &'k [teal_conformance::simulator::Source], memory: &'k Memory) -> Known<'k> {
        Known {
            sources,
            mappings: &self.configurations.mappings,
            accepted: &memory.accepted,
            listings: &memory.listings,
            as_was: &memory.as_was,
            secrets: &self.secrets,
            now: now(),
        }
    }

    /// Rebuilds without a request, and syncs everything: then readers have what the sources have.
    pub async fn look_again(&mut self) -> Result<(), String> {
        let asked = self.sources.desk.counters.get().requests;
        self.does("rebuild", json!({ "switch": true, "force": true })).await?;
        if self.sources.desk.counters.get().requests != asked {
            return Err("P13 rebuild-without-refetch: a rebuild asked the sources for something".to_owned());
        }
        for source in SOURCES {
            self.does("sync", json!({ "source": source, "mode": "full", "force": true })).await?;
        }
        let memory = self.outside.lock().clone();
        self.audit(&memory).await?;
        let (stored, sources) = (self.subject.open(), self.sources.world().truth());
        let known = self.known(&sources, &memory);
        audit::is_the_truth(stores(&stored), &known).await.map_err(|failed| failed.to_string())
    }

    /// Somebody asks, and the subject is killed as soon as there is an answer.
    pub async fn asks_in_vain(&mut self, what: &'static str, body: serde_json::Value) {
        self.subject.start();
        let mut door = self.subject.door();
        door.opens().await;
        let _ = door.post(&format!("/admin/{what}"), &body).await;
        self.subject.kill();
    }

    async fn does(&mut self, what: &'static str, body: serde_json::Value) -> Result<(), String> {
        if self.subject.door().place.borrow().is_none() {
            self.subject.start();
        }
        let mut driver = self.driver();
        driver.opens().await;
        driver.comes_to_rest().await;
        driver.ask(what, body);
        driver.comes_to_rest().await;
        self.untroubled()
    }

    /// The version that readers have, while nobody works.
    pub async fn active(&self) -> Version {
        let stored = self.subject.open();
        let pointer = ledger::pointer(stored.ledger.as_ref()).await.ok().flatten();
        pointer.expect("a system that was configured has a version").version
    }

    fn untroubled(&self) -> Result<(), String> {
        self.outside.lock().trouble.clone().map_or(Ok(()), Err)
    }

    /// All of it.
    pub async fn whole(&mut self, kills: usize) -> Result<Report, String> {
        let kills = self.live(kills).await?;
        let memory = self.outside.lock().clone();
        let audited = self.audit(&memory).await?;
        self.look_again().await?;
        Ok(Report { kills, audited, memory })
    }
}

fn stores(stored: &crate::subject::Stored) -> Stores<'_> {
    Stores { ledger: stored.ledger.as_ref(), entities: stored.entities.as_ref(), blobs: stored.blobs.as_ref() }
}
