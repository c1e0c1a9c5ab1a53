//! A reader's client: pages, whole listings and single rows over HTTP, with what tells where they come from.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use teal::domain::Secret;
use teal::ports::Upstream as _;
use teal::ports::upstream::{HeaderValue, Request};
use teal_local::upstream::HttpUpstream;

use crate::expected::key_of;

#[derive(Clone)]
pub struct Client {
    http: HttpUpstream,
    base: String,
    token: Secret,
}

/// One row, as far as it matters where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamped {
    pub key: String,
    /// Which listing of the source it was taken from; the stand-in puts it on every record.
    pub stamp: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// `x-teal-version`.
    pub version: u32,
    pub rows: Vec<Stamped>,
    pub next: Option<String>,
}

/// Why a read did not give what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missed {
    /// 410: the version that the cursor is of is gone.
    Gone,
    /// 404 for a row.
    NoRow,
    Failed(String),
}

/// A paginated listing from its first page to where it ended.
#[derive(Clone, Debug)]
pub struct Listing {
    pub pages: Vec<Page>,
    /// Why there is no further page, where there should be one.
    pub cut_short: Option<Missed>,
}

struct Answer {
    status: u16,
    version: Option<u32>,
    body: Bytes,
}

impl Client {
    /// # Panics
    /// When no HTTP client can be made.
    #[must_use]
    pub fn new(base: impl Into<String>, token: Secret) -> Self {
        Self { http: HttpUpstream::new().expect("a client can be made"), base: base.into(), token }
    }

    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn page(&self, entity: &str, limit: usize, cursor: Option<&str>) -> Result<Page, Missed> {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/v1/{entity}?limit={limit}{cursor}");
        let answer = self.get(&path).await?;
        let version = answer.version.ok_or_else(|| Missed::Failed(format!("{path}: no x-teal-version")))?;
        let body = answer.json(&path)?;
        if body["version"].as_u64() != Some(u64::from(version)) {
            return Err(Missed::Failed(format!("{path}: header {version}, body {}", body["version"])));
        }
        let rows = body["data"].as_array().ok_or_else(|| Missed::Failed(format!("{path}: no data: {body}")))?;
        Ok(Page {
            version,
            rows: rows.iter().map(|row| stamped(entity, row)).collect(),
            next: body["next"].as_str().map(str::to_owned),
        })
    }

    pub async fn list(&self, entity: &str, limit: usize) -> Listing {
        let mut listing = Listing { pages: Vec::new(), cut_short: None };
        let mut cursor: Option<String> = None;
        loop {
            match self.page(entity, limit, cursor.as_deref()).await {
                Ok(page) => {
                    cursor = page.next.clone();
                    listing.pages.push(page);
                }
                Err(missed) => listing.cut_short = Some(missed),
            }
            if cursor.is_none() || listing.cut_short.is_some() {
                return listing;
            }
        }
    }

    /// The version and the row.
    pub async fn row(&self, entity: &str, key: &str) -> Result<(u32, Value), Missed> {
        let path = format!("/v1/{entity}/{key}");
        let answer = self.get(&path).await?;
        let version = answer.version.ok_or_else(|| Missed::Failed(format!("{path}: no x-teal-version")))?;
        Ok((version, answer.json(&path)?))
    }

    async fn get(&self, path: &str) -> Result<Answer, Missed> {
        let failed = |why: String| Missed::Failed(format!("{path}: {why}"));
        let request = Request {
            method: Method::GET,
            url: format!("{}{path}", self.base),
            headers: vec![(
                "authorization".to_owned(),
                HeaderValue::Secret(Secret::new(format!("Bearer {}", self.token.expose()))),
            )],
            body: Bytes::new(),
            timeout: Duration::from_secs(60),
            max_body: 64 << 20,
        };
        let response = self.http.send(request).await.map_err(|fault| failed(format!("{fault:?}")))?;
        let version = response.header("x-teal-version").and_then(|version| version.parse().ok());
        let answer = Answer { status: response.status, version, body: response.body };
        match answer.status {
            200 => Ok(answer),
            410 => Err(Missed::Gone),
            404 => Err(Missed::NoRow),
            status => Err(failed(format!("{status} {}", String::from_utf8_lossy(&answer.body)))),
        }
    }
}

impl Answer {
    fn json(&self, path: &str) -> Result<Value, Missed> {
        serde_json::from_slice(&self.body).map_err(|error| Missed::Failed(format!("{path}: {error}")))
    }
}

/// The stamp of a row as the API shows it. `u64::MAX` where it has none, which no listing has.
#[must_use]
pub fn stamp_of(row: &Value) -> u64 {
    row["generation"].as_u64().unwrap_or(u64::MAX)
}

fn stamped(entity: &str, row: &Value) -> Stamped {
    Stamped { key: key_of(entity, row), stamp: stamp_of(row) }
}
