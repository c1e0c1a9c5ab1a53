//! Reading dates and times in whatever way a source writes them.
//!
//! Always holds: a time that was read can be shown as RFC 3339 with a year of four digits. Without an
//! offset in the text a pattern means UTC. No time zone of the machine plays a part.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::Value as Json;

use super::reasons::{kind, show};
use crate::config::TimeFormat;
use crate::domain::Millis;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found}; expected {expected}")]
pub struct BadTime {
    pub found: String,
    pub expected: String,
}

/// A point in time. Parts of a millisecond in a text are cut off; a Unix time is rounded to the nearest one.
pub fn read_time(value: &Json, format: &TimeFormat) -> Result<Millis, BadTime> {
    let read = match format {
        TimeFormat::Rfc3339 => value.as_str().filter(|text| starts_with_date(text)).and_then(|text| text.parse().ok()),
        TimeFormat::UnixSeconds => unix(value, 1000.0),
        TimeFormat::UnixMillis => unix(value, 1.0),
        TimeFormat::Pattern(pattern) => value.as_str().and_then(|text| by_pattern(pattern, text)),
    };
    read.filter(|time: &Timestamp| shows_well(time.to_zoned(TimeZone::UTC).year()))
        .map(|time| Millis(time.as_millisecond()))
        .ok_or_else(|| bad(value, format, "an RFC 3339 time with its offset, such as 2026-01-02T03:04:05Z"))
}

/// A day as `YYYY-MM-DD`. Of a text it is the day as written, whatever its offset; of a Unix time, the day in UTC.
pub(super) fn read_date(value: &Json, format: &TimeFormat) -> Result<String, BadTime> {
    let read = match format {
        TimeFormat::Rfc3339 => value.as_str().and_then(written_day),
        TimeFormat::UnixSeconds | TimeFormat::UnixMillis => {
            let time = read_time(value, format)?;
            Timestamp::from_millisecond(time.0).ok().map(|time| time.to_zoned(TimeZone::UTC).date())
        }
        TimeFormat::Pattern(pattern) => value.as_str().and_then(|text| {
            let parsed = strtime::parse(pattern, text).ok()?;
            parsed.to_date().ok().or_else(|| parsed.timestamp().map(|time| time.to_zoned(TimeZone::UTC).date()))
        }),
    };
    read.filter(|date| shows_well(date.year()))
        .map(|date| date.to_string())
        .ok_or_else(|| bad(value, format, "a date such as 2026-01-02"))
}

fn bad(value: &Json, format: &TimeFormat, rfc3339: &str) -> BadTime {
    let expected = match format {
        TimeFormat::Rfc3339 => rfc3339.to_owned(),
        TimeFormat::UnixSeconds => "seconds since 1970".to_owned(),
        TimeFormat::UnixMillis => "milliseconds since 1970".to_owned(),
        TimeFormat::Pattern(pattern) => format!("a text written as '{pattern}'"),
    };
    BadTime { found: format!("{} ({})", show(value), kind(value)), expected }
}

fn shows_well(year: i16) -> bool {
    (0..=9999).contains(&year)
}

/// jiff also reads shorter forms, such as `20260102`; those are more often something else.
fn starts_with_date(text: &str) -> bool {
    let shape = b"dddd-dd-dd";
    text.len() >= shape.len()
        && text
            .bytes()
            .zip(shape)
            .all(|(byte, shape)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == *shape })
}

fn written_day(text: &str) -> Option<Date> {
    if !starts_with_date(text) {
        return None;
    }
    let day = text.get(..10)?.parse().ok()?;
    let whole = text.len() == 10 || text.parse::<Timestamp>().is_ok() || text.parse::<DateTime>().is_ok();
    whole.then_some(day)
}

fn by_pattern(pattern: &str, text: &str) -> Option<Timestamp> {
    let parsed: BrokenDownTime = strtime::parse(pattern, text).ok()?;
    if parsed.offset().is_some() || parsed.timestamp().is_some() {
        return parsed.to_timestamp().ok();
    }
    if parsed.iana_time_zone().is_some() {
        return parsed.to_zoned().ok().map(|zoned: Zoned| zoned.timestamp());
    }
    let day = parsed.to_date().ok()?;
    let civil = if parsed.hour().is_some() { parsed.to_datetime().ok()? } else { day.at(0, 0, 0, 0) };
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// A number, or a text that is one. `scale` is how many milliseconds one is.
fn unix(value: &Json, scale: f64) -> Option<Timestamp> {
    let whole = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    let millis = match whole {
        Some(whole) if scale == 1.0 => whole,
        Some(whole) => whole.checked_mul(1000)?,
        None => {
            let number = value.as_f64().or_else(|| value.as_str().and_then(super::convert::decimal))?;
            let millis = (number * scale).round();
            // Far within what an i64 holds; from_millisecond has the last word.
            if millis.abs() > 1e15 {
                return None;
            }
            millis as i64
        }
    };
    Timestamp::from_millisecond(millis).ok()
}
