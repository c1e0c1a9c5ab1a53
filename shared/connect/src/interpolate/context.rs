//! What a template can see: values by name, the instant that counts as now, and where randomness comes from.
//!
//! Owns no copy of what it shows. `stream_interval` and `stream_partition` are `stream_slice` under other names.

use crate::value::{Map, Value};
use jiff::Timestamp;

/// More variables than a rendering has, unless a slice has many extra fields.
const INLINE: usize = 10;

/// The variables of one rendering. Making one is cheap, and so is a clone with one variable more.
#[derive(Clone)]
pub struct Context<'a> {
    /// A clone for each record must not allocate.
    variables: [Option<(&'a str, Variable<'a>)>; INLINE],
    more: Vec<(&'a str, Variable<'a>)>,
    now: Timestamp,
    entropy: Option<&'a (dyn Fn() -> u128 + Sync)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Variable<'a> {
    Json(&'a Value),
    /// An object whose members are found whatever their case.
    Headers(&'a Value),
    Slice(&'a StreamSlice),
}

/// A slice of a stream. Templates see the members of its partition and cursor slice together, and each of
/// them, and the extra fields, as an attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamSlice {
    partition: Value,
    cursor_slice: Value,
    extra_fields: Value,
    merged: Map,
}

impl StreamSlice {
    #[must_use]
    pub fn new(partition: Map, cursor_slice: Map, extra_fields: Map) -> Self {
        let mut merged = partition.clone();
        merged.extend(cursor_slice.clone());
        Self {
            partition: partition.into(),
            cursor_slice: cursor_slice.into(),
            extra_fields: extra_fields.into(),
            merged,
        }
    }

    #[must_use]
    pub fn partition(&self) -> &Value {
        &self.partition
    }

    #[must_use]
    pub fn cursor_slice(&self) -> &Value {
        &self.cursor_slice
    }

    #[must_use]
    pub fn extra_fields(&self) -> &Value {
        &self.extra_fields
    }

    /// The members of partition and cursor slice.
    #[must_use]
    pub fn members(&self) -> &Map {
        &self.merged
    }
}

impl<'a> Context<'a> {
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { variables: [None; INLINE], more: Vec::new(), now, entropy: None }
    }

    /// Shows `value` as `name`, in place of what had that name.
    #[must_use]
    pub fn with(mut self, name: &'a str, value: impl Into<Variable<'a>>) -> Self {
        let value = value.into();
        // Those that are there come first.
        for place in &mut self.variables {
            match place {
                Some((known, _)) if *known != name => {}
                _ => {
                    *place = Some((name, value));
                    return self;
                }
            }
        }
        match self.more.iter_mut().find(|(known, _)| *known == name) {
            Some(variable) => variable.1 = value,
            None => self.more.push((name, value)),
        }
        self
    }

    /// Where `generate_uuid()` takes its bits from; without it, that macro fails.
    #[must_use]
    pub fn with_entropy(mut self, entropy: &'a (dyn Fn() -> u128 + Sync)) -> Self {
        self.entropy = Some(entropy);
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<Variable<'a>> {
        let name = if matches!(name, "stream_interval" | "stream_partition") { "stream_slice" } else { name };
        self.variables().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn variables(&self) -> impl Iterator<Item = (&'a str, Variable<'a>)> {
        self.variables.iter().map_while(|variable| *variable).chain(self.more.iter().copied())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.variables().map(|(name, _)| name)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn entropy(&self) -> Option<u128> {
        self.entropy.map(|entropy| entropy())
    }
}

impl<'a> From<&'a Value> for Variable<'a> {
    fn from(value: &'a Value) -> Self {
        Self::Json(value)
    }
}

impl<'a> From<&'a StreamSlice> for Variable<'a> {
    fn from(slice: &'a StreamSlice) -> Self {
        Self::Slice(slice)
    }
}
