//! Numbers as Python writes and divides them.
//!
//! Python's integers have no end; here they have 128 bits, and what would need more is an error.

use std::fmt::Write;

use super::call::Fault;

/// The shortest text that reads back as the same number; an exponent below 1e-4 and from 1e16 on.
pub(crate) fn write_float(out: &mut String, number: f64) {
    if number.is_nan() {
        return out.push_str("nan");
    }
    if number.is_infinite() {
        return out.push_str(if number > 0.0 { "inf" } else { "-inf" });
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
    } else {
        let _ = write!(out, "{number:?}");
    }
}

pub(super) fn too_large() -> Fault {
    Fault::Fails("a number needs more than 128 bits; keep it as a text".to_owned())
}

fn by_zero() -> Fault {
    Fault::Fails("division by zero".to_owned())
}

pub(super) fn divide(left: f64, right: f64) -> Result<f64, Fault> {
    if right == 0.0 { Err(by_zero()) } else { Ok(left / right) }
}

pub(super) fn floor_divide(left: i128, right: i128) -> Result<i128, Fault> {
    if right == 0 {
        return Err(by_zero());
    }
    let quotient = left.checked_div(right).ok_or_else(too_large)?;
    Ok(if left % right != 0 && (left < 0) != (right < 0) { quotient - 1 } else { quotient })
}

pub(super) fn modulo(left: i128, right: i128) -> Result<i128, Fault> {
    if right == 0 {
        return Err(by_zero());
    }
    let rest = left.checked_rem(right).unwrap_or(0);
    Ok(if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest })
}

pub(super) fn float_floor_divide(left: f64, right: f64) -> Result<f64, Fault> {
    if right == 0.0 { Err(by_zero()) } else { Ok(((left - float_modulo(left, right)?) / right).round()) }
}

pub(super) fn float_modulo(left: f64, right: f64) -> Result<f64, Fault> {
    if right == 0.0 {
        return Err(by_zero());
    }
    let rest = left % right;
    Ok(if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest })
}

/// Half to even, as `round` does. `digits` may be negative.
pub(super) fn round(number: f64, digits: i32) -> f64 {
    if !number.is_finite() || digits > 300 {
        number
    } else if digits >= 0 {
        // Formatting rounds the exact value of the number, which is what Python does.
        format!("{number:.*}", digits as usize).parse().unwrap_or(number)
    } else {
        let scale = 10f64.powi(-digits);
        (number / scale).round_ties_even() * scale
    }
}

/// `int(text)`: white space around, a sign, single underscores between digits.
pub(crate) fn parse_int(text: &str, base: u32) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefix = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    let lower = digits.to_ascii_lowercase();
    let digits = if prefix.is_empty() { lower.as_str() } else { lower.strip_prefix(prefix).unwrap_or(&lower) };
    if digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let value = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -value } else { value })
}

/// `float(text)`.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let named = matches!(plain.as_str(), "inf" | "infinity" | "nan");
    if !named && (plain.contains(|c: char| c.is_ascii_alphabetic() && c != 'e') || plain.is_empty()) {
        return None;
    }
    let lone =
        text.as_bytes().windows(3).filter(|w| w[1] == b'_').all(|w| w[0].is_ascii_digit() && w[2].is_ascii_digit());
    if !lone || text.starts_with('_') || text.ends_with('_') {
        return None;
    }
    text.replace('_', "").parse().ok()
}
