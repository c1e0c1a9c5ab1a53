//! Filters that encode, hash, search by regular expressions, or write JSON.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::call::{Args, Fault, Outcome, needed};
use super::filters::shown;
use super::machine::Machine;
use super::shared::Text;
use super::texts::word;
use super::value::Py;
use super::{json, macros};

pub(super) fn base64encode<'a>(_: &mut Machine<'a>, value: Py<'a>, _: Args<'a>) -> Outcome<'a> {
    Ok(Py::text(STANDARD.encode(&*encodable(value)?)))
}

pub(super) fn hash<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [kind, salt] = args.bind(["hash_type", "salt"])?;
    let kind = kind.map_or(Ok(Text::Borrowed("md5")), word)?;
    let value = shown(&value)?;
    let salt = match salt {
        Some(salt) if salt.is_true() => shown(&salt)?,
        _ => Text::Borrowed(""),
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

pub(super) fn hmac<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [key, kind] = args.bind(["key", "hash_type"])?;
    let key = shown(&needed(key, "key")?)?;
    if let Some(kind) = kind
        && *word(kind.clone())? != *"sha256"
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
fn encodable<'a>(value: Py<'a>) -> Result<Text<'a>, Fault> {
    word(value).map_err(|fault| match fault {
        Fault::Type(why) => Fault::Fails(why),
        other => other,
    })
}

pub(super) fn base64decode<'a>(_: &mut Machine<'a>, value: Py<'a>, _: Args<'a>) -> Outcome<'a> {
    let text: String = encodable(value)?.chars().filter(|c| c.is_ascii_alphanumeric() || "+/=".contains(*c)).collect();
    let lenient = GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let bytes = lenient.decode(&text).map_err(|_| Fault::Fails("this is not base64".to_owned()))?;
    String::from_utf8(bytes).map(Py::text).map_err(|_| Fault::Fails("what base64 holds here is not UTF-8".to_owned()))
}

/// What isn't a text becomes JSON in quotes, so that the result stays a text.
pub(super) fn string<'a>(_: &mut Machine<'a>, value: Py<'a>, _: Args<'a>) -> Outcome<'a> {
    match value {
        Py::Text(_) => Ok(value),
        other => {
            let mut out = "\"\"\"".to_owned();
            json::write(&mut out, &other, false)?;
            Ok(Py::text(out + "\"\"\""))
        }
    }
}

pub(super) fn tojson<'a>(machine: &mut Machine<'a>, value: Py<'a>, _: Args<'a>) -> Outcome<'a> {
    let mut out = String::new();
    json::write(&mut out, &value, true)?;
    machine.grow(out.len())?;
    // As Jinja makes it safe inside HTML.
    Ok(Py::text(out.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027")))
}

/// What one look costs that may go back and try again.
const BACKTRACKING: usize = 5_000;

/// With what it costs to look for it once.
fn pattern(machine: &mut Machine, pattern: &str) -> Result<(fancy_regex::Regex, usize), Fault> {
    // Look-around, atomic groups, references: the rest takes time in proportion to the text.
    let may_backtrack = ["(?=", "(?!", "(?<=", "(?<!", "(?>", "(?("].iter().any(|group| pattern.contains(group))
        || pattern
            .as_bytes()
            .windows(2)
            .any(|pair| pair[0] == b'\\' && (pair[1].is_ascii_digit() || b"kgKG".contains(&pair[1])))
        || ["++", "*+", "?+", "}+"].iter().any(|possessive| pattern.contains(possessive));
    let cost = if may_backtrack { BACKTRACKING } else { 1 };
    machine.burn(1000 + pattern.len())?;
    let regex = fancy_regex::RegexBuilder::new(pattern)
        .backtrack_limit(100_000)
        .delegate_size_limit(1 << 20)
        .build()
        .map_err(|_| Fault::Fails(format!("the regular expression '{pattern}' can't be read")))?;
    Ok((regex, cost))
}

pub(super) fn regex_search<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [regex] = args.bind(["regex"])?;
    let (regex, cost) = pattern(machine, &word(needed(regex, "regex")?)?)?;
    machine.burn(cost)?;
    let text = word(value)?;
    let found = regex.captures(&text).map_err(|_| Fault::Stopped("a regular expression takes too long".to_owned()))?;
    Ok(match found {
        Some(groups) if groups.len() > 1 => groups.get(1).map_or(Py::None, |group| Py::text(group.as_str())),
        _ => Py::text(""),
    })
}

pub(super) fn regex_replace<'a>(machine: &mut Machine<'a>, value: Py<'a>, args: Args<'a>) -> Outcome<'a> {
    let [regex, replacement] = args.bind(["regex", "replacement"])?;
    let (regex, cost) = pattern(machine, &word(needed(regex, "regex")?)?)?;
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
        machine.holds(out.len())?;
        machine.burn(cost)?;
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

/// A text with `/` left alone; a mapping or pairs as a form.
pub(super) fn urlencode<'a>(value: &Py<'a>) -> Outcome<'a> {
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
