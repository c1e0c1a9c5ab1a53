//! Filters of texts and numbers, and the list of all filters: those that encode, and those of lists, have modules
//! of their own.

use super::call::{Args, Fault, Outcome};
use super::machine::Machine;
use super::shared::Text;
use super::texts::word;
use super::value::Py;
use super::{codings, format, list_filters, macros, methods, number, print, texts};

pub(super) type Run = for<'a> fn(&mut Machine<'a>, Py<'a>, Args<'a>) -> Outcome<'a>;

#[derive(Clone, Copy)]
pub(super) struct Filter {
    run: Run,
    /// It hands its input on, or looks at its size only.
    is_shallow: bool,
}

impl Filter {
    pub fn apply<'a>(self, machine: &mut Machine<'a>, input: Py<'a>, args: Args<'a>) -> Outcome<'a> {
        if self.is_shallow {
            machine.burn(input.len().unwrap_or(0) / 8)?;
        } else {
            machine.walk(&input)?;
        }
        (self.run)(machine, input, args)
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Filter")
    }
}

pub(super) fn find(name: &str) -> Option<Filter> {
    let run: Run = match name {
        "hash" => codings::hash,
        "hmac" => codings::hmac,
        "base64encode" | "base64binascii_decode" => codings::base64encode,
        "base64decode" => codings::base64decode,
        "string" => codings::string,
        "regex_search" => codings::regex_search,
        "regex_replace" => codings::regex_replace,
        "tojson" => codings::tojson,
        "int" => int,
        "float" => float,
        "abs" => abs,
        "round" => round,
        "default" | "d" => default,
        "lower" => |_, value, _| Ok(Py::text(shown(&value)?.to_lowercase())),
        "upper" => |_, value, _| Ok(Py::text(shown(&value)?.to_uppercase())),
        "capitalize" => |_, value, _| Ok(Py::text(texts::capitalized(&shown(&value)?))),
        "title" => |_, value, _| Ok(Py::text(title(&shown(&value)?))),
        "trim" => |machine, value, args| methods::call(machine, &Py::Text(shown(&value)?), "strip", args),
        "replace" => {
            |machine, value, args| methods::call(machine, &Py::Text(shown(&value)?), "replace", shown_args(args)?)
        }
        "center" => |machine, value, args| {
            let [width] = args.bind(["width"])?;
            let args = Args { pos: vec![width.unwrap_or(Py::Int(80))], named: Vec::new() };
            methods::call(machine, &Py::Text(shown(&value)?), "center", args)
        },
        "format" => |machine, value, args| {
            let values = if args.named.is_empty() {
                Py::tuple(args.pos)
            } else {
                Py::dict(args.named.into_iter().map(|(name, value)| (Py::Text(name), value)).collect())
            };
            format::percent(machine, &shown(&value)?, &values)
        },
        "urlencode" => |_, value, _| codings::urlencode(&value),
        "escape" | "e" | "forceescape" => |_, value, _| Ok(Py::text(escape(&shown(&value)?))),
        "safe" => |_, value, _| Ok(value),
        "striptags" => |_, value, _| Ok(Py::text(striptags(&shown(&value)?))),
        "truncate" => truncate,
        "indent" => indent,
        "wordcount" => |_, value, _| Ok(Py::Int(words(&shown(&value)?) as i128)),
        "pprint" => |_, value, _| {
            let mut out = String::new();
            print::write_repr(&mut out, &value, 0)?;
            Ok(Py::text(out))
        },
        other => list_filters::find(other)?,
    };
    let is_shallow = matches!(name, "length" | "count" | "first" | "last" | "list" | "default" | "d" | "safe");
    Some(Filter { run, is_shallow })
}

/// `str(value)`.
pub(super) fn shown<'a>(value: &Py<'a>) -> Result<Text<'a>, Fault> {
    if let Py::Text(text) = value {
        return Ok(text.clone());
    }
    let mut out = String::new();
    print::write_text(&mut out, value)?;
    Ok(Text::from(out))
}

fn shown_args<'a>(args: Args<'a>) -> Result<Args<'a>, Fault> {
    let pos = args.pos.into_iter().enumerate();
    let pos = pos.map(|(i, arg)| if i < 2 { Ok(Py::Text(shown(&arg)?)) } else { Ok(arg) });
    Ok(Args { pos: pos.collect::<Result<_, Fault>>()?, named: args.named })
}

fn int<'a>(_: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [default, base] = args.bind(["default", "base"])?;
    let base = base.and_then(|base| base.as_int()).and_then(|base| u32::try_from(base).ok()).unwrap_or(10);
    if let Py::Undefined(name) = value {
        return Err(Fault::Undefined(name.into_owned()));
    }
    Ok(macros::to_int(&value, base.clamp(2, 36)).map_or_else(|| default.unwrap_or(Py::Int(0)), Py::Int))
}

fn float<'a>(_: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [default] = args.bind(["default"])?;
    if let Py::Undefined(name) = value {
        return Err(Fault::Undefined(name.into_owned()));
    }
    let number = value.as_number().or_else(|| value.as_str().and_then(number::parse_float));
    Ok(number.map_or_else(|| default.unwrap_or(Py::Float(0.0)), Py::Float))
}

fn abs<'a>(_: &mut Machine<'a>, value: Py<'a>, _: Args<'a>) -> Outcome<'a> {
    match value {
        Py::Float(float) => Ok(Py::Float(float.abs())),
        Py::Delta(delta) => Ok(Py::Delta(delta.abs())),
        other => match other.as_int() {
            Some(int) => Ok(Py::Int(int.checked_abs().ok_or_else(number::too_large)?)),
            None => Err(Fault::kind("a number", &other)),
        },
    }
}

fn round<'a>(_: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [precision, method] = args.bind(["precision", "method"])?;
    let precision = precision.and_then(|precision| precision.as_int()).unwrap_or(0).clamp(-300, 300) as i32;
    let number = value.as_number().ok_or_else(|| Fault::kind("a number", &value))?;
    let scale = 10f64.powi(precision);
    Ok(match method.as_ref().and_then(Py::as_str).unwrap_or("common") {
        "ceil" => Py::Float((number * scale).ceil() / scale),
        "floor" => Py::Float((number * scale).floor() / scale),
        "common" if matches!(value, Py::Float(_)) => Py::Float(number::round(number, precision)),
        "common" if precision >= 0 => value,
        "common" => Py::Int(number::round(number, precision) as i128),
        _ => return Err(Fault::Fails("round: the method must be common, ceil or floor".to_owned())),
    })
}

fn default<'a>(_: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [default, even_false] = args.bind(["default_value", "boolean"])?;
    let missing = matches!(value, Py::Undefined(_)) || (even_false.is_some_and(|b| b.is_true()) && !value.is_true());
    Ok(if missing { default.unwrap_or(Py::text("")) } else { value })
}

/// Every word's first letter in upper case; words end at white space, hyphens and opening brackets.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        start = c.is_whitespace() || "-({[<".contains(c);
    }
    out
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&#34;").replace('\'', "&#39;")
}

fn striptags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let Some(end) = rest[at..].find('>') else { break };
        out.push_str(&rest[..at]);
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn truncate<'a>(_: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [length, kill_words, end, leeway] = args.bind(["length", "killwords", "end", "leeway"])?;
    let size = |value: Option<Py>, default: usize| {
        value.and_then(|value| value.as_int()).and_then(|int| usize::try_from(int).ok()).unwrap_or(default)
    };
    let (length, leeway) = (size(length, 255), size(leeway, 5));
    let end = end.map_or(Ok(Text::Borrowed("...")), word)?;
    let text = shown(&value)?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(Py::Text(text));
    }
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let kept = match kept.rsplit_once(' ') {
        Some((words, _)) if !kill_words.is_some_and(|kill| kill.is_true()) => words,
        _ => &kept,
    };
    Ok(Py::text(format!("{kept}{end}")))
}

fn indent<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [width, first, blank] = args.bind(["width", "first", "blank"])?;
    let by = match width {
        Some(Py::Text(text)) => text.into_owned(),
        width => {
            let width = width.and_then(|width| width.as_int()).and_then(|width| usize::try_from(width).ok());
            machine.grow(width.unwrap_or(4))?;
            " ".repeat(width.unwrap_or(4))
        }
    };
    let (first, blank) = (first.is_some_and(|v| v.is_true()), blank.is_some_and(|v| v.is_true()));
    let text = shown(&value)?;
    machine.grow(text.len() + by.len().saturating_mul(text.matches('\n').count() + 1))?;
    let mut out = String::new();
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if (i > 0 || first) && (blank || i == 0 || !line.is_empty()) {
            out.push_str(&by);
        }
        out.push_str(line);
    }
    Ok(Py::text(out))
}

fn words(text: &str) -> usize {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count()
}
