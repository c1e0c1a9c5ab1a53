//! EventBridge's cron expressions: `minute hour day-of-month month day-of-week year`.
//!
//! Owns the fields and the search for the next match. The search goes by local dates, year, month and day,
//! and turns into a moment only what matches; so it takes a bounded number of steps however rare the match.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::ScheduleError;
use crate::domain::Millis;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cron {
    minutes: Vec<i16>,
    hours: Vec<i16>,
    days: Days,
    months: Vec<i16>,
    years: Vec<i16>,
}

#[derive(Clone, Debug, PartialEq)]
enum Days {
    OfMonth(Vec<MonthDay>),
    OfWeek(Vec<WeekDay>),
}

#[derive(Clone, Debug, PartialEq)]
enum MonthDay {
    On(Vec<i16>),
    Last,
    LastWorkday,
    /// The working day nearest to a date, within its month.
    NearestWorkday(i16),
}

/// Days of the week count from 1, Sunday.
#[derive(Clone, Debug, PartialEq)]
enum WeekDay {
    On(Vec<i16>),
    LastOfMonth(i16),
    NthOfMonth(i16, i16),
}

/// What the members of one field may be.
struct Field {
    name: &'static str,
    min: i16,
    max: i16,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
const DAY_OF_MONTH: Field = Field { name: "day-of-month", min: 1, max: 31, names: &[] };
const MONTH: Field = Field { name: "month", min: 1, max: 12, names: &MONTHS };
const DAY_OF_WEEK: Field = Field { name: "day-of-week", min: 1, max: 7, names: &WEEKDAYS };
const YEAR: Field = Field { name: "year", min: 1970, max: 2199, names: &[] };

impl Field {
    fn wrong(&self, message: String) -> ScheduleError {
        let mut help = format!("write numbers from {} to {}", self.min, self.max);
        if let (Some(first), Some(last)) = (self.names.first(), self.names.last()) {
            help.push_str(&format!(", or {first} to {last}"));
        }
        help.push_str(match self.name {
            "day-of-month" => "; also * ? , - / L W",
            "day-of-week" => "; also * ? , - / L #",
            _ => "; also * , - /",
        });
        ScheduleError::Field { field: self.name, message, help }
    }

    fn number(&self, text: &str) -> Result<i16, ScheduleError> {
        if let Some(at) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(self.min + i16::try_from(at).expect("fields have at most twelve names"));
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i16>() {
            Ok(n) if digits && (self.min..=self.max).contains(&n) => Ok(n),
            Ok(n) if digits => Err(self.wrong(format!("{n} is out of range"))),
            _ => Err(self.wrong(format!("'{text}' is not a value"))),
        }
    }

    /// One member of a list: `*`, `5`, `1-5`, each with an optional `/step`.
    fn member(&self, text: &str) -> Result<Vec<i16>, ScheduleError> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => {
                let number = step.parse::<i16>().ok().filter(|n| *n > 0 && step.bytes().all(|b| b.is_ascii_digit()));
                (range, Some(number.ok_or_else(|| self.wrong(format!("'{step}' is not a step of at least 1")))?))
            }
            None => (text, None),
        };
        let (first, last) = if range == "*" {
            (self.min, self.max)
        } else if let Some((first, last)) = range.split_once('-') {
            let (first, last) = (self.number(first)?, self.number(last)?);
            if first > last {
                return Err(self.wrong(format!("the range {range} goes backwards; write it as a list of two ranges")));
            }
            (first, last)
        } else {
            let only = self.number(range)?;
            (only, if step.is_some() { self.max } else { only })
        };
        Ok((first..=last).step_by(usize::from(step.unwrap_or(1).unsigned_abs())).collect())
    }

    fn list(&self, text: &str) -> Result<Vec<i16>, ScheduleError> {
        let mut out = Vec::new();
        for member in text.split(',') {
            out.extend(self.member(member)?);
        }
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }
}

fn month_days(text: &str) -> Result<Vec<MonthDay>, ScheduleError> {
    text.split(',')
        .map(|member| match member.to_ascii_uppercase().as_str() {
            "L" => Ok(MonthDay::Last),
            "LW" => Ok(MonthDay::LastWorkday),
            upper => match upper.strip_suffix('W') {
                Some(day) => DAY_OF_MONTH.number(day).map(MonthDay::NearestWorkday),
                None => DAY_OF_MONTH.member(member).map(MonthDay::On),
            },
        })
        .collect()
}

fn week_days(text: &str) -> Result<Vec<WeekDay>, ScheduleError> {
    text.split(',')
        .map(|member| {
            let upper = member.to_ascii_uppercase();
            if upper == "L" {
                return Ok(WeekDay::On(vec![7]));
            }
            if let Some((day, nth)) = upper.split_once('#') {
                let day = DAY_OF_WEEK.number(day)?;
                return match nth.parse::<i16>() {
                    Ok(nth @ 1..=5) => Ok(WeekDay::NthOfMonth(day, nth)),
                    _ => Err(DAY_OF_WEEK.wrong(format!("'#{nth}' must be #1 to #5"))),
                };
            }
            match upper.strip_suffix('L') {
                Some(day) => DAY_OF_WEEK.number(day).map(WeekDay::LastOfMonth),
                None => DAY_OF_WEEK.member(member).map(WeekDay::On),
            }
        })
        .collect()
}

/// The EventBridge form of a Unix line, where it has one. Unix counts days of the week from 0, Sunday.
pub(super) fn from_unix(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else { return None };
    let weekday = weekday
        .split_inclusive([',', '-'])
        .map(|part| {
            let name = part.trim_end_matches([',', '-']);
            let rest = &part[name.len()..];
            match name.parse::<usize>() {
                Ok(n) => WEEKDAYS.get(n % 7).map(|name| format!("{name}{rest}")),
                Err(_) => Some(part.to_owned()),
            }
        })
        .collect::<Option<String>>()?;
    let (day, weekday) = match (day, weekday.as_str()) {
        (day, "*") => (day, "?"),
        ("*", weekday) => ("?", weekday),
        _ => return None,
    };
    let inside = format!("{minute} {hour} {day} {month} {weekday} *");
    Cron::parse(&inside).is_ok().then(|| format!("cron({inside})"))
}

impl Cron {
    pub(super) fn parse(inside: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = inside.split_whitespace().collect();
        let [minute, hour, day, month, weekday, year] = fields[..] else {
            return Err(ScheduleError::FieldCount { found: fields.len(), suggestion: from_unix(inside) });
        };
        let days = match (day, weekday) {
            ("?", "?") => return Err(ScheduleError::Days(format!("cron({minute} {hour} * {month} ? {year})"))),
            ("?", weekday) => Days::OfWeek(week_days(weekday)?),
            (day, "?") => Days::OfMonth(month_days(day)?),
            ("*", weekday) if weekday != "*" => {
                return Err(ScheduleError::Days(format!("cron({minute} {hour} ? {month} {weekday} {year})")));
            }
            (day, _) => return Err(ScheduleError::Days(format!("cron({minute} {hour} {day} {month} ? {year})"))),
        };
        Ok(Self {
            minutes: MINUTE.list(minute)?,
            hours: HOUR.list(hour)?,
            days,
            months: MONTH.list(month)?,
            years: YEAR.list(year)?,
        })
    }

    pub(super) fn next_after(&self, after: Millis, zone: &TimeZone) -> Option<Millis> {
        let local = zone.to_datetime(jiff::Timestamp::from_millisecond(after.0).ok()?);
        let from = local.date();
        for &year in self.years.iter().filter(|year| **year >= from.year()) {
            for &month in &self.months {
                let month = i8::try_from(month).ok()?;
                if (year, month) < (from.year(), from.month()) {
                    continue;
                }
                for date in self.days.in_month(year, month) {
                    if date < from {
                        continue;
                    }
                    if let Some(at) = self.times(date).filter_map(|local| moment(local, zone)).find(|at| *at > after) {
                        return Some(at);
                    }
                }
            }
        }
        None
    }

    fn times(&self, date: Date) -> impl Iterator<Item = DateTime> + '_ {
        self.hours.iter().flat_map(move |hour| {
            self.minutes
                .iter()
                .filter_map(move |minute| Some(date.at(i8::try_from(*hour).ok()?, i8::try_from(*minute).ok()?, 0, 0)))
        })
    }

    #[cfg(test)]
    pub(super) fn matches(&self, local: DateTime) -> bool {
        self.minutes.contains(&i16::from(local.minute()))
            && self.hours.contains(&i16::from(local.hour()))
            && self.months.contains(&i16::from(local.month()))
            && self.years.contains(&local.year())
            && self.days.in_month(local.year(), local.month()).contains(&local.date())
            && local.second() == 0
    }
}

/// `None` for a local time that the clock jumped over; the first of two where it was put back.
fn moment(local: DateTime, zone: &TimeZone) -> Option<Millis> {
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Fold { before, .. } => before,
        AmbiguousOffset::Gap { .. } => return None,
    };
    offset.to_timestamp(local).ok().map(|t| Millis(t.as_millisecond()))
}

impl Days {
    /// In order, each once.
    fn in_month(&self, year: i16, month: i8) -> Vec<Date> {
        let Ok(first) = Date::new(year, month, 1) else { return Vec::new() };
        let length = i16::from(first.days_in_month());
        let all = || (1..=length).filter_map(|day| Date::new(year, month, i8::try_from(day).ok()?).ok());
        let mut days: Vec<Date> = match self {
            Self::OfMonth(members) => members
                .iter()
                .flat_map(|member| match member {
                    MonthDay::On(days) => all().filter(|date| days.contains(&i16::from(date.day()))).collect(),
                    MonthDay::Last => vec![first.last_of_month()],
                    MonthDay::LastWorkday => nearest_workday(first.last_of_month()).into_iter().collect(),
                    MonthDay::NearestWorkday(day) => {
                        all().nth(usize::from(day.unsigned_abs()) - 1).and_then(nearest_workday).into_iter().collect()
                    }
                })
                .collect(),
            Self::OfWeek(members) => members
                .iter()
                .flat_map(|member| {
                    let on = |date: Date, day: i16| i16::from(date.weekday().to_sunday_one_offset()) == day;
                    match member {
                        WeekDay::On(days) => all().filter(|date| days.iter().any(|d| on(*date, *d))).collect(),
                        WeekDay::LastOfMonth(day) => all().rfind(|d| on(*d, *day)).into_iter().collect(),
                        WeekDay::NthOfMonth(day, nth) => all()
                            .filter(|d| on(*d, *day))
                            .nth(usize::from(nth.unsigned_abs()) - 1)
                            .into_iter()
                            .collect::<Vec<_>>(),
                    }
                })
                .collect(),
        };
        days.sort_unstable();
        days.dedup();
        days
    }
}

fn nearest_workday(date: Date) -> Option<Date> {
    let shift = match date.weekday() {
        Weekday::Saturday if date.day() == 1 => 2,
        Weekday::Saturday => -1,
        Weekday::Sunday if date == date.last_of_month() => -2,
        Weekday::Sunday => 1,
        _ => 0,
    };
    date.checked_add(jiff::Span::new().days(shift)).ok()
}
