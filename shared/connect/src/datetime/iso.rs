//! ISO 8601 dates and times, as far as `str_to_datetime` reads them.

use jiff::civil::{Date, DateTime, ISOWeekDate, Time, Weekday};

use super::{DatetimeError, Moment};

/// A calendar, week or ordinal date, then perhaps any one character and a time with or without an offset.
pub(crate) fn read_iso(text: &str) -> Result<Moment, DatetimeError> {
    read(text.as_bytes())
        .ok_or_else(|| DatetimeError::Text { text: text.to_owned(), format: "ISO 8601".to_owned() })
        .and_then(|(civil, offset)| Moment::new(civil, offset))
}

fn read(text: &[u8]) -> Option<(DateTime, Option<i32>)> {
    let (date, rest) = common_date(text).or_else(|| uncommon_date(text))?;
    if rest.is_empty() {
        return Some((date.to_datetime(Time::midnight()), None));
    }
    let (time, next_day, offset) = read_time(&rest[1..])?;
    let date = if next_day { date.tomorrow().ok()? } else { date };
    Some((date.to_datetime(time), offset))
}

fn number(text: &[u8], digits: usize) -> Option<i16> {
    let text = text.get(..digits)?;
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn common_date(text: &[u8]) -> Option<(Date, &[u8])> {
    let year = number(text, 4)?;
    let rest = &text[4..];
    if rest.is_empty() {
        return Some((Date::new(year, 1, 1).ok()?, rest));
    }
    let dashed = rest[0] == b'-';
    let rest = if dashed { &rest[1..] } else { rest };
    let month = number(rest, 2)? as i8;
    let rest = &rest[2..];
    if rest.is_empty() {
        return if dashed { Some((Date::new(year, month, 1).ok()?, rest)) } else { None };
    }
    let rest = if dashed { rest.strip_prefix(b"-")? } else { rest };
    let day = number(rest, 2)? as i8;
    Some((Date::new(year, month, day).ok()?, &rest[2..]))
}

fn uncommon_date(text: &[u8]) -> Option<(Date, &[u8])> {
    let year = number(text, 4)?;
    let rest = &text[4..];
    let dashed = rest.first() == Some(&b'-');
    let rest = if dashed { &rest[1..] } else { rest };
    if let Some(rest) = rest.strip_prefix(b"W") {
        let week = number(rest, 2)? as i8;
        let mut rest = &rest[2..];
        let mut day = 1;
        if !rest.is_empty() && (rest[0] == b'-') == dashed {
            let tail = if dashed { &rest[1..] } else { rest };
            day = number(tail, 1)? as i8;
            rest = &tail[1..];
        }
        let weekday = Weekday::from_monday_one_offset(day).ok()?;
        return Some((ISOWeekDate::new(year, week, weekday).ok()?.into(), rest));
    }
    let day = number(rest, 3)?;
    let date = Date::new(year, 1, 1).ok()?;
    let valid = day >= 1 && day <= date.days_in_year();
    Some((valid.then(|| date.checked_add(jiff::Span::new().days(day - 1)).ok()).flatten()?, &rest[3..]))
}

fn read_time(text: &[u8]) -> Option<(Time, bool, Option<i32>)> {
    let (clock, zone) = match text.iter().position(|b| b"+-Zz".contains(b)) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let mut parts = [0i16; 3];
    let mut rest = clock;
    let colons = clock.get(2) == Some(&b':');
    for (i, part) in parts.iter_mut().enumerate() {
        if rest.is_empty() && i > 0 {
            break;
        }
        if i > 0 && colons {
            rest = rest.strip_prefix(b":")?;
        }
        *part = number(rest, 2)?;
        rest = &rest[2..];
    }
    let mut nanosecond = 0;
    if let Some(fraction) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
        if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for i in 0..6 {
            nanosecond = nanosecond * 10 + i32::from(fraction.get(i).map_or(0, |digit| digit - b'0'));
        }
        nanosecond *= 1000;
        rest = &[];
    }
    if !rest.is_empty() {
        return None;
    }
    let [mut hour, minute, second] = parts;
    let next_day = hour == 24;
    if next_day {
        if minute != 0 || second != 0 || nanosecond != 0 {
            return None;
        }
        hour = 0;
    }
    let time = Time::new(hour as i8, minute as i8, second as i8, nanosecond).ok()?;
    let offset = match zone {
        None => None,
        Some(b"Z" | b"z") => Some(0),
        Some(zone) => {
            if !matches!(zone.len(), 3 | 5 | 6) || !matches!(zone[0], b'+' | b'-') {
                return None;
            }
            let hours = i32::from(number(&zone[1..], 2)?);
            let minutes = &zone[3..];
            let minutes = minutes.strip_prefix(b":").unwrap_or(minutes);
            let minutes = if zone.len() == 3 { 0 } else { i32::from(number(minutes, 2)?) };
            if hours > 23 || minutes > 59 {
                return None;
            }
            let size = hours * 3600 + minutes * 60;
            Some(if zone[0] == b'-' { -size } else { size })
        }
    };
    Some((time, next_day, offset))
}
