//! The edge between two listings of a stream: how far behind its newest record a cursor is left, and which of the
//! records that this brings again should have come before.

use jiff::{SignedDuration, Timestamp};

use crate::cursor::{Cursor, Point};
use crate::failure::Failure;
use crate::read::reader::Reader;
use crate::read::record::Record;

/// How far a cursor is left behind, unless the manifest says: for what becomes visible late.
const LOOKBACK: SignedDuration = SignedDuration::from_secs(60);

/// A cursor that a slice came to, as it is kept: no newer than `floor`.
pub(super) fn held_back(cursor: &Cursor, newest: Point, floor: Timestamp) -> Result<Point, Failure> {
    let Some(at) = newest.instant() else { return Ok(newest) };
    let held = at.min(floor).checked_sub(lookback(cursor, &newest, at)).unwrap_or(at);
    if held == at { Ok(newest) } else { cursor.parse(&cursor.format(&Point::of(held))) }
}

/// Tells which records of the partition that is being read are older than what the listing before had come to.
pub(super) fn is_late(reader: &Reader) -> impl Fn(&Record) -> bool {
    let cursor = reader.stream.cursor.as_ref();
    let edge = cursor.zip(reader.known()).map(|(cursor, known)| (cursor, reached(cursor, known)));
    move |record| {
        edge.as_ref().is_some_and(|(cursor, edge)| {
            let value = record.field(&cursor.field);
            value.and_then(|value| cursor.parse(&value).ok()).is_some_and(|point| point < *edge)
        })
    }
}

/// What a listing had come to that left this behind.
fn reached(cursor: &Cursor, known: &Point) -> Point {
    let later = known.instant().and_then(|at| at.checked_add(lookback(cursor, known, at)).ok());
    later.map_or_else(|| known.clone(), Point::of)
}

fn lookback(cursor: &Cursor, point: &Point, at: Timestamp) -> SignedDuration {
    let an_hour_on = at.saturating_add(SignedDuration::from_hours(1)).unwrap_or(at);
    // A cursor of whole days begins its day again anyway.
    let is_fine = cursor.format(point) != cursor.format(&Point::of(an_hour_on));
    if cursor.looks_back() || !is_fine { SignedDuration::ZERO } else { LOOKBACK }
}
