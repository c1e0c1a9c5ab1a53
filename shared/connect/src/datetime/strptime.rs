//! Text to moments, as Python's `strptime` does it in the C locale.
//!
//! A directive takes as much as it can and gives back what a later one needs. Names and literals match whatever
//! their case; white space in the format stands for at least one white space in the text.

use jiff::civil::{Date, DateTime, ISOWeekDate, Weekday};

use super::strftime::{DAYS, MONTHS};
use super::{DatetimeError, Moment};

#[derive(Clone, Copy, Default)]
struct Parts {
    year: Option<i16>,
    iso_year: Option<i16>,
    iso_week: Option<i8>,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    hour: i8,
    hour12: Option<i8>,
    afternoon: Option<bool>,
    minute: i8,
    second: i8,
    microsecond: i32,
    /// From Monday, 0.
    weekday: Option<i8>,
    week_from_sunday: Option<i16>,
    week_from_monday: Option<i16>,
    offset: Option<i32>,
}

pub(super) fn read(text: &str, format: &str) -> Result<Moment, DatetimeError> {
    let mut parts = Parts::default();
    let wrong = || DatetimeError::Text { text: text.to_owned(), format: format.to_owned() };
    if !step(format, text, &mut parts)
        .map_err(|directive| DatetimeError::Format { format: format.to_owned(), directive })?
    {
        return Err(wrong());
    }
    let date = date_of(&parts).ok_or_else(wrong)?;
    let hour = match (parts.hour12, parts.afternoon) {
        (Some(hour), Some(true)) => hour % 12 + 12,
        (Some(hour), _) => hour % 12,
        (None, _) => parts.hour,
    };
    let time =
        jiff::civil::Time::new(hour, parts.minute, parts.second, parts.microsecond * 1000).map_err(|_| wrong())?;
    Moment::new(DateTime::from_parts(date, time), parts.offset)
}

fn date_of(parts: &Parts) -> Option<Date> {
    if let (Some(year), Some(week)) = (parts.iso_year, parts.iso_week) {
        let weekday = Weekday::from_monday_zero_offset(parts.weekday?).ok()?;
        return ISOWeekDate::new(year, week, weekday).ok().map(Date::from);
    }
    let year = parts.year.unwrap_or(1900);
    let start = Date::new(year, 1, 1).ok()?;
    if let (Some(weekday), Some(_)) = (parts.weekday, parts.year)
        && parts.month.is_none()
        && parts.day_of_year.is_none()
    {
        let week = match (parts.week_from_sunday, parts.week_from_monday) {
            (Some(week), _) => Some((week, (weekday + 1) % 7, start.weekday().to_sunday_zero_offset())),
            (None, Some(week)) => Some((week, weekday, start.weekday().to_monday_zero_offset())),
            (None, None) => None,
        };
        if let Some((week, weekday, first)) = week {
            let day = if first == 0 {
                i32::from(week - 1) * 7 + i32::from(weekday)
            } else {
                i32::from(week) * 7 - i32::from(first) + i32::from(weekday)
            };
            return start.checked_add(jiff::Span::new().days(day)).ok();
        }
    }
    match (parts.day_of_year, parts.month) {
        (Some(day), None) => start.checked_add(jiff::Span::new().days(day - 1)).ok(),
        _ => Date::new(year, parts.month.unwrap_or(1), parts.day.unwrap_or(1)).ok(),
    }
}

/// Whether the text, to its end, is of the format; the directive that nobody knows is the error.
fn step(format: &str, text: &str, parts: &mut Parts) -> Result<bool, String> {
    let Some(next) = format.chars().next() else { return Ok(text.is_empty()) };
    if next.is_whitespace() {
        let after = text.trim_start();
        // Whatever matches next either can't begin with white space, or may take what is left of it.
        return if after.len() == text.len() { Ok(false) } else { step(format.trim_start(), after, parts) };
    }
    if next != '%' {
        let Some(found) = text.chars().next() else { return check(format) };
        let same = found == next || found.to_lowercase().eq(next.to_lowercase());
        return if same { step(&format[next.len_utf8()..], &text[found.len_utf8()..], parts) } else { check(format) };
    }
    let Some(directive) = format[1..].chars().next() else { return Err("a single '%'".to_owned()) };
    let format = &format[1 + directive.len_utf8()..];
    let expanded = match directive {
        'c' => Some("%a %b %d %H:%M:%S %Y"),
        'x' => Some("%m/%d/%y"),
        'X' => Some("%H:%M:%S"),
        _ => None,
    };
    if let Some(expanded) = expanded {
        return step(&format!("{expanded}{format}"), text, parts);
    }
    let mut names = |names: &[&str], short: bool, store: fn(&mut Parts, usize)| {
        for (index, name) in names.iter().enumerate() {
            let name = if short { &name[..3] } else { name };
            if text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
                store(parts, index);
                return step(format, &text[name.len()..], parts);
            }
        }
        check(format)
    };
    let (digits, low, high): (std::ops::RangeInclusive<usize>, u32, u32) = match directive {
        '%' => return if let Some(rest) = text.strip_prefix('%') { step(format, rest, parts) } else { check(format) },
        'a' => return names(&DAYS, true, |parts, index| parts.weekday = Some(index as i8)),
        'A' => return names(&DAYS, false, |parts, index| parts.weekday = Some(index as i8)),
        'b' => return names(&MONTHS, true, |parts, index| parts.month = Some(index as i8 + 1)),
        'B' => return names(&MONTHS, false, |parts, index| parts.month = Some(index as i8 + 1)),
        'p' => return names(&["am ", "pm "].map(|name| &name[..2]), false, |p, i| p.afternoon = Some(i == 1)),
        'Z' => return names(&["utc", "gmt"], false, |_, _| {}),
        'z' => return offset(format, text, parts),
        'f' => (1..=6, 0, 999_999),
        'Y' | 'G' => (4..=4, 0, 9999),
        'y' => (2..=2, 0, 99),
        'm' | 'I' => (1..=2, 1, 12),
        'd' => (1..=2, 1, 31),
        'H' => (1..=2, 0, 23),
        'M' => (1..=2, 0, 59),
        'S' => (1..=2, 0, 61),
        'j' => (1..=3, 1, 366),
        'U' | 'W' => (1..=2, 0, 53),
        'V' => (1..=2, 0, 53),
        'w' => (1..=1, 0, 6),
        'u' => (1..=1, 1, 7),
        other => return Err(format!("'%{other}'")),
    };
    let digit_text = if directive == 'd' { text.strip_prefix(' ').unwrap_or(text) } else { text };
    let longest = digit_text.bytes().take(*digits.end()).take_while(u8::is_ascii_digit).count();
    let mut matched = check(format)?;
    for count in (*digits.start()..=longest).rev() {
        let Ok(number) = digit_text[..count].parse::<u32>() else { continue };
        if !(low..=high).contains(&number) {
            continue;
        }
        store(parts, directive, number, count);
        matched = step(format, &digit_text[count..], parts)?;
        if matched {
            break;
        }
    }
    Ok(matched)
}

fn store(parts: &mut Parts, directive: char, number: u32, count: usize) {
    let small = number as i16;
    let tiny = number as i8;
    match directive {
        'f' => parts.microsecond = number as i32 * 10i32.pow(6 - count as u32),
        'Y' => parts.year = Some(small),
        'G' => parts.iso_year = Some(small),
        'y' => parts.year = Some(if small <= 68 { 2000 + small } else { 1900 + small }),
        'm' => parts.month = Some(tiny),
        'I' => parts.hour12 = Some(tiny),
        'd' => parts.day = Some(tiny),
        'H' => parts.hour = tiny,
        'M' => parts.minute = tiny,
        'S' => parts.second = tiny,
        'j' => parts.day_of_year = Some(small),
        'U' => parts.week_from_sunday = Some(small),
        'W' => parts.week_from_monday = Some(small),
        'V' => parts.iso_week = Some(tiny),
        'w' => parts.weekday = Some((tiny + 6) % 7),
        _ => parts.weekday = Some(tiny - 1),
    }
}

/// `+hh:mm`, with or without the colon, with seconds or without; or `Z`.
fn offset(format: &str, text: &str, parts: &mut Parts) -> Result<bool, String> {
    if let Some(rest) = text.strip_prefix('Z') {
        parts.offset = Some(0);
        return step(format, rest, parts);
    }
    let negative = text.starts_with('-');
    let Some(rest) = text.strip_prefix(['+', '-']) else { return check(format) };
    let two = |text: &str| -> Option<i32> {
        let digits = text.get(..2)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let Some(hours) = two(rest) else { return check(format) };
    let rest = &rest[2..];
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let Some(minutes) = two(rest).filter(|minutes| *minutes < 60) else { return check(format) };
    let rest = &rest[2..];
    let mut set = |seconds: i32| {
        let size = hours * 3600 + minutes * 60 + seconds;
        parts.offset = Some(if negative { -size } else { size });
    };
    let tail = rest.strip_prefix(':').unwrap_or(rest);
    if let Some(seconds) = two(tail).filter(|seconds| *seconds < 60) {
        set(seconds);
        if step(format, &tail[2..], parts)? {
            return Ok(true);
        }
        let size = hours * 3600 + minutes * 60;
        parts.offset = Some(if negative { -size } else { size });
        return step(format, rest, parts);
    }
    set(0);
    step(format, rest, parts)
}

/// No match; but a directive that nobody knows is an error whatever the text.
fn check(format: &str) -> Result<bool, String> {
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c == '%' {
            match chars.next() {
                None => return Err("a single '%'".to_owned()),
                Some(known) if "aAbBcdfGHIjmMpSuUVwWxXyYzZ%".contains(known) => {}
                Some(other) => return Err(format!("'%{other}'")),
            }
        }
    }
    Ok(false)
}
