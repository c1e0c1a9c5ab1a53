//! Moments as manifests write them: Python's formats and a few more, ISO 8601 durations, and the earlier or
//! later of some moments.
//!
//! Owns no wall clock. Always holds: a moment has microseconds and nothing finer, as Python's have, and lies in
//! the years 1 to 9999.

mod duration;
mod iso;
mod min_max;
mod moment;
mod strftime;
mod strptime;

#[cfg(test)]
mod tests;

pub use duration::IsoDuration;
pub(crate) use iso::read_iso;
pub use min_max::MinMaxDatetime;
pub use moment::{Moment, Precision};

use crate::interpolate::number;

/// Microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatetimeError {
    #[error("'{text}' is not a moment of the format '{format}'")]
    Text { text: String, format: String },
    #[error("the format '{format}' holds {directive}, which can't be read")]
    Format { format: String, directive: String },
    #[error("'{text}' is not an ISO 8601 duration; write for example P1D, PT12H or P1Y2M")]
    Duration { text: String },
    #[error("this moment lies outside the years 1 to 9999")]
    Range,
    #[error(transparent)]
    Template(#[from] crate::interpolate::TemplateError),
}

/// A moment from a text, or a number as text, in one of the CDK's formats; without an offset it is UTC.
pub fn parse(text: &str, format: &str) -> Result<Moment, DatetimeError> {
    let wrong = || DatetimeError::Text { text: text.to_owned(), format: format.to_owned() };
    let scaled = |scale: i128| {
        let number = number::parse_int(text, 10).ok_or_else(wrong)?;
        Moment::from_microseconds(number.checked_mul(scale).ok_or(DatetimeError::Range)?)
    };
    match format {
        "%s" => scaled(1_000_000),
        "%ms" => scaled(1000),
        "%epoch_microseconds" => scaled(1),
        "%s_as_float" => {
            let seconds = number::parse_float(text).filter(|seconds| seconds.is_finite()).ok_or_else(wrong)?;
            let whole = seconds.floor();
            let fraction = ((seconds - whole) * 1e6).round_ties_even();
            Moment::from_microseconds(whole as i128 * 1_000_000 + fraction as i128)
        }
        _ if format.contains("%_ms") => strptime::read(text, &format.replace("%_ms", "%f")),
        _ => strptime::read(text, format),
    }
    .map(Moment::or_utc)
}

/// The moment in a format of the CDK.
#[must_use]
pub fn format(moment: &Moment, format: &str) -> String {
    let seconds = moment.seconds();
    match format {
        "%s" => (seconds as i64).to_string(),
        "%ms" => ((seconds * 1e3) as i64).to_string(),
        "%epoch_microseconds" => ((seconds * 1e6) as i64).to_string(),
        "%s_as_float" => {
            let mut out = String::new();
            number::write_float(&mut out, seconds);
            out
        }
        _ if format.contains("%_ms") => {
            let fraction = format!("{:06}", moment.microsecond());
            let milliseconds = format!("{:03}", moment.microsecond() / 1000);
            strftime(moment, &format.replace("%_ms", "%f")).replace(&fraction, &milliseconds)
        }
        _ => strftime(moment, format),
    }
}

/// The moment in a format of Python's `strftime`.
#[must_use]
pub fn strftime(moment: &Moment, format: &str) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    strftime::write(&mut out, moment, format);
    out
}

/// A text read by Python's `strptime`; naive unless the text has an offset.
pub fn strptime(text: &str, format: &str) -> Result<Moment, DatetimeError> {
    strptime::read(text, format)
}
