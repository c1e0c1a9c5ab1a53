//! Texts read as Python literals: numbers, texts, lists, tuples, mappings, `True`, `False`, `None`.
//!
//! What is no literal, or one that JSON has no value for (bytes, sets, complex, infinite or huge numbers), is
//! `None`, and its text stays a text. Huge integers therefore keep all their digits.

use std::borrow::Cow;

use crate::value::{Map, Value};

use super::number::{parse_float, parse_int};
use super::value::json_key;

/// As many brackets as Python's own reader allows.
const MAX_DEPTH: usize = 200;

pub(crate) fn read(text: &str) -> Option<Value> {
    let first = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0c', '(']).bytes().next()?;
    // Most results are plain words, and this is where they leave.
    if !(first.is_ascii_digit() || b"'\"[{+-.TFNrRuU)\\#".contains(&first)) || text.contains('\0') {
        return None;
    }
    let mut reader = Reader { rest: text.trim_start_matches([' ', '\t']), depth: 0 };
    reader.space(true);
    let value = reader.tuple(None)?;
    reader.space(true);
    reader.rest.is_empty().then_some(value)
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// Skips white space and comments; line breaks only inside brackets or at the ends.
    fn space(&mut self, lines: bool) {
        loop {
            let rest = self.rest.trim_start_matches([' ', '\t', '\x0c']);
            let rest = if lines || self.depth > 0 { rest.trim_start_matches(['\n', '\r']) } else { rest };
            let rest = match rest.strip_prefix('#') {
                Some(comment) => comment.trim_start_matches(|c| c != '\n' && c != '\r'),
                None => rest,
            };
            if rest.len() == self.rest.len() {
                return;
            }
            self.rest = rest;
        }
    }

    fn eat(&mut self, c: char) -> bool {
        self.space(false);
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// One value, or several with commas between, up to `close` (which is taken) or the end.
    fn tuple(&mut self, close: Option<char>) -> Option<Value> {
        let mut items = Vec::new();
        let mut commas = 0;
        loop {
            self.space(false);
            let done = match close {
                Some(close) => self.eat(close),
                None => self.rest.is_empty() || self.rest.starts_with(['\n', '\r']),
            };
            if done {
                break;
            }
            if items.len() > commas {
                return None;
            }
            items.push(self.value()?);
            if self.eat(',') {
                commas += 1;
            }
        }
        match (items.len(), commas, close) {
            (0, _, None) => None,
            (1, 0, Some(')') | None) => items.pop(),
            _ => Some(Value::Array(items)),
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.space(false);
        let c = self.rest.chars().next()?;
        match c {
            '(' | '[' | '{' => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return None;
                }
                self.rest = &self.rest[1..];
                let value = match c {
                    '(' => self.tuple(Some(')')),
                    '[' => self.tuple(Some(']')),
                    _ => self.dict(),
                };
                self.depth -= 1;
                value
            }
            '+' | '-' => {
                self.rest = &self.rest[1..];
                self.space(false);
                if !self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                    return None;
                }
                self.number(c == '-')
            }
            '0'..='9' | '.' => self.number(false),
            _ => self.texts().map(Value::String).or_else(|| self.word()),
        }
    }

    fn dict(&mut self) -> Option<Value> {
        let mut members = Map::new();
        loop {
            if self.eat('}') {
                return Some(Value::Object(members));
            }
            let key = json_key(&self.value()?)?;
            if !self.eat(':') {
                return None;
            }
            members.insert(key, self.value()?);
            if !self.eat(',') {
                return self.eat('}').then_some(Value::Object(members));
            }
        }
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let value = match &self.rest[..end] {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Null,
            _ => return None,
        };
        self.rest = &self.rest[end..];
        Some(value)
    }

    fn number(&mut self, negative: bool) -> Option<Value> {
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        while let Some(byte) = bytes.get(end) {
            let exponent_sign = matches!(byte, b'+' | b'-')
                && matches!(bytes[end - 1], b'e' | b'E')
                && !matches!(bytes.get(..2), Some([b'0', b'x' | b'X']));
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || exponent_sign) {
                break;
            }
            end += 1;
        }
        let text = &self.rest[..end];
        self.rest = &self.rest[end..];
        if self.rest.starts_with(|c: char| c.is_alphanumeric()) {
            return None;
        }
        let base = match bytes.get(..2) {
            Some([b'0', b'x' | b'X']) => 16,
            Some([b'0', b'o' | b'O']) => 8,
            Some([b'0', b'b' | b'B']) => 2,
            _ => 10,
        };
        if base != 10 || text.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
            // Only zero may begin with zeros.
            if base == 10 && text.starts_with('0') && text.bytes().any(|b| matches!(b, b'1'..=b'9')) {
                return None;
            }
            let digits = if base == 10 { text } else { &text[2..] };
            let digits = if base == 10 { digits } else { digits.strip_prefix('_').unwrap_or(digits) };
            if digits.is_empty()
                || digits.starts_with('_')
                || !digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_')
            {
                return None;
            }
            let number = parse_int(digits, base).filter(|_| !digits.contains(['x', 'o']))?;
            let number = if negative { -number } else { number };
            return match (i64::try_from(number), u64::try_from(number)) {
                (Ok(number), _) => Some(number.into()),
                (_, Ok(number)) => Some(number.into()),
                _ => None,
            };
        }
        let number = parse_float(text)?;
        serde_json::Number::from_f64(if negative { -number } else { number }).map(Value::Number)
    }

    /// One text, or several side by side.
    fn texts(&mut self) -> Option<String> {
        let mut whole = self.text()?.into_owned();
        loop {
            self.space(false);
            if !self.rest.starts_with(['\'', '"', 'r', 'R', 'u', 'U']) {
                return Some(whole);
            }
            whole.push_str(&self.text()?);
        }
    }

    fn text(&mut self) -> Option<Cow<'t, str>> {
        let raw = self.rest.starts_with(['r', 'R']);
        let start = self.rest.strip_prefix(['r', 'R', 'u', 'U']).unwrap_or(self.rest);
        let quote = start.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let triple = start.starts_with(if quote == '"' { "\"\"\"" } else { "'''" });
        let body = &start[if triple { 3 } else { 1 }..];
        let bytes = body.as_bytes();
        let mut escaped = false;
        let mut end = 0;
        loop {
            match *bytes.get(end)? {
                b'\\' => {
                    escaped = true;
                    end += 2;
                    continue;
                }
                b'\n' | b'\r' if !triple => return None,
                byte if byte == quote as u8 => {
                    let closed = !triple || (bytes.get(end + 1) == Some(&byte) && bytes.get(end + 2) == Some(&byte));
                    if closed {
                        break;
                    }
                }
                _ => {}
            }
            end += 1;
        }
        let inside = &body[..end];
        self.rest = &body[end + if triple { 3 } else { 1 }..];
        if raw || !escaped { Some(Cow::Borrowed(inside)) } else { unescape(inside).map(Cow::Owned) }
    }
}

/// Names of characters (`\N{…}`) and surrogates are not known here.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let c = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + c.len_utf8()..];
        let coded = |digits: usize, radix: u32, rest: &mut &str| -> Option<char> {
            let code = u32::from_str_radix(rest.get(..digits)?, radix).ok()?;
            *rest = &rest[digits..];
            char::from_u32(code)
        };
        match c {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(c),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\x0b'),
            'x' => out.push(coded(2, 16, &mut rest)?),
            'u' => out.push(coded(4, 16, &mut rest)?),
            'U' => out.push(coded(8, 16, &mut rest)?),
            'N' => return None,
            '0'..='7' => {
                let more = rest.bytes().take(2).take_while(|b| matches!(b, b'0'..=b'7')).count();
                let code = u32::from_str_radix(&format!("{c}{}", &rest[..more]), 8).ok()?;
                rest = &rest[more..];
                out.push(char::from_u32(code)?);
            }
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out.push_str(rest);
    Some(out)
}
