//! What is different between two versions: counts and example rows per entity.
//!
//! Always holds: memory is a page of keys and hashes per side, whatever the size; entities that both
//! versions share cost nothing.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::Admin;
use crate::domain::{EntityName, GenerationId, Key, Row, RowHash, Schema, Version};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;

const PAGE: usize = 2000;

#[derive(Clone, Debug, Serialize)]
pub struct VersionDiff {
    pub from: Version,
    pub to: Version,
    pub entities: BTreeMap<EntityName, EntityDiff>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct EntityDiff {
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    pub unchanged: u64,
    pub examples: Vec<Example>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum Example {
    Added {
        key: String,
        row: Json,
    },
    /// Per field that differs: before, after.
    Changed {
        key: String,
        fields: BTreeMap<String, [Json; 2]>,
    },
    Removed {
        key: String,
        row: Json,
    },
}

/// One side of the comparison, read a page at a time.
struct Side<'a> {
    admin: &'a Admin,
    id: Option<GenerationId>,
    page: std::vec::IntoIter<(Key, RowHash)>,
    last: Option<Key>,
    over: bool,
    head: Option<(Key, RowHash)>,
}

impl Admin {
    /// Compares version `from` with version `to`, naming at most `examples` rows of each kind per entity.
    pub async fn diff(&self, from: Version, to: Version, examples: usize) -> Result<VersionDiff, StageError> {
        let old = ledger::manifest(self.ledger.as_ref(), from).await?.ok_or(StageError::NoVersion(from))?;
        let new = ledger::manifest(self.ledger.as_ref(), to).await?.ok_or(StageError::NoVersion(to))?;
        let names: std::collections::BTreeSet<&EntityName> =
            old.generations.keys().chain(new.generations.keys()).collect();
        let mut entities = BTreeMap::new();
        for name in names {
            let id = |number: Option<&u32>| number.map(|n| GenerationId { entity: name.clone(), number: *n });
            let (old, new) = (id(old.generations.get(name)), id(new.generations.get(name)));
            if old != new {
                entities.insert(name.clone(), self.diff_entity(old, new, examples).await?);
            }
        }
        Ok(VersionDiff { from, to, entities })
    }

    async fn diff_entity(
        &self,
        old: Option<GenerationId>,
        new: Option<GenerationId>,
        examples: usize,
    ) -> Result<EntityDiff, StageError> {
        let mut diff = EntityDiff::default();
        let mut left = Side::new(self, old.clone());
        let mut right = Side::new(self, new.clone());
        left.step().await?;
        right.step().await?;
        loop {
            let order = match (&left.head, &right.head) {
                (None, None) => return Ok(diff),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.encode().cmp(&b.encode()),
            };
            match order {
                Ordering::Less => {
                    if diff.removed < examples as u64
                        && let (Some(id), Some((key, _))) = (&old, &left.head)
                        && let Some((row, schema)) = self.row(id, key).await?
                    {
                        diff.examples.push(Example::Removed { key: key.to_string(), row: row.to_json(&schema) });
                    }
                    diff.removed += 1;
                    left.step().await?;
                }
                Ordering::Greater => {
                    if diff.added < examples as u64
                        && let (Some(id), Some((key, _))) = (&new, &right.head)
                        && let Some((row, schema)) = self.row(id, key).await?
                    {
                        diff.examples.push(Example::Added { key: key.to_string(), row: row.to_json(&schema) });
                    }
                    diff.added += 1;
                    right.step().await?;
                }
                Ordering::Equal => {
                    if let (Some((key, a)), Some((_, b))) = (&left.head, &right.head) {
                        if a == b {
                            diff.unchanged += 1;
                        } else {
                            if diff.changed < examples as u64
                                && let (Some(before), Some(after)) = (&old, &new)
                            {
                                let fields = self.fields_that_differ(before, after, key).await?;
                                diff.examples.push(Example::Changed { key: key.to_string(), fields });
                            }
                            diff.changed += 1;
                        }
                    }
                    left.step().await?;
                    right.step().await?;
                }
            }
        }
    }

    async fn row(&self, id: &GenerationId, key: &Key) -> Result<Option<(Row, std::sync::Arc<Schema>)>, StageError> {
        let Some(row) = self.reader.get(id, key).await? else { return Ok(None) };
        Ok(Some((row, self.reader.head(id).await?.schema)))
    }

    async fn fields_that_differ(
        &self,
        before: &GenerationId,
        after: &GenerationId,
        key: &Key,
    ) -> Result<BTreeMap<String, [Json; 2]>, StageError> {
        let fields_of = |found: Option<(Row, std::sync::Arc<Schema>)>| match found.map(|(row, s)| row.to_json(&s)) {
            Some(Json::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let mut old = fields_of(self.row(before, key).await?);
        let new = fields_of(self.row(after, key).await?);
        let mut out = BTreeMap::new();
        for (name, value) in new {
            let was = old.remove(&name).unwrap_or(Json::Null);
            if was != value {
                out.insert(name, [was, value]);
            }
        }
        out.extend(old.into_iter().filter(|(_, was)| !was.is_null()).map(|(name, was)| (name, [was, Json::Null])));
        Ok(out)
    }
}

impl<'a> Side<'a> {
    fn new(admin: &'a Admin, id: Option<GenerationId>) -> Self {
        Self { admin, over: id.is_none(), id, page: Vec::new().into_iter(), last: None, head: None }
    }

    async fn step(&mut self) -> Result<(), StageError> {
        self.head = self.page.next();
        if self.head.is_none()
            && !self.over
            && let Some(id) = &self.id
        {
            let page = self.admin.reader.hashes(id, self.last.as_ref(), PAGE).await?;
            self.over = page.len() < PAGE;
            self.last = page.last().map(|(key, _)| key.clone()).or(self.last.take());
            self.page = page.into_iter();
            self.head = self.page.next();
        }
        Ok(())
    }
}
