//! When a delivery says that it was sent. A sender that states no time, or none that can be read, is
//! taken at the time of receipt and may only trigger a fetch.

use serde_json::Value as Json;

use super::verify::{Delivery, Verified};
use crate::config::path::{Base, Path, Step};
use crate::config::{Stated, TimeFormat};
use crate::domain::Millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub stated: Millis,
    /// Whether `stated` is the sender's word.
    pub timed: bool,
}

pub(super) fn read(delivery: &Delivery<Verified>, stated: Option<&Stated>, received: Millis) -> Times {
    let found = match stated {
        None => None,
        Some(Stated::Header { name, format }) => {
            delivery.header(name).and_then(|text| read_time(&Json::from(text.trim()), format))
        }
        Some(Stated::Body { path, format }) => serde_json::from_slice::<Json>(delivery.body())
            .ok()
            .and_then(|body| at(&body, path).and_then(|value| read_time(value, format))),
    };
    Times { stated: found.unwrap_or(received), timed: found.is_some() }
}

fn at<'a>(body: &'a Json, path: &Path) -> Option<&'a Json> {
    if matches!(path.base, Base::Up(_)) {
        return None;
    }
    path.steps.iter().try_fold(body, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Element(index) => value.get(index),
        Step::Every => None,
    })
}

/// Numbers may come as text: headers have nothing else.
fn read_time(value: &Json, format: &TimeFormat) -> Option<Millis> {
    let number = || match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse::<f64>().ok(),
        _ => None,
    };
    match format {
        TimeFormat::Rfc3339 => value.as_str()?.parse::<jiff::Timestamp>().ok().map(millis),
        TimeFormat::UnixSeconds => jiff::Timestamp::from_millisecond(whole(number()? * 1000.0)?).ok().map(millis),
        TimeFormat::UnixMillis => jiff::Timestamp::from_millisecond(whole(number()?)?).ok().map(millis),
        TimeFormat::Pattern(pattern) => {
            let parsed = jiff::fmt::strtime::parse(pattern, value.as_str()?).ok()?;
            let timestamp = match parsed.offset() {
                Some(_) => parsed.to_timestamp().ok()?,
                None => {
                    let date = parsed.to_date().ok()?;
                    let time = parsed.to_time().unwrap_or_default();
                    date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
                }
            };
            Some(millis(timestamp))
        }
    }
}

fn millis(timestamp: jiff::Timestamp) -> Millis {
    Millis(timestamp.as_millisecond())
}

/// The nearest whole number, where an `i64` has it.
#[expect(clippy::cast_possible_truncation, reason = "checked against the range just before")]
fn whole(number: f64) -> Option<i64> {
    (number.is_finite() && number.abs() < 9e15).then(|| number.round() as i64)
}
