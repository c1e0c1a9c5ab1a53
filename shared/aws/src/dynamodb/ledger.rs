//! The ledger port over one table.
//!
//! ```text
//! pk                sk        attributes
//! {system}#{part}   .{sort}   rev    the revision
//!                             by     who wrote it last: a number that is drawn for each transaction
//!                             mark   the last writer's mark, where it chose one
//!                             value  the value as JSON text, unless it is an object of whole numbers:
//!                             +{n}   then a number of each name, so that DynamoDB can add to it
//! ```
//!
//! Always holds: the revision of a put is taken from the clock, with a part that is drawn, and is greater than
//! the one that it replaces, because the write says so as a condition; where it can't be (the clock is behind
//! somebody else's), the put is tried again with a greater one. So revisions also grow over a delete, as far as
//! clocks agree, and none comes twice.
//!
//! A put by itself is a plain conditional write. If its answer is lost and the SDK repeats it, the second attempt
//! finds its own `by`. Everything else is a transaction, which carries a token.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use teal::ports::fault::Fault;
use teal::ports::ledger::{Item as LedgerItem, JsonText, check_transaction};
use teal::ports::{ItemKey, Ledger, LedgerError, LedgerReader, Precondition, Write};

use super::action::{ABSENT, Action, THERE};
use super::tables::SORT_KEY;
use super::{Item, ItemId, Table, Transacted, n, number, s, string};
use crate::AwsClients;
use crate::fault::{fault, permanent};

/// Before a sort, which may be empty; a key of DynamoDB may not.
const SORT: &str = ".";
/// Before the name of a number.
const NUMBER: &str = "+";

pub struct DynamoLedger {
    table: Table,
    system: String,
    /// The last revision that was given out here.
    last: AtomicU64,
}

impl DynamoLedger {
    pub fn new(clients: Arc<AwsClients>, table: impl Into<String>, system: impl Into<String>) -> Self {
        Self { table: Table { clients, name: table.into() }, system: system.into(), last: AtomicU64::new(0) }
    }

    fn partition(&self, part: &str) -> String {
        format!("{}#{part}", self.system)
    }

    fn id(&self, key: &ItemKey) -> ItemId {
        ItemId::new(self.partition(&key.part), format!("{SORT}{}", key.sort))
    }

    /// Microseconds, of which the last three digits are drawn.
    fn next_revision(&self) -> u64 {
        let clients = &self.table.clients;
        let millis = u64::try_from(clients.clock.now().0).unwrap_or(0);
        let drawn = millis * 1000 + clients.entropy.next() % 1000;
        let last = self.last.fetch_max(drawn, Ordering::Relaxed);
        if last < drawn { drawn } else { self.last.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    fn action(&self, write: &Write, revision: u64, by: u64) -> Action {
        let id = self.id(write.key());
        match write {
            Write::Put { value, mark, when, .. } => {
                let revision = if let Precondition::Matches(seen) = when { revision.max(seen + 1) } else { revision };
                let action = Action::put(&id, item_of(value, *mark, revision, by));
                match when {
                    // Says more than that the revision grows.
                    Precondition::Absent | Precondition::Matches(_) => conditioned(action, *when),
                    Precondition::None | Precondition::NoneNewer(_) => conditioned(action, *when)
                        .when("attribute_not_exists(#rev) OR #rev < :rev")
                        .names(&["rev"])
                        .value("rev", n(revision)),
                }
            }
            Write::Delete { when, .. } => conditioned(Action::delete(id), *when),
            // A check must have a condition, also where any state of the item will do.
            Write::Check { when: Precondition::None, .. } => Action::check(id).when(format!("{ABSENT} OR {THERE}")),
            Write::Check { when, .. } => conditioned(Action::check(id), *when),
            Write::Add { numbers, .. } => {
                let mut sets = "SET #by = :by, #rev = if_not_exists(#rev, :start) + :one".to_owned();
                let mut action_values = vec![("by".to_owned(), n(by)), ("start".to_owned(), n(revision))];
                action_values.push(("one".to_owned(), n(1)));
                let mut names = vec![("by".to_owned(), "by".to_owned()), ("rev".to_owned(), "rev".to_owned())];
                for (at, (name, add)) in numbers.iter().enumerate() {
                    sets.push_str(&format!("{} #n{at} :n{at}", if at == 0 { " ADD" } else { "," }));
                    names.push((format!("n{at}"), format!("{NUMBER}{name}")));
                    action_values.push((format!("n{at}"), n(add)));
                }
                let action = Action::update(id, sets).when("attribute_not_exists(#value)").names(&["value"]);
                let action = names.into_iter().fold(action, |action, (place, name)| action.name(&place, name));
                action_values.into_iter().fold(action, |action, (place, value)| action.value(&place, value))
            }
        }
    }

    /// What a put by itself comes to.
    async fn put(&self, action: &Action) -> Result<Transacted, Fault> {
        let request = self
            .table
            .clients
            .dynamodb()
            .put_item()
            .table_name(&self.table.name)
            .set_item(action.item().cloned())
            .set_condition_expression(action.condition())
            .set_expression_attribute_names(action.expression_names())
            .set_expression_attribute_values(action.expression_values())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = request.send().await else { return Ok(Transacted::Done) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                Ok(Transacted::Refused(vec![(0, refused.item.clone())]))
            }
            _ => Err(fault(error, "dynamodb:PutItem", &self.table.object())),
        }
    }

    /// Why a transaction was refused; `None` when only its revisions were too small, which is mended.
    fn judge(&self, writes: &[Write], refused: &[(usize, Option<Item>)], by: u64) -> Option<Result<(), LedgerError>> {
        for (index, there) in refused {
            let write = &writes[*index];
            let key = write.key();
            let stored = there.as_ref().map(|item| (revision(item), mark(item)));
            match write {
                Write::Add { .. } => {
                    let what = format!("ledger item '{}/{}' is not an object of whole numbers", key.part, key.sort);
                    return Some(Err(permanent(what + "; nothing can be added to it").into()));
                }
                Write::Put { .. } if there.as_ref().and_then(|item| number(item, "by")) == Some(by) => {
                    return Some(Ok(()));
                }
                // It would be let through, but for its own revision.
                Write::Put { when, .. } if stored.is_some() && when.holds(stored) => {
                    self.last.fetch_max(stored.map_or(0, |(revision, _)| revision), Ordering::Relaxed);
                }
                Write::Put { .. } | Write::Delete { .. } | Write::Check { .. } => {
                    return Some(Err(LedgerError::Refused { index: *index, key: key.clone() }));
                }
            }
        }
        None
    }
}

#[async_trait]
impl LedgerReader for DynamoLedger {
    async fn get(&self, key: &ItemKey) -> Result<Option<LedgerItem>, LedgerError> {
        let found = self.table.get(&self.id(key)).await?;
        found.map(|item| understand(&key.part, &item)).transpose()
    }

    async fn list(
        &self,
        part: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<LedgerItem>, LedgerError> {
        let mut after = after.filter(|after| *after >= prefix).map(|after| format!("{SORT}{after}"));
        let prefix = format!("{SORT}{prefix}");
        let mut found = Vec::new();
        if after.as_ref().is_some_and(|after| !after.starts_with(&prefix)) {
            return Ok(found);
        }
        while found.len() < limit {
            let partition = self.partition(part);
            let left = limit - found.len();
            let page = self.table.query_prefix(&partition, &prefix, after.as_deref(), left, |query| query).await?;
            for item in page.items() {
                found.push(understand(part, item)?);
            }
            match page.last_evaluated_key.as_ref().and_then(|key| string(key, SORT_KEY)) {
                None => break,
                last => after = last.map(str::to_owned),
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl Ledger for DynamoLedger {
    async fn transact(&self, writes: Vec<Write>) -> Result<(), LedgerError> {
        check_transaction(&writes)?;
        if writes.is_empty() {
            return Ok(());
        }
        let clients = &self.table.clients;
        let by = clients.entropy.next();
        let mut trying = clients.patience.begin();
        loop {
            let revision = self.next_revision();
            let actions: Vec<Action> = writes.iter().map(|write| self.action(write, revision, by)).collect();
            let transacted = match (&writes[..], &actions[..]) {
                ([Write::Put { .. }], [put]) => self.put(put).await?,
                _ => self.table.transact(&actions).await?,
            };
            let Transacted::Refused(refused) = transacted else { return Ok(()) };
            if let Some(judged) = self.judge(&writes, &refused, by) {
                return judged;
            }
            if !trying.again(&*clients.clock, &*clients.entropy).await {
                return Err(self.table.busy("others write the same ledger items").into());
            }
        }
    }
}

fn conditioned(action: Action, when: Precondition) -> Action {
    match when {
        Precondition::None => action,
        Precondition::Absent => action.when(ABSENT),
        Precondition::Matches(seen) => action.when("#rev = :seen").names(&["rev"]).value("seen", n(seen)),
        Precondition::NoneNewer(limit) => {
            action.when("attribute_not_exists(#mark) OR #mark <= :limit").names(&["mark"]).value("limit", n(limit))
        }
    }
}

fn item_of(value: &JsonText, mark: u64, revision: u64, by: u64) -> Item {
    let mut item = Item::from([("rev".to_owned(), n(revision)), ("by".to_owned(), n(by))]);
    if mark > 0 {
        item.insert("mark".to_owned(), n(mark));
    }
    match value.read::<BTreeMap<String, i64>>() {
        Ok(numbers) => item.extend(numbers.into_iter().map(|(name, value)| (format!("{NUMBER}{name}"), n(value)))),
        Err(_) => drop(item.insert("value".to_owned(), s(value.as_str()))),
    }
    item
}

fn understand(part: &str, item: &Item) -> Result<LedgerItem, LedgerError> {
    let sort = string(item, SORT_KEY).and_then(|sort| sort.strip_prefix(SORT)).unwrap_or_default();
    let damaged =
        || permanent(format!("ledger item '{part}/{sort}' is not as Teal writes it; was it changed by hand?"));
    let value = match string(item, "value") {
        Some(text) => JsonText::stored(text),
        None => {
            let numbers = item.iter().filter_map(|(name, value)| Some((name.strip_prefix(NUMBER)?, value)));
            let numbers = numbers.map(|(name, value)| {
                let number: i64 = value.as_n().ok()?.parse().ok()?;
                Some((name, number))
            });
            JsonText::of(&numbers.collect::<Option<BTreeMap<_, _>>>().ok_or_else(damaged)?)
        }
    };
    Ok(LedgerItem { key: ItemKey::new(part, sort), value, revision: revision(item), mark: mark(item) })
}

fn revision(item: &Item) -> u64 {
    number(item, "rev").unwrap_or(0)
}

fn mark(item: &Item) -> u64 {
    number(item, "mark").unwrap_or(0)
}
