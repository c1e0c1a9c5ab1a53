//! The three sources as they are asked over HTTP, with everything that sources get wrong.
//!
//! Owns reading requests, answering them, and what happens at a source while it is listed. Owns no record
//! (`source`) and no judgement: the oracle is told of every request and every page.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use teal::config::TimeFormat;
use teal::domain::Millis;
use teal::ports::fault::FaultKind;
use teal::ports::upstream::{HeaderValue, Request, Response};
use teal::ports::{Fault, Upstream};

use super::faults::Kind;
use super::source::{Page, Query, Record, Source, Style};
use super::system::{API_KEY, SOURCES};
use super::world::World;
use crate::memory::lock;
use crate::seed::Seed;

/// When what changes for a moment is back.
const SOON: Duration = Duration::from_millis(20);

/// Parts that things may have, by position.
const PARTS: u64 = 3;

pub struct Sources {
    pub all: Vec<Endpoint>,
    /// Changes that somebody might be told of.
    pub news: Vec<News>,
    pub seed: Seed,
}

pub struct Endpoint {
    pub source: Source,
    /// No request is answered before.
    closed_until: Millis,
    /// While it lies it lists only ids that this doesn't divide.
    lie: Option<u64>,
    /// Whether a listing is under way: when its last page was served.
    listed_at: Option<Millis>,
}

/// A change at a source, in the moment that it shows.
#[derive(Clone, Debug)]
pub struct News {
    pub source: usize,
    pub id: u64,
    /// `None`: it is gone.
    pub record: Option<Record>,
    pub at: Millis,
    /// The time that the change carries.
    pub updated: i64,
    /// How long somebody takes to tell.
    pub told_after: Duration,
}

impl Sources {
    pub fn new(rounds: bool, records: usize, start: Millis, mut seed: Seed) -> Self {
        let styles = [Style::Cursor, Style::Page, Style::Cursor];
        let all = styles.into_iter().enumerate().map(|(index, style)| Endpoint {
            source: Source::new(style, if rounds && index == 0 { 60_000 } else { 1 }),
            closed_until: Millis(0),
            lie: None,
            listed_at: None,
        });
        let mut sources = Self { all: all.collect(), news: Vec::new(), seed: seed.branch() };
        for index in 0..SOURCES.len() {
            for _ in 0..records {
                sources.birth(index, start.minus(Duration::from_secs(3600)), start, false, true);
            }
        }
        sources.settle(start);
        sources.news.clear();
        sources
    }

    /// Lets everything show whose time has come.
    pub fn settle(&mut self, now: Millis) {
        self.all.iter_mut().for_each(|endpoint| endpoint.source.settle(now));
    }

    /// A new record. It shows from `shows` on.
    pub fn birth(&mut self, index: usize, now: Millis, shows: Millis, bad: bool, quiet: bool) -> u64 {
        let id = self.all[index].source.next_id();
        let mut record = self.all[index].source.next_state(id, now);
        self.fill(index, &mut record, bad);
        self.change(index, record, shows, quiet);
        id
    }

    /// A record changes and is soon again exactly as it was. The first is told, late; the second is not.
    pub fn flip(&mut self, index: usize, id: u64, now: Millis) {
        if self.all[index].source.is_changing(id) {
            return;
        }
        let Some(before) = self.all[index].source.get(id).cloned() else { return };
        let mut record = self.all[index].source.next_state(id, now);
        self.fill(index, &mut record, false);
        self.change(index, record, now, false);
        self.tell_late();
        self.change(index, before, now.plus(SOON), true);
    }

    /// A record is born and soon gone. The first is told, late; the second is not.
    pub fn come_and_go(&mut self, index: usize, now: Millis) {
        let id = self.birth(index, now, now, false, false);
        self.tell_late();
        self.settle(now);
        self.all[index].source.delete(id, now.plus(SOON));
    }

    fn tell_late(&mut self) {
        if let Some(news) = self.news.last_mut() {
            news.told_after = Duration::from_millis(self.seed.number() % 300_000);
        }
    }

    /// A new state of some record. `same_time`: it carries the time that it carried before.
    pub fn edit(&mut self, index: usize, id: u64, now: Millis, shows: Millis, bad: bool, same_time: bool) {
        if self.all[index].source.is_changing(id) {
            return;
        }
        let Some(before) = self.all[index].source.get(id).map(|record| record.updated) else { return };
        let mut record = self.all[index].source.next_state(id, now);
        if same_time {
            record.updated = before;
        }
        self.fill(index, &mut record, bad);
        self.change(index, record, shows, false);
    }

    pub fn delete(&mut self, index: usize, id: u64, now: Millis) {
        let source = &mut self.all[index].source;
        if source.get(id).is_none() {
            return;
        }
        let updated = now.0.div_euclid(source.round) * source.round;
        source.delete(id, now);
        self.news.push(News { source: index, id, record: None, at: now, updated, told_after: Duration::ZERO });
    }

    pub fn any_id(&mut self, index: usize) -> Option<u64> {
        let ids = self.all[index].source.ids();
        (!ids.is_empty()).then(|| ids[self.seed.below(ids.len())])
    }

    fn fill(&mut self, index: usize, record: &mut Record, bad: bool) {
        match self.seed.below(8) {
            _ if bad => record.name = None,
            0 => record.name = Some(format!("a-long-name-{}", record.rev)),
            _ => {}
        }
        if index == 0 {
            record.group = self.seed.once_in(2).then(|| 1 + self.seed.number() % 20);
            // Now and then a part leaves its thing, or comes back to it.
            record.parts = (0..PARTS).filter(|_| !self.seed.once_in(3)).map(|part| record.id * 10 + part).collect();
        }
    }

    fn change(&mut self, index: usize, record: Record, shows: Millis, quiet: bool) {
        if !quiet {
            let (id, updated) = (record.id, record.updated);
            let (record, told_after) = (Some(record.clone()), Duration::ZERO);
            self.news.push(News { source: index, id, record, at: shows, updated, told_after });
        }
        self.all[index].source.put(record, shows);
    }
}

/// Counts requests where they are sent: what happens to them on the way is nobody's to decide.
pub struct Counted<U> {
    pub world: Arc<World>,
    pub inner: Arc<U>,
}

#[async_trait]
impl<U: Upstream> Upstream for Counted<U> {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let (index, _) = understand(&request);
        self.world.oracle.requested(index, self.world.time.now());
        self.inner.send(request).await
    }
}

/// The sources as a port.
pub struct SimUpstream(pub Arc<World>);

#[async_trait]
impl Upstream for SimUpstream {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let world = &self.0;
        let now = world.time.now();
        let (index, query) = understand(&request);
        let mut sources = lock(&world.sources);
        sources.settle(now);
        if !has_key(&request) {
            return Ok(answer(401, Vec::new(), &json!({ "error": "no key" })));
        }
        if let Some(response) = refusal(world, &mut sources.all[index], now) {
            world.note(|| format!("source {} answers {} to {}", SOURCES[index], response.status, path(&request)));
            return Ok(response);
        }
        // Changed right before the listing comes by, and once more, at the same time, right after.
        let twice = if index == 0 && world.strikes(Kind::SameTime) { sources.any_id(index) } else { None };
        if let Some(id) = twice {
            sources.edit(index, id, now, now, false, false);
            sources.settle(now);
        }
        let begins = query.cursor.is_none() && query.page <= 1;
        let endpoint = &mut sources.all[index];
        if begins {
            let lies = query.since.is_none() && world.strikes(Kind::Lies);
            endpoint.lie = lies.then(|| 2 + world.faults.number(Kind::Lies, 6));
        }
        let mut page = endpoint.source.page(&query);
        if let Some(lie) = endpoint.lie {
            // Half of it, a sixth of it, or all of it: nobody says that the list is not the whole one.
            page.records.retain(|record| lie > 2 && record.id % lie != 0);
            if lie == 2 {
                (page.total, page.pages, page.next) = (0, 1, None);
            }
        }
        let last = if endpoint.source.style == Style::Page { query.page >= page.pages } else { page.next.is_none() };
        endpoint.listed_at = (!last).then_some(now);
        if world.strikes(Kind::Circle) && page.next.is_some() {
            page.next = Some(1);
            world.oracle.sent_round(index);
        }
        let lied = endpoint.lie.is_some();
        world.oracle.served(index, &request.url, lied);
        world.note(|| {
            let ids: Vec<u64> = page.records.iter().map(|record| record.id).collect();
            format!(
                "source {} serves {} {ids:?}{}",
                SOURCES[index],
                path(&request),
                if lied { ", and lies" } else { "" }
            )
        });
        let response = page_answer(world, endpoint.source.style, &query, &page);
        if let Some(id) = twice {
            world.note(|| format!("record a/{id} changes twice at the same time"));
            sources.edit(index, id, now, now.plus(Duration::from_millis(1)), false, true);
        }
        records_move(world, &mut sources, index, &page, now);
        if world.strikes(Kind::AnswerLost) {
            return Err(Fault::new(FaultKind::Transient, "the connection was reset"));
        }
        Ok(response)
    }
}

/// What goes wrong before there is a page.
fn refusal(world: &World, endpoint: &mut Endpoint, now: Millis) -> Option<Response> {
    let second = |header: &str| vec![("retry-after".to_owned(), header.to_owned())];
    let minute = 60_000;
    if world.strikes(Kind::QuotaWindow) {
        let span = minute + world.faults.number(Kind::QuotaWindow, 7 * minute);
        endpoint.closed_until = now.plus(Duration::from_millis(span));
    }
    if world.strikes(Kind::QuotaLong) {
        endpoint.closed_until = now.plus(Duration::from_secs(7200));
    }
    if world.faults.have_stopped() {
        endpoint.closed_until = now.min(endpoint.closed_until);
    }
    if now < endpoint.closed_until {
        let seconds = endpoint.closed_until.since(now).as_secs() + 1;
        return Some(answer(429, second(&seconds.to_string()), &json!({ "error": "quota" })));
    }
    if world.strikes(Kind::Upstream429) {
        return Some(answer(429, second("1"), &json!({ "error": "slow down" })));
    }
    if world.strikes(Kind::Upstream429Vague) {
        let headers = match world.faults.number(Kind::Upstream429Vague, 3) {
            0 => Vec::new(),
            1 => second("Sun, 06 Nov 1994 08:49:37 GMT"),
            _ => second("soon"),
        };
        return Some(answer(429, headers, &json!({ "error": "slow down" })));
    }
    if world.strikes(Kind::Upstream500) {
        return Some(answer(500, Vec::new(), &json!({ "error": "it is us" })));
    }
    if world.strikes(Kind::ErrorInside) {
        return Some(answer(200, Vec::new(), &json!({ "error": { "message": "try later" }, "data": [] })));
    }
    if world.strikes(Kind::Echo) {
        let said = format!("the key Bearer {API_KEY} had trouble");
        return Some(answer(503, Vec::new(), &json!({ "error": said })));
    }
    world.strikes(Kind::Gone).then(|| answer(410, Vec::new(), &json!({ "error": "this listing is gone" })))
}

fn page_answer(world: &World, style: Style, query: &Query, page: &Page) -> Response {
    let mut records: Vec<Json> = page.records.iter().map(Record::json).collect();
    let mut more = (page.pages, page.next);
    if world.strikes(Kind::EmptyMore) {
        records.clear();
        more = (page.pages + 5, Some(999));
    }
    let body = match style {
        Style::Page => {
            json!({ "data": records, "meta": { "page": query.page, "pages": more.0, "total": page.total } })
        }
        Style::Cursor => json!({ "data": records, "next": more.1.map(|id| id.to_string()) }),
    };
    let mut response = answer(200, vec![("content-type".to_owned(), "application/json".to_owned())], &body);
    if world.strikes(Kind::Truncated) {
        let half = response.body.len() / 2;
        response.body = response.body.slice(..half);
    }
    response
}

/// A deletion right after an answer moves records between pages.
fn records_move(world: &World, sources: &mut Sources, index: usize, page: &Page, now: Millis) {
    let Some(first) = page.records.first().map(|record| record.id) else { return };
    let middle = sources.all[index].listed_at.is_some();
    if middle && index == 1 && world.strikes(Kind::MoveWhileListed) {
        world.note(|| format!("record b/{first} is deleted in the middle of a listing"));
        sources.delete(index, first, now);
    }
}

/// The most that a commit is late: less than an incremental listing looks back.
pub const LATEST_COMMIT: Duration = Duration::from_secs(60);

/// How late this commit is.
pub fn lateness(world: &World) -> Duration {
    let most = LATEST_COMMIT.as_secs() * 1000;
    Duration::from_millis(if world.strikes(Kind::LateCommit) { world.faults.number(Kind::LateCommit, most) } else { 0 })
}

fn has_key(request: &Request) -> bool {
    request.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("authorization")
            && matches!(value, HeaderValue::Secret(secret) if secret.expose() == format!("Bearer {API_KEY}"))
    })
}

fn path(request: &Request) -> &str {
    request.url.strip_prefix("http://sources.example.com").unwrap_or(&request.url)
}

fn understand(request: &Request) -> (usize, Query) {
    let (path, query) = path(request).split_once('?').unwrap_or((path(request), ""));
    let source = path.trim_start_matches('/').split('/').next();
    let index = SOURCES.iter().position(|name| Some(*name) == source).expect("requests go to a source");
    let mut out = Query { size: 1000, page: 1, ..Query::default() };
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "size" => out.size = value.parse().expect("a size is a number"),
            "page" => out.page = value.parse().expect("a page is a number"),
            "cursor" => out.cursor = Some(value.parse().expect("a cursor is one that was given")),
            "since" => out.since = Some(read_time(value)),
            _ => panic!("nobody asks for '{name}'"),
        }
    }
    (index, out)
}

/// RFC 3339 as it stands in a URL.
fn read_time(text: &str) -> Millis {
    let text = Json::from(text.replace("%3A", ":"));
    teal::pipeline::normalize::read_time(&text, &TimeFormat::Rfc3339).expect("a time is RFC 3339")
}

fn answer(status: u16, headers: Vec<(String, String)>, body: &Json) -> Response {
    Response { status, headers, body: Bytes::from(body.to_string()) }
}
