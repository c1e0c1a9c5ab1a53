//! From a JSON value to a field's value, and whether that is within the field's bounds.
//!
//! Always holds: a value is converted only where nothing of it is lost and nobody would be surprised: text
//! to number when it is one, number to text, never a list or an object to text. Equal numbers give equal
//! values (there is no negative zero).

use serde_json::Value as Json;

use super::reasons::{Code, kind, show};
use super::time::{read_date, read_time};
use crate::config::{Bounds, TimeFormat};
use crate::domain::{FieldType, Value};

/// What is wrong with a value; the field's name is the caller's to add.
#[derive(Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

pub(super) fn convert(value: &Json, to: FieldType, format: Option<&TimeFormat>) -> Result<Value, Problem> {
    let wrong = |expected: &str| {
        let message = format!("found {} ({}); expected {expected}", show(value), kind(value));
        Problem::new(Code::WrongType, message)
    };
    let format = format.unwrap_or(&TimeFormat::Rfc3339);
    let bad_time = |bad: super::BadTime| Problem::new(Code::BadTime, bad.to_string());
    match to {
        FieldType::Integer => integer(value).map(Value::Int).ok_or_else(|| wrong("an integer of at most 64 bits")),
        FieldType::Number => number(value).map(Value::Float).ok_or_else(|| wrong("a number")),
        FieldType::String => text(value).map(Value::Text).ok_or_else(|| wrong("a text, a number or a boolean")),
        FieldType::Boolean => boolean(value).map(Value::Bool).ok_or_else(|| wrong("true, false, 0 or 1")),
        FieldType::Date => read_date(value, format).map(Value::Text).map_err(bad_time),
        FieldType::Timestamp => read_time(value, format).map(|time| Value::Text(time.to_string())).map_err(bad_time),
        FieldType::Json => Ok(if value.is_null() { Value::Null } else { Value::Json(value.clone()) }),
    }
}

fn integer(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(integral)),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Above this not every integer is a float, so that a float would stand for several.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn integral(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn number(value: &Json) -> Option<f64> {
    let number = match value {
        Json::Number(number) => number.as_f64()?,
        Json::String(text) => decimal(text)?,
        _ => return None,
    };
    number.is_finite().then_some(if number == 0.0 { 0.0 } else { number })
}

/// A number as people write one; not `inf`, `nan` or `1_000`.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    if plain { text.parse().ok() } else { None }
}

/// A scalar as text; `None` for lists, objects and null.
pub(super) fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

fn boolean(value: &Json) -> Option<bool> {
    match value {
        Json::Bool(value) => Some(*value),
        Json::String(text) => match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        Json::Number(_) => match integer(value) {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn check_bounds(value: &Value, kind: FieldType, bounds: &Bounds) -> Result<(), Problem> {
    let out = |expected: String| {
        let message = format!("found {}; expected {expected}", show(&value.to_json()));
        Err(Problem::new(Code::OutOfBounds, message))
    };
    if let (FieldType::String, Value::Text(text)) = (kind, value)
        && (bounds.min_length.is_some() || bounds.max_length.is_some())
    {
        let length = text.chars().count();
        if let Some(least) = bounds.min_length.filter(|least| length < *least) {
            return out(format!("at least {least} characters, not {length}"));
        }
        if let Some(most) = bounds.max_length.filter(|most| length > *most) {
            return out(format!("at most {most} characters, not {length}"));
        }
    }
    let amount = match value {
        Value::Int(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    };
    if let Some(amount) = amount {
        if let Some(least) = bounds.min.filter(|least| amount < *least) {
            return out(format!("at least {least}"));
        }
        if let Some(most) = bounds.max.filter(|most| amount > *most) {
            return out(format!("at most {most}"));
        }
    }
    match &bounds.one_of {
        Some(allowed) if !allowed.iter().any(|allowed| same(value, allowed)) => {
            out(format!("one of {}", show(&Json::Array(allowed.clone()))))
        }
        _ => Ok(()),
    }
}

fn same(value: &Value, allowed: &Json) -> bool {
    match value {
        Value::Int(value) => integer_value(allowed) == Some(*value),
        Value::Float(value) => allowed.as_f64() == Some(*value),
        other => other.to_json() == *allowed,
    }
}

fn integer_value(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| json.as_f64().and_then(integral))
}
