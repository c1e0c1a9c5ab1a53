//! Windows that begin and end with a day, a week or a month.

use std::sync::Arc;

use crate::value::Value;
use jiff::civil::{DateTime, Time, Weekday};
use jiff::{Span, ToSpan};

use super::Point;
use crate::datetime::IsoDuration;
use crate::failure::Failure;
use crate::node::{Compiler, Node};

const SECOND: i64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub enum Clamp {
    Day,
    Week(Weekday),
    Month,
}

impl Clamp {
    pub fn compile(node: &Node, parameters: &Arc<Value>, cx: &mut Compiler) -> Option<Self> {
        let target = node.require("target", cx)?;
        match cx.evaluate_text(&target, parameters)?.as_str() {
            "DAY" => Some(Self::Day),
            "MONTH" => Some(Self::Month),
            "WEEK" => {
                let weekday = node.get("target_details").and_then(|details| details.get("weekday"));
                let weekday = weekday.as_ref().and_then(|node| node.value.as_str()).and_then(weekday_of);
                if weekday.is_none() {
                    cx.report(node, "a clamping to WEEK needs target_details with a weekday such as MONDAY");
                }
                weekday.map(Self::Week)
            }
            _ => {
                cx.report(&target, "write DAY, WEEK or MONTH");
                None
            }
        }
    }

    /// What a window's end is short of the next one's start, where the manifest does not say.
    pub fn unit(self) -> IsoDuration {
        let seconds = if matches!(self, Self::Day) { 1 } else { 86_400 };
        IsoDuration { microseconds: seconds * SECOND, ..IsoDuration::default() }
    }

    pub fn up(self, point: &Point) -> Result<Point, Failure> {
        self.clamp(point, true)
    }

    pub fn down(self, point: &Point) -> Result<Point, Failure> {
        self.clamp(point, false)
    }

    fn clamp(self, point: &Point, is_up: bool) -> Result<Point, Failure> {
        let Point::Moment { civil, offset } = point else { return Ok(point.clone()) };
        let midnight = civil.date().to_datetime(Time::midnight());
        let civil = match self {
            Self::Day if is_up && midnight != *civil => plus(midnight, 1.day())?,
            Self::Day => midnight,
            Self::Month if civil.day() == 1 => midnight,
            Self::Month => {
                let first = midnight.first_of_month();
                if is_up { plus(first, 1.month())? } else { first }
            }
            Self::Week(weekday) => {
                let (at, want) = (civil.date().weekday().to_monday_zero_offset(), weekday.to_monday_zero_offset());
                let ahead = if at > want { 7 - (at - want) } else { want - at };
                let days = if is_up || ahead == 0 { ahead } else { ahead - 7 };
                plus(midnight, i64::from(days).days())?
            }
        };
        Ok(Point::Moment { civil, offset: *offset })
    }
}

fn plus(civil: DateTime, span: Span) -> Result<DateTime, Failure> {
    civil.checked_add(span).map_err(|_| Failure::system("a window lies outside the years 1 to 9999"))
}

fn weekday_of(text: &str) -> Option<Weekday> {
    Some(match text {
        "MONDAY" => Weekday::Monday,
        "TUESDAY" => Weekday::Tuesday,
        "WEDNESDAY" => Weekday::Wednesday,
        "THURSDAY" => Weekday::Thursday,
        "FRIDAY" => Weekday::Friday,
        "SATURDAY" => Weekday::Saturday,
        "SUNDAY" => Weekday::Sunday,
        _ => return None,
    })
}
