//! One write with its condition, in the forms that DynamoDB wants it in.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::tables::PARTITION_KEY;
use super::{Item, ItemId};

/// Expressions name attributes as `#name` and values as `:name`; the attribute's name is the same text.
#[derive(Clone, Debug)]
pub struct Action {
    what: What,
    condition: Option<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

#[derive(Clone, Debug)]
enum What {
    Put(Item),
    Update(ItemId, String),
    Delete(ItemId),
    Check(ItemId),
}

/// No item of this key is there.
pub const ABSENT: &str = "attribute_not_exists(#pk)";
pub const THERE: &str = "attribute_exists(#pk)";

impl Action {
    /// `item` holds the whole item but for its key.
    pub fn put(id: &ItemId, mut item: Item) -> Self {
        item.extend(id.attributes());
        Self::of(What::Put(item))
    }

    pub fn update(id: ItemId, expression: impl Into<String>) -> Self {
        Self::of(What::Update(id, expression.into()))
    }

    pub fn delete(id: ItemId) -> Self {
        Self::of(What::Delete(id))
    }

    pub fn check(id: ItemId) -> Self {
        Self::of(What::Check(id))
    }

    fn of(what: What) -> Self {
        Self { what, condition: None, names: HashMap::new(), values: HashMap::new() }
    }

    #[must_use]
    pub fn when(mut self, condition: impl Into<String>) -> Self {
        let condition = condition.into();
        if condition.contains("#pk") {
            self = self.name("pk", PARTITION_KEY);
        }
        self.condition = Some(match self.condition.take() {
            None => condition,
            Some(before) => format!("({before}) AND ({condition})"),
        });
        self
    }

    /// Says what `#placeholder` stands for.
    #[must_use]
    pub fn name(mut self, placeholder: &str, attribute: impl Into<String>) -> Self {
        self.names.insert(format!("#{placeholder}"), attribute.into());
        self
    }

    /// Attributes that are called as they are written.
    #[must_use]
    pub fn names(self, names: &[&str]) -> Self {
        names.iter().fold(self, |action, name| action.name(name, *name))
    }

    /// Says what `:placeholder` stands for.
    #[must_use]
    pub fn value(mut self, placeholder: &str, value: AttributeValue) -> Self {
        self.values.insert(format!(":{placeholder}"), value);
        self
    }

    pub fn condition(&self) -> Option<String> {
        self.condition.clone()
    }

    pub fn expression_names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    pub fn expression_values(&self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }

    /// The item of a put.
    pub fn item(&self) -> Option<&Item> {
        match &self.what {
            What::Put(item) => Some(item),
            What::Update(..) | What::Delete(_) | What::Check(_) => None,
        }
    }

    /// As a part of a transaction. What stands in the way of a condition is sent back.
    pub fn in_transaction(&self, table: &str) -> TransactWriteItem {
        const GIVEN: &str = "table, key and expression are given";
        let back = Some(ReturnValuesOnConditionCheckFailure::AllOld).filter(|_| self.condition.is_some());
        macro_rules! conditioned {
            ($builder:expr) => {
                $builder
                    .table_name(table)
                    .set_condition_expression(self.condition())
                    .set_expression_attribute_names(self.expression_names())
                    .set_expression_attribute_values(self.expression_values())
                    .set_return_values_on_condition_check_failure(back)
                    .build()
                    .expect(GIVEN)
            };
        }
        let builder = TransactWriteItem::builder();
        match &self.what {
            What::Put(item) => builder.put(conditioned!(Put::builder().set_item(Some(item.clone())))),
            What::Update(id, expression) => {
                let update = Update::builder().set_key(Some(id.attributes())).update_expression(expression);
                builder.update(conditioned!(update))
            }
            What::Delete(id) => builder.delete(conditioned!(Delete::builder().set_key(Some(id.attributes())))),
            What::Check(id) => {
                builder.condition_check(conditioned!(ConditionCheck::builder().set_key(Some(id.attributes()))))
            }
        }
        .build()
    }
}
