//! The simulator's three sources behind one address on this machine.
//!
//! Owns reading their requests and writing their answers. What the records are is the simulator's; key, faults
//! and counters are the stand-in's.
//!
//! Always holds: a request is answered, and a change happens, at one moment of this machine's clock.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};
use teal::config::TimeFormat;
use teal::domain::Millis;
use teal::pipeline::normalize::read_time;
use teal_conformance::Seed;
use teal_conformance::simulator::{API_KEY, News, Plan, Query, Record, SOURCES, Source, Sources, Style};
use teal_stand_in::http::{Asked, Desk, DeskOptions, Distortion, Reply, Server, Source as Answers, Spot};
use teal_stand_in::real_clock;
use tokio::net::TcpListener;

/// Stops listening when it is dropped.
pub struct Listening {
    pub desk: Arc<Desk<World>>,
    server: Server,
}

impl Listening {
    pub async fn start(plan: &Plan) -> io::Result<Self> {
        let world = World::new(Sources::new(plan.rounds, plan.records, now(), Seed(plan.seed).branch()));
        let options = DeskOptions { key: API_KEY.to_owned(), per_second: None, clock: real_clock() };
        let desk = Arc::new(Desk::new(world, options));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = Server::start(listener, desk.clone(), Duration::ZERO)?;
        Ok(Self { desk, server })
    }

    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    #[must_use]
    pub fn world(&self) -> &World {
        &self.desk.source
    }
}

pub struct World(Mutex<State>);

struct State {
    sources: Sources,
    /// Whether somebody is between the first and the last page of a listing.
    listed: [bool; SOURCES.len()],
    dice: Seed,
}

/// Milliseconds since 1970.
#[must_use]
pub fn now() -> Millis {
    Millis(real_clock()())
}

impl World {
    fn new(mut sources: Sources) -> Self {
        let dice = sources.seed.branch();
        Self(Mutex::new(State { sources, listed: [false; SOURCES.len()], dice }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not while somebody is in the middle of a listing by page number, which could not see that records moved.
    pub fn birth(&self, source: usize) {
        let mut state = self.lock();
        if state.sources.all[source].source.style == Style::Page && state.listed[source] {
            return;
        }
        let (now, bad) = (now(), state.dice.once_in(6));
        state.sources.birth(source, now, now, bad, false);
        state.sources.settle(now);
    }

    pub fn edit(&self, source: usize) {
        let mut state = self.lock();
        let Some(id) = state.sources.any_id(source) else { return };
        let (now, bad, again) = (now(), state.dice.once_in(6), state.dice.once_in(6));
        state.sources.edit(source, id, now, now, bad, again);
        state.sources.settle(now);
    }

    pub fn delete(&self, source: usize) {
        let mut state = self.lock();
        if let Some(id) = state.sources.any_id(source) {
            state.sources.delete(source, id, now());
        }
    }

    /// A record changes for a moment.
    pub fn flip(&self, source: usize) {
        let mut state = self.lock();
        if let Some(id) = state.sources.any_id(source) {
            state.sources.flip(source, id, now());
        }
    }

    /// A record is there for a moment.
    pub fn come_and_go(&self, source: usize) {
        self.lock().sources.come_and_go(source, now());
    }

    /// What has changed since somebody asked.
    pub fn news(&self) -> Vec<News> {
        std::mem::take(&mut self.lock().sources.news)
    }

    /// The sources as they are now.
    pub fn truth(&self) -> Vec<Source> {
        self.lock().sources.all.iter().map(|endpoint| endpoint.source.clone()).collect()
    }
}

impl Answers for World {
    fn spot(&self, asked: &Asked) -> Option<Spot> {
        let source = asked.path.strip_prefix('/')?.split('/').next();
        let endpoint = SOURCES.into_iter().find(|name| Some(*name) == source)?;
        let page = asked.query.get("page").and_then(|page| page.parse().ok());
        let page = page.unwrap_or(1 + u64::from(asked.query.contains_key("cursor")));
        Some(Spot { endpoint, page, incremental: asked.query.contains_key("since") })
    }

    fn answer(&self, asked: &Asked, spot: &Spot, _: Option<Distortion>) -> Reply {
        let index = SOURCES.iter().position(|name| *name == spot.endpoint).unwrap_or_default();
        let Some(query) = understand(asked) else { return Reply::error(400, "that is no listing") };
        let mut state = self.lock();
        state.sources.settle(now());
        let source = &state.sources.all[index].source;
        let page = source.page(&query);
        let is_last = if source.style == Style::Page { query.page >= page.pages } else { page.next.is_none() };
        let records: Vec<Json> = page.records.iter().map(Record::json).collect();
        let body = match source.style {
            Style::Page => json!({ "data": records, "meta": { "pages": page.pages, "total": page.total } }),
            Style::Cursor => json!({ "data": records, "next": page.next.map(|id| id.to_string()) }),
        };
        state.listed[index] = !is_last;
        Reply::ok(body)
    }

    fn control(&self, _: &str, _: &Json) -> Option<Reply> {
        None
    }
}

fn understand(asked: &Asked) -> Option<Query> {
    let mut out = Query { size: 1000, page: 1, ..Query::default() };
    for (name, value) in &asked.query {
        match name.as_str() {
            "size" => out.size = value.parse().ok()?,
            "page" => out.page = value.parse().ok()?,
            "cursor" => out.cursor = Some(value.parse().ok()?),
            "since" => out.since = Some(read_time(&Json::from(value.as_str()), &TimeFormat::Rfc3339).ok()?),
            _ => return None,
        }
    }
    Some(out)
}
