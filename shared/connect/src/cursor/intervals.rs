//! What was read of one listing: intervals of its cursor, merged where they touch.

use crate::value::{Map, Value};
use serde::{Deserialize, Serialize};

use super::{Cursor, Point};
use crate::datetime::IsoDuration;
use crate::failure::Failure;

/// What separates two intervals that touch, where the manifest does not say.
const MILLISECOND: IsoDuration = IsoDuration { years: 0, months: 0, microseconds: 1000 };

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    pub read: Vec<Interval>,
    /// Where the first sync began.
    pub origin: Point,
    /// Where this one goes on.
    pub start: Point,
    /// Members of an older state that nobody here knows.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub legacy: Map,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub start: Point,
    pub end: Point,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Point>,
}

impl Intervals {
    /// From a state of any format. `lookback` seconds more are read again.
    pub fn of_state(cursor: &Cursor, state: &Map, origin: Point, lookback: i64) -> Result<Self, Failure> {
        if matches!(state.get("state_type").and_then(Value::as_str), Some("date-range" | "integer")) {
            let mut read = Vec::new();
            for slice in state.get("slices").and_then(Value::as_array).into_iter().flatten() {
                let at =
                    |key: &str| slice.get(key).filter(|value| !value.is_null()).map(|v| cursor.parse(v)).transpose();
                if let (Some(start), Some(end)) = (at("start")?, at("end")?) {
                    read.push(Interval { start, end, newest: at("most_recent_cursor_value")? });
                }
            }
            if let Some(first) = read.first() {
                let start = first.newest.clone().unwrap_or_else(|| first.end.clone());
                let legacy = state.get("legacy").and_then(Value::as_object).cloned().unwrap_or_default();
                return Ok(Self { read, origin, start, legacy });
            }
        }
        let mut start = origin.clone();
        if let Some(value) = state.get(&cursor.field).filter(|value| !value.is_null()) {
            let mut known = cursor.parse(value)?;
            if lookback > 0 {
                known = known.sub(&IsoDuration { microseconds: lookback * 1_000_000, ..IsoDuration::default() })?;
                // As written, so without what its format can't hold.
                known = cursor.parse(&cursor.format(&known))?;
            }
            start = start.max(known);
        }
        let read = vec![Interval { start: origin.clone(), end: start.clone(), newest: Some(start.clone()) }];
        let mut legacy = state.clone();
        legacy.remove("state_type");
        legacy.remove("slices");
        Ok(Self { read, origin, start, legacy })
    }

    /// Adds a window that was read to its end.
    pub fn close(&mut self, cursor: &Cursor, slice: &Map, newest: Option<Point>) -> Result<(), Failure> {
        if cursor.is_count() {
            let Some(newest) = newest else { return Ok(()) };
            self.read.push(Interval { start: self.start.clone(), end: newest.clone(), newest: Some(newest) });
        } else {
            let (start, end) = cursor.window(slice)?;
            self.read.push(Interval { start, end, newest });
        }
        self.merge(cursor)
    }

    pub fn merge(&mut self, cursor: &Cursor) -> Result<(), Failure> {
        self.read.sort_by(|a, b| (&a.start, &a.end).cmp(&(&b.start, &b.end)));
        let mut merged: Vec<Interval> = Vec::with_capacity(self.read.len());
        for interval in std::mem::take(&mut self.read) {
            match merged.last_mut() {
                Some(last) if next(cursor, &last.end)? >= interval.start => {
                    last.end = interval.end.max(last.end.clone());
                    last.newest = match (interval.newest, last.newest.take()) {
                        (Some(one), Some(two)) => Some(one.max(two)),
                        (one, two) => one.or(two),
                    };
                }
                _ => merged.push(interval),
            }
        }
        self.read = merged;
        Ok(())
    }

    /// The state in the format that the CDK writes.
    pub fn state(&self, cursor: &Cursor) -> Map {
        let mut out = self.legacy.clone();
        if let Some(first) = self.read.first() {
            let reached = first.newest.as_ref().unwrap_or(&first.start);
            out.insert(cursor.field.clone(), cursor.format(reached));
        }
        out
    }

    /// The smallest cursor that a record may have and still belong to this sync.
    pub fn lowest(&self, cursor: &Cursor) -> Point {
        let Some(lookback) = cursor.lookback() else { return self.start.clone() };
        match self.start.sub(lookback) {
            Ok(lower) => lower.max(self.start.clone().min(self.origin.clone())),
            Err(_) => self.start.clone(),
        }
    }
}

fn next(cursor: &Cursor, point: &Point) -> Result<Point, Failure> {
    match point {
        Point::Count(number) => {
            let next = number.as_i64().map(|number| number.saturating_add(1));
            Ok(Point::Count(next.map_or_else(|| number.clone(), Into::into)))
        }
        Point::Moment { .. } => Ok(point.add(cursor.granularity().unwrap_or(&MILLISECOND))?),
    }
}
