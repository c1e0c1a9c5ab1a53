//! What is known of a generation: what never changes in its life, and its root, which says how it is now.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use teal::domain::{Fence, GenerationId, Millis, Schema};
use teal::ports::Fault;
use teal::ports::entities::{Gate, GenerationSpec};

use super::super::{Item, n, number, s, string};
use super::keys::Layout;
use super::values::indexed;
use crate::fault::permanent;

/// One row is one write and an entry for each indexed field, and must fit into a transaction twice over.
const MOST_INDEXES: usize = 40;

/// What never changes.
#[derive(Debug)]
pub struct Plan {
    pub id: GenerationId,
    /// Which making of the generation this is; drawn, so that it is never used again.
    pub made: u64,
    pub schema: Arc<Schema>,
    pub floor: Millis,
    pub owner_is_key: bool,
    pub base: Option<GenerationId>,
}

impl Plan {
    pub fn new(spec: &GenerationSpec, made: u64) -> Result<Self, Fault> {
        let indexes = indexed(&spec.schema).count();
        if indexes > MOST_INDEXES {
            let what = format!("{} has {indexes} indexed fields, and on DynamoDB {MOST_INDEXES} are the most", spec.id);
            return Err(permanent(what));
        }
        Ok(Self {
            id: spec.id.clone(),
            made,
            schema: Arc::clone(&spec.schema),
            floor: spec.floor,
            owner_is_key: spec.owner_is_key,
            base: spec.base.clone().filter(|base| *base != spec.id),
        })
    }

    pub fn to_item(&self) -> Result<Item, Fault> {
        let json = |error: serde_json::Error| permanent(format!("{} can't be described", self.id)).because(error);
        let mut item = Item::from([
            ("made".to_owned(), n(self.made)),
            ("schema".to_owned(), s(serde_json::to_string(&*self.schema).map_err(json)?)),
            ("floor".to_owned(), n(self.floor.0)),
            ("owner_is_key".to_owned(), AttributeValue::Bool(self.owner_is_key)),
        ]);
        if let Some(base) = &self.base {
            item.insert("base".to_owned(), s(serde_json::to_string(base).map_err(json)?));
        }
        Ok(item)
    }

    pub fn parse(id: &GenerationId, item: &Item) -> Result<Self, Fault> {
        let parse = || {
            Some(Self {
                id: id.clone(),
                made: number(item, "made")?,
                schema: serde_json::from_str(string(item, "schema")?).ok()?,
                floor: Millis(number(item, "floor")?),
                owner_is_key: *item.get("owner_is_key")?.as_bool().ok()?,
                base: match string(item, "base") {
                    None => None,
                    Some(base) => Some(serde_json::from_str(base).ok()?),
                },
            })
        };
        parse().ok_or_else(|| damaged(id, "description"))
    }
}

/// How a generation is now.
#[derive(Clone, Debug)]
pub struct Root {
    pub made: u64,
    pub layout: Layout,
    pub gate: Gate,
    pub fence: Fence,
    pub confirmed: Millis,
    pub dropping: bool,
    /// Grows with every write of the root.
    pub revision: u64,
}

impl Root {
    pub fn new(spec: &GenerationSpec, made: u64, layout: Layout) -> Self {
        let confirmed = Millis::default();
        Self { made, layout, gate: spec.gate, fence: spec.fence, confirmed, dropping: false, revision: 1 }
    }

    pub fn to_item(&self) -> Item {
        Item::from([
            ("made".to_owned(), n(self.made)),
            ("layout".to_owned(), s(self.layout.name())),
            ("gate".to_owned(), s(gate_name(self.gate))),
            ("fence".to_owned(), n(self.fence.0)),
            ("confirmed".to_owned(), n(self.confirmed.0)),
            ("dropping".to_owned(), AttributeValue::Bool(self.dropping)),
            ("rev".to_owned(), n(self.revision)),
        ])
    }

    pub fn parse(id: &GenerationId, item: &Item) -> Result<Self, Fault> {
        let parse = || {
            Some(Self {
                made: number(item, "made")?,
                layout: Layout::parse(string(item, "layout")?)?,
                gate: gate_of(string(item, "gate")?)?,
                fence: Fence(number(item, "fence")?),
                confirmed: Millis(number(item, "confirmed")?),
                dropping: *item.get("dropping")?.as_bool().ok()?,
                revision: number(item, "rev")?,
            })
        };
        parse().ok_or_else(|| damaged(id, "root"))
    }

    /// A head as it is made, with the root's gate and confirmation.
    pub fn head_item(&self) -> Item {
        Item::from([
            ("made".to_owned(), n(self.made)),
            ("gate".to_owned(), s(gate_name(self.gate))),
            ("fence".to_owned(), n(self.fence.0)),
            ("confirmed".to_owned(), n(self.confirmed.0)),
            ("turn".to_owned(), n(self.revision)),
            ("rows".to_owned(), n(0)),
            ("sum".to_owned(), n(0)),
            ("seq".to_owned(), n(0)),
        ])
    }
}

/// Rows, sum and sequence of one shard's head, as far as they are there.
pub fn totals(head: &Item) -> (i128, i128, i128) {
    let number = |name| number(head, name).unwrap_or(0);
    (number("rows"), number("sum"), number("seq"))
}

pub fn gate_name(gate: Gate) -> &'static str {
    match gate {
        Gate::Building => "building",
        Gate::Open => "open",
        Gate::Closed => "closed",
    }
}

fn gate_of(name: &str) -> Option<Gate> {
    [Gate::Building, Gate::Open, Gate::Closed].into_iter().find(|gate| gate_name(*gate) == name)
}

pub fn damaged(id: &GenerationId, what: &str) -> Fault {
    permanent(format!("{id} has a {what} that Teal didn't write; was the table changed by hand?"))
}
