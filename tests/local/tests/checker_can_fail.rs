//! The checker notices what it is there for: a switch that is not atomic, and listings that are not pinned.
//!
//! Each defect is put into a copy of the read side that is served beside the real one, over the same files.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use teal::domain::{GenerationId, Key, Pointer, Row, RowHash, Version};
use teal::pipeline::ledger;
use teal::pipeline::serve::Serve;
use teal::ports::entities::{Dangling, Head, ListQuery};
use teal::ports::ledger::{Item, ItemKey, JsonText, pointer_key};
use teal::ports::{EntitiesError, EntityReader, LedgerError, LedgerReader};
use teal::trigger::callers::StaticTokens;
use teal::trigger::http::Http;
use teal_local::clock::SystemClock;
use teal_local::entropy::SystemEntropy;
use teal_local::host::http::serve;
use teal_local::host::stop::{Stopper, stop};
use teal_local_tests::expected::{self, ENTITIES};
use teal_local_tests::observations::{Observations, Shown, Truth};
use teal_local_tests::reader::Reader;
use teal_local_tests::system::{System, Tweaks};
use teal_local_tests::{Client, Listing, Violation};
use teal_stand_in::BlueOptions;
use tokio::net::TcpListener;

async fn system_after(switches: u64) -> (System, Truth) {
    let options = BlueOptions { talents: 25, boards: 4, media_tags: 15, ..BlueOptions::default() };
    let system = System::start(options, Tweaks::default()).await;
    let mut truth = Truth::new();
    for stamp in 1..=switches {
        switch(&system, stamp, &mut truth).await;
    }
    (system, truth)
}

async fn switch(system: &System, stamp: u64, truth: &mut Truth) {
    system.blue.set_generation(stamp);
    let run = system.switch().await;
    truth.insert(run.builds.expect("a full run builds").0, Shown { stamp, keys: expected::keys(&system.blue) });
}

/// Serves the system's data through these ports.
async fn served(entities: Arc<dyn EntityReader>, ledger: Arc<dyn LedgerReader>) -> (Client, Stopper) {
    let clock = Arc::new(SystemClock);
    let http = Arc::new(Http {
        hooks: None,
        serve: Some(Arc::new(Serve { entities, ledger, clock: clock.clone() })),
        admin: None,
        callers: Arc::new(StaticTokens::new([])),
        open: true,
        meter: teal::metrics::none(),
        metrics: None,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("it is bound"));
    let (stopper, stop) = stop();
    tokio::spawn(serve(listener, clock, Arc::new(SystemEntropy::default()), stop, move |event| {
        let http = http.clone();
        async move { http.handle(event).await }
    }));
    (Client::new(base, teal::domain::Secret::new("nobody's")), stopper)
}

/// A pointer that moves entity by entity: it has the new version's name from the start, and the generations
/// of the version before for all but the first `moved` entities.
struct MovesOneByOne {
    real: Arc<dyn LedgerReader>,
    before: Version,
    moved: usize,
}

#[async_trait]
impl LedgerReader for MovesOneByOne {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, LedgerError> {
        let item = self.real.get(key).await?;
        if *key != pointer_key() {
            return Ok(item);
        }
        let old = ledger::manifest(self.real.as_ref(), self.before).await?.expect("it is kept");
        Ok(item.map(|mut item| {
            let mut pointer: Pointer = item.value.read().expect("it is a pointer");
            for (entity, number) in pointer.generations.iter_mut().skip(self.moved) {
                *number = old.generations[entity];
            }
            item.value = JsonText::of(&pointer);
            item
        }))
    }

    async fn list(
        &self,
        part: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Item>, LedgerError> {
        self.real.list(part, prefix, after, limit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_moves_one_entity_after_the_other_is_noticed_at_every_step() {
    let (system, truth) = system_after(2).await;
    for moved in 0..=ENTITIES.len() {
        let real: Arc<dyn LedgerReader> = system.local.ledger.clone();
        let torn = Arc::new(MovesOneByOne { real: real.clone(), before: Version(1), moved });
        let (client, _stopper) = served(system.local.reader.clone(), torn).await;
        let reader = Reader { number: 0, client, ledger: real, limit: 10, talents: vec![1, 2] };
        let seen = Mutex::default();
        reader.round(&seen, None).await;
        let seen: Observations = seen.into_inner().expect("nobody panicked");
        let wrong = seen.check(&truth);
        let torn = wrong.iter().filter(|wrong| matches!(wrong, Violation::WrongStamp { version: 2, stamp: 1, .. }));
        match moved {
            moved if moved == ENTITIES.len() => assert_eq!(wrong, [], "the whole switch is in order"),
            _ => assert!(torn.count() >= ENTITIES.len() - moved, "{moved} moved: {wrong:?}"),
        }
    }
}

/// Reads whatever is active now, as a view does, and not what it is asked for.
struct Unpinned {
    real: Arc<dyn EntityReader>,
    ledger: Arc<dyn LedgerReader>,
}

impl Unpinned {
    async fn active(&self, id: &GenerationId) -> GenerationId {
        let pointer = ledger::pointer(self.ledger.as_ref()).await.expect("the ledger can be read");
        pointer.and_then(|pointer| pointer.generation(&id.entity)).expect("the entity is active")
    }
}

#[async_trait]
impl EntityReader for Unpinned {
    async fn head(&self, id: &GenerationId) -> Result<Head, EntitiesError> {
        self.real.head(&self.active(id).await).await
    }

    async fn get(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError> {
        self.real.get(&self.active(id).await, key).await
    }

    async fn list(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError> {
        self.real.list(&self.active(id).await, query).await
    }

    async fn hashes(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError> {
        self.real.hashes(&self.active(id).await, after, limit).await
    }

    async fn dangling(
        &self,
        id: &GenerationId,
        field: &str,
        to: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Dangling, EntitiesError> {
        self.real.dangling(id, field, to, after, limit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_is_not_pinned_to_its_version_is_noticed() {
    let (system, mut truth) = system_after(1).await;
    let unpinned = Unpinned { real: system.local.reader.clone(), ledger: system.local.ledger.clone() };
    let (client, _stopper) = served(Arc::new(unpinned), system.local.ledger.clone()).await;
    let first = client.page("talents", 15, None).await.unwrap();
    switch(&system, 2, &mut truth).await;
    let second = client.page("talents", 15, first.next.as_deref()).await.unwrap();
    let mut seen = Observations::default();
    seen.listing(0, "talents", &Listing { pages: vec![first, second], cut_short: None }, false);
    let wrong = seen.check(&truth);
    assert!(wrong.iter().any(|wrong| matches!(wrong, Violation::Mixed { version: 1, .. })), "{wrong:?}");
}
