//! The bench on which the pipeline's promises are tested: the example system over NowRepBlue, all in memory
//! and in virtual time.
//!
//! Owns setting up, and reading what came of it. Owns no promise: those are in `tests/`, a file each.
//!
//! Always holds: the configuration is the one that ships, with the changes that a test names; nothing is
//! asked over a socket; one seed gives one course of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use teal::config::Bundle;
use teal::domain::{Counts, Message, Millis, Mode, Outcome, Run, RunId, RunState, SourceId};
use teal::pipeline::admin::deliveries::DeliveryFilter;
use teal::pipeline::api::{ApiResponse, ReadApi as _};
use teal::pipeline::changelog;
use teal::pipeline::inbox::Entry;
use teal::pipeline::poll::{Asked, Started};
use teal::ports::fault::FaultKind;
use teal::ports::upstream::{HeaderValue, Request, Response};
use teal::ports::{Clock, Fault, Outgoing, QueueSender};
use teal_conformance::{MemoryWorld, Runner, Settings, Trace};
use teal_connect::ManifestConnectors;
use teal_stand_in::{Arrives, Blue, BlueOptions, Event, Kind, OfflineBlue, Webhook};

pub const BLUE: &str = "http://blue.example.com";
const SECRET: &str = "sync-secret";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../systems/nowrep/teal.yaml");

#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub talents: u64,
    pub boards: u64,
    pub media_tags: u64,
    /// Records a page, of every stream.
    pub page: u64,
    /// What to put in place of what, in the system's file.
    pub edits: Vec<(String, String)>,
}

impl Default for Setup {
    /// Three pages of talents, two of boards, one of tags.
    fn default() -> Self {
        Self { seed: 1, talents: 25, boards: 12, media_tags: 9, page: 10, edits: Vec::new() }
    }
}

impl Setup {
    /// As little as has two pages: for loops over every step.
    #[must_use]
    pub fn tiny() -> Self {
        Self { talents: 6, boards: 2, media_tags: 3, page: 4, ..Self::default() }
    }

    #[must_use]
    pub fn edit(mut self, from: &str, to: &str) -> Self {
        self.edits.push((from.to_owned(), to.to_owned()));
        self
    }

    #[must_use]
    pub fn bundle(&self) -> Bundle {
        let env = |name: &str| (name == "BLUE_URL").then(|| BLUE.to_owned());
        let mut bundle =
            Bundle::collect(ROOT, |path| std::fs::read_to_string(path), env).expect("the example is right");
        for (path, text) in &mut bundle.files {
            if path == teal::config::bundle::ROOT {
                for (from, to) in &self.edits {
                    assert!(text.contains(from.as_str()), "the example has no '{from}'");
                    *text = text.replacen(from.as_str(), to, 1);
                }
            } else {
                *text = text.replace("size: 100", &format!("size: {}", self.page));
                *text = text.replace("size: 50", &format!("size: {}", self.page));
            }
        }
        bundle
    }
}

pub struct Bench {
    pub world: MemoryWorld,
    pub blue: OfflineBlue,
    pub setup: Setup,
    pub settings: Settings,
    pub runner: Runner,
}

impl Bench {
    /// Deployed, nothing synced yet.
    pub async fn new(setup: Setup) -> Self {
        Self::traced(setup, &Trace::default()).await
    }

    /// The same with a trace of everything after deployment.
    pub async fn traced(setup: Setup, trace: &Trace) -> Self {
        let world = MemoryWorld::new(setup.seed);
        let clock = world.clock.clone();
        let blue = Blue::offline(BlueOptions {
            talents: setup.talents,
            boards: setup.boards,
            media_tags: setup.media_tags,
            clock: Arc::new(move || clock.now().0),
            ..BlueOptions::default()
        });
        Self::over(world, blue, setup, trace).await
    }

    /// A world of its own that asks a source which is there already.
    pub async fn beside(&self) -> Self {
        let world = MemoryWorld::new(self.setup.seed);
        world.clock.set(self.world.clock.now());
        Self::over(world, self.blue.clone(), self.setup.clone(), &Trace::default()).await
    }

    async fn over(world: MemoryWorld, blue: OfflineBlue, setup: Setup, trace: &Trace) -> Self {
        world.secrets.set("blue-api-key", "blue-key");
        world.secrets.set("sync-secret-key", SECRET);
        let (source, clock) = (blue.clone(), world.clock.clone());
        world.upstream.script(move |request| answer(&source, &clock, request));
        let settings = Settings { seed: setup.seed, ..Settings::default() };
        let quiet = runner(&world, &Trace::default(), &settings);
        quiet.deploy(&setup.bundle()).await.expect("the example can be deployed");
        let runner = runner(&world, trace, &settings);
        Self { world, blue, setup, settings, runner }
    }

    /// The process dies, and another one takes its place.
    pub fn restart(&mut self, trace: &Trace) {
        self.runner = runner(&self.world, trace, &self.settings);
    }

    /// One sync from being asked for to everything at rest; gives the last run.
    pub async fn sync(&self, mode: Mode) -> Run {
        self.runner.ask_for_sync("blue", mode).await;
        self.runner.drain().await;
        self.last_run().await
    }

    /// A full sync that has to be complete.
    pub async fn synced(&self) -> Counts {
        let run = self.sync(Mode::Full).await;
        assert_eq!(run.outcome, Some(Outcome::Complete), "{run:?}");
        self.runner.counts(&run).await
    }

    /// Every run has ended well, and its counts add up.
    pub async fn all_ended_well(&self, what: &str) {
        for run in self.runner.runs().await {
            assert!(run.state == RunState::Ended && run.outcome.is_some_and(Outcome::is_success), "{what}: {run:?}");
            assert!(self.runner.counts(&run).await.add_up(), "{what}: {run:?}");
        }
    }

    pub async fn last_run(&self) -> Run {
        self.runner.runs().await.pop().expect("a run was started")
    }

    pub async fn deliver(&self, webhook: &Webhook) -> ApiResponse {
        deliver(&self.runner, webhook).await
    }

    /// A webhook of this kind, delivered and taken in.
    pub async fn tell(&self, event: Event, talent: u64) {
        let webhook = self.blue.webhook(event, talent).expect("the talent is in the state that is told of");
        assert_eq!(self.deliver(&webhook).await.status, 202);
    }

    /// A delivery with this id and body, taken in and gone through.
    pub async fn bring(&self, id: &str, body: &serde_json::Value) {
        let webhook = Webhook { id: id.into(), body: body.to_string().into() };
        assert_eq!(self.deliver(&webhook).await.status, 202);
        self.runner.drain().await;
    }

    /// What became of deliveries, newest first.
    pub async fn inbox(&self) -> Vec<Entry> {
        let entries = self.runner.admin.deliveries(&DeliveryFilter::default(), 5000).await;
        entries.expect("the world's own ledger can be read").into_iter().map(|(_, entry)| entry).collect()
    }

    /// How many entries the change log of the source has had.
    pub async fn logged(&self) -> u64 {
        let end = changelog::end(self.world.ledger.as_ref(), &SourceId::new("blue")).await;
        end.expect("the world's own ledger can be read")
    }

    /// From now on what begins with `elsewhere` is answered by `script`, everything else by the source.
    pub fn also_at(
        &self,
        elsewhere: &'static str,
        mut script: impl FnMut(&Request, Millis) -> Response + Send + 'static,
    ) {
        let (source, clock) = (self.blue.clone(), self.world.clock.clone());
        self.world.upstream.script(move |request| {
            if request.url.starts_with(elsewhere) {
                return Ok(script(request, clock.now()));
            }
            answer(&source, &clock, request)
        });
    }

    /// What a system that syncs all of the source from nothing shows now.
    pub async fn fresh(&self) -> Vec<String> {
        let other = self.beside().await;
        let run = other.sync(Mode::Full).await;
        assert!(run.outcome.is_some_and(Outcome::is_success), "{run:?}");
        other.runner.export().await
    }

    /// Rows per entity as readers see them.
    pub async fn rows(&self) -> BTreeMap<String, u64> {
        let mut rows = BTreeMap::new();
        let versions = self.runner.admin.versions().await.expect("versions can be read");
        let active = self.runner.pointer().await.version;
        for info in versions.into_iter().filter(|info| info.manifest.version == active) {
            rows.extend(info.rows.into_iter().map(|(entity, rows)| (entity.to_string(), rows.unwrap_or(0))));
        }
        rows
    }

    /// What the source has, counted record by record.
    #[must_use]
    pub fn rows_of_the_source(&self) -> BTreeMap<String, u64> {
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        let mut add = |entity: &str, count: usize| *rows.entry(entity.to_owned()).or_default() += count as u64;
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        for id in self.blue.ids(Kind::Talents) {
            let record = self.blue.record(Kind::Talents, id).expect("it is listed");
            add("talents", 1);
            add("talents_measurements", 1);
            add("talents_socials", list(&record["socials"]).len());
            for portfolio in list(&record["portfolios"]) {
                add("talents_portfolios", 1);
                for medium in list(&portfolio["media"]) {
                    add("portfolios_media", 1);
                    add("media_tags_junction", list(&medium["tags"]).len());
                }
            }
        }
        for id in self.blue.ids(Kind::Boards) {
            let record = self.blue.record(Kind::Boards, id).expect("it is listed");
            add("boards", 1);
            add("boards_talents", list(&record["talents"]).len());
            add("boards_portfolios", list(&record["portfolios"]).len());
        }
        for entity in ["talents_socials", "talents_portfolios", "portfolios_media", "media_tags_junction"] {
            add(entity, 0);
        }
        for entity in ["talents", "talents_measurements", "boards", "boards_talents", "boards_portfolios"] {
            add(entity, 0);
        }
        add("media_tags", self.blue.ids(Kind::MediaTags).len());
        rows
    }

    /// Starts a run by hand and lets it come to rest.
    pub async fn start(&self, asked: Asked) -> Run {
        match self.runner.poll.start(asked).await.expect("nothing stands in the way") {
            Started::Run(run) => self.go_on(run).await,
            other => panic!("no run was started: {other:?}"),
        }
    }

    /// Goes on with a run until everything is at rest.
    pub async fn go_on(&self, run: RunId) -> Run {
        let message = Outgoing::now(Message::Continue { run: run.clone() });
        self.world.queue.send(vec![message]).await;
        self.runner.drain().await;
        self.runner.runs().await.into_iter().find(|one| one.id == run).expect("runs are kept")
    }

    pub async fn rebuild(&self, switch: bool) -> Run {
        let run = self.runner.poll.start_rebuild(switch, false, "cli".into()).await.expect("nothing is being built");
        self.go_on(run).await
    }

    /// The row as readers see it.
    pub async fn row(&self, entity: &str, key: &str) -> Option<serde_json::Value> {
        let answer = self.runner.serve.row(entity, key, None).await;
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).expect("an answer is JSON"))
    }
}

/// An answer of this status with this JSON.
#[must_use]
pub fn said(status: u16, body: &serde_json::Value) -> Response {
    Response { status, headers: Vec::new(), body: body.to_string().into() }
}

/// A complete run, asked for by somebody.
#[must_use]
pub fn full(force: bool) -> Asked {
    Asked { source: SourceId::new("blue"), mode: Mode::Full, cause: "cli".into(), switch: true, force, trace: None }
}

/// At most about `most` of the numbers from 1 to `last`, spread evenly.
pub fn sample(last: u64, most: u64) -> impl Iterator<Item = u64> {
    (1..=last).step_by(usize::try_from(last.div_ceil(most).max(1)).unwrap_or(1))
}

/// In memory nothing ever waits.
pub fn at_once<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("in memory nothing waits")
}

pub async fn deliver(runner: &Runner, webhook: &Webhook) -> ApiResponse {
    let headers = [("x-sync-secret-key", SECRET), ("x-delivery-id", webhook.id.as_str())];
    runner.receive_webhook("blue", &headers, webhook.body.clone()).await
}

#[must_use]
pub fn runner(world: &MemoryWorld, trace: &Trace, settings: &Settings) -> Runner {
    Runner::new(world, trace, Arc::new(ManifestConnectors), settings.clone())
}

/// What the stand-in answers to a request.
pub fn answer(
    blue: &OfflineBlue,
    clock: &teal_conformance::memory::VirtualClock,
    request: &Request,
) -> Result<Response, Fault> {
    let path = request.url.strip_prefix(BLUE).unwrap_or(&request.url);
    let key =
        request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")).map(
            |(_, value)| match value {
                HeaderValue::Plain(text) => text.clone(),
                HeaderValue::Secret(secret) => secret.expose().to_owned(),
            },
        );
    let answered = blue.ask(path, key.as_deref().and_then(|key| key.strip_prefix("Bearer ")));
    clock.advance(answered.wait);
    if answered.arrives != Arrives::Whole {
        return Err(Fault::new(FaultKind::Transient, "the answer was cut short"));
    }
    let headers = answered.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(Response { status: answered.status, headers, body: answered.body })
}
