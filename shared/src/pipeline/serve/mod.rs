//! Answers readers from the active version.
//!
//! Owns listing, looking up, status and health. Owns no routing and no check of who asks: the trigger does
//! both. Changes nothing.
//!
//! Always holds (P2): one answer comes from one version, read from the pointer once; a listing stays in the
//! version that it began in, from its first page to its last, whatever is switched meanwhile, and ends with
//! a 410 when that version is gone. The schema is that of the version that is read.

mod cursor;
mod listing;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use sha2::{Digest, Sha256};

use self::cursor::{Cursor, token};
use self::listing::Listing;
use super::ledger;
use crate::domain::{EntityName, GenerationId, Key, Pointer, Schema, Version, VersionState};
use crate::mutants::{self, Mutant};
use crate::pipeline::api::{ApiResponse, Code, Problem, Query, ReadApi};
use crate::ports::entities::{Head, ListQuery};
use crate::ports::{Clock, EntitiesError, EntityReader, Fault, LedgerError, LedgerReader};

pub struct Serve {
    pub entities: Arc<dyn EntityReader>,
    pub ledger: Arc<dyn LedgerReader>,
    pub clock: Arc<dyn Clock>,
}

/// Where an answer comes from.
struct Place {
    version: Version,
    generation: GenerationId,
}

/// What is read from the active version.
#[derive(Clone, Copy)]
enum Asked<'a> {
    First(&'a Listing),
    Row(&'a str),
}

/// Why a read of one generation gave nothing.
enum Missed {
    /// The generation went between looking it up and reading it.
    Gone,
    Problem(Problem),
}

impl From<Problem> for Missed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<EntitiesError> for Missed {
    fn from(error: EntitiesError) -> Self {
        match error {
            EntitiesError::NoGeneration(_) => Self::Gone,
            other => Self::Problem(unreadable(&other)),
        }
    }
}

#[async_trait]
impl ReadApi for Serve {
    async fn list(&self, entity: &str, query: &Query, known: Option<&str>) -> ApiResponse {
        self.listing(&entity.into(), query, known).await.unwrap_or_else(ApiResponse::from)
    }

    async fn row(&self, entity: &str, key: &str, known: Option<&str>) -> ApiResponse {
        self.in_active(&entity.into(), Asked::Row(key), known).await.unwrap_or_else(ApiResponse::from)
    }

    async fn status(&self) -> ApiResponse {
        status::status(self).await.unwrap_or_else(ApiResponse::from)
    }

    async fn health(&self) -> ApiResponse {
        match ledger::pointer(self.ledger.as_ref()).await {
            Ok(_) => ApiResponse::json(200, &json!({ "status": "ok" })).with("cache-control", "no-cache"),
            Err(error) => unreadable_ledger(&error).into(),
        }
    }
}

impl Serve {
    async fn listing(&self, entity: &EntityName, query: &Query, known: Option<&str>) -> Result<ApiResponse, Problem> {
        let listing = Listing::read(query)?;
        let Some(text) = &listing.cursor else {
            return self.in_active(entity, Asked::First(&listing), known).await;
        };
        let cursor = Cursor::decode(text)?;
        cursor.check(entity, &listing.fingerprint())?;
        let place = self.pinned(&cursor).await?;
        self.page(&place, &listing, Some(&cursor.key), known).await.map_err(|missed| match missed {
            Missed::Gone => gone(cursor.version),
            Missed::Problem(problem) => problem,
        })
    }

    /// Reads from the active version; when it goes under the reader's hands, from the next one, once.
    async fn in_active(
        &self,
        entity: &EntityName,
        asked: Asked<'_>,
        known: Option<&str>,
    ) -> Result<ApiResponse, Problem> {
        for _ in 0..2 {
            let place = self.active(entity).await?;
            let answer = match asked {
                Asked::First(listing) => self.page(&place, listing, None, known).await,
                Asked::Row(key) => self.one(&place, key, known).await,
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(Missed::Gone) => {}
                Err(Missed::Problem(problem)) => return Err(problem),
            }
        }
        Err(moving())
    }

    async fn one(&self, place: &Place, shown: &str, known: Option<&str>) -> Result<ApiResponse, Missed> {
        let entity = &place.generation.entity;
        let head = self.entities.head(&place.generation).await?;
        let key = read_key(entity, shown, &head.schema)?;
        let tag = tag(place, &head, &["row", &key.encode()]);
        let row = self.entities.get(&place.generation, &key).await?.ok_or_else(|| {
            Problem::new(Code::NoRow, format!("{entity} has no row '{key}' in version {}", place.version))
        })?;
        let answer = if is_known(known, &tag) {
            ApiResponse::empty(304)
        } else {
            ApiResponse::json(200, &row.to_json(&head.schema))
        };
        Ok(describe(answer, place, &head, tag))
    }

    async fn pointer(&self) -> Result<Pointer, Problem> {
        ledger::pointer(self.ledger.as_ref()).await.map_err(|error| unreadable_ledger(&error))?.ok_or_else(|| {
            Problem::new(Code::NotReady, "the system was never opened; start it once and sync").retry_after(5)
        })
    }

    async fn active(&self, entity: &EntityName) -> Result<Place, Problem> {
        let pointer = self.pointer().await?;
        let generation = pointer.generation(entity).ok_or_else(|| no_entity(entity, &pointer))?;
        Ok(Place { version: pointer.version, generation })
    }

    /// The place that a cursor was made for, if it may still be read.
    async fn pinned(&self, cursor: &Cursor) -> Result<Place, Problem> {
        let pointer = self.pointer().await?;
        if mutants::on(Mutant::CursorNotPinned) {
            return self.active(&cursor.entity).await;
        }
        let generations: BTreeMap<EntityName, u32> = if pointer.version == cursor.version {
            pointer.generations
        } else {
            let manifest = ledger::manifest(self.ledger.as_ref(), cursor.version)
                .await
                .map_err(|error| unreadable_ledger(&error))?
                .ok_or_else(|| gone(cursor.version))?;
            match manifest.state {
                VersionState::Active | VersionState::Previous => manifest.generations,
                VersionState::Retired | VersionState::Dropped => return Err(gone(cursor.version)),
                // Nobody was ever given a cursor for what is not visible yet.
                VersionState::Building | VersionState::Ready => return Err(cursor::bad()),
            }
        };
        if generations.get(&cursor.entity) != Some(&cursor.generation) {
            return Err(cursor::bad());
        }
        let generation = GenerationId { entity: cursor.entity.clone(), number: cursor.generation };
        Ok(Place { version: cursor.version, generation })
    }

    async fn page(
        &self,
        place: &Place,
        listing: &Listing,
        after: Option<&Key>,
        known: Option<&str>,
    ) -> Result<ApiResponse, Missed> {
        // The head comes first: a tag that is older than its rows only costs a reader one more request.
        let head = self.entities.head(&place.generation).await?;
        let filters = listing.filters(&head.schema)?;
        if let Some(after) = after {
            cursor::check_key(after, &head.schema)?;
        }
        let fingerprint = listing.fingerprint();
        let start = after.map(Key::encode).unwrap_or_default();
        let tag = tag(place, &head, &["list", &fingerprint, &listing.limit.to_string(), &start]);
        if is_known(known, &tag) {
            return Ok(describe(ApiResponse::empty(304), place, &head, tag));
        }
        // One more than asked for, to know whether there is a next page.
        let wanted = ListQuery { after: after.cloned(), limit: listing.limit + 1, filters };
        let mut rows = self.entities.list(&place.generation, &wanted).await?;
        let more = rows.len() > listing.limit;
        rows.truncate(listing.limit);
        let next = rows.last().filter(|_| more).map(|last| {
            Cursor {
                version: place.version,
                entity: place.generation.entity.clone(),
                generation: place.generation.number,
                key: last.key.clone(),
                filters: fingerprint,
            }
            .encode()
        });
        let data: Vec<_> = rows.iter().map(|row| row.to_json(&head.schema)).collect();
        let body = json!({ "data": data, "next": next, "version": place.version });
        let mut answer = describe(ApiResponse::json(200, &body), place, &head, tag);
        if let Some(next) = &next {
            answer = answer.with("link", format!("<?{}>; rel=\"next\"", listing.query_with(next)));
        }
        Ok(answer)
    }
}

/// A key of one part has no `:` between parts, so one in it is the part's own: what is left of a `%3A` that
/// was put into a URL as it is shown.
fn read_key(entity: &EntityName, shown: &str, schema: &Schema) -> Result<Key, Problem> {
    let integers = schema.key_integers();
    let key = if integers.len() == 1 { shown.replace(':', "%3A") } else { shown.to_owned() };
    Key::parse(&key, &integers).map_err(|_| {
        let form: Vec<String> = schema
            .key
            .iter()
            .zip(&integers)
            .map(|(name, integer)| format!("{{{name}{}}}", if *integer { ", an integer" } else { "" }))
            .collect();
        let detail = format!("{entity} has no row '{shown}'; its keys have the form {}", form.join(":"));
        Problem::new(Code::NoRow, detail)
    })
}

/// Names what the answer was made from. Weak, because compression on the way is no difference.
fn tag(place: &Place, head: &Head, asked: &[&str]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{}/{}/{}", place.version, place.generation, head.sequence));
    for part in asked {
        hasher.update([0]);
        hasher.update(part);
    }
    let digest = format!("{:x}", hasher.finalize());
    format!("W/\"{}\"", &digest[..32])
}

fn is_known(known: Option<&str>, tag: &str) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.is_some_and(|known| known.split(',').any(|one| one.trim() == "*" || plain(one) == plain(tag)))
}

fn describe(answer: ApiResponse, place: &Place, head: &Head, tag: String) -> ApiResponse {
    let feed = json!({
        "v": place.version,
        "e": place.generation.entity,
        "g": place.generation.number,
        "s": head.sequence,
    });
    answer
        .with("x-teal-version", place.version.0.to_string())
        .with("x-teal-feed", token(&feed))
        .with("etag", tag)
        .with("cache-control", "no-cache")
}

fn no_entity(entity: &EntityName, pointer: &Pointer) -> Problem {
    let known: Vec<&str> = pointer.generations.keys().map(EntityName::as_str).collect();
    let have = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
    Problem::new(Code::NoEntity, format!("version {} has no entity '{entity}'; {have}", pointer.version))
}

fn gone(version: Version) -> Problem {
    let detail = format!("this listing began in version {version}, which is gone; start again without a cursor");
    Problem::new(Code::CursorGone, detail)
}

fn moving() -> Problem {
    Problem::new(Code::Unavailable, "the active version moved while it was read; try again").retry_after(1)
}

fn unreadable_ledger(error: &LedgerError) -> Problem {
    match error {
        LedgerError::Fault(fault) => faulty(fault),
        LedgerError::Refused { .. } => unexpected(error),
    }
}

fn unreadable(error: &EntitiesError) -> Problem {
    match error {
        EntitiesError::NoGeneration(_) => moving(),
        EntitiesError::Fault(fault) => faulty(fault),
        EntitiesError::GateClosed(_) | EntitiesError::StaleBuilder { .. } | EntitiesError::Confirmed { .. } => {
            unexpected(error)
        }
    }
}

/// What the fault says is for the log: it names what is inside.
fn faulty(fault: &Fault) -> Problem {
    if fault.is_retryable() {
        tracing::warn!(error = %fault, "a reader could not be answered");
        Problem::new(Code::Unavailable, "storage is busy or can't be reached; try again").retry_after(5)
    } else {
        unexpected(fault)
    }
}

fn unexpected(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a reader could not be answered");
    Problem::new(Code::Internal, "what is stored can't be read; the log says more")
}
