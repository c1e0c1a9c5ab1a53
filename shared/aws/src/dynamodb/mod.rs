//! What the ledger and the entities share of DynamoDB: one table, its reads, its transactions.
//!
//! Always holds: every read is strongly consistent; a transaction carries a token of its own through all its
//! attempts, so that an answer that was lost makes nothing happen twice; what a batch leaves undone is asked for
//! again, within a budget.

mod action;
pub mod entities;
pub mod ledger;
pub mod tables;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, KeysAndAttributes, WriteRequest};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use teal::ports::Fault;
use teal::ports::fault::FaultKind;

use self::action::Action;
use self::tables::{PARTITION_KEY, SORT_KEY};
use crate::AwsClients;
use crate::fault::{fault, passes, permanent};

type Item = HashMap<String, AttributeValue>;

/// What one transaction may hold.
const MAX_ACTIONS: usize = 100;
const MAX_KEYS_READ: usize = 100;
const MAX_KEYS_DELETED: usize = 25;
/// Requests of one call that are under way together.
const AT_ONCE: usize = 8;

/// Partition and sort.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ItemId {
    partition: String,
    sort: String,
}

impl ItemId {
    fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }

    fn attributes(&self) -> Item {
        HashMap::from([
            (PARTITION_KEY.to_owned(), AttributeValue::S(self.partition.clone())),
            (SORT_KEY.to_owned(), AttributeValue::S(self.sort.clone())),
        ])
    }

    /// Of an item that was read.
    fn of(item: &Item) -> Option<Self> {
        Some(Self::new(string(item, PARTITION_KEY)?, string(item, SORT_KEY)?))
    }
}

fn string<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

fn number<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// Answers in the order of the calls, of which at most so many are under way.
async fn together<T, E>(calls: Vec<BoxFuture<'_, Result<T, E>>>, at_once: usize) -> Result<Vec<T>, E> {
    stream::iter(calls).buffered(at_once).try_collect().await
}

/// What became of a transaction.
enum Transacted {
    Done,
    /// Nothing was written. The conditions that were not met, by position, with the items as they are.
    Refused(Vec<(usize, Option<Item>)>),
}

#[derive(Clone)]
struct Table {
    clients: Arc<AwsClients>,
    name: String,
}

impl Table {
    fn object(&self) -> String {
        format!("table '{}'", self.name)
    }

    async fn get(&self, id: &ItemId) -> Result<Option<Item>, Fault> {
        let request = self.clients.dynamodb().get_item().table_name(&self.name).set_key(Some(id.attributes()));
        let found = request.consistent_read(true).send().await;
        Ok(found.map_err(|error| fault(error, "dynamodb:GetItem", &self.object()))?.item)
    }

    /// Those of the items that are there, in no order.
    async fn get_all(&self, ids: BTreeSet<ItemId>) -> Result<Vec<Item>, Fault> {
        let ids: Vec<ItemId> = ids.into_iter().collect();
        let batches = ids.chunks(MAX_KEYS_READ).map(|batch| self.get_batch(batch).boxed()).collect();
        Ok(together(batches, AT_ONCE).await?.into_iter().flatten().collect())
    }

    async fn get_batch(&self, ids: &[ItemId]) -> Result<Vec<Item>, Fault> {
        let mut found = Vec::with_capacity(ids.len());
        let mut keys: Vec<Item> = ids.iter().map(ItemId::attributes).collect();
        let mut trying = self.clients.patience.begin();
        loop {
            let wanted = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys)).build();
            let wanted = wanted.expect("the keys are given");
            let request = self.clients.dynamodb().batch_get_item().request_items(&self.name, wanted);
            let answer = request.send().await.map_err(|error| fault(error, "dynamodb:BatchGetItem", &self.object()))?;
            let before = found.len();
            found.extend(answer.responses.into_iter().flatten().flat_map(|(_, items)| items));
            keys = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, left)| left.keys).collect();
            if keys.is_empty() {
                return Ok(found);
            }
            // An answer that is full is no sign of trouble: there is more to come, at once.
            if found.len() == before && !trying.again(&*self.clients.clock, &*self.clients.entropy).await {
                return Err(self.busy("dynamodb:BatchGetItem leaves items out"));
            }
        }
    }

    /// One answer to a query of one partition; `shape` says what else the query wants.
    async fn query(
        &self,
        partition: &str,
        shape: impl FnOnce(QueryFluentBuilder) -> QueryFluentBuilder,
    ) -> Result<QueryOutput, Fault> {
        let request = self.clients.dynamodb().query().table_name(&self.name).consistent_read(true);
        let request =
            request.expression_attribute_names("#pk", PARTITION_KEY).expression_attribute_values(":pk", s(partition));
        shape(request).send().await.map_err(|error| fault(error, "dynamodb:Query", &self.object()))
    }

    /// One answer to a query for what starts with `prefix`, behind `after`, which does too.
    async fn query_prefix(
        &self,
        partition: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        shape: impl FnOnce(QueryFluentBuilder) -> QueryFluentBuilder,
    ) -> Result<QueryOutput, Fault> {
        let start = after.map(|after| ItemId::new(partition, after).attributes());
        self.query(partition, |query| {
            let query = query
                .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                .expression_attribute_names("#sk", SORT_KEY)
                .expression_attribute_values(":prefix", s(prefix))
                .limit(i32::try_from(limit.max(1)).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start);
            shape(query)
        })
        .await
    }

    /// All or nothing, and once: whatever is lost on the way back, the token tells it from a new transaction.
    async fn transact(&self, actions: &[Action]) -> Result<Transacted, Fault> {
        debug_assert!(actions.len() <= MAX_ACTIONS);
        let token = format!("{:016x}{:016x}", self.clients.entropy.next(), self.clients.entropy.next());
        let items: Vec<_> = actions.iter().map(|action| action.in_transaction(&self.name)).collect();
        let mut trying = self.clients.patience.begin();
        loop {
            let request = self.clients.dynamodb().transact_write_items().client_request_token(&token);
            let Err(error) = request.set_transact_items(Some(items.clone())).send().await else {
                return Ok(Transacted::Done);
            };
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    canceled.cancellation_reasons()
                }
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => &[],
                // There is no permission for transactions, but one for each kind of write.
                _ => return Err(fault(error, "dynamodb:PutItem (or another write)", &self.object())),
            };
            let code = |reason: &aws_sdk_dynamodb::types::CancellationReason| {
                reason.code().filter(|code| *code != "None").map(str::to_owned)
            };
            let refused: Vec<_> = reasons
                .iter()
                .enumerate()
                .filter(|(_, reason)| reason.code() == Some("ConditionalCheckFailed"))
                .map(|(index, reason)| (index, reason.item.clone()))
                .collect();
            if let Some(wrong) = reasons
                .iter()
                .find(|reason| code(reason).is_some_and(|code| code != "ConditionalCheckFailed" && !passes(&code)))
            {
                let (code, message) = (wrong.code().unwrap_or_default(), wrong.message().unwrap_or_default());
                let what = format!("{}: a transaction was refused: {code} {message}", self.object());
                return Err(permanent(what).because(error));
            }
            if !refused.is_empty() {
                return Ok(Transacted::Refused(refused));
            }
            if !trying.again(&*self.clients.clock, &*self.clients.entropy).await {
                return Err(self.busy("others are in the way of a transaction").because(error));
            }
        }
    }

    async fn delete_all(&self, ids: &[ItemId]) -> Result<(), Fault> {
        let batches = ids.chunks(MAX_KEYS_DELETED).map(|batch| self.delete_batch(batch).boxed()).collect();
        together(batches, AT_ONCE).await.map(|_| ())
    }

    async fn delete_batch(&self, ids: &[ItemId]) -> Result<(), Fault> {
        let mut left: Vec<WriteRequest> = ids
            .iter()
            .map(|id| {
                let delete = DeleteRequest::builder().set_key(Some(id.attributes())).build();
                WriteRequest::builder().delete_request(delete.expect("the key is given")).build()
            })
            .collect();
        let mut trying = self.clients.patience.begin();
        loop {
            let request = self.clients.dynamodb().batch_write_item().request_items(&self.name, left);
            let answer =
                request.send().await.map_err(|error| fault(error, "dynamodb:BatchWriteItem", &self.object()))?;
            left = answer.unprocessed_items.into_iter().flatten().flat_map(|(_, items)| items).collect();
            if left.is_empty() {
                return Ok(());
            }
            if !trying.again(&*self.clients.clock, &*self.clients.entropy).await {
                return Err(self.busy("dynamodb:BatchWriteItem leaves items out"));
            }
        }
    }

    fn busy(&self, what: &str) -> Fault {
        Fault::new(FaultKind::Transient, format!("{}: {what}, and goes on doing so; try again later", self.object()))
    }
}
