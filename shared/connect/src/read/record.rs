//! Records on their way: as the bytes they came in, or as a tree where something has to look at them.
//!
//! Always holds: a record that nothing looks at is copied once, from the answer to the output.

use std::borrow::Cow;
use std::fmt;

use crate::value::{Map, Value};
use bytes::Bytes;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::failure::Failure;

#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// One JSON object, as the source wrote it.
    Raw(Bytes),
    /// One JSON object that was written here: one line, no member null.
    Written(Bytes),
    Tree(Map),
}

impl Record {
    pub fn of_value(value: Value) -> Result<Self, Failure> {
        match value {
            Value::Object(members) => Ok(Self::Tree(members)),
            _ => Err(Failure::system("a record is no object; check the extractor's field_path")),
        }
    }

    pub fn into_map(self) -> Result<Map, Failure> {
        match self {
            Self::Tree(members) => Ok(members),
            Self::Raw(bytes) | Self::Written(bytes) => serde_json::from_slice(&bytes)
                .map_err(|_| Failure::system("a record is no object; check the extractor's field_path")),
        }
    }

    pub fn to_value(&self) -> Value {
        match self {
            Self::Tree(members) => Value::Object(members.clone()),
            Self::Raw(bytes) | Self::Written(bytes) => serde_json::from_slice(bytes).unwrap_or(Value::Null),
        }
    }

    /// A member of the record, if it is there and not null.
    pub fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        match self {
            Self::Tree(members) => members.get(name).filter(|value| !value.is_null()).map(Cow::Borrowed),
            Self::Raw(bytes) | Self::Written(bytes) => {
                let mut found = None;
                // It stops by an error as soon as it has what it wants.
                let _ = serde_json::Deserializer::from_slice(bytes).deserialize_map(Member { name, found: &mut found });
                found.filter(|value| !value.is_null()).map(Cow::Owned)
            }
        }
    }

    /// Appends the record as one line of JSON. Members that are null are left out: so do messages of the protocol.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Written(bytes) => out.extend_from_slice(bytes),
            Self::Raw(bytes) if memchr::memmem::find(bytes, b"null").is_none() => {
                if memchr::memchr2(b'\n', b'\r', bytes).is_none() {
                    out.extend_from_slice(bytes);
                } else {
                    // Between quotes there can be none.
                    out.extend(bytes.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
                }
            }
            Self::Raw(bytes) => match serde_json::from_slice::<Map>(bytes) {
                Ok(members) => write_members(&members, out),
                Err(_) => out.extend_from_slice(bytes),
            },
            Self::Tree(members) => write_members(members, out),
        }
    }
}

/// Records of a page that were looked at, written one after the other, so that no more than one tree is alive.
#[derive(Debug, Default)]
pub struct Written {
    bytes: Vec<u8>,
    /// Where each ends, and whether it has a member that is null.
    ends: Vec<(usize, bool)>,
}

impl Written {
    pub fn push(&mut self, value: &Value) -> Result<(), Failure> {
        let Value::Object(members) = value else {
            return Err(Failure::system("a record is no object; check the extractor's field_path"));
        };
        serde_json::to_writer(&mut self.bytes, value).expect("a JSON value can be written to memory");
        self.ends.push((self.bytes.len(), members.values().any(Value::is_null)));
        Ok(())
    }

    pub fn records(self) -> Vec<Record> {
        let bytes = Bytes::from(self.bytes);
        let mut from = 0;
        let each = self.ends.into_iter().map(|(end, has_null)| {
            let bytes = bytes.slice(std::mem::replace(&mut from, end)..end);
            if has_null { Record::Raw(bytes) } else { Record::Written(bytes) }
        });
        each.collect()
    }
}

fn write_members(members: &Map, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut is_first = true;
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        if !std::mem::replace(&mut is_first, false) {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, name).expect("a text can be written to memory");
        out.push(b':');
        serde_json::to_writer(&mut *out, value).expect("a JSON value can be written to memory");
    }
    out.push(b'}');
}

struct Member<'a> {
    name: &'a str,
    found: &'a mut Option<Value>,
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(is_it) = map.next_key_seed(Is(self.name))? {
            if is_it {
                *self.found = Some(map.next_value()?);
                return Err(serde::de::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Whether a key is this one, without keeping it.
struct Is<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(text == self.0)
    }
}

/// What stands at a path of an answer.
#[derive(Debug)]
pub enum Found {
    Records(Vec<Record>),
    /// Something else than a list of objects: to be looked at as a tree.
    Other,
}

/// The objects of the list at a path, without making a tree of anything. An answer that is not JSON is an
/// error.
pub fn records_at(body: &Bytes, path: &[String]) -> Result<Found, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let found = At { path }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    let Some(raws) = found else { return Ok(Found::Other) };
    if raws.iter().any(|raw| !raw.get().starts_with('{')) {
        return Ok(Found::Other);
    }
    Ok(Found::Records(raws.into_iter().map(|raw| Record::Raw(body.slice_ref(raw.get().as_bytes()))).collect()))
}

struct At<'a> {
    path: &'a [String],
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<Vec<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(self.path.first().map_or("", String::as_str)))? {
            match is_it && !self.path.is_empty() {
                true => found = map.next_value_seed(At { path: &self.path[1..] })?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if !self.path.is_empty() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(None);
        }
        let mut raws = Vec::with_capacity(64);
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            raws.push(raw);
        }
        Ok(Some(raws))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// An answer as a tree, except for the member that holds the records: it is left out.
pub fn without(body: &[u8], member: &str) -> Result<Value, serde_json::Error> {
    struct Pruned<'a>(&'a str);
    impl<'de> Visitor<'de> for Pruned<'_> {
        type Value = Value;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
            let mut out = Map::new();
            while let Some(name) = map.next_key::<String>()? {
                if name == self.0 {
                    map.next_value::<IgnoredAny>()?;
                } else {
                    out.insert(name, map.next_value()?);
                }
            }
            Ok(out.into())
        }
    }
    serde_json::Deserializer::from_slice(body).deserialize_map(Pruned(member))
}
