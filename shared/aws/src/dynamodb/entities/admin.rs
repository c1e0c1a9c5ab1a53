//! How generations come, grow, open, close and go.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::FutureExt;
use teal::domain::{EntityName, Fence, GenerationId};
use teal::ports::EntitiesError;
use teal::ports::entities::{Dropped, GenerationSpec};

use super::super::action::{ABSENT, Action};
use super::super::tables::SORT_KEY;
use super::super::{AT_ONCE, ItemId, MAX_ACTIONS, Transacted, n, s, string, together};
use super::DynamoEntities;
use super::generation::{Plan, Root, damaged, gate_name};
use super::keys::{self, Layout};
use super::write::LARGE;
use crate::fault::permanent;

impl DynamoEntities {
    /// Everything that a generation has from the beginning, or nothing.
    pub(super) async fn make(&self, spec: &GenerationSpec) -> Result<(), EntitiesError> {
        let made = self.table.clients.entropy.next();
        let plan = Plan::new(spec, made)?;
        let base_rows = match &plan.base {
            None => 0,
            Some(base) => match self.whole_head(base).await {
                Ok(head) => head.rows,
                Err(EntitiesError::NoGeneration(_)) => 0,
                Err(error) => return Err(error),
            },
        };
        let layout = if i128::from(base_rows) >= LARGE { Layout::Large } else { Layout::Small };
        let root = Root::new(spec, made, layout);
        let mut actions = vec![
            Action::put(&self.root_id(&spec.id), root.to_item()).when(ABSENT),
            Action::put(&keys::generation(&self.system, &spec.id), plan.to_item()?).when(ABSENT),
        ];
        actions.extend(layout.shards().map(|shard| Action::put(&self.head(&spec.id, shard), root.head_item())));
        // Refused when it is there already: it stays as it is.
        self.table.transact(&actions).await?;
        Ok(())
    }

    /// The first shard takes no more keys, and sixteen others do.
    pub(super) async fn grow(&self, id: &GenerationId, root: &Root) -> Result<(), EntitiesError> {
        let grown = Root { layout: Layout::Grown, revision: root.revision + 1, ..root.clone() };
        let full = Action::update(self.head(id, keys::FIRST), "SET #full = :true")
            .when("#made = :made")
            .names(&["full", "made"])
            .value("true", AttributeValue::Bool(true))
            .value("made", n(root.made));
        let mut actions = vec![self.rooted(id, root, &grown), full];
        let others = Layout::Large.shards();
        actions.extend(others.map(|shard| Action::put(&self.head(id, shard), grown.head_item()).when(ABSENT)));
        // Refused when somebody else changed the root: whoever goes on reads it again.
        self.table.transact(&actions).await?;
        Ok(())
    }

    /// Writes the root, if it is as it was read.
    fn rooted(&self, id: &GenerationId, read: &Root, new: &Root) -> Action {
        Action::put(&self.root_id(id), new.to_item())
            .when("#rev = :read AND #made = :made")
            .names(&["rev", "made"])
            .value("read", n(read.revision))
            .value("made", n(read.made))
    }

    /// First the roots, all or none; then the heads follow. A head takes only a later turn than its own, so that
    /// whoever is late changes nothing. Repeating it after a failure completes it.
    pub(super) async fn set(
        &self,
        ids: &[GenerationId],
        fence: Fence,
        change: impl Fn(Root) -> Root,
    ) -> Result<(), EntitiesError> {
        let ids: BTreeSet<&GenerationId> = ids.iter().collect();
        if ids.is_empty() {
            return Ok(());
        }
        if ids.len() > MAX_ACTIONS {
            let what =
                format!("the gates of {} generations at once; on DynamoDB {MAX_ACTIONS} are the most", ids.len());
            return Err(permanent(what).into());
        }
        let clients = &self.table.clients;
        let mut trying = clients.patience.begin();
        let roots = loop {
            let mut roots = Vec::new();
            for id in &ids {
                let (_, root) = self.open(id).await?;
                if root.fence > fence {
                    return Err(EntitiesError::StaleBuilder { id: (*id).clone(), fence });
                }
                let new = change(Root { fence, revision: root.revision + 1, ..root.clone() });
                roots.push((*id, root, new));
            }
            let actions: Vec<Action> = roots.iter().map(|(id, read, new)| self.rooted(id, read, new)).collect();
            match self.table.transact(&actions).await? {
                Transacted::Done => break roots,
                Transacted::Refused(_) if trying.again(&*clients.clock, &*clients.entropy).await => {}
                Transacted::Refused(_) => return Err(self.table.busy("others set the same gates").into()),
            }
        };
        let mut heads = Vec::new();
        for (id, _, root) in &roots {
            heads.extend(root.layout.shards().map(|shard| self.follow(self.head(id, shard), root).boxed()));
        }
        together(heads, AT_ONCE).await.map(|_| ())
    }

    async fn follow(&self, head: ItemId, root: &Root) -> Result<(), EntitiesError> {
        let action = Action::update(head, "SET #gate = :gate, #fence = :fence, #confirmed = :confirmed, #turn = :turn")
            .when("#made = :made AND #turn < :turn")
            .names(&["gate", "fence", "confirmed", "turn", "made"])
            .value("gate", s(gate_name(root.gate)))
            .value("fence", n(root.fence.0))
            .value("confirmed", n(root.confirmed.0))
            .value("turn", n(root.revision))
            .value("made", n(root.made));
        // Refused by a later turn, or because the generation is going.
        self.table.transact(&[action]).await?;
        Ok(())
    }

    pub(super) async fn drop_some(&self, id: &GenerationId, limit: usize) -> Result<Dropped, EntitiesError> {
        let Some(root) = self.mark_dropping(id).await? else { return Ok(Dropped::Gone) };
        // Without heads nothing can be written any more, and so nothing comes back into what was emptied.
        let heads: Vec<ItemId> = root.layout.shards().map(|shard| self.head(id, shard)).collect();
        self.table.delete_all(&heads).await?;
        let mut left = limit;
        for shard in root.layout.shards() {
            loop {
                let page = self
                    .table
                    .query(&self.shard(id, shard), |query| {
                        query
                            .key_condition_expression("#pk = :pk")
                            .projection_expression("#pk, #sk")
                            .expression_attribute_names("#sk", SORT_KEY)
                            .limit(i32::try_from(left.max(1)).unwrap_or(i32::MAX))
                    })
                    .await?;
                let found: Vec<ItemId> = page.items().iter().filter_map(ItemId::of).collect();
                if !found.is_empty() && left == 0 {
                    return Ok(Dropped::More);
                }
                self.table.delete_all(&found).await?;
                left = left.saturating_sub(found.len());
                if page.last_evaluated_key.is_none() {
                    break;
                }
            }
        }
        self.forget(id);
        // Refused when somebody else was done before, and it may even be made again already.
        let gone = [self.root_id(id), keys::generation(&self.system, id)]
            .map(|id| Action::delete(id).when("#made = :made").names(&["made"]).value("made", n(root.made)));
        self.table.transact(&gone).await?;
        Ok(Dropped::Gone)
    }

    /// From here on the generation can't be read. `None` when there is none.
    async fn mark_dropping(&self, id: &GenerationId) -> Result<Option<Root>, EntitiesError> {
        let clients = &self.table.clients;
        let mut trying = clients.patience.begin();
        loop {
            let Some(item) = self.table.get(&self.root_id(id)).await? else { return Ok(None) };
            let root = Root::parse(id, &item)?;
            if root.dropping {
                return Ok(Some(root));
            }
            let dropping = Root { dropping: true, revision: root.revision + 1, ..root.clone() };
            match self.table.transact(&[self.rooted(id, &root, &dropping)]).await? {
                Transacted::Done => return Ok(Some(dropping)),
                Transacted::Refused(_) if trying.again(&*clients.clock, &*clients.entropy).await => {}
                Transacted::Refused(_) => return Err(self.table.busy("others change the same generation").into()),
            }
        }
    }

    pub(super) async fn all(&self) -> Result<Vec<GenerationId>, EntitiesError> {
        let partition = keys::generations(&self.system);
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.table.query_prefix(&partition, keys::LISTED, after.as_deref(), 1000, |query| {
                query.projection_expression("#sk")
            });
            let page = page.await?;
            for sort in page.items().iter().filter_map(|item| string(item, SORT_KEY)) {
                let name = sort.strip_prefix(keys::LISTED).unwrap_or(sort);
                let (entity, number) = name.split_once('#').unwrap_or((name, ""));
                let entity = EntityName::new(entity);
                let Ok(number) = number.parse() else {
                    return Err(damaged(&GenerationId { entity, number: 0 }, "name in the list of generations").into());
                };
                found.push(GenerationId { entity, number });
            }
            after = page.last_evaluated_key.as_ref().and_then(|key| string(key, SORT_KEY)).map(str::to_owned);
            if after.is_none() {
                return Ok(found);
            }
        }
    }
}
