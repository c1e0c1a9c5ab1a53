//! Values of cursors: moments, or numbers that count up.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp, civil::DateTime};
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::datetime::{DatetimeError, IsoDuration, Moment};
use crate::failure::Failure;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// With its offset from UTC in seconds, which its text keeps.
    Moment {
        civil: DateTime,
        offset: i32,
    },
    Count(Number),
}

impl Point {
    pub fn now(now: Timestamp) -> Self {
        Self::of(now)
    }

    pub fn of(at: Timestamp) -> Self {
        Self::Moment { civil: floor(at).to_zoned(jiff::tz::TimeZone::UTC).datetime(), offset: 0 }
    }

    pub fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Moment { civil, offset } => {
                let utc = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
                utc.checked_sub(SignedDuration::from_secs(i64::from(*offset))).ok()
            }
            Self::Count(_) => None,
        }
    }

    pub fn moment(&self) -> Option<Moment> {
        match self {
            Self::Moment { civil, offset } => Moment::new(*civil, Some(*offset)).ok(),
            Self::Count(_) => None,
        }
    }

    pub fn add(&self, duration: &IsoDuration) -> Result<Self, DatetimeError> {
        self.moment().map_or(Ok(self.clone()), |moment| Ok(duration.after(&moment)?.into()))
    }

    pub fn sub(&self, duration: &IsoDuration) -> Result<Self, DatetimeError> {
        self.moment().map_or(Ok(self.clone()), |moment| Ok(duration.before(&moment)?.into()))
    }
}

impl From<Moment> for Point {
    fn from(moment: Moment) -> Self {
        Self::Moment { civil: moment.civil(), offset: moment.offset().unwrap_or(0) }
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Point {}

impl PartialOrd for Point {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Point {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Moment { civil: one, offset: a }, Self::Moment { civil: two, offset: b }) if a == b => one.cmp(two),
            (Self::Count(one), Self::Count(two)) => match (one.as_i64(), two.as_i64()) {
                (Some(one), Some(two)) => one.cmp(&two),
                _ => one.as_f64().unwrap_or(0.0).total_cmp(&two.as_f64().unwrap_or(0.0)),
            },
            _ => self.instant().cmp(&other.instant()),
        }
    }
}

/// The moment a fixed or calendar duration after an instant.
pub fn after(now: Timestamp, duration: &IsoDuration) -> Result<Timestamp, Failure> {
    let point = Point::of(now).add(duration)?;
    point.instant().ok_or_else(|| Failure::system("a moment lies outside the years 1 to 9999"))
}

pub fn before(now: Timestamp, duration: &IsoDuration) -> Result<Timestamp, Failure> {
    let point = Point::of(now).sub(duration)?;
    point.instant().ok_or_else(|| Failure::system("a moment lies outside the years 1 to 9999"))
}

/// A moment from whatever way of writing one: ISO 8601, or seconds since 1970.
pub fn lenient(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    let utc = |civil: DateTime| civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| utc(text.parse().ok()?))
        .or_else(|| utc(text.parse::<jiff::civil::Date>().ok()?.to_datetime(jiff::civil::Time::midnight())))
}

/// As Python's `isoformat` writes it, without offset.
pub fn iso(at: Timestamp) -> String {
    let civil = floor(at).to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let seconds = civil.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    match civil.subsec_nanosecond() / 1000 {
        0 => seconds,
        micros => format!("{seconds}.{micros:06}"),
    }
}

/// Without what is finer than microseconds.
fn floor(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
