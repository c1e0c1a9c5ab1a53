//! Keys of rows and records: one or more integers or texts.
//!
//! Owns two forms. The *encoded* form is what stores sort by: byte order of the encoding is the order of
//! the parts, integers by value, texts by code point. The *shown* form (`42`, `3:17`, `de:a%3Ab`) is what
//! people and URLs see. Both are exact: parse(show(key)) and decode(encode(key)) give the key back.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPart {
    Int(i64),
    Text(String),
}

/// What identifies a row within its entity, or a record within its stream. Serialized in encoded form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Key(Vec<KeyPart>);

/// Sorts below every character that an encoded text can hold.
const SEPARATOR: char = '\u{1}';
const ESCAPE: char = '\u{2}';
const TEXT: char = '~';

impl Key {
    /// `None` for no parts: a key always identifies something.
    #[must_use]
    pub fn new(parts: Vec<KeyPart>) -> Option<Self> {
        (!parts.is_empty()).then_some(Self(parts))
    }

    #[must_use]
    pub fn int(value: i64) -> Self {
        Self(vec![KeyPart::Int(value)])
    }

    #[must_use]
    pub fn text(value: impl Into<String>) -> Self {
        Self(vec![KeyPart::Text(value.into())])
    }

    #[must_use]
    pub fn parts(&self) -> &[KeyPart] {
        &self.0
    }

    /// The form that stores keep and sort by.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(self.0.len() * 12);
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(SEPARATOR);
            }
            match part {
                KeyPart::Int(value) => encode_int(*value, &mut out),
                KeyPart::Text(text) => {
                    out.push(TEXT);
                    for c in text.chars() {
                        if c <= ESCAPE {
                            out.push(ESCAPE);
                            out.push(char::from(b'0' + u8::try_from(u32::from(c)).unwrap_or(0)));
                        } else {
                            out.push(c);
                        }
                    }
                }
            }
        }
        out
    }

    pub fn decode(encoded: &str) -> Result<Self, BadKey> {
        let bad = || BadKey(encoded.to_owned());
        encoded
            .split(SEPARATOR)
            .map(|part| match part.strip_prefix(TEXT) {
                Some(text) => unescape(text).map(KeyPart::Text),
                None => decode_int(part).map(KeyPart::Int),
            })
            .collect::<Option<Vec<_>>>()
            .and_then(Self::new)
            .ok_or_else(bad)
    }

    /// Reads the shown form. `integers[i]` says whether part `i` is an integer.
    pub fn parse(shown: &str, integers: &[bool]) -> Result<Self, BadKey> {
        let bad = || BadKey(shown.to_owned());
        let texts: Vec<&str> = shown.split(':').collect();
        if texts.len() != integers.len() {
            return Err(bad());
        }
        texts
            .iter()
            .zip(integers)
            .map(|(text, integer)| {
                let text = text.replace("%3A", ":").replace("%25", "%");
                if *integer { text.parse().ok().map(KeyPart::Int) } else { Some(KeyPart::Text(text)) }
            })
            .collect::<Option<Vec<_>>>()
            .and_then(Self::new)
            .ok_or_else(bad)
    }
}

/// A letter that says sign and number of digits, then the digits; complemented for negatives, so that
/// byte order is numeric order. Capital letters sort below small ones, and both below [`TEXT`].
fn encode_int(value: i64, out: &mut String) {
    let digits = value.unsigned_abs().to_string();
    let len = u8::try_from(digits.len()).expect("an i64 has at most 19 digits");
    if value < 0 {
        out.push(char::from(b'Z' - len));
        out.extend(digits.bytes().map(|d| char::from(b'0' + b'9' - d)));
    } else {
        out.push(char::from(b'a' + len));
        out.push_str(&digits);
    }
}

fn decode_int(part: &str) -> Option<i64> {
    let first = *part.as_bytes().first()?;
    let digits = part.get(1..)?;
    if first.is_ascii_lowercase() {
        (usize::from(first - b'a') == digits.len()).then(|| digits.parse().ok())?
    } else if first.is_ascii_uppercase() {
        let plain: String =
            digits.bytes().map(|d| d.is_ascii_digit().then(|| char::from(b'0' + b'9' - d))).collect::<Option<_>>()?;
        (usize::from(b'Z' - first) == digits.len()).then(|| format!("-{plain}").parse().ok())?
    } else {
        None
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == ESCAPE { char::from_u32(chars.next()?.to_digit(10)?)? } else { c });
    }
    Some(out)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            match part {
                KeyPart::Int(value) => write!(f, "{value}")?,
                KeyPart::Text(text) => f.write_str(&text.replace('%', "%25").replace(':', "%3A"))?,
            }
        }
        Ok(())
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.encode()
    }
}

impl TryFrom<String> for Key {
    type Error = BadKey;

    fn try_from(encoded: String) -> Result<Self, Self::Error> {
        Self::decode(&encoded)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a key of this entity")]
pub struct BadKey(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_of_the_encoding_is_the_order_of_the_parts() {
        let numbers = [i64::MIN, -1000, -999, -10, -9, -1, 0, 1, 9, 10, 99, 100, i64::MAX];
        for pair in numbers.windows(2) {
            assert!(Key::int(pair[0]).encode() < Key::int(pair[1]).encode(), "{pair:?}");
        }
        let a = Key::new(vec![KeyPart::Text("a".into()), KeyPart::Text("z".into())]).unwrap();
        let ab = Key::new(vec![KeyPart::Text("ab".into()), KeyPart::Text("a".into())]).unwrap();
        assert!(a.encode() < ab.encode());
    }

    #[test]
    fn both_forms_give_the_key_back() {
        for key in [
            Key::int(i64::MIN),
            Key::int(0),
            Key::text(""),
            Key::text("a:b%3A\u{1}\u{2}\u{0}~"),
            Key::new(vec![KeyPart::Int(-7), KeyPart::Text("x:y".into()), KeyPart::Int(12)]).unwrap(),
        ] {
            assert_eq!(Key::decode(&key.encode()).unwrap(), key);
            let integers: Vec<bool> = key.parts().iter().map(|p| matches!(p, KeyPart::Int(_))).collect();
            assert_eq!(Key::parse(&key.to_string(), &integers).unwrap(), key);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(Key::decode("").is_err());
        assert!(Key::decode("c4").is_err());
        assert!(Key::parse("x", &[true]).is_err());
        assert!(Key::parse("1:2", &[true]).is_err());
    }
}
