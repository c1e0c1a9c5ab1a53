//! Schedules in EventBridge's syntax: `rate(1 hour)`, `cron(0 3 * * ? *)`, with a time zone.
//!
//! Owns the syntax and the arithmetic. Owns no clock and no timer: a host asks what comes after a moment.
//!
//! Always holds:
//! - `next_after(t)` is later than `t`, and depends on nothing but the schedule and `t`.
//! - A rate runs at multiples of its period since 1970-01-01T00:00Z, so every host agrees on the moments,
//!   and a restart moves none of them. The zone means nothing to it.
//! - A cron time that does not exist, because the clock was put forward over it, is skipped; one that exists
//!   twice is run once, the first time. That is what EventBridge Scheduler does.

mod cron;

use std::fmt;

use jiff::tz::TimeZone;

use self::cron::Cron;
use crate::domain::Millis;

/// When something is to be done again and again. `Display` gives the text back.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    text: String,
    zone: TimeZone,
    when: When,
}

#[derive(Clone, Debug, PartialEq)]
enum When {
    /// A period in milliseconds.
    Rate(i64),
    Cron(Cron),
}

/// What is wrong with a schedule. The message says what, [`ScheduleError::help`] what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("'{0}' is not a schedule")]
    Form(String),
    #[error("'{0}' is a Unix cron line, without the round brackets and the year")]
    Unix(String, Option<String>),
    #[error("{message}")]
    Rate { message: String, help: String },
    #[error("a cron expression has 6 fields (minute hour day-of-month month day-of-week year); this one has {found}")]
    FieldCount { found: usize, suggestion: Option<String> },
    #[error("{field}: {message}")]
    Field { field: &'static str, message: String, help: String },
    #[error("exactly one of day-of-month and day-of-week must be '?'")]
    Days(String),
    #[error("'{0}' is not a time zone")]
    Zone(String),
}

impl ScheduleError {
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Form(_) => "write rate(1 hour), or cron(0 3 * * ? *) for every day at 3".to_owned(),
            Self::Unix(_, Some(suggestion))
            | Self::FieldCount { suggestion: Some(suggestion), .. }
            | Self::Days(suggestion) => format!("write {suggestion}"),
            Self::Unix(_, None) | Self::FieldCount { suggestion: None, .. } => {
                "write six fields, such as cron(0 3 * * ? *) for every day at 3".to_owned()
            }
            Self::Rate { help, .. } | Self::Field { help, .. } => help.clone(),
            Self::Zone(_) => "write an IANA name, such as Europe/Berlin or UTC".to_owned(),
        }
    }
}

impl Schedule {
    /// `zone` is an IANA name; `UTC` where nothing else is wanted.
    pub fn parse(text: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone = TimeZone::get(zone).map_err(|_| ScheduleError::Zone(zone.to_owned()))?;
        let trimmed = text.trim();
        let when = if let Some(inside) = within(trimmed, "rate(") {
            When::Rate(parse_rate(inside)?)
        } else if let Some(inside) = within(trimmed, "cron(") {
            When::Cron(Cron::parse(inside)?)
        } else if trimmed.split_whitespace().count() == 5 && !trimmed.contains('(') {
            return Err(ScheduleError::Unix(trimmed.to_owned(), cron::from_unix(trimmed)));
        } else {
            return Err(ScheduleError::Form(text.to_owned()));
        };
        Ok(Self { text: trimmed.to_owned(), zone, when })
    }

    /// The zone's IANA name.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The first moment after `after`; `None` when the schedule's years are over.
    #[must_use]
    pub fn next_after(&self, after: Millis) -> Option<Millis> {
        match &self.when {
            When::Rate(period) => after.0.div_euclid(*period).checked_add(1)?.checked_mul(*period).map(Millis),
            When::Cron(cron) => cron.next_after(after, &self.zone),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn within<'a>(text: &'a str, open: &str) -> Option<&'a str> {
    text.strip_prefix(open)?.strip_suffix(')')
}

fn parse_rate(inside: &str) -> Result<i64, ScheduleError> {
    let wrong = |message: String, help: String| ScheduleError::Rate { message, help };
    let mut words = inside.split_whitespace();
    let (Some(value), Some(unit), None) = (words.next(), words.next(), words.next()) else {
        return Err(wrong(
            format!("rate({inside}) has not the form rate(value unit)"),
            "write rate(5 minutes), rate(1 hour) or rate(7 days)".to_owned(),
        ));
    };
    let Some(value) = value.parse::<i64>().ok().filter(|v| *v > 0) else {
        return Err(wrong(format!("'{value}' is not a whole number of at least 1"), format!("write rate(5 {unit})")));
    };
    let (singular, minutes) = match unit {
        "minute" | "minutes" => ("minute", 1),
        "hour" | "hours" => ("hour", 60),
        "day" | "days" => ("day", 24 * 60),
        _ => {
            return Err(wrong(
                format!("'{unit}' is not a unit of a rate"),
                "the units are minute, minutes, hour, hours, day and days".to_owned(),
            ));
        }
    };
    let right = if value == 1 { singular.to_owned() } else { format!("{singular}s") };
    if unit != right {
        return Err(wrong(
            format!("'{unit}' does not go with {value}; EventBridge refuses it"),
            format!("write rate({value} {right})"),
        ));
    }
    value.checked_mul(minutes * 60_000).filter(|period| *period <= MAX_PERIOD).ok_or_else(|| {
        wrong(format!("{value} {unit} is longer than ten years"), "write a shorter rate, such as rate(7 days)".into())
    })
}

const MAX_PERIOD: i64 = 3653 * 24 * 60 * 60_000;

#[cfg(test)]
mod tests;
