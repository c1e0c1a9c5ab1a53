//! The listings as HTTP shows them: parameters in, a page out.
//!
//! Always holds: records come by id. So a record that is edited stays in its place, while one that is deleted
//! during a listing moves all that follow up by one, as page numbers do everywhere.

use serde_json::{Value, json};

use super::Kind;
use super::world::World;
use crate::http::{Asked, Distortion, Reply, Spot};

pub const MAX_SIZE: u64 = 500;

/// A request that is understood.
pub struct Listing {
    pub kind: Kind,
    pub start: Start,
    pub size: u64,
    pub since: Option<i64>,
}

pub enum Start {
    Page(u64),
    /// Behind this id.
    After(u64),
}

impl Listing {
    /// An error says which parameter is wrong.
    pub fn read(kind: Kind, asked: &Asked) -> Result<Self, String> {
        let number = |name: &str, default: u64, most: u64| match asked.query.get(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| (1..=most).contains(n))
                .ok_or_else(|| format!("{name} must be from 1 to {most}")),
        };
        let (start, size) = match kind {
            Kind::Boards => {
                let after = match asked.query.get("cursor") {
                    None => 0,
                    Some(text) => text
                        .strip_prefix("after-")
                        .and_then(|id| id.parse().ok())
                        .ok_or("cursor is not one that this listing gave")?,
                };
                (Start::After(after), number("limit", 50, MAX_SIZE)?)
            }
            Kind::Talents | Kind::MediaTags => {
                (Start::Page(number("page", 1, u64::from(u32::MAX))?), number("per_page", 100, MAX_SIZE)?)
            }
        };
        let since = match asked.query.get("updated_since") {
            None => None,
            Some(text) => match text.parse::<jiff::Timestamp>() {
                Ok(time) => Some(time.as_millisecond()),
                Err(_) => return Err("updated_since must be RFC 3339, such as 2026-01-01T00:00:00Z".to_owned()),
            },
        };
        Ok(Self { kind, start, size, since })
    }

    pub fn spot(&self, world: &World) -> Spot {
        let page = match self.start {
            Start::Page(page) => page,
            Start::After(0) => 1,
            Start::After(id) => {
                let before = match self.since {
                    None => world.overlay(self.kind).rank(id),
                    Some(since) => world.changed(self.kind, since).iter().filter(|other| **other <= id).count() as u64,
                };
                before.div_ceil(self.size) + 1
            }
        };
        Spot { endpoint: self.kind.name(), page, incremental: self.since.is_some() }
    }

    pub fn answer(&self, world: &World, distortion: Option<Distortion>) -> Reply {
        let overlay = world.overlay(self.kind);
        let changed = self.since.map(|since| world.changed(self.kind, since));
        let total = changed.as_ref().map_or_else(|| overlay.count(), |ids| ids.len() as u64);
        let skip = match (&self.start, &changed) {
            (Start::Page(page), _) => (page - 1).saturating_mul(self.size),
            (Start::After(id), None) => overlay.rank(*id),
            (Start::After(id), Some(ids)) => ids.partition_point(|other| other <= id) as u64,
        };
        let size = usize::try_from(self.size).expect("a page's size is at most MAX_SIZE");
        let ids: Vec<u64> = match changed {
            None => overlay.ids_from(skip).take(size).collect(),
            Some(ids) => ids.into_iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).take(size).collect(),
        };
        let more = skip.saturating_add(ids.len() as u64) < total;
        let mut records: Vec<Value> = ids.iter().filter_map(|id| world.record(self.kind, *id)).collect();
        if distortion == Some(Distortion::EmptyPage) {
            records.clear();
        }
        Reply::ok(match self.start {
            Start::Page(page) => {
                let pages = total.div_ceil(self.size);
                let pages = if distortion.is_some() { pages.max(page + 1) } else { pages };
                json!({
                    "data": records,
                    "meta": { "page": page, "per_page": self.size, "total": total, "pages": pages },
                })
            }
            Start::After(after) => {
                let last = ids.last().copied().unwrap_or(after);
                let next = match distortion {
                    None if more => Some(last),
                    None => None,
                    Some(Distortion::EmptyPage) => Some(last),
                    // The first page has no cursor to repeat: it leads on, and the next one repeats.
                    Some(Distortion::Endless) => Some(if after == 0 { last } else { after }),
                };
                json!({ "items": records, "next_cursor": next.map(|id| format!("after-{id}")) })
            }
        })
    }
}
