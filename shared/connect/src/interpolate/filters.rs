//! Filters of texts and numbers, and the list of all of them. Those of lists have a module of their own.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::machine::{Args, Fault, Machine, Outcome, needed};
use super::texts::word;
use super::value::Py;
use super::{format, json, list_filters, macros, methods, number, print, texts};

pub(super) type Run = for<'a> fn(&mut Machine<'a>, Py<'a>, Args<'a>) -> Outcome<'a>;

#[derive(Clone, Copy)]
pub(super) struct Filter(pub Run);

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Filter")
    }
}

pub(super) fn find(name: &str) -> Option<Filter> {
    let run: Run = match name {
        "hash" => hash,
        "hmac" => hmac,
        "base64encode" | "base64binascii_decode" => |_, value, _| Ok(Py::text(STANDARD.encode(&*encodable(value)?))),
        "base64decode" => base64decode,
        "string" => string,
        "regex_search" => |_, value, args| regex_search(value, args),
        "regex_replace" => |_, value, args| regex_replace(value, args),
        "tojson" => tojson,
        "int" => int,
        "float" => float,
        "abs" => abs,
        "round" => round,
        "default" | "d" => default,
        "lower" => |_, value, _| Ok(Py::text(shown(&value)?.to_lowercase())),
        "upper" => |_, value, _| Ok(Py::text(shown(&value)?.to_uppercase())),
        "capitalize" => |_, value, _| Ok(Py::text(texts::capitalized(&shown(&value)?))),
        "title" => |_, value, _| Ok(Py::text(title(&shown(&value)?))),
        "trim" => |machine, value, args| methods::call(machine, &Py::text(shown(&value)?), "strip", args),
        "replace" => {
            |machine, value, args| methods::call(machine, &Py::text(shown(&value)?), "replace", shown_args(args)?)
        }
        "center" => |machine, value, args| {
            let [width] = args.bind(["width"])?;
            let args = Args { pos: vec![width.unwrap_or(Py::Int(80))], named: Vec::new() };
            methods::call(machine, &Py::text(shown(&value)?), "center", args)
        },
        "format" => |machine, value, args| {
            let values = if args.named.is_empty() {
                Py::tuple(args.pos)
            } else {
                Py::dict(args.named.into_iter().map(|(name, value)| (Py::Text(name), value)).collect())
            };
            format::percent(machine, &shown(&value)?, &values)
        },
        "urlencode" => |_, value, _| urlencode(&value),
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
        other => return list_filters::find(other).map(Filter),
    };
    Some(Filter(run))
}

/// `str(value)`.
pub(super) fn shown<'a>(value: &Py<'a>) -> Result<Cow<'a, str>, Fault> {
    if let Py::Text(text) = value {
        return Ok(text.clone());
    }
    let mut out = String::new();
    print::write_text(&mut out, value)?;
    Ok(Cow::Owned(out))
}

fn shown_args<'a>(args: Args<'a>) -> Result<Args<'a>, Fault> {
    let pos = args.pos.into_iter().enumerate();
    let pos = pos.map(|(i, arg)| if i < 2 { Ok(Py::Text(shown(&arg)?)) } else { Ok(arg) });
    Ok(Args { pos: pos.collect::<Result<_, Fault>>()?, named: args.named })
}

fn hash<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [kind, salt] = args.bind(["hash_type", "salt"])?;
    let kind = kind.map_or(Ok(Cow::Borrowed("md5")), word)?;
    let value = shown(&value)?;
    let salt = match salt {
        Some(salt) if salt.is_true() => shown(&salt)?,
        _ => Cow::Borrowed(""),
    };
    machine.grow(value.len() + salt.len())?;
    fn digest<D: Digest>(parts: [&str; 2]) -> Vec<u8> {
        let mut digest = D::new();
        parts.iter().for_each(|part| digest.update(part));
        digest.finalize().to_vec()
    }
    let parts = [&*value, &*salt];
    let bytes = match &*kind {
        "md5" => digest::<Md5>(parts),
        "sha1" => digest::<Sha1>(parts),
        "sha224" => digest::<Sha224>(parts),
        "sha256" => digest::<Sha256>(parts),
        "sha384" => digest::<Sha384>(parts),
        "sha512" => digest::<Sha512>(parts),
        other => return Err(Fault::Fails(format!("there is no hash '{other}'; use md5, sha1, sha256 or sha512"))),
    };
    Ok(Py::text(hex(&bytes)))
}

fn hmac<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [key, kind] = args.bind(["key", "hash_type"])?;
    let key = shown(&needed(key, "key")?)?;
    if let Some(kind) = kind
        && word(kind.clone())? != "sha256"
    {
        return Err(Fault::Fails("hmac knows no other hash than sha256".to_owned()));
    }
    let value = shown(&value)?;
    machine.grow(value.len())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(value.as_bytes());
    Ok(Py::text(hex(&mac.finalize().into_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text; anything else has no bytes to encode.
fn encodable<'a>(value: Py<'a>) -> Result<Cow<'a, str>, Fault> {
    word(value).map_err(|fault| match fault {
        Fault::Type(why) => Fault::Fails(why),
        other => other,
    })
}

fn base64decode<'a>(_: &mut Machine<'a>, value: Py<'a>, _: Args<'a>) -> Outcome<'a> {
    let text: String = encodable(value)?.chars().filter(|c| c.is_ascii_alphanumeric() || "+/=".contains(*c)).collect();
    let lenient = GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let bytes = lenient.decode(&text).map_err(|_| Fault::Fails("this is not base64".to_owned()))?;
    String::from_utf8(bytes).map(Py::text).map_err(|_| Fault::Fails("what base64 holds here is not UTF-8".to_owned()))
}

/// What isn't a text becomes JSON in quotes, so that the result stays a text.
fn string<'a>(_: &mut Machine<'a>, value: Py<'a>, _: Args<'a>) -> Outcome<'a> {
    match value {
        Py::Text(_) => Ok(value),
        other => {
            let mut out = "\"\"\"".to_owned();
            json::write(&mut out, &other, false)?;
            Ok(Py::text(out + "\"\"\""))
        }
    }
}

fn tojson<'a>(machine: &mut Machine<'a>, value: Py<'a>, _: Args<'a>) -> Outcome<'a> {
    let mut out = String::new();
    json::write(&mut out, &value, true)?;
    machine.grow(out.len())?;
    // As Jinja makes it safe inside HTML.
    Ok(Py::text(out.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027")))
}

fn pattern(pattern: &str) -> Result<fancy_regex::Regex, Fault> {
    fancy_regex::RegexBuilder::new(pattern)
        .backtrack_limit(100_000)
        .delegate_size_limit(1 << 20)
        .build()
        .map_err(|_| Fault::Fails(format!("the regular expression '{pattern}' can't be read")))
}

fn regex_search<'a>(value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [regex] = args.bind(["regex"])?;
    let regex = pattern(&word(needed(regex, "regex")?)?)?;
    let text = word(value)?;
    let found = regex.captures(&text).map_err(|_| Fault::Stopped("a regular expression takes too long".to_owned()))?;
    Ok(match found {
        Some(groups) if groups.len() > 1 => groups.get(1).map_or(Py::None, |group| Py::text(group.as_str())),
        _ => Py::text(""),
    })
}

fn regex_replace<'a>(value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [regex, replacement] = args.bind(["regex", "replacement"])?;
    let regex = pattern(&word(needed(regex, "regex")?)?)?;
    let replacement = word(needed(replacement, "replacement")?)?;
    let text = word(value)?;
    let mut out = String::new();
    let mut end = 0;
    for found in regex.captures_iter(&text) {
        let groups = found.map_err(|_| Fault::Stopped("a regular expression takes too long".to_owned()))?;
        let whole = groups.get(0).expect("the whole match is always a group");
        out.push_str(&text[end..whole.start()]);
        fill_in(&mut out, &replacement, &groups)?;
        end = whole.end();
        if out.len() > super::machine::MAX_OUTPUT {
            return Err(Fault::Stopped("a replacement makes too much".to_owned()));
        }
    }
    out.push_str(&text[end..]);
    Ok(Py::text(out))
}

/// Python's replacements: `\1`, `\g<1>`, `\g<name>`, `\n`.
fn fill_in(out: &mut String, replacement: &str, groups: &fancy_regex::Captures) -> Result<(), Fault> {
    let unknown = || Fault::Fails("the replacement names a group that isn't there".to_owned());
    let mut rest = replacement;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { return Err(Fault::Fails("bad escape at the end".to_owned())) };
        rest = &rest[c.len_utf8()..];
        match c {
            '1'..='9' => {
                let more = rest.bytes().take_while(u8::is_ascii_digit).take(1).count();
                let number = format!("{c}{}", &rest[..more]).parse::<usize>().map_err(|_| unknown())?;
                if number >= groups.len() {
                    return Err(unknown());
                }
                rest = &rest[more..];
                out.push_str(groups.get(number).map_or("", |group| group.as_str()));
            }
            'g' => {
                let (name, after) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or_else(unknown)?;
                rest = after;
                let group = match name.parse::<usize>() {
                    Ok(number) if number < groups.len() => groups.get(number),
                    Ok(_) => return Err(unknown()),
                    Err(_) => groups.name(name),
                };
                out.push_str(group.map_or("", |group| group.as_str()));
            }
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            '\\' => out.push('\\'),
            other if other.is_ascii_alphanumeric() => return Err(Fault::Fails(format!("bad escape \\{other}"))),
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out.push_str(rest);
    Ok(())
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

/// A text with `/` left alone; a mapping or pairs as a form.
fn urlencode<'a>(value: &Py<'a>) -> Outcome<'a> {
    let members = match value {
        value if value.is_mapping() => value.members(),
        Py::Array(_) | Py::List(_) | Py::Tuple(_) => {
            let mut members = Vec::new();
            for pair in value.items()? {
                match <[Py; 2]>::try_from(pair.items()?) {
                    Ok([key, value]) => members.push((key, value)),
                    Err(_) => return Err(Fault::Fails("urlencode: an item is no pair".to_owned())),
                }
            }
            members
        }
        text => return Ok(Py::text(macros::quote(&shown(text)?, "_.-~/"))),
    };
    let mut parts = Vec::with_capacity(members.len());
    for (key, value) in members {
        parts.push(format!("{}={}", macros::quote_plus(&shown(&key)?), macros::quote_plus(&shown(&value)?)));
    }
    Ok(Py::text(parts.join("&")))
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
    let end = end.map_or(Ok(Cow::Borrowed("...")), word)?;
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
