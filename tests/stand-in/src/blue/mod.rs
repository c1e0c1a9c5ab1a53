//! NowRepBlue, a model agency's API: talents, boards and media tags, nested as such an agency returns them.
//!
//! ```text
//! GET /api/talents?page=1&per_page=100       { "data": […], "meta": { "page", "per_page", "total", "pages" } }
//! GET /api/media-tags?page=1&per_page=100    likewise
//! GET /api/boards?cursor=…&limit=50          { "items": […], "next_cursor": "…" | null }
//! ```
//!
//! Each takes `updated_since=<RFC 3339>` and wants `Authorization: Bearer KEY`. Commands for people, all POST
//! with JSON: `/control/edit {kind, ids, patch?}`, `/control/delete {kind, ids}`, `/control/insert {kind,
//! count?}`, `/control/generation {generation}`, `/control/delivery {event, id}` (makes a webhook's body), and
//! `/control/faults` and `/control/counters` with GET and DELETE too.
//!
//! Always holds: every record carries `updatedAt`, which grows with each change, and `generation`, one stamp
//! for all records, so that a reader can tell which listing a row comes from.

mod boards;
mod commands;
mod dice;
mod listing;
mod media_tags;
mod overlay;
mod talents;
#[cfg(test)]
mod tests;
mod world;

use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::listing::Listing;
use self::world::World;
use crate::http::{
    Answered, Asked, Clock, Counts, Desk, DeskOptions, Distortion, FaultRule, Reply, Server, Source, Spot, Webhook,
    post, real_clock, rfc3339,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Talents,
    Boards,
    MediaTags,
}

impl Kind {
    /// As faults and counters call its endpoint.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Talents => "talents",
            Self::Boards => "boards",
            Self::MediaTags => "media-tags",
        }
    }
}

/// What a webhook tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Event {
    #[serde(rename = "talent.updated")]
    TalentUpdated,
    #[serde(rename = "talent.deleted")]
    TalentDeleted,
    /// Please list everything; about no talent.
    #[serde(rename = "sync")]
    Sync,
}

impl Event {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TalentUpdated => "talent.updated",
            Self::TalentDeleted => "talent.deleted",
            Self::Sync => "sync",
        }
    }
}

#[derive(Clone)]
pub struct BlueOptions {
    pub seed: u64,
    pub talents: u64,
    pub boards: u64,
    pub media_tags: u64,
    pub key: String,
    pub per_second: Option<u32>,
    pub latency: Duration,
    pub clock: Clock,
    /// When the data was as generated; changes come after it. Milliseconds since 1970.
    pub epoch: i64,
}

impl Default for BlueOptions {
    /// 200 talents, the key `blue-key`, no limit, the real clock, unchanged since the start of 2026.
    fn default() -> Self {
        Self {
            seed: 1,
            talents: 200,
            boards: 12,
            media_tags: 40,
            key: "blue-key".to_owned(),
            per_second: None,
            latency: Duration::ZERO,
            clock: real_clock(),
            epoch: 1_767_225_600_000,
        }
    }
}

/// A running NowRepBlue: whatever an offline one does, and answers over HTTP. Stops when it is dropped.
pub struct Blue {
    server: Server,
    offline: OfflineBlue,
}

/// NowRepBlue without a socket: asked by calling it. Clones are the same agency.
#[derive(Clone)]
pub struct OfflineBlue {
    desk: Arc<Desk<Agency>>,
}

/// The source behind the desk.
struct Agency {
    world: RwLock<World>,
    clock: Clock,
    seed: u64,
    deliveries: AtomicU64,
}

impl Blue {
    /// On a free port of 127.0.0.1.
    pub async fn start(options: BlueOptions) -> io::Result<Self> {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await?, options)
    }

    /// Must be called within a tokio runtime.
    pub fn start_on(listener: TcpListener, options: BlueOptions) -> io::Result<Self> {
        let latency = options.latency;
        let offline = Self::offline(options);
        let server = Server::start(listener, offline.desk.clone(), latency)?;
        Ok(Self { server, offline })
    }

    /// One that is asked by calling it. There is no latency then.
    #[must_use]
    pub fn offline(options: BlueOptions) -> OfflineBlue {
        let BlueOptions { seed, talents, boards, media_tags, key, per_second, clock, epoch, .. } = options;
        let world = RwLock::new(World::new(seed, epoch, talents, boards, media_tags));
        let agency = Agency { world, clock: clock.clone(), seed, deliveries: AtomicU64::new(0) };
        OfflineBlue { desk: Arc::new(Desk::new(agency, DeskOptions { key, per_second, clock })) }
    }

    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Answers nothing from now on.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Sends a delivery that [`OfflineBlue::webhook`] made, as often as one likes. Gives the answer's status.
    pub async fn deliver(&self, url: &str, secret: &str, webhook: &Webhook) -> io::Result<u16> {
        post(url, &[("x-sync-secret-key", secret), ("x-delivery-id", &webhook.id)], &webhook.body).await
    }

    pub async fn send_webhook(&self, url: &str, secret: &str, event: Event, talent: u64) -> io::Result<u16> {
        let webhook = self.webhook(event, talent).ok_or_else(|| {
            let what = format!("talent {talent} is not in a state that '{}' tells of", event.name());
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })?;
        self.deliver(url, secret, &webhook).await
    }
}

impl Deref for Blue {
    type Target = OfflineBlue;

    fn deref(&self) -> &OfflineBlue {
        &self.offline
    }
}

impl OfflineBlue {
    /// A GET for `/path?query`, with what stands after `Bearer ` in its `Authorization`.
    #[must_use]
    pub fn ask(&self, path_and_query: &str, key: Option<&str>) -> Answered {
        let authorization = key.map(|key| format!("Bearer {key}"));
        let asked = Asked { authorization, ..Asked::read(path_and_query) };
        let visit = self.desk.enter(&asked);
        self.desk.answer(&visit, &asked)
    }

    fn agency(&self) -> &Agency {
        &self.desk.source
    }

    /// The record as a listing would show it now; `None` when there is none of this id.
    #[must_use]
    pub fn record(&self, kind: Kind, id: u64) -> Option<Value> {
        self.agency().read().record(kind, id)
    }

    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.agency().read().overlay(kind).count()
    }

    /// All living ids, in order.
    #[must_use]
    pub fn ids(&self, kind: Kind) -> Vec<u64> {
        self.agency().read().overlay(kind).ids_from(0).collect()
    }

    /// Changes what is generated for these records. Says how many of them there were.
    pub fn edit(&self, kind: Kind, ids: &[u64]) -> usize {
        self.agency().edit(kind, ids, None)
    }

    /// Lays `patch` over a record: objects are merged, everything else (null too) replaces what was there.
    pub fn patch(&self, kind: Kind, id: u64, patch: &Value) -> bool {
        self.agency().edit(kind, &[id], Some(patch)) == 1
    }

    /// Says how many of them there were.
    pub fn delete(&self, kind: Kind, ids: &[u64]) -> usize {
        self.agency().delete(kind, ids)
    }

    /// Gives the new ids.
    pub fn insert(&self, kind: Kind, count: u64) -> Vec<u64> {
        self.agency().insert(kind, count)
    }

    /// Stamps every record of every kind, at once, and touches no `updatedAt`.
    pub fn set_generation(&self, generation: u64) {
        self.agency().write().generation = generation;
    }

    pub fn fault(&self, rule: FaultRule) {
        self.desk.faults.add(rule);
    }

    pub fn clear_faults(&self) {
        self.desk.faults.clear();
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.desk.counters.get()
    }

    pub fn reset_counts(&self) {
        self.desk.counters.reset();
    }

    /// A delivery as it would be sent now; `None` for an update of a talent that is not there, or a deletion
    /// of one that is.
    #[must_use]
    pub fn webhook(&self, event: Event, talent: u64) -> Option<Webhook> {
        self.agency().webhook(event, talent)
    }
}

impl Agency {
    fn read(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, World> {
        self.world.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn edit(&self, kind: Kind, ids: &[u64], patch: Option<&Value>) -> usize {
        let now = (self.clock)();
        let mut world = self.write();
        ids.iter().filter(|id| world.edit(kind, **id, patch, now)).count()
    }

    fn delete(&self, kind: Kind, ids: &[u64]) -> usize {
        let now = (self.clock)();
        let mut world = self.write();
        ids.iter().filter(|id| world.delete(kind, **id, now)).count()
    }

    fn insert(&self, kind: Kind, count: u64) -> Vec<u64> {
        let now = (self.clock)();
        let mut world = self.write();
        (0..count).map(|_| world.insert(kind, now)).collect()
    }

    fn webhook(&self, event: Event, talent: u64) -> Option<Webhook> {
        let data = match event {
            Event::TalentUpdated => Some(self.read().record(Kind::Talents, talent)?),
            Event::TalentDeleted => {
                let at = self.read().overlay(Kind::Talents).deleted_at(talent)?;
                Some(json!({ "id": talent, "updatedAt": rfc3339(at) }))
            }
            Event::Sync => None,
        };
        let number = self.deliveries.fetch_add(1, Ordering::SeqCst) + 1;
        let id = format!("d{}-{number}", self.seed);
        let mut body = json!({ "id": id, "event": event.name(), "sentAt": rfc3339((self.clock)()) });
        if let Some(data) = data {
            body["data"] = data;
        }
        Some(Webhook { id, body: body.to_string().into() })
    }

    fn kind(asked: &Asked) -> Option<Kind> {
        match asked.path.as_str() {
            "/api/talents" => Some(Kind::Talents),
            "/api/boards" => Some(Kind::Boards),
            "/api/media-tags" => Some(Kind::MediaTags),
            _ => None,
        }
    }
}

impl Source for Agency {
    fn spot(&self, asked: &Asked) -> Option<Spot> {
        let kind = Self::kind(asked)?;
        Some(match Listing::read(kind, asked) {
            Ok(listing) => listing.spot(&self.read()),
            Err(_) => Spot { endpoint: kind.name(), page: 0, incremental: false },
        })
    }

    fn answer(&self, asked: &Asked, _: &Spot, distortion: Option<Distortion>) -> Reply {
        let Some(kind) = Self::kind(asked) else {
            return Reply::error(404, "there is no such listing");
        };
        match Listing::read(kind, asked) {
            Ok(listing) => listing.answer(&self.read(), distortion),
            Err(wrong) => Reply::error(400, wrong),
        }
    }

    fn control(&self, name: &str, body: &Value) -> Option<Reply> {
        commands::run(self, name, body)
    }
}
