//! The entities ports over one table.
//!
//! ```text
//! pk                        sk                    attributes
//! {system}#generations      g#{entity}#{n:08}     made, schema, floor, owner_is_key, base: what never changes
//! {system}#{entity}#g{n}    root                  made, layout, gate, fence, confirmed, dropping, rev
//! {system}#{entity}#g{n}#{shard:02}
//!                           !                     the shard's head: made, gate, fence, confirmed, turn; rows, sum, seq; full
//!                           r{key}                a row: order, owner, hash, visible, slot, effect, values, rev;
//!                                                 where the key is the owner also what is known against it
//!                           o{owner}              a record: listed, deleted, deleted_at; made: keys of its rows
//!                           x{field}␀{value}␁{key}  entry of the index of a field: a visible row has this value
//! ```
//!
//! Keys are encoded as in `domain::key`, so that their order is the order of the items. A generation is *small*
//! (shard 00 alone) until that has [`write::LARGE`] rows. Then it *grows*: sixteen more shards take every key
//! that is not in the first one yet, whose head is marked `full` by the same transaction. A generation whose base
//! is large is *large* from the beginning: the sixteen, without the first.
//!
//! Always holds:
//!
//! - A row is written in one transaction with its index entries, its record's entry and a head whose gate lets the
//!   writer in. Every entry is written on condition of its revision; what a decision rests on is checked.
//! - The heads' numbers are added to in the transaction that changes what they count.
//! - The root says what the gates are, and what confirmed the generation; heads follow it before `set_gates` returns, and never go back.
//! - No key is in two shards: a new one is put into the first only while its head is not full.
//! - While a generation is dropped its heads are gone before anything else is, so nothing can be written to it.
//!
//! docs/decisions/0009-entities-on-dynamodb.md says why.

mod admin;
mod entry;
mod generation;
mod keys;
mod merge;
mod pieces;
mod read;
mod values;
mod walk;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use teal::domain::{Fence, GenerationId, Key, Millis, RecordChange, Row, RowHash};
use teal::ports::entities::{Dangling, Dropped, Gate, GenerationSpec, Head, ListQuery, Merged, Writer};
use teal::ports::fault::FaultKind;
use teal::ports::{EntitiesError, EntityAdmin, EntityReader, EntityWriter, Fault};

use self::generation::{Plan, Root};
use self::keys::Layout;
use super::tables::SORT_KEY;
use super::{Item, ItemId, Table, string};
use crate::AwsClients;

pub struct DynamoEntities {
    table: Table,
    system: String,
    /// What is known of generations; what may have changed is checked with every use.
    known: Mutex<BTreeMap<GenerationId, (Arc<Plan>, Layout)>>,
}

/// Entries of a generation, by sort key, with the shard that each is in.
struct Found {
    plan: Arc<Plan>,
    root: Root,
    items: BTreeMap<String, (u8, Item)>,
    /// The head of the first shard, of a small generation.
    first_head: Option<Item>,
}

impl DynamoEntities {
    pub fn new(clients: Arc<AwsClients>, table: impl Into<String>, system: impl Into<String>) -> Self {
        Self { table: Table { clients, name: table.into() }, system: system.into(), known: Mutex::default() }
    }

    fn shard(&self, id: &GenerationId, shard: u8) -> String {
        keys::shard(&self.system, id, shard)
    }

    fn head(&self, id: &GenerationId, shard: u8) -> ItemId {
        ItemId::new(self.shard(id, shard), keys::HEAD)
    }

    fn root_id(&self, id: &GenerationId) -> ItemId {
        keys::root(&self.system, id)
    }

    fn known(&self, id: &GenerationId) -> Option<(Arc<Plan>, Layout)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn know(&self, plan: &Arc<Plan>, layout: Layout) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(plan.id.clone(), (Arc::clone(plan), layout));
    }

    fn forget(&self, id: &GenerationId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// A generation that can be read, as it is now.
    async fn open(&self, id: &GenerationId) -> Result<(Arc<Plan>, Root), EntitiesError> {
        if let Some((plan, layout)) = self.known(id) {
            let root = self.table.get(&self.root_id(id)).await?;
            let root = root.map(|item| Root::parse(id, &item)).transpose()?;
            if let Some(root) = root.filter(|root| root.made == plan.made && !root.dropping) {
                if root.layout != layout {
                    self.know(&plan, root.layout);
                }
                return Ok((plan, root));
            }
            self.forget(id);
        }
        let description = keys::generation(&self.system, id);
        let (mut plan, mut root) = (None, None);
        for item in self.table.get_all(BTreeSet::from([description, self.root_id(id)])).await? {
            match string(&item, SORT_KEY) {
                Some(keys::ROOT) => root = Some(Root::parse(id, &item)?),
                _ => plan = Some(Arc::new(Plan::parse(id, &item)?)),
            }
        }
        match plan.zip(root) {
            Some((plan, root)) if plan.made == root.made && !root.dropping => {
                self.know(&plan, root.layout);
                Ok((plan, root))
            }
            _ => Err(EntitiesError::NoGeneration(id.clone())),
        }
    }

    /// Reads entries together with the root that says where they have to be. Almost always one request a hundred.
    async fn look_up(&self, id: &GenerationId, sorts: &BTreeSet<String>) -> Result<Found, EntitiesError> {
        // The layout changes once in the life of a generation.
        for _ in 0..3 {
            let (plan, layout) = match self.known(id) {
                Some(known) => known,
                None => self.open(id).await.map(|(plan, root)| (plan, root.layout))?,
            };
            let mut ids = BTreeSet::from([self.root_id(id)]);
            if layout == Layout::Small {
                ids.insert(self.head(id, keys::FIRST));
            }
            for sort in sorts {
                ids.extend(layout.places(sort).map(|shard| ItemId::new(self.shard(id, shard), sort)));
            }
            let mut items: BTreeMap<ItemId, Item> = BTreeMap::new();
            for item in self.table.get_all(ids).await? {
                items.extend(ItemId::of(&item).map(|id| (id, item)));
            }
            let root = items.remove(&self.root_id(id)).map(|item| Root::parse(id, &item)).transpose()?;
            let Some(root) = root.filter(|root| root.made == plan.made && !root.dropping) else {
                self.forget(id);
                continue;
            };
            if root.layout != layout {
                self.know(&plan, root.layout);
                continue;
            }
            let mut found = BTreeMap::new();
            for sort in sorts {
                let mut places = layout.places(sort);
                let there =
                    places.find_map(|shard| Some((shard, items.remove(&ItemId::new(self.shard(id, shard), sort))?)));
                found.extend(there.map(|there| (sort.clone(), there)));
            }
            let first_head = items.remove(&self.head(id, keys::FIRST));
            return Ok(Found { plan, root, items: found, first_head });
        }
        Err(Fault::new(FaultKind::Transient, format!("{id} was dropped and made again meanwhile; try again")).into())
    }
}

#[async_trait]
impl EntityAdmin for DynamoEntities {
    async fn create(&self, spec: GenerationSpec) -> Result<(), EntitiesError> {
        self.make(&spec).await
    }

    async fn set_gates(&self, ids: &[GenerationId], gate: Gate, fence: Fence) -> Result<(), EntitiesError> {
        self.set(ids, fence, |root| Root { gate, ..root }).await
    }

    async fn confirm(&self, ids: &[GenerationId], until: Millis, fence: Fence) -> Result<(), EntitiesError> {
        self.set(ids, fence, |root| Root { confirmed: root.confirmed.max(until), ..root }).await
    }

    async fn drop_slice(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError> {
        self.drop_some(id, limit).await
    }

    async fn generations(&self) -> Result<Vec<GenerationId>, EntitiesError> {
        self.all().await
    }
}

#[async_trait]
impl EntityWriter for DynamoEntities {
    async fn merge(
        &self,
        id: &GenerationId,
        writer: Writer,
        slot: &str,
        changes: &[RecordChange],
    ) -> Result<Merged, EntitiesError> {
        self.merge_all(id, writer, slot, changes).await
    }

    async fn holds(&self, id: &GenerationId, changes: &[RecordChange]) -> Result<bool, EntitiesError> {
        self.holds_all(id, changes).await
    }
}

#[async_trait]
impl EntityReader for DynamoEntities {
    async fn head(&self, id: &GenerationId) -> Result<Head, EntitiesError> {
        self.whole_head(id).await
    }

    async fn get(&self, id: &GenerationId, key: &Key) -> Result<Option<Row>, EntitiesError> {
        self.row(id, key).await
    }

    async fn list(&self, id: &GenerationId, query: &ListQuery) -> Result<Vec<Row>, EntitiesError> {
        self.rows(id, query).await
    }

    async fn hashes(
        &self,
        id: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, RowHash)>, EntitiesError> {
        self.row_hashes(id, after, limit).await
    }

    async fn dangling(
        &self,
        id: &GenerationId,
        field: &str,
        to: &GenerationId,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Dangling, EntitiesError> {
        self.leads_nowhere(id, field, to, after, limit).await
    }
}
