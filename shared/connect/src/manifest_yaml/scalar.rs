//! What a plain scalar is in YAML 1.1.

use crate::value::{Number, Value};
use jiff::civil::{Date, DateTime, Time};

use crate::datetime::Moment;

/// The value; an error for what looks like a date and is none.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => text.into(),
        _ => match int(text).or_else(|| float(text)) {
            Some(number) => number,
            None => timestamp(text)?.map_or_else(|| text.into(), Value::String),
        },
    })
}

/// Integers beyond 64 bits keep their digits as a text.
pub(super) fn int(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let only = |digits: &str, allowed: fn(u8) -> bool| digits.bytes().all(|b| allowed(b) || b == b'_');
    let radix = |digits: &str, base| {
        let digits = digits.replace('_', "");
        i128::from_str_radix(&digits, base).ok()
    };
    let size = if let Some(bits) = digits.strip_prefix("0b") {
        radix(bits, 2).filter(|_| only(bits, |b| matches!(b, b'0' | b'1')))?
    } else if let Some(hex) = digits.strip_prefix("0x") {
        radix(hex, 16).filter(|_| only(hex, |b| b.is_ascii_hexdigit()))?
    } else if digits == "0" {
        0
    } else if let Some(octal) = digits.strip_prefix('0') {
        radix(octal, 8).filter(|_| only(octal, |b| matches!(b, b'0'..=b'7')))?
    } else if digits.starts_with(|c: char| c.is_ascii_digit()) {
        match digits.split_once(':') {
            Some((first, rest)) if only(first, |b| b.is_ascii_digit()) => sexagesimal(first, rest)?,
            None if only(digits, |b| b.is_ascii_digit()) => match radix(digits, 10) {
                Some(size) => size,
                None => return Some(text.into()),
            },
            _ => return None,
        }
    } else {
        return None;
    };
    let number = if negative { -size } else { size };
    Some(match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) => number.into(),
        _ => text.into(),
    })
}

fn sexagesimal(first: &str, rest: &str) -> Option<i128> {
    let mut total: i128 = first.replace('_', "").parse().ok()?;
    for part in rest.split(':') {
        total = total.checked_mul(60)?.checked_add(i128::from(below_sixty(part)?))?;
    }
    Some(total)
}

fn below_sixty(part: &str) -> Option<u8> {
    let fits = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
    part.parse().ok().filter(|number| fits && *number < 60)
}

/// What is infinite or no number has no JSON value, and is written as Python writes it.
pub(super) fn float(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(if negative { "-inf" } else { "inf" }.into()),
        ".nan" | ".NaN" | ".NAN" if unsigned.len() == text.len() => return Some("nan".into()),
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let starts = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        exponent.strip_prefix(['+', '-']).is_some_and(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit()))
    });
    if !digits(fraction) || !exponent_fits {
        return None;
    }
    let number: f64 = if let Some((first, rest)) = whole.split_once(':') {
        if exponent.is_some() || !starts(first) || !digits(first) {
            return None;
        }
        let (rest, last) = rest.rsplit_once(':').map_or((None, rest), |(rest, last)| (Some(rest), last));
        let mut total: f64 = first.replace('_', "").parse().ok()?;
        for part in rest.into_iter().flat_map(|rest| rest.split(':')) {
            total = total * 60.0 + f64::from(below_sixty(part)?);
        }
        below_sixty(last)?;
        total * 60.0 + format!("{last}.{fraction}0").replace('_', "").parse::<f64>().ok()?
    } else {
        let fits = if whole.is_empty() {
            starts(fraction) && unsigned.len() == text.len()
        } else {
            starts(whole) && digits(whole)
        };
        if !fits {
            return None;
        }
        let exponent = exponent.unwrap_or("0");
        format!("{}.{}0e{exponent}", if whole.is_empty() { "0" } else { whole }, fraction)
            .replace('_', "")
            .parse()
            .ok()?
    };
    let number = if negative { -number } else { number };
    Some(Number::from_f64(number).map_or_else(|| if negative { "-inf" } else { "inf" }.into(), Value::Number))
}

fn timestamp(text: &str) -> Result<Option<String>, String> {
    let Some((date, rest)) = date_digits(text) else { return Ok(None) };
    let short = date.1.len() != 2 || date.2.len() != 2;
    let none = || format!("'{text}' looks like a date, and there is no such day or time; quote it if it is a text");
    let number = |digits: &str| digits.parse::<i16>().unwrap_or(-1);
    let day = || Date::new(number(date.0), number(date.1) as i8, number(date.2) as i8).map_err(|_| none());
    if rest.is_empty() {
        return if short { Ok(None) } else { day().map(|day| Some(day.to_string())) };
    }
    let Some((clock, fraction, zone)) = clock(rest) else { return Ok(None) };
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let nanosecond = digits.parse::<i32>().unwrap_or(0) * 1000;
    let time = Time::new(clock[0], clock[1], clock[2], nanosecond).map_err(|_| none())?;
    let moment = Moment::new(DateTime::from_parts(day()?, time), zone).map_err(|_| none())?;
    let mut out = String::new();
    moment.write_iso(&mut out, 'T');
    Ok(Some(out))
}

type Digits<'t> = (&'t str, &'t str, &'t str);

fn date_digits(text: &str) -> Option<(Digits<'_>, &str)> {
    let year = text.get(..4).filter(|year| year.bytes().all(|b| b.is_ascii_digit()))?;
    let (month, rest) = one_or_two(text[4..].strip_prefix('-')?)?;
    let (day, rest) = one_or_two(rest.strip_prefix('-')?)?;
    Some(((year, month, day), rest))
}

fn one_or_two(text: &str) -> Option<(&str, &str)> {
    let count = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    (count > 0).then(|| text.split_at(count))
}

/// Hour, minute and second; the fraction's digits; the offset in seconds.
fn clock(text: &str) -> Option<([i8; 3], &str, Option<i32>)> {
    let rest = text
        .strip_prefix(['T', 't'])
        .or_else(|| Some(text.trim_start_matches([' ', '\t'])).filter(|r| r.len() < text.len()))?;
    let (hour, rest) = one_or_two(rest)?;
    let two = |text: &str| text.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_digit())).map(str::to_owned);
    let minute = two(rest.strip_prefix(':')?)?;
    let second = two(rest[3..].strip_prefix(':')?)?;
    let rest = &rest[6..];
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    let clock = [hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?];
    let zone = rest.trim_start_matches([' ', '\t']);
    if rest.is_empty() {
        return Some((clock, fraction, None));
    }
    if zone == "Z" {
        return Some((clock, fraction, Some(0)));
    }
    let (hours, minutes) = one_or_two(zone.strip_prefix(['+', '-'])?)?;
    let minutes = match minutes.strip_prefix(':') {
        Some(minutes) => two(minutes).filter(|_| minutes.len() == 2)?.parse::<i32>().ok()?,
        None if minutes.is_empty() => 0,
        None => return None,
    };
    let size = hours.parse::<i32>().ok()? * 3600 + minutes * 60;
    Some((clock, fraction, Some(if zone.starts_with('-') { -size } else { size })))
}
