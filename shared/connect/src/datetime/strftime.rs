//! Moments to text, as Python's `strftime` does it on Linux in the C locale.
//!
//! Flags between `%` and the letter are known: `-` no padding, `_` spaces, `0` zeros, `^` upper case. A
//! directive that nobody knows is written as it stands.

use std::fmt::Write;

use super::moment::{Moment, write_offset};

pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) fn write(out: &mut String, moment: &Moment, format: &str) {
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let directive = &rest[at + 1..];
        let flags = directive.len() - directive.trim_start_matches(['-', '_', '0', '^', '#']).len();
        let width =
            directive[flags..].len() - directive[flags..].trim_start_matches(|c: char| c.is_ascii_digit()).len();
        // Other forms of a directive, which are no other in the C locale.
        let form = usize::from(directive[flags + width..].starts_with(['E', 'O']));
        let Some(letter) = directive[flags + width + form..].chars().next() else {
            return out.push_str(&rest[at..]);
        };
        let end = at + 1 + flags + width + form + letter.len_utf8();
        let whole = &rest[at..end];
        let style = Style { flags: &directive[..flags], width: directive[flags..flags + width].parse().ok() };
        if !directive_of(out, moment, letter, &style) {
            out.push_str(whole);
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
}

struct Style<'a> {
    flags: &'a str,
    width: Option<usize>,
}

impl Style<'_> {
    fn number(&self, out: &mut String, number: i64, width: usize, pad: char) {
        let pad = match self.flags.chars().rfind(|flag| "-_0".contains(*flag)) {
            Some('-') => None,
            Some('_') => Some(' '),
            Some('0') => Some('0'),
            _ => Some(pad),
        };
        let digits = number.to_string();
        let width = self.width.unwrap_or(width).min(64);
        match pad {
            Some(pad) => out.extend(std::iter::repeat_n(pad, width.saturating_sub(digits.len()))),
            None if self.width.is_some() => out.extend(std::iter::repeat_n('0', width.saturating_sub(digits.len()))),
            None => {}
        }
        out.push_str(&digits);
    }

    fn text(&self, out: &mut String, text: &str) {
        let pad = if self.flags.contains('0') { '0' } else { ' ' };
        out.extend(std::iter::repeat_n(pad, self.width.unwrap_or(0).min(64).saturating_sub(text.len())));
        if self.flags.contains('^') {
            out.push_str(&text.to_ascii_uppercase());
        } else {
            out.push_str(text);
        }
    }
}

fn directive_of(out: &mut String, moment: &Moment, letter: char, style: &Style) -> bool {
    let civil = moment.civil();
    let date = civil.date();
    let monday_based = i64::from(date.weekday().to_monday_zero_offset());
    let hour = i64::from(civil.hour());
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let day_of_year = i64::from(date.day_of_year());
    let mut combined = |format: &str| {
        let mut text = String::new();
        write(&mut text, moment, format);
        style.text(out, &text);
        true
    };
    match letter {
        'c' => return combined("%a %b %e %H:%M:%S %Y"),
        'x' | 'D' => return combined("%m/%d/%y"),
        'X' | 'T' => return combined("%H:%M:%S"),
        'F' => return combined("%Y-%m-%d"),
        'R' => return combined("%H:%M"),
        'r' => return combined("%I:%M:%S %p"),
        _ => {}
    }
    let mut number = |value: i64, width: usize| style.number(out, value, width, '0');
    match letter {
        'Y' => number(date.year().into(), 1),
        'C' => number(i64::from(date.year()) / 100, 1),
        'y' => number(i64::from(date.year()) % 100, 2),
        'm' => number(date.month().into(), 2),
        'd' => number(date.day().into(), 2),
        'H' => number(hour, 2),
        'I' => number(hour12, 2),
        'M' => number(civil.minute().into(), 2),
        'S' => number(civil.second().into(), 2),
        'j' => number(day_of_year, 3),
        'w' => number((monday_based + 1) % 7, 1),
        'u' => number(monday_based + 1, 1),
        'U' => number((day_of_year + 6 - (monday_based + 1) % 7) / 7, 2),
        'W' => number((day_of_year + 6 - monday_based) / 7, 2),
        'V' => number(date.iso_week_date().week().into(), 2),
        'G' => number(date.iso_week_date().year().into(), 1),
        'g' => number(i64::from(date.iso_week_date().year()) % 100, 2),
        's' => number(moment.microseconds().div_euclid(1_000_000), 1),
        'e' => style.number(out, date.day().into(), 2, ' '),
        'k' => style.number(out, hour, 2, ' '),
        'l' => style.number(out, hour12, 2, ' '),
        'a' => style.text(out, &DAYS[monday_based as usize][..3]),
        'A' => style.text(out, DAYS[monday_based as usize]),
        'b' | 'h' => style.text(out, &MONTHS[date.month() as usize - 1][..3]),
        'B' => style.text(out, MONTHS[date.month() as usize - 1]),
        'p' if style.flags.contains('#') => style.text(out, if hour < 12 { "am" } else { "pm" }),
        'p' => style.text(out, if hour < 12 { "AM" } else { "PM" }),
        'P' => style.text(out, if hour < 12 { "am" } else { "pm" }),
        'n' => out.push('\n'),
        't' => out.push('\t'),
        '%' => out.push('%'),
        // Python fills these three in before it looks at flags.
        'f' if style.flags.is_empty() => {
            let _ = write!(out, "{:06}", moment.microsecond());
        }
        'z' if style.flags.is_empty() => {
            if let Some(offset) = moment.offset() {
                write_offset(out, offset, "");
            }
        }
        'Z' if style.flags.is_empty() => {
            if let Some(offset) = moment.offset() {
                out.push_str("UTC");
                if offset != 0 {
                    write_offset(out, offset, ":");
                }
            }
        }
        _ => return false,
    }
    true
}
