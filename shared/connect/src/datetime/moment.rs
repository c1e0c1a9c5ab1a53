//! A date, a time and perhaps an offset from UTC, as Python's `datetime`.

use std::cmp::Ordering;
use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::DatetimeError;

/// Without an offset it is naive: it names no instant until one is assumed, and here that is always UTC.
/// It has whole microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    civil: DateTime,
    /// Seconds east of UTC.
    offset: Option<i32>,
}

/// How much of a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// The fraction only where there is one.
    Auto,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
    Microseconds,
}

impl Precision {
    /// By the name that Python has for it.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "auto" => Self::Auto,
            "hours" => Self::Hours,
            "minutes" => Self::Minutes,
            "seconds" => Self::Seconds,
            "milliseconds" => Self::Milliseconds,
            "microseconds" => Self::Microseconds,
            _ => return None,
        })
    }
}

impl Moment {
    /// Years outside 1 to 9999 are refused, and what is finer than a microsecond is cut off.
    pub fn new(civil: DateTime, offset: Option<i32>) -> Result<Self, DatetimeError> {
        if !(1..=9999).contains(&civil.year()) {
            return Err(DatetimeError::Range);
        }
        let whole = civil.subsec_nanosecond() / 1000 * 1000;
        let civil = civil.with().subsec_nanosecond(whole).build().map_err(|_| DatetimeError::Range)?;
        Ok(Self { civil, offset })
    }

    pub fn utc(instant: Timestamp) -> Result<Self, DatetimeError> {
        Self::new(jiff::tz::Offset::UTC.to_datetime(instant), Some(0))
    }

    /// Microseconds since 1970.
    pub fn from_microseconds(microseconds: i128) -> Result<Self, DatetimeError> {
        let microseconds = i64::try_from(microseconds).map_err(|_| DatetimeError::Range)?;
        Self::utc(Timestamp::from_microsecond(microseconds).map_err(|_| DatetimeError::Range)?)
    }

    /// Microseconds since 1970; a naive moment counts as UTC.
    #[must_use]
    pub fn microseconds(&self) -> i64 {
        let days = i64::from(self.civil.date().since(EPOCH).map_or(0, |span| span.get_days()));
        let time = self.civil.time();
        let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
        let offset = i64::from(self.offset.unwrap_or(0));
        ((days * 86_400) + seconds - offset) * 1_000_000 + i64::from(time.subsec_nanosecond() / 1000)
    }

    pub fn timestamp(&self) -> Result<Timestamp, DatetimeError> {
        Timestamp::from_microsecond(self.microseconds()).map_err(|_| DatetimeError::Range)
    }

    /// Seconds since 1970 as Python's `timestamp()` has them.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.microseconds() as f64 / 1e6
    }

    #[must_use]
    pub fn civil(&self) -> DateTime {
        self.civil
    }

    #[must_use]
    pub fn date(&self) -> Date {
        self.civil.date()
    }

    #[must_use]
    pub fn offset(&self) -> Option<i32> {
        self.offset
    }

    #[must_use]
    pub fn microsecond(&self) -> i32 {
        self.civil.subsec_nanosecond() / 1000
    }

    /// The same moment, UTC when it was naive.
    #[must_use]
    pub fn or_utc(self) -> Self {
        Self { offset: self.offset.or(Some(0)), ..self }
    }

    /// The same instant in UTC.
    pub fn to_utc(&self) -> Result<Self, DatetimeError> {
        Self::from_microseconds(self.microseconds().into())
    }

    pub fn plus_microseconds(&self, microseconds: i64) -> Result<Self, DatetimeError> {
        let civil = self
            .civil
            .checked_add(jiff::SignedDuration::from_micros(microseconds))
            .map_err(|_| DatetimeError::Range)?;
        Self::new(civil, self.offset)
    }

    /// A day that the month doesn't have becomes its last.
    pub fn plus_months(&self, months: i64) -> Result<Self, DatetimeError> {
        let months = jiff::Span::new().try_months(months).map_err(|_| DatetimeError::Range)?;
        Self::new(self.civil.checked_add(months).map_err(|_| DatetimeError::Range)?, self.offset)
    }

    /// `None` for a naive one and one that isn't.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        (self.offset.is_some() == other.offset.is_some()).then(|| self.microseconds().cmp(&other.microseconds()))
    }

    /// ISO 8601, the fraction only where there is one.
    pub fn write_iso(&self, out: &mut String, separator: char) {
        self.write_iso_to(out, separator, Precision::Auto);
    }

    /// ISO 8601 as far as the precision goes.
    pub fn write_iso_to(&self, out: &mut String, separator: char, precision: Precision) {
        let (date, time) = (self.civil.date(), self.civil.time());
        let (hour, minute, second, fraction) = (time.hour(), time.minute(), time.second(), self.microsecond());
        let _ = write!(out, "{date}{separator}{hour:02}");
        let _ = match precision {
            Precision::Hours => Ok(()),
            Precision::Minutes => write!(out, ":{minute:02}"),
            Precision::Auto if fraction == 0 => write!(out, ":{minute:02}:{second:02}"),
            Precision::Seconds => write!(out, ":{minute:02}:{second:02}"),
            Precision::Milliseconds => write!(out, ":{minute:02}:{second:02}.{:03}", fraction / 1000),
            Precision::Auto | Precision::Microseconds => write!(out, ":{minute:02}:{second:02}.{fraction:06}"),
        };
        if let Some(offset) = self.offset {
            write_offset(out, offset, ":");
        }
    }

    pub(crate) fn write_repr(&self, out: &mut String) {
        let c = self.civil;
        let _ = write!(out, "datetime.datetime({}, {}, {}, {}, {}", c.year(), c.month(), c.day(), c.hour(), c.minute());
        if c.second() != 0 || self.microsecond() != 0 {
            let _ = write!(out, ", {}", c.second());
        }
        if self.microsecond() != 0 {
            let _ = write!(out, ", {}", self.microsecond());
        }
        out.push_str(if self.offset.is_some() { ", tzinfo=datetime.timezone.utc)" } else { ")" });
    }
}

const EPOCH: Date = Date::constant(1970, 1, 1);

pub(super) fn write_offset(out: &mut String, offset: i32, colon: &str) {
    let sign = if offset < 0 { '-' } else { '+' };
    let size = offset.abs();
    let _ = write!(out, "{sign}{:02}{colon}{:02}", size / 3600, size / 60 % 60);
    if size % 60 != 0 {
        let _ = write!(out, "{colon}{:02}", size % 60);
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        self.write_iso(&mut out, ' ');
        f.write_str(&out)
    }
}
