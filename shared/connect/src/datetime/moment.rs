//! A date, a time and perhaps an offset from UTC, as Python's `datetime`.

use jiff::civil::DateTime;

/// Without an offset it is naive: it names no instant until one is assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub(crate) civil: DateTime,
    /// Seconds east of UTC.
    pub(crate) offset: Option<i32>,
}
