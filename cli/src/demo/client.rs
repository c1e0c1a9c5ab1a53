//! Reads from Teal over HTTP, as anybody would, and checks while reading that it is one version that answers.
//!
//! Owns what counts as an error and what as a mixture: a listing whose pages come from more than one
//! version, say another version than their header, hold more than one stamp of the source, or go back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;
use teal::ports::Upstream;
use teal::ports::upstream::Request;
use teal_local::upstream::HttpUpstream;

const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 16 * 1024 * 1024;

/// What is listed, and the fields that its rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    pub entity: &'static str,
    pub key: &'static [&'static str],
}

pub const TALENTS: Watched = Watched { entity: "talents", key: &["id"] };
pub const MEDIA: Watched = Watched { entity: "portfolios_media", key: &["id"] };
pub const SOCIALS: Watched = Watched { entity: "talents_socials", key: &["talent_id", "network"] };
pub const MEMBERS: Watched = Watched { entity: "boards_talents", key: &["board_id", "talent_id"] };

#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Error(String),
    #[error("{0}")]
    Mixture(String),
}

/// Cheap to clone; clones share their connections and what they learned about versions.
#[derive(Clone, Debug)]
pub struct Client {
    upstream: Arc<HttpUpstream>,
    base: String,
    /// The source's stamp of each version: the same in every entity, or the entities did not move together.
    stamps: Arc<Mutex<BTreeMap<u64, i64>>>,
}

/// A listing that is read page by page.
#[derive(Debug)]
pub struct Listing {
    watched: Watched,
    cursor: Option<String>,
    pub version: Option<u64>,
    stamp: Option<i64>,
    last: Option<Vec<Part>>,
    pub rows: u64,
    pub over: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Int(i64),
    Text(String),
}

struct Answer {
    status: u16,
    version: Option<u64>,
    body: Json,
}

impl Client {
    pub fn new(base: String) -> anyhow::Result<Self> {
        Ok(Self { upstream: Arc::new(HttpUpstream::new()?), base, stamps: Arc::default() })
    }

    pub fn listing(watched: Watched) -> Listing {
        Listing { watched, cursor: None, version: None, stamp: None, last: None, rows: 0, over: false }
    }

    /// Reads the next page, at most `limit` rows.
    pub async fn next_page(&self, listing: &mut Listing, limit: usize) -> Result<(), Trouble> {
        let entity = listing.watched.entity;
        let cursor = listing.cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let answer = self.get(&format!("/v1/{entity}?limit={limit}{cursor}")).await?;
        let version = answer.served(entity)?;
        listing.take(version, &answer.body)?;
        let (Some(version), Some(stamp)) = (listing.version, listing.stamp) else { return Ok(()) };
        let known = *self.stamps.lock().unwrap_or_else(PoisonError::into_inner).entry(version).or_insert(stamp);
        if known == stamp {
            return Ok(());
        }
        let what = format!("v{version} shows {entity} of the source's state {stamp} beside rows of state {known}");
        Err(Trouble::Mixture(what))
    }

    /// Reads a listing from here to its end.
    pub async fn rest(&self, listing: &mut Listing, limit: usize) -> Result<(), Trouble> {
        while !listing.over {
            self.next_page(listing, limit).await?;
        }
        Ok(())
    }

    pub async fn whole(&self, watched: Watched) -> Result<Listing, Trouble> {
        let mut listing = Self::listing(watched);
        self.rest(&mut listing, 1000).await?;
        Ok(listing)
    }

    /// The row of this key; `None` where there is none.
    pub async fn row(&self, entity: &str, key: u64) -> Result<Option<Json>, Trouble> {
        let answer = self.get(&format!("/v1/{entity}/{key}")).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        answer.served(entity)?;
        Ok(Some(answer.body))
    }

    async fn get(&self, path: &str) -> Result<Answer, Trouble> {
        let request = Request {
            method: Default::default(),
            url: format!("{}{path}", self.base),
            headers: Vec::new(),
            body: Default::default(),
            timeout: TIMEOUT,
            max_body: MAX_BODY,
        };
        let wrong = |why: String| Trouble::Error(format!("GET {path}: {why}"));
        let response = self.upstream.send(request).await.map_err(|fault| wrong(fault.to_string()))?;
        let body = serde_json::from_slice(&response.body).map_err(|error| wrong(format!("no JSON: {error}")))?;
        let version = response.header("x-teal-version").and_then(|text| text.parse().ok());
        Ok(Answer { status: response.status, version, body })
    }
}

impl Answer {
    /// The version that answered.
    fn served(&self, entity: &str) -> Result<u64, Trouble> {
        if self.status != 200 {
            let detail = self.body["detail"].as_str().unwrap_or("no detail");
            return Err(Trouble::Error(format!("{entity}: status {}: {detail}", self.status)));
        }
        self.version.ok_or_else(|| Trouble::Error(format!("{entity}: an answer without x-teal-version")))
    }
}

impl Listing {
    /// Takes in a page, if it goes on with what was read.
    fn take(&mut self, version: u64, body: &Json) -> Result<(), Trouble> {
        let entity = self.watched.entity;
        let mixture = |what: String| Err(Trouble::Mixture(format!("{entity}: {what}")));
        let began = *self.version.get_or_insert(version);
        if began != version {
            return mixture(format!("the listing began in v{began} and went on in v{version}"));
        }
        if body["version"].as_u64() != Some(version) {
            return mixture(format!("the header says v{version}, the body {}", body["version"]));
        }
        let Some(rows) = body["data"].as_array() else {
            return Err(Trouble::Error(format!("{entity}: a page without `data`")));
        };
        for row in rows {
            let key = self.key_of(row)?;
            if self.last.as_ref().is_some_and(|last| *last >= key) {
                return mixture(format!("row {key:?} comes after {:?}", self.last));
            }
            let Some(stamp) = row["generation"].as_i64() else {
                return Err(Trouble::Error(format!("{entity}: row {key:?} has no stamp")));
            };
            let first = *self.stamp.get_or_insert(stamp);
            if first != stamp {
                return mixture(format!("v{version} shows the source's states {first} and {stamp} in one listing"));
            }
            self.last = Some(key);
        }
        self.rows += rows.len() as u64;
        self.cursor = body["next"].as_str().map(str::to_owned);
        self.over = self.cursor.is_none();
        Ok(())
    }

    fn key_of(&self, row: &Json) -> Result<Vec<Part>, Trouble> {
        let entity = self.watched.entity;
        let part = |name: &&str| match &row[*name] {
            Json::String(text) => Ok(Part::Text(text.clone())),
            other => other
                .as_i64()
                .map(Part::Int)
                .ok_or_else(|| Trouble::Error(format!("{entity}: a row without a key in '{name}'"))),
        };
        self.watched.key.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn page(version: u64, rows: &[(i64, i64)], next: Option<&str>) -> Json {
        let data: Vec<Json> = rows.iter().map(|(id, stamp)| json!({ "id": id, "generation": stamp })).collect();
        json!({ "data": data, "next": next, "version": version })
    }

    #[test]
    fn a_listing_of_one_version_is_clean() {
        let mut listing = Client::listing(TALENTS);
        listing.take(3, &page(3, &[(1, 2), (2, 2)], Some("x"))).unwrap();
        assert!(!listing.over);
        listing.take(3, &page(3, &[(9, 2), (10, 2)], None)).unwrap();
        assert_eq!((listing.rows, listing.version, listing.over), (4, Some(3), true));
    }

    #[test]
    fn every_kind_of_mixture_is_seen() {
        let second_pages = [
            ("another version", 4, page(4, &[(5, 2)], None)),
            ("a header that says otherwise", 3, page(4, &[(5, 2)], None)),
            ("another stamp", 3, page(3, &[(5, 7)], None)),
            ("a row again", 3, page(3, &[(2, 2)], None)),
        ];
        for (what, version, second) in second_pages {
            let mut listing = Client::listing(TALENTS);
            listing.take(3, &page(3, &[(1, 2), (2, 2)], Some("x"))).unwrap();
            assert!(matches!(listing.take(version, &second), Err(Trouble::Mixture(_))), "{what}");
        }
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        for body in
            [json!({"version": 3}), json!({"version": 3, "data": [{"id": 1}]}), json!({"version": 3, "data": [{}]})]
        {
            let mut listing = Client::listing(TALENTS);
            assert!(matches!(listing.take(3, &body), Err(Trouble::Error(_))), "{body}");
        }
    }
}
