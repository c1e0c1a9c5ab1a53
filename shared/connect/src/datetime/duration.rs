//! ISO 8601 durations: years and months count by the calendar, all else is a fixed time.

use super::{DAY, DatetimeError, Moment};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IsoDuration {
    pub years: i64,
    pub months: i64,
    pub microseconds: i64,
}

impl IsoDuration {
    pub fn parse(text: &str) -> Result<Self, DatetimeError> {
        read(text).ok_or_else(|| DatetimeError::Duration { text: text.to_owned() })
    }

    /// Whether it has the same length wherever it begins.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.years == 0 && self.months == 0
    }

    /// The moment that is this much later: months first, then the rest.
    pub fn after(&self, moment: &Moment) -> Result<Moment, DatetimeError> {
        moment.plus_months(self.years * 12 + self.months)?.plus_microseconds(self.microseconds)
    }

    /// The moment that is this much earlier.
    pub fn before(&self, moment: &Moment) -> Result<Moment, DatetimeError> {
        moment.plus_months(-(self.years * 12 + self.months))?.plus_microseconds(-self.microseconds)
    }
}

const UNITS: [(char, i64); 7] =
    [('Y', 0), ('M', 0), ('W', 7 * DAY), ('D', DAY), ('H', 3_600_000_000), ('M', 60_000_000), ('S', 1_000_000)];
/// The first unit after the 'T'.
const TIME: usize = 4;
/// More than any span between two moments.
const MOST: f64 = 4e17;

fn read(text: &str) -> Option<IsoDuration> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut rest = rest.strip_prefix('P').filter(|rest| !rest.is_empty())?;
    let (mut years, mut months, mut microseconds) = (0, 0, 0.0);
    let mut unit = 0;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            if unit > TIME || rest.len() == text.len() {
                return None;
            }
            unit = TIME;
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ','))?;
        let amount = rest[..end].replace(',', ".");
        if !amount.starts_with(|c: char| c.is_ascii_digit()) || amount.ends_with('.') {
            return None;
        }
        let letter = rest[end..].chars().next()?;
        let last = if unit < TIME { TIME } else { UNITS.len() };
        let at = unit + UNITS[unit..last].iter().position(|(name, _)| *name == letter)?;
        match at {
            0 | 1 => {
                let count: i64 = amount.parse().ok().filter(|count| *count <= 120_000)?;
                *(if at == 0 { &mut years } else { &mut months }) = sign * count;
            }
            _ => microseconds += amount.parse::<f64>().ok()? * UNITS[at].1 as f64,
        }
        unit = at + 1;
        rest = &rest[end + 1..];
        if unit == TIME && !rest.is_empty() && !rest.starts_with('T') {
            return None;
        }
    }
    (microseconds <= MOST).then(|| IsoDuration {
        years,
        months,
        microseconds: sign * microseconds.round_ties_even() as i64,
    })
}
