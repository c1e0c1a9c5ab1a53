//! What one record does to one entity: the unit in which generations are changed.

use super::key::Key;
use super::order::Order;
use super::row::Row;
use super::time::Millis;

/// What a record of a stream makes of one entity. `owner` is the record's key in its stream; the rows that
/// it makes belong to it, so that a row which a newer state of the record no longer has goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordChange {
    pub owner: Key,
    pub effect: Effect,
    /// By its own cursor it is older than what the listing before had come to.
    pub late: bool,
}

impl RecordChange {
    #[must_use]
    pub fn new(owner: Key, effect: Effect) -> Self {
        Self { owner, effect, late: false }
    }

    /// When the source stated it.
    #[must_use]
    pub fn stated(&self) -> Millis {
        match &self.effect {
            Effect::Upsert { order, .. } => order.stated,
            Effect::Delete { stated, .. } => *stated,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The record as of `order` has these rows. `complete` is false when one of its rows was rejected: an
    /// incomplete listing hides nothing.
    Upsert { order: Order, rows: Vec<Row>, complete: bool },
    /// The provider says that the record is gone.
    Delete { provider: Option<i64>, stated: Millis },
}
