//! What was read of a stream with partitions: an interval state for each, and one for all together.

use crate::value::{Map, Value};
use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cursor, Intervals, Point};
use crate::failure::Failure;

/// Beyond, one cursor for all partitions is kept.
const GLOBAL_BEYOND: usize = 10_000;
/// So many partitions keep their state.
const MOST: usize = 25_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partitioned {
    pub is_global: bool,
    /// The cursor that the last complete sync left for all partitions.
    pub global: Option<Value>,
    /// The newest seen by anybody.
    newest: Option<Value>,
    /// Seconds that the last sync took: what changed meanwhile is read again.
    lookback: i64,
    states: IndexMap<String, Known>,
    pub parent_state: Option<Value>,
    seen_any: bool,
    /// Partitions begun: how many slices of each are open, and whether more follow.
    open: IndexMap<String, Open>,
    /// Partitions whose reading began in this sync.
    begun: std::collections::BTreeSet<String>,
    count: usize,
    sequence: u64,
    /// What the parents' state was when a partition came, for those whose state is not passed yet.
    parents: Vec<(u64, Value)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    partition: Map,
    intervals: Intervals,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    slices: u64,
    is_complete: bool,
    sequence: u64,
}

/// A partition by its members, whatever their order.
pub fn key(partition: &Map) -> String {
    crate::python::dumps(&Value::Object(partition.clone()), true, true)
}

impl Partitioned {
    pub fn of_state(cursor: &Cursor, state: &Map, is_global: bool, origin: &Point) -> Result<Self, Failure> {
        let mut out = Self {
            is_global,
            global: None,
            newest: None,
            lookback: 0,
            states: IndexMap::new(),
            parent_state: None,
            seen_any: false,
            open: IndexMap::new(),
            begun: Default::default(),
            count: 0,
            sequence: 0,
            parents: Vec::new(),
        };
        if state.is_empty() {
            return Ok(out);
        }
        if !state.contains_key("states") && !state.contains_key("state") {
            out.set_global(cursor, state)?;
        } else {
            out.is_global = state.get("use_global_cursor").and_then(Value::as_bool).unwrap_or(false);
            out.lookback = state.get("lookback_window").and_then(Value::as_f64).unwrap_or(0.0) as i64;
            for known in state.get("states").and_then(Value::as_array).into_iter().flatten() {
                let (Some(partition), Some(own)) =
                    (known.get("partition").and_then(Value::as_object), known.get("cursor").and_then(Value::as_object))
                else {
                    continue;
                };
                let intervals = Intervals::of_state(cursor, own, origin.clone(), 0)?;
                out.count += 1;
                out.states.insert(key(partition), Known { partition: partition.clone(), intervals });
            }
            if let Some(global) = state.get("state").and_then(Value::as_object) {
                out.set_global(cursor, global)?;
            }
        }
        out.parent_state = state.get("parent_state").filter(|state| crate::python::is_truthy(state)).cloned();
        Ok(out)
    }

    fn set_global(&mut self, cursor: &Cursor, state: &Map) -> Result<(), Failure> {
        if let Some(value) = state.get(&cursor.field) {
            let value = cursor.format(&cursor.parse(value)?);
            self.global = Some(value.clone());
            self.newest = Some(value);
        }
        Ok(())
    }

    /// Begins a partition: its intervals, or `None` when it was begun already.
    pub fn begin(
        &mut self,
        cursor: &Cursor,
        partition: &Map,
        parents: Option<Value>,
        origin: &Point,
    ) -> Result<Option<Intervals>, Failure> {
        if !self.is_global && self.count > GLOBAL_BEYOND {
            self.is_global = true;
        }
        while self.states.len() >= MOST {
            let finished = self.states.keys().position(|key| !self.open.contains_key(key)).unwrap_or(0);
            self.states.shift_remove_index(finished);
        }
        let key = key(partition);
        if !self.begun.insert(key.clone()) {
            return Ok(None);
        }
        if !self.states.contains_key(&key) {
            let state = self.global.as_ref().map(|value| Map::from_iter([(cursor.field.clone(), value.clone())]));
            let lookback = if state.is_some() { self.lookback } else { 0 };
            let intervals = Intervals::of_state(cursor, &state.unwrap_or_default(), origin.clone(), lookback)?;
            self.count += 1;
            self.states.insert(key.clone(), Known { partition: partition.clone(), intervals });
        }
        let sequence = self.sequence;
        self.sequence += 1;
        if let Some(parents) = parents
            && self.parents.last().is_none_or(|(_, known)| *known != parents)
        {
            self.parents.push((sequence, parents));
        }
        self.open.insert(key.clone(), Open { slices: 0, is_complete: false, sequence });
        Ok(self.states.get(&key).map(|known| known.intervals.clone()))
    }

    pub fn slice_begun(&mut self, partition: &Map, is_last: bool) {
        if let Some(open) = self.open.get_mut(&key(partition)) {
            open.slices += 1;
            open.is_complete = is_last;
        }
    }

    /// A partition without any slice.
    pub fn no_slices(&mut self, partition: &Map) {
        self.open.shift_remove(&key(partition));
    }

    pub fn intervals(&self, partition: &Map) -> Option<&Intervals> {
        self.states.get(&key(partition)).map(|known| &known.intervals)
    }

    /// Records of a slice were passed on.
    pub fn observe(&mut self, cursor: &Cursor, newest: &Point) {
        self.seen_any = true;
        self.raise(cursor.format(newest));
    }

    fn raise(&mut self, value: Value) {
        let is_newer = match (&self.newest, &value) {
            (None, _) => true,
            (Some(Value::String(known)), Value::String(value)) => known < value,
            (Some(known), value) => known.as_f64() < value.as_f64(),
        };
        if is_newer {
            self.newest = Some(value);
        }
    }

    /// A slice was read to its end.
    pub fn close(
        &mut self,
        cursor: &Cursor,
        partition: &Map,
        slice: &Map,
        newest: Option<Point>,
    ) -> Result<(), Failure> {
        let key = key(partition);
        let is_done = match self.open.get_mut(&key) {
            Some(open) => {
                open.slices = open.slices.saturating_sub(1);
                open.slices == 0 && open.is_complete
            }
            None => true,
        };
        if !self.is_global
            && let Some(known) = self.states.get_mut(&key)
        {
            known.intervals.close(cursor, slice, newest)?;
            if is_done {
                let reached = known.intervals.state(cursor).get(&cursor.field).cloned();
                reached.into_iter().for_each(|value| self.raise(value));
            }
        }
        if is_done {
            self.open.shift_remove(&key);
        }
        let first_open = self.open.values().map(|open| open.sequence).min();
        let passed = self.parents.iter().take_while(|(at, _)| first_open.is_none_or(|first| first > *at)).count();
        if let Some((_, state)) = self.parents.drain(..passed).next_back() {
            self.parent_state = Some(state);
        }
        Ok(())
    }

    /// Every partition was read: what was newest counts for all from now on.
    pub fn finish(&mut self, started: Timestamp, now: Timestamp, parents: Option<Value>) {
        if self.open.values().any(|open| open.slices > 0) {
            return;
        }
        if self.seen_any {
            self.global = self.newest.clone();
            let took = now.duration_since(started).as_secs_f64().ceil() as i64;
            self.lookback = took.max(1);
        }
        self.parent_state = parents;
    }

    pub fn state(&self, cursor: &Cursor) -> Value {
        let mut out = Map::new();
        out.insert("use_global_cursor".to_owned(), self.is_global.into());
        if !self.is_global {
            let states = self.states.values().filter_map(|known| {
                let state = known.intervals.state(cursor);
                (!state.is_empty()).then(|| crate::json!({"partition": &known.partition, "cursor": state}))
            });
            out.insert("states".to_owned(), states.collect());
        }
        if let Some(global) = &self.global {
            out.insert("state".to_owned(), Map::from_iter([(cursor.field.clone(), global.clone())]).into());
        }
        out.insert("lookback_window".to_owned(), self.lookback.into());
        if let Some(parents) = &self.parent_state {
            out.insert("parent_state".to_owned(), parents.clone());
        }
        out.into()
    }
}
