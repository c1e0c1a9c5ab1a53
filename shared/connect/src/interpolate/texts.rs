//! What texts can do in a template.

use super::call::{Args, Fault, Outcome, needed};
use super::format;
use super::machine::Machine;
use super::shared::Text;
use super::value::Py;

pub(super) const METHODS: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isdecimal",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];

pub(super) fn call<'a>(machine: &mut Machine<'a>, text: &Text<'a>, name: &str, args: Args<'a>) -> Outcome<'a> {
    machine.burn(text.len() / 64)?;
    match name {
        "format" => format::braces(machine, text, &args),
        "join" => {
            let [items] = args.bind(["iterable"])?;
            join(machine, text, needed(items, "iterable")?.items()?)
        }
        "split" | "rsplit" => {
            let [separator, most] = args.bind(["sep", "maxsplit"])?;
            split(machine, text, separator, most, name == "rsplit")
        }
        "replace" => {
            let [old, new, count] = args.bind(["old", "new", "count"])?;
            let (old, new) = (word(needed(old, "old")?)?, word(needed(new, "new")?)?);
            let count = count.and_then(|count| count.as_int()).and_then(|count| usize::try_from(count).ok());
            if !new.is_empty() {
                let hits = count.unwrap_or(usize::MAX).min(text.matches(&*old).count());
                machine.grow(text.len() + hits * new.len())?;
            }
            Ok(Py::text(match count {
                Some(count) => text.replacen(&*old, &new, count),
                None => text.replace(&*old, &new),
            }))
        }
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.bind(["chars"])?;
            let chars = match chars {
                None | Some(Py::None) => None,
                Some(chars) => Some(word(chars)?),
            };
            let strip = |c: char| chars.as_ref().map_or_else(|| c.is_whitespace(), |chars| chars.contains(c));
            let stripped = match name {
                "strip" => text.trim_matches(strip),
                "lstrip" => text.trim_start_matches(strip),
                _ => text.trim_end_matches(strip),
            };
            Ok(part(text, stripped))
        }
        "startswith" | "endswith" => {
            let [part] = args.bind(["prefix"])?;
            let parts = match needed(part, "prefix")? {
                Py::Tuple(parts) => parts.to_vec(),
                part => vec![part],
            };
            for part in parts {
                let part = word(part)?;
                if if name == "startswith" { text.starts_with(&*part) } else { text.ends_with(&*part) } {
                    return Ok(Py::Bool(true));
                }
            }
            Ok(Py::Bool(false))
        }
        "removeprefix" | "removesuffix" => {
            let [affix] = args.bind(["affix"])?;
            let affix = word(needed(affix, "affix")?)?;
            let rest = if name == "removeprefix" { text.strip_prefix(&*affix) } else { text.strip_suffix(&*affix) };
            Ok(part(text, rest.unwrap_or(text)))
        }
        "partition" | "rpartition" => {
            let [separator] = args.bind(["sep"])?;
            let separator = word(needed(separator, "sep")?)?;
            let halves = if name == "partition" { text.split_once(&*separator) } else { text.rsplit_once(&*separator) };
            let parts = match halves {
                Some((before, after)) => [before, &separator, after],
                None if name == "partition" => [&**text, "", ""],
                None => ["", "", &**text],
            };
            Ok(Py::tuple(parts.map(Py::text).to_vec()))
        }
        "count" | "find" | "rfind" | "index" | "rindex" => {
            let [part] = args.bind(["sub"])?;
            let part = word(needed(part, "sub")?)?;
            if name == "count" {
                return Ok(Py::Int(text.matches(&*part).count() as i128));
            }
            let at = if name.starts_with('r') { text.rfind(&*part) } else { text.find(&*part) };
            match at {
                Some(at) => Ok(Py::Int(text[..at].chars().count() as i128)),
                None if name.ends_with("find") => Ok(Py::Int(-1)),
                None => Err(Fault::Fails("substring not found".to_owned())),
            }
        }
        "splitlines" => {
            machine.burn(text.len() / 8)?;
            let lines = text.replace("\r\n", "\n").replace('\r', "\n");
            let lines = lines.strip_suffix('\n').unwrap_or(&lines);
            let empty = text.is_empty();
            Ok(Py::list(if empty { Vec::new() } else { lines.split('\n').map(Py::text).collect() }))
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            let [width, fill] = args.bind(["width", "fillchar"])?;
            let width = needed(width, "width")?.as_int().and_then(|width| usize::try_from(width).ok()).unwrap_or(0);
            let fill = fill.as_ref().and_then(Py::as_str).and_then(|fill| fill.chars().next());
            machine.grow(width.saturating_mul(4))?;
            Ok(Py::text(pad(text, width, fill, name)))
        }
        "isspace" => Ok(Py::Bool(!text.is_empty() && text.chars().all(char::is_whitespace))),
        "isalpha" => Ok(Py::Bool(!text.is_empty() && text.chars().all(char::is_alphabetic))),
        "isalnum" => Ok(Py::Bool(!text.is_empty() && text.chars().all(char::is_alphanumeric))),
        "isdigit" | "isdecimal" | "isnumeric" => Ok(Py::Bool(
            !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric())),
        )),
        "islower" => Ok(Py::Bool(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase))),
        "isupper" => Ok(Py::Bool(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase))),
        other => {
            args.bind([])?;
            Ok(Py::text(changed(text, other)))
        }
    }
}

/// What takes nothing and gives another text.
fn changed(text: &str, name: &str) -> String {
    match name {
        "upper" => text.to_uppercase(),
        "capitalize" => capitalized(text),
        "title" => {
            let mut inside = false;
            let mut out = String::with_capacity(text.len());
            for c in text.chars() {
                if inside {
                    out.extend(c.to_lowercase())
                } else {
                    out.extend(c.to_uppercase())
                }
                inside = c.is_alphabetic();
            }
            out
        }
        "swapcase" => {
            let mut out = String::with_capacity(text.len());
            for c in text.chars() {
                if c.is_uppercase() { out.extend(c.to_lowercase()) } else { out.extend(c.to_uppercase()) }
            }
            out
        }
        _ => text.to_lowercase(),
    }
}

pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars.flat_map(char::to_lowercase)).collect()
}

fn pad(text: &str, width: usize, fill: Option<char>, name: &str) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let fill = |count: usize| std::iter::repeat_n(fill.unwrap_or(if name == "zfill" { '0' } else { ' ' }), count);
    let (before, after) = match name {
        "ljust" => (0, missing),
        "center" => {
            let before = missing / 2 + (missing & width & 1);
            (before, missing - before)
        }
        _ => (missing, 0),
    };
    let sign = if name == "zfill" && text.starts_with(['+', '-']) { 1 } else { 0 };
    text[..sign].chars().chain(fill(before)).chain(text[sign..].chars()).chain(fill(after)).collect()
}

/// A piece of the text, borrowed where the text is.
fn part<'a>(text: &Text<'a>, piece: &str) -> Py<'a> {
    match text {
        Text::Borrowed(text) => {
            let start = (piece.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
            text.get(start..start.wrapping_add(piece.len()))
                .map_or_else(|| Py::text(piece), |p| Py::Text(Text::Borrowed(p)))
        }
        Text::Shared(_) => Py::text(piece),
    }
}

/// A text argument.
pub(super) fn word<'a>(value: Py<'a>) -> Result<Text<'a>, Fault> {
    match value {
        Py::Text(text) => Ok(text),
        other => Err(Fault::kind("a text", &other)),
    }
}

/// The items must be texts.
fn join<'a>(machine: &mut Machine<'a>, separator: &str, items: Vec<Py<'a>>) -> Outcome<'a> {
    let mut out = String::new();
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        machine.walk(&item)?;
        machine.burn(separator.len() / 64)?;
        match item {
            Py::Text(text) => out.push_str(&text),
            other => return Err(Fault::Type(format!("sequence item {i}: expected str, {} found", other.kind()))),
        }
        machine.holds(out.len())?;
    }
    Ok(Py::text(out))
}

fn split<'a>(
    machine: &mut Machine<'a>,
    text: &Text<'a>,
    separator: Option<Py<'a>>,
    most: Option<Py<'a>>,
    from_end: bool,
) -> Outcome<'a> {
    let most =
        most.and_then(|most| most.as_int()).and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX - 1);
    machine.burn(text.len() / 8)?;
    let source: &str = text;
    let pieces = match separator {
        None | Some(Py::None) => {
            let mut pieces = Vec::new();
            let mut rest = source.trim();
            while !rest.is_empty() {
                let cut = if pieces.len() >= most {
                    None
                } else if from_end {
                    rest.rfind(char::is_whitespace)
                } else {
                    rest.find(char::is_whitespace)
                };
                match cut {
                    None => {
                        pieces.push(rest);
                        rest = "";
                    }
                    Some(at) if from_end => {
                        pieces.push(rest[at..].trim_start());
                        rest = rest[..at].trim_end();
                    }
                    Some(at) => {
                        pieces.push(&rest[..at]);
                        rest = rest[at..].trim_start();
                    }
                }
            }
            if from_end {
                pieces.reverse();
            }
            pieces
        }
        Some(separator) => {
            let separator = word(separator)?;
            if separator.is_empty() {
                return Err(Fault::Fails("empty separator".to_owned()));
            }
            if from_end {
                let mut pieces: Vec<&str> = source.rsplitn(most + 1, &*separator).collect();
                pieces.reverse();
                pieces
            } else {
                source.splitn(most + 1, &*separator).collect()
            }
        }
    };
    Ok(Py::list(pieces.into_iter().map(|piece| part(text, piece)).collect()))
}
