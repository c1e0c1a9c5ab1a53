//! JSON: a whole body, a value a line, or the items of one array inside.

use crate::value::{Map, Value};
use bytes::Bytes;

use super::{DecodeError, Decoded, one};

fn wrong(error: &serde_json::Error) -> DecodeError {
    DecodeError::Body { form: "JSON", why: error.to_string() }
}

/// A list is taken apart; `null` and an empty list are an empty object.
pub(super) fn whole(body: &Bytes) -> Result<Decoded, DecodeError> {
    match serde_json::from_slice(body).map_err(|error| wrong(&error))? {
        Value::Array(items) if !items.is_empty() => Ok(Box::new(items.into_iter().map(Ok))),
        Value::Array(_) | Value::Null => Ok(one(Value::Object(Map::new()))),
        value => Ok(one(value)),
    }
}

/// Lines without their ends, which are `\n`, `\r` or both.
pub(super) struct Lines {
    body: Bytes,
}

impl Lines {
    pub fn new(body: Bytes) -> Self {
        Self { body }
    }
}

impl Iterator for Lines {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.body.is_empty() {
            return None;
        }
        let end = self.body.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(self.body.len());
        let line = self.body.split_to(end);
        let ends = usize::from(!self.body.is_empty()) + usize::from(self.body.starts_with(b"\r\n"));
        let _ = self.body.split_to(ends);
        Some(line)
    }
}

pub(super) fn lines(body: Bytes) -> Decoded {
    let body = if body.starts_with("\u{feff}".as_bytes()) { body.slice(3..) } else { body };
    let lines = Lines::new(body).enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    Box::new(lines.map(|(i, line)| {
        serde_json::from_slice(&line)
            .map_err(|error| DecodeError::Body { form: "JSON lines", why: format!("line {}: {error}", i + 1) })
    }))
}

/// The items of the array at a dotted path, each read only when it is asked for.
pub(super) fn items(body: Bytes, path: &str) -> Result<Decoded, DecodeError> {
    if path.split('.').any(|step| step == "item") {
        let mut values: Vec<Value> = vec![serde_json::from_slice(&body).map_err(|error| wrong(&error))?];
        for step in path.split('.') {
            values = values.into_iter().flat_map(|value| stepped(value, step)).collect();
        }
        let lists = values.into_iter().flat_map(|value| stepped(value, "item"));
        return Ok(Box::new(lists.map(Ok)));
    }
    let mut cursor = Cursor { body, at: 0 };
    for step in path.split('.') {
        if !cursor.enter(step)? {
            return Ok(Box::new(std::iter::empty()));
        }
    }
    if !cursor.eat(b'[') {
        return Ok(Box::new(std::iter::empty()));
    }
    let mut first = true;
    let mut done = false;
    Ok(Box::new(std::iter::from_fn(move || {
        if done || (first && cursor.eat(b']')) {
            return None;
        }
        if !first {
            if cursor.eat(b']') {
                return None;
            }
            if !cursor.eat(b',') {
                done = true;
                return Some(Err(cursor.unexpected("',' or ']'")));
            }
        }
        first = false;
        let item = cursor.read::<Value>();
        done = item.is_err();
        Some(item)
    })))
}

fn stepped(value: Value, step: &str) -> Vec<Value> {
    match value {
        Value::Array(items) if step == "item" => items,
        Value::Object(mut members) => members.remove(step).into_iter().collect(),
        _ => Vec::new(),
    }
}

struct Cursor {
    body: Bytes,
    at: usize,
}

impl Cursor {
    fn space(&mut self) {
        self.at += self.body[self.at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.body.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self, expected: &str) -> DecodeError {
        DecodeError::Body { form: "JSON", why: format!("{expected} is missing at byte {}", self.at) }
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, DecodeError> {
        let mut values = serde_json::Deserializer::from_slice(&self.body[self.at..]).into_iter::<T>();
        let value = values.next().ok_or_else(|| self.unexpected("a value"))?.map_err(|error| wrong(&error))?;
        self.at += values.byte_offset();
        Ok(value)
    }

    /// Moves to the value of a member; false if there is none.
    fn enter(&mut self, name: &str) -> Result<bool, DecodeError> {
        if !self.eat(b'{') || self.eat(b'}') {
            return Ok(false);
        }
        loop {
            let key: String = self.read()?;
            if !self.eat(b':') {
                return Err(self.unexpected("':'"));
            }
            if key == name {
                return Ok(true);
            }
            self.read::<serde::de::IgnoredAny>()?;
            if !self.eat(b',') {
                return if self.eat(b'}') { Ok(false) } else { Err(self.unexpected("',' or '}'")) };
            }
        }
    }
}
