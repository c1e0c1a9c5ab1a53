//! Values as Python's `json.dumps` writes them: a space after `,` and `:`, everything but ASCII escaped.

use std::fmt::Write;

use super::call::Fault;
use super::number::write_float;
use super::value::{Py, json_key};

const MAX_DEPTH: usize = 200;

pub(super) fn write(out: &mut String, value: &Py, sorted: bool) -> Result<(), Fault> {
    nested(out, value, sorted, 0)
}

fn nested(out: &mut String, value: &Py, sorted: bool, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::Stopped(format!("a value is nested more than {MAX_DEPTH} levels deep")));
    }
    match value {
        Py::None => out.push_str("null"),
        Py::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Py::Int(int) => {
            let _ = write!(out, "{int}");
        }
        Py::Float(float) if float.is_nan() => out.push_str("NaN"),
        Py::Float(float) if float.is_infinite() => out.push_str(if *float > 0.0 { "Infinity" } else { "-Infinity" }),
        Py::Float(float) => write_float(out, *float),
        Py::Text(text) => quoted(out, text),
        Py::Array(_) | Py::List(_) | Py::Tuple(_) => {
            out.push('[');
            for (i, item) in value.items()?.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                nested(out, item, sorted, depth + 1)?;
            }
            out.push(']');
        }
        Py::Object(_) | Py::Dict(_) => {
            let unfit = || Fault::Type("keys must be str, int, float, bool or None".to_owned());
            let mut members = Vec::new();
            for (key, member) in value.members() {
                members.push((key.to_json().as_ref().and_then(json_key).ok_or_else(unfit)?, member));
            }
            if sorted {
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            out.push('{');
            for (i, (key, member)) in members.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                quoted(out, key);
                out.push_str(": ");
                nested(out, member, sorted, depth + 1)?;
            }
            out.push('}');
        }
        other => return Err(Fault::Type(format!("Object of type {} is not JSON serializable", other.kind()))),
    }
    Ok(())
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}
