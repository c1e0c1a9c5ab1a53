//! Going through all shards of a generation in key order.
//!
//! Always holds: keys come in order and none twice, because no key is in two shards. A shard is asked for its next
//! items only when those that it gave are used up.

use std::collections::VecDeque;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::FutureExt;
use teal::domain::GenerationId;
use teal::ports::Fault;

use super::super::tables::SORT_KEY;
use super::super::{Item, Table, string, together};
use super::DynamoEntities;
use super::keys::{self, Layout};

/// Items asked for at once.
const LARGEST_PAGE: usize = 1000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    VisibleRows,
    /// Only key and hash.
    HashesOfVisibleRows,
    /// What there is with the prefix: entries of an index, which have no other attribute.
    Entries,
}

pub struct Walk<'a> {
    table: &'a Table,
    prefix: String,
    want: Want,
    shards: Vec<Shard>,
}

struct Shard {
    partition: String,
    /// The last sort key that was read.
    after: Option<String>,
    ended: bool,
    /// Keys, without the prefix.
    read: VecDeque<(String, Item)>,
}

impl DynamoEntities {
    /// Through what has this prefix, behind the key `after`.
    pub(super) fn walk(
        &self,
        id: &GenerationId,
        layout: Layout,
        prefix: &str,
        after: Option<&str>,
        want: Want,
    ) -> Walk<'_> {
        let shard = |shard| Shard {
            partition: self.shard(id, shard),
            after: after.map(|after| format!("{prefix}{after}")),
            ended: false,
            read: VecDeque::new(),
        };
        let shards = layout.shards().map(shard).collect();
        Walk { table: &self.table, prefix: prefix.to_owned(), want, shards }
    }

    pub(super) fn walk_rows(&self, id: &GenerationId, layout: Layout, after: Option<&str>, want: Want) -> Walk<'_> {
        self.walk(id, layout, keys::ROW, after, want)
    }
}

impl Walk<'_> {
    /// The next items, at most `limit`, and fewer only at the end.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<(String, Item)>, Fault> {
        let mut found = Vec::new();
        // A fair share each, and a little more, so that most shards are asked once.
        let share = (limit / self.shards.len()).saturating_add(limit / 8 / self.shards.len() + 2);
        let share = share.min(limit).min(LARGEST_PAGE);
        while found.len() < limit {
            if self.shards.iter().any(Shard::is_to_be_read) {
                let (table, prefix, want) = (self.table, &self.prefix, self.want);
                let empty = self.shards.iter_mut().filter(|shard| shard.is_to_be_read());
                let calls = empty.map(|shard| shard.read_on(table, prefix, want, share).boxed()).collect();
                together(calls, keys::SHARDS).await?;
            }
            let fronts = self.shards.iter_mut().filter(|shard| !shard.read.is_empty());
            let Some(least) = fronts.min_by(|a, b| a.read[0].0.cmp(&b.read[0].0)) else { break };
            found.extend(least.read.pop_front());
        }
        Ok(found)
    }
}

impl Shard {
    fn is_to_be_read(&self) -> bool {
        self.read.is_empty() && !self.ended
    }

    /// Until there is something, or nothing any more.
    async fn read_on(&mut self, table: &Table, prefix: &str, want: Want, limit: usize) -> Result<(), Fault> {
        while self.is_to_be_read() {
            let visible = want != Want::Entries;
            let page = table
                .query_prefix(&self.partition, prefix, self.after.as_deref(), limit, |query| {
                    let query = match visible {
                        false => query,
                        true => query
                            .filter_expression("#visible = :true")
                            .expression_attribute_names("#visible", "visible")
                            .expression_attribute_values(":true", AttributeValue::Bool(true)),
                    };
                    match want {
                        Want::HashesOfVisibleRows => {
                            query.projection_expression("#sk, #hash").expression_attribute_names("#hash", "hash")
                        }
                        Want::VisibleRows | Want::Entries => query,
                    }
                })
                .await?;
            self.after = page.last_evaluated_key.as_ref().and_then(|key| string(key, SORT_KEY)).map(str::to_owned);
            self.ended = self.after.is_none();
            for item in page.items.unwrap_or_default() {
                let key = string(&item, SORT_KEY).and_then(|sort| sort.strip_prefix(prefix)).map(str::to_owned);
                self.read.extend(key.map(|key| (key, item)));
            }
        }
        Ok(())
    }
}
