//! Reading visible rows: one, a page, keys and hashes, relations that lead nowhere.
//!
//! A filter for equality walks the entries of an index, which are in key order. A filter for less or greater
//! collects the keys of a range of it; where one answer doesn't hold them, the range is no selection, and the rows
//! themselves are walked. Either way the row itself decides: an index only proposes.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use teal::domain::{Effect, GenerationId, Key, RecordChange, Row, RowHash, Value};
use teal::ports::entities::{Compare, Dangling, Head, ListQuery};
use teal::ports::{EntitiesError, Fault};

use super::super::tables::SORT_KEY;
use super::super::{Item, number, s, string, together};
use super::DynamoEntities;
use super::entry::Entry;
use super::generation::{Plan, damaged, totals};
use super::keys::{self, Layout};
use super::values::{self, Compiled};
use super::walk::{Walk, Want};

/// Rows read at once where it is not known how many of them fit.
const SOME: usize = 90;

impl DynamoEntities {
    pub(super) async fn whole_head(&self, id: &GenerationId) -> Result<Head, EntitiesError> {
        let (plan, root) = self.open(id).await?;
        let heads = root.layout.shards().map(|shard| self.head(id, shard)).collect();
        let (mut rows, mut sum, mut sequence) = (0, 0, 0);
        for head in self.table.get_all(heads).await? {
            let (r, s, q) = totals(&head);
            (rows, sum, sequence) = (rows + r, sum + s, sequence + q);
        }
        let wrapped = |number: i128| u64::try_from(number.rem_euclid(1 << 64)).unwrap_or(0);
        Ok(Head {
            gate: root.gate,
            fence: root.fence,
            sequence: wrapped(sequence),
            rows: wrapped(rows),
            sum: wrapped(sum),
            schema: plan.schema.clone(),
        })
    }

    pub(super) async fn row(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError> {
        let encoded = key.encode();
        // No longer key was ever stored.
        let sorts = keys::encode(id, key).into_iter().map(|key| keys::row(&key)).collect();
        let mut found = self.look_up(id, &sorts).await?;
        match found.items.remove(&keys::row(&encoded)) {
            Some((_, item)) => Ok(visible_row(&found.plan, &encoded, &item)?),
            None => Ok(None),
        }
    }

    pub(super) async fn holds_all(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError> {
        let mut rows = BTreeMap::new();
        for change in changes {
            let Effect::Upsert { rows: made, complete: true, .. } = &change.effect else { return Ok(false) };
            let owner = keys::encode(id, &change.owner)?;
            for row in made {
                rows.insert(keys::row(&keys::encode(id, &row.key)?), (owner.clone(), row.hash().0));
            }
        }
        let found = self.look_up(id, &rows.keys().cloned().collect()).await?;
        for (sort, (owner, hash)) in rows {
            let Some((_, item)) = found.items.get(&sort) else { return Ok(false) };
            let key = &sort[keys::ROW.len()..];
            let entry = Entry::parse(key, item).ok_or_else(|| damaged(id, &format!("row {key:?}")))?;
            if !entry.row.is_some_and(|row| row.visible && row.hash == hash && row.owner == owner) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) async fn rows(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError> {
        let (plan, root) = self.open(id).await?;
        let filters = values::compile(id, &plan.schema, &query.filters)?;
        let after = query.after.as_ref().map(Key::encode);
        let after = after.as_deref();
        if let Some(equal) = filters.iter().find(|filter| filter.filter.compare == Compare::Equal) {
            let Some(prefix) = keys::index_value(&equal.filter.field, &equal.filter.value) else {
                return Ok(Vec::new());
            };
            let walk = self.walk(id, root.layout, &prefix, after, Want::Entries);
            return self.proposed(&plan, walk, &filters, query.limit).await;
        }
        if let Some(range) = filters.first() {
            let no_greater = matches!(range.filter.compare, Compare::Less | Compare::LessOrEqual);
            let bounds = keys::index_range(&range.filter.field, &range.filter.value, no_greater);
            let Some(bounds) = bounds else { return Ok(Vec::new()) };
            let field = keys::index_field(&range.filter.field);
            if let Some(keys) = self.in_range(id, root.layout, &field, &bounds).await? {
                let keys: Vec<String> = keys.into_iter().filter(|key| after.is_none_or(|a| key.as_str() > a)).collect();
                return self.chosen(&plan, &keys, &filters, query.limit).await;
            }
        }
        let mut walk = self.walk_rows(id, root.layout, after, Want::VisibleRows);
        let mut rows = Vec::new();
        while rows.len() < query.limit {
            let wanted = if filters.is_empty() { query.limit - rows.len() } else { SOME.max(query.limit) };
            let items = walk.next(wanted).await?;
            let ended = items.len() < wanted;
            for (key, item) in items {
                rows.extend(fitting(&plan, &key, &item, &filters)?);
            }
            if ended {
                break;
            }
        }
        rows.truncate(query.limit);
        Ok(rows)
    }

    /// Rows that fit, of those whose keys a walk through an index gives.
    async fn proposed(
        &self,
        plan: &Plan,
        mut walk: Walk<'_>,
        filters: &[Compiled<'_>],
        limit: usize,
    ) -> Result<Vec<Row>, EntitiesError> {
        let mut rows = Vec::new();
        while rows.len() < limit {
            let wanted = (limit - rows.len()).max(if filters.len() > 1 { SOME } else { 1 });
            let entries = walk.next(wanted).await?;
            let keys: Vec<String> = entries.into_iter().map(|(key, _)| key).collect();
            let left = limit - rows.len();
            rows.extend(self.chosen(plan, &keys, filters, left).await?);
            if keys.len() < wanted {
                break;
            }
        }
        Ok(rows)
    }

    /// The first rows that fit, of these keys, in their order.
    async fn chosen(
        &self,
        plan: &Plan,
        keys: &[String],
        filters: &[Compiled<'_>],
        limit: usize,
    ) -> Result<Vec<Row>, EntitiesError> {
        let mut rows = Vec::new();
        for some in keys.chunks(SOME.max(limit)) {
            if rows.len() >= limit {
                break;
            }
            let sorts = some.iter().map(|key| keys::row(key)).collect();
            let mut found = self.look_up(&plan.id, &sorts).await?;
            for key in some {
                if let Some((_, item)) = found.items.remove(&keys::row(key)) {
                    rows.extend(fitting(plan, key, &item, filters)?);
                }
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }

    /// Row keys in a range of an index, in order; `None` when they are too many for one answer of each shard.
    async fn in_range(
        &self,
        id: &GenerationId,
        layout: Layout,
        field: &str,
        (from, to): &(String, String),
    ) -> Result<Option<BTreeSet<String>>, Fault> {
        let mut calls = Vec::new();
        for shard in layout.shards() {
            let partition = self.shard(id, shard);
            let call = async move {
                self.table
                    .query(&partition, |query| {
                        query
                            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
                            .projection_expression("#sk")
                            .expression_attribute_names("#sk", SORT_KEY)
                            .expression_attribute_values(":from", s(from))
                            .expression_attribute_values(":to", s(to))
                    })
                    .await
            };
            calls.push(call.boxed());
        }
        let mut keys = BTreeSet::new();
        for page in together(calls, keys::SHARDS).await? {
            if page.last_evaluated_key.is_some() {
                return Ok(None);
            }
            let entries = page.items().iter().filter_map(|item| string(item, SORT_KEY)?.strip_prefix(field));
            // The value's text holds no separator, so the first one ends it.
            keys.extend(entries.filter_map(|entry| Some(entry.split_once('\u{1}')?.1.to_owned())));
        }
        Ok(Some(keys))
    }

    pub(super) async fn row_hashes(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError> {
        let (_, root) = self.open(id).await?;
        let after = after.map(Key::encode);
        let mut walk = self.walk_rows(id, root.layout, after.as_deref(), Want::HashesOfVisibleRows);
        let rows = walk.next(limit).await?.into_iter().map(|(key, item)| {
            let hash = number(&item, "hash").ok_or_else(|| damaged(id, &format!("row {key:?}")))?;
            Ok((decoded(id, &key)?, RowHash(hash)))
        });
        rows.collect()
    }

    pub(super) async fn leads_nowhere(
        &self,
        id: &GenerationId,
        field: &str,
        to: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Dangling, EntitiesError> {
        let (plan, root) = self.open(id).await?;
        let position = values::position(id, &plan.schema, field)?;
        let after = after.map(Key::encode);
        let rows = self.walk_rows(id, root.layout, after.as_deref(), Want::VisibleRows).next(limit).await?;
        let mut dangling = Dangling { looked_at: rows.len(), ..Dangling::default() };
        let mut leads: Vec<(Key, Value)> = Vec::new();
        for (key, item) in &rows {
            if let Some(mut row) = visible_row(&plan, key, item)? {
                leads.push((row.key, row.values.swap_remove(position)));
            }
        }
        if rows.len() == limit {
            dangling.next = leads.last().map(|(key, _)| key.clone());
        }
        let target = |value: &Value| match value {
            Value::Int(value) => Some(keys::row(&Key::int(*value).encode())),
            Value::Text(text) => keys::encode(to, &Key::text(text.as_str())).ok().map(|key| keys::row(&key)),
            _ => None,
        };
        let targets = leads.iter().filter_map(|(_, value)| target(value)).collect();
        let found = self.look_up(to, &targets).await?;
        let mut there: BTreeMap<&str, bool> = BTreeMap::new();
        for (sort, (_, item)) in &found.items {
            there.insert(sort, matches!(item.get("visible").map(|visible| visible.as_bool()), Some(Ok(true))));
        }
        let leads_on = |value: &Value| target(value).is_some_and(|sort| there.get(sort.as_str()) == Some(&true));
        dangling.found = leads.into_iter().filter(|(_, value)| !value.is_null() && !leads_on(value)).collect();
        Ok(dangling)
    }
}

fn decoded(id: &GenerationId, key: &str) -> Result<Key, Fault> {
    Key::decode(key).map_err(|error| damaged(id, &format!("key {key:?}")).because(error))
}

fn visible_row(plan: &Plan, key: &str, item: &Item) -> Result<Option<Row>, Fault> {
    let damaged = || damaged(&plan.id, &format!("row {key:?}"));
    let Some(row) = Entry::parse(key, item).ok_or_else(damaged)?.row.filter(|row| row.visible) else { return Ok(None) };
    let values = values::decode(&plan.schema, &row.values).ok_or_else(damaged)?;
    Ok(Some(Row { key: decoded(&plan.id, key)?, values }))
}

fn fitting(plan: &Plan, key: &str, item: &Item, filters: &[Compiled<'_>]) -> Result<Option<Row>, Fault> {
    Ok(visible_row(plan, key, item)?.filter(|row| filters.iter().all(|filter| filter.holds(&row.values))))
}
