//! One core for all stand-ins that are described rather than written: an [`Api`] says where its listings live, how
//! they are cut into pages, which field `since` goes by, and what its traps answer; this module does the rest.
//!
//! ```text
//! request ─► key ─► fault, if one is set ─► trap, if the API has one ─► rows of the path ─► filter ─► page ─► answer
//! ```
//!
//! Owns the rows and the traps that are armed. Owns no API: those are the modules beside it.
//!
//! Always holds: the same rows and the same request give the same bytes. A row's member `_of` says for which
//! parameters it is there and is never shown.

pub mod airtable;
pub mod apify;
mod call;
pub mod generic;
pub mod github;
pub mod google_calendar;
pub mod mailchimp;
pub mod notion;
mod page;
pub mod youtube;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use http::Method;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::http::{Asked, Counts, Desk, DeskOptions, Distortion, FaultRule, Reply, Server, Source, Spot, real_clock};

pub use call::Call;
pub use page::Paging;

/// Where the key is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    Bearer,
    /// The password of `Authorization: Basic`, whatever the user.
    Basic,
    /// A parameter of the query, or a bearer token that was asked for with OAuth.
    Query(&'static str),
}

/// A whole API.
pub struct Api {
    pub auth: Auth,
    pub key: &'static str,
    /// How it refuses a wrong key.
    pub refusal: fn() -> Reply,
    pub per_second: Option<u32>,
    pub endpoints: Vec<Endpoint>,
    /// Answers that no listing explains.
    pub trap: fn(&Call<'_>) -> Option<Reply>,
    /// Table by table, in the order in which they are listed.
    pub rows: BTreeMap<&'static str, Vec<Value>>,
}

/// One path of it.
pub struct Endpoint {
    /// As faults and counters call it.
    pub name: &'static str,
    pub method: Method,
    /// With `{parameters}`, each one segment; `{name*}` is all that is left.
    pub path: &'static str,
    pub table: &'static str,
    /// Where in the answer the rows are; `None` when they are all of it.
    pub items: Option<&'static str>,
    pub paging: Paging,
    /// The parameter and the field that it is compared with, as texts.
    pub since: Option<(&'static str, &'static str)>,
    /// Which rows are shown besides.
    pub shows: fn(&Call<'_>, &Value) -> bool,
    /// Whether it answers without a key.
    pub is_open: bool,
}

impl Endpoint {
    /// `GET path` lists a table under `items`, in one page.
    #[must_use]
    pub fn listing(name: &'static str, path: &'static str, items: &'static str) -> Self {
        Self {
            name,
            method: Method::GET,
            path,
            table: name,
            items: Some(items),
            paging: Paging::None,
            since: None,
            shows: |_, _| true,
            is_open: false,
        }
    }

    /// `GET path` shows one row, or 404.
    #[must_use]
    pub fn single(name: &'static str, path: &'static str) -> Self {
        Self { items: None, paging: Paging::Single, ..Self::listing(name, path, "") }
    }

    #[must_use]
    pub fn paged(self, paging: Paging) -> Self {
        Self { paging, ..self }
    }

    #[must_use]
    pub fn since(self, parameter: &'static str, field: &'static str) -> Self {
        Self { since: Some((parameter, field)), ..self }
    }
}

/// A running stand-in. Stops when it is dropped.
pub struct Fake {
    server: Server,
    desk: Arc<Desk<Described>>,
}

struct Described {
    api: Api,
    rows: Mutex<BTreeMap<&'static str, Vec<Value>>>,
    armed: Mutex<BTreeMap<&'static str, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fake {
    /// On a free port of 127.0.0.1.
    pub async fn start(mut api: Api) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let options = DeskOptions { key: api.key.to_owned(), per_second: api.per_second, clock: real_clock() };
        let rows = Mutex::new(std::mem::take(&mut api.rows));
        let desk = Arc::new(Desk::new(Described { api, rows, armed: Mutex::default() }, options));
        let server = Server::start(listener, desk.clone(), Duration::ZERO)?;
        Ok(Self { server, desk })
    }

    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Puts a row where the one of the same `id` (and `_of`) was, or at the end of its table.
    pub fn put(&self, table: &'static str, row: Value) {
        let mut tables = lock(&self.desk.source.rows);
        let rows = tables.entry(table).or_default();
        match rows.iter_mut().find(|old| old["id"] == row["id"] && old["_of"] == row["_of"]) {
            Some(old) => *old = row,
            None => rows.push(row),
        }
    }

    /// Other rows for a table.
    pub fn set(&self, table: &'static str, rows: Vec<Value>) {
        lock(&self.desk.source.rows).insert(table, rows);
    }

    /// The rows of a table as they are kept.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Value> {
        lock(&self.desk.source.rows).get(table).cloned().unwrap_or_default()
    }

    /// The next `times` requests that could spring this trap do.
    pub fn arm(&self, trap: &'static str, times: u64) {
        lock(&self.desk.source.armed).insert(trap, times);
    }

    pub fn fault(&self, rule: FaultRule) {
        self.desk.faults.add(rule);
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.desk.counters.get()
    }

    pub fn reset_counts(&self) {
        self.desk.counters.reset();
    }
}

impl Described {
    fn call<'a>(&'a self, asked: &'a Asked) -> Option<Call<'a>> {
        self.api.endpoints.iter().find_map(|endpoint| Call::of(endpoint, asked, &self.armed))
    }
}

impl Source for Described {
    fn spot(&self, asked: &Asked) -> Option<Spot> {
        let call = self.call(asked)?;
        let incremental = call.endpoint.since.is_some_and(|(parameter, _)| call.get(parameter).is_some());
        Some(Spot { endpoint: call.endpoint.name, page: call.endpoint.paging.number(&call), incremental })
    }

    fn refuse(&self, asked: &Asked, key: &str) -> Option<Reply> {
        if self.call(asked).is_some_and(|call| call.endpoint.is_open) {
            return None;
        }
        let after = |prefix: &str| asked.authorization.as_deref().and_then(|value| value.strip_prefix(prefix));
        let is_right = match self.api.auth {
            Auth::Bearer => after("Bearer ") == Some(key),
            Auth::Query(name) => {
                after("Bearer ") == Some(key) || asked.query.get(name).is_some_and(|given| given == key)
            }
            Auth::Basic => after("Basic ")
                .and_then(|code| base64::engine::general_purpose::STANDARD.decode(code).ok())
                .and_then(|pair| String::from_utf8(pair).ok())
                .is_some_and(|pair| pair.split_once(':').is_some_and(|(_, given)| given == key)),
        };
        (!is_right).then(self.api.refusal)
    }

    fn takes(&self, asked: &Asked) -> bool {
        self.call(asked).is_some()
    }

    fn answer(&self, asked: &Asked, _: &Spot, distortion: Option<Distortion>) -> Reply {
        let Some(call) = self.call(asked) else { return Reply::error(404, "nothing lives here") };
        if let Some(reply) = (self.api.trap)(&call) {
            return reply;
        }
        let rows = match distortion {
            Some(Distortion::EmptyPage) => Vec::new(),
            _ => call.rows(lock(&self.rows).get(call.endpoint.table).map_or(&[][..], Vec::as_slice)),
        };
        call.endpoint.paging.answer(&call, &rows)
    }

    fn control(&self, _: &str, _: &Value) -> Option<Reply> {
        None
    }
}
