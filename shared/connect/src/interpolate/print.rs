//! Values as Python's `str` and `repr` write them.

use std::fmt::Write;

use crate::value::Value;

use super::call::Fault;
use super::number::write_float;
use super::value::Py;
use crate::datetime::{self, IsoDuration};

/// How deep a value may be nested to be printed.
const MAX_DEPTH: usize = 200;

/// A JSON value as Python's `str` writes it.
#[must_use]
pub fn python_text(value: &Value) -> String {
    let mut out = String::new();
    // JSON values are never deeper than they may be printed.
    let _ = write_text(&mut out, &Py::of(value));
    out
}

/// `str(value)`.
pub(super) fn write_text(out: &mut String, value: &Py) -> Result<(), Fault> {
    match value {
        Py::Undefined(_) => {}
        Py::Text(text) => out.push_str(text),
        Py::Moment(moment) => moment.write_iso(out, ' '),
        Py::Date(date) => {
            let _ = write!(out, "{date}");
        }
        Py::Delta(microseconds) => write_delta(out, *microseconds),
        Py::Duration(duration) => write_duration(out, duration),
        other => write_repr(out, other, 0)?,
    }
    Ok(())
}

/// `repr(value)`.
pub(super) fn write_repr(out: &mut String, value: &Py, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::Stopped(format!("a value is nested more than {MAX_DEPTH} levels deep")));
    }
    match value {
        Py::Undefined(_) => out.push_str("Undefined"),
        Py::None => out.push_str("None"),
        Py::Bool(true) => out.push_str("True"),
        Py::Bool(false) => out.push_str("False"),
        Py::Int(int) => {
            let _ = write!(out, "{int}");
        }
        Py::Float(float) => write_float(out, *float),
        Py::Text(text) => write_quoted(out, text),
        Py::Array(_) | Py::List(_) => {
            out.push('[');
            write_items(out, &value.items()?, depth)?;
            out.push(']');
        }
        Py::Tuple(items) => {
            out.push('(');
            write_items(out, items, depth)?;
            out.push_str(if items.len() == 1 { ",)" } else { ")" });
        }
        Py::Object(_) | Py::Headers(_) | Py::Slice(_) | Py::Dict(_) | Py::Namespace(_) => {
            out.push_str(if matches!(value, Py::Namespace(_)) { "<Namespace {" } else { "{" });
            for (i, (key, member)) in value.members().iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_repr(out, key, depth + 1)?;
                out.push_str(": ");
                write_repr(out, member, depth + 1)?;
            }
            out.push_str(if matches!(value, Py::Namespace(_)) { "}>" } else { "}" });
        }
        Py::Moment(moment) => moment.write_repr(out),
        Py::Date(date) => {
            let _ = write!(out, "datetime.date({}, {}, {})", date.year(), date.month(), date.day());
        }
        Py::Delta(microseconds) => {
            let _ = write!(out, "datetime.timedelta(microseconds={microseconds})");
        }
        Py::Duration(duration) => write_duration(out, duration),
        Py::Method(owner, name) => {
            let _ = write!(out, "<built-in method {name} of {} object>", owner.kind());
        }
        Py::Function(name) => {
            let _ = write!(out, "<function {name}>");
        }
        Py::Loop(state) => {
            let _ = write!(out, "<LoopContext {}/{}>", state.index + 1, state.items.len());
        }
    }
    Ok(())
}

fn write_items(out: &mut String, items: &[Py], depth: usize) -> Result<(), Fault> {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_repr(out, item, depth + 1)?;
    }
    Ok(())
}

fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c == ' ' || is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

fn is_printable(c: char) -> bool {
    // What Rust would not show either, save for marks that join to the letter before them.
    c.is_ascii_graphic() || c.is_alphanumeric() || (!c.is_whitespace() && c.escape_debug().len() == 1)
}

fn write_delta(out: &mut String, microseconds: i64) {
    let days = microseconds.div_euclid(datetime::DAY);
    let rest = microseconds.rem_euclid(datetime::DAY);
    if days != 0 {
        let _ = write!(out, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" });
    }
    let seconds = rest / 1_000_000;
    let _ = write!(out, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if rest % 1_000_000 != 0 {
        let _ = write!(out, ".{:06}", rest % 1_000_000);
    }
}

fn write_duration(out: &mut String, duration: &IsoDuration) {
    if duration.years != 0 {
        let _ = write!(out, "{} years, ", duration.years);
    }
    if duration.months != 0 {
        let _ = write!(out, "{} month{}, ", duration.months, if duration.months <= 1 { "" } else { "s" });
    }
    write_delta(out, duration.microseconds);
}
