//! The fields of an entity: where each value comes from, its type, and what else must be true of it.

use serde_json::Value as Json;

use super::entities::Kind;
use super::reader::{Cx, Object, Text, Value, one_of};
use super::{check_name, path, relations, time_format};
use crate::config::keys;
use crate::config::model::{Bounds, FieldRule, FieldSource, Lookup, LookupMissing};
use crate::config::path::{Base, Path, Step};
use crate::config::yaml::Content;
use crate::domain::{Field, FieldType};

#[derive(Debug)]
pub struct FieldDraft<'a> {
    pub name: Text,
    /// `None` where only the type is written, or nothing.
    object: Option<Object<'a>>,
    pub kind: Kind,
    pub required: bool,
}

impl FieldDraft<'_> {
    /// A field that only the junction names.
    pub fn undeclared(name: &Text) -> Self {
        Self { name: name.clone(), object: None, kind: Kind::Missing, required: true }
    }
}

pub fn drafts<'a>(cx: &mut Cx<'_>, value: &Value<'a>) -> Vec<FieldDraft<'a>> {
    cx.members(value).into_iter().filter_map(|(name, value)| draft(cx, name, &value)).collect()
}

fn draft<'a>(cx: &mut Cx<'_>, name: Text, value: &Value<'a>) -> Option<FieldDraft<'a>> {
    check_name(cx, &name, "a field");
    if let Content::Map(_) = &value.node.content {
        let object = cx.object(value, &keys::FIELD)?;
        let kind = match object.get("type") {
            None => Kind::Missing,
            Some(_) => object.choice(cx, "type").and_then(|word| field_type(&word.text)).map_or(Kind::Bad, Kind::Known),
        };
        let required = object.boolean(cx, "required");
        return Some(FieldDraft { name, object: Some(object), kind, required });
    }
    let word = cx.text_of(value, "a type or a mapping", "write a type, such as string, or { type: string, path: .. }");
    let kind = match word {
        Some(word) if one_of(cx, &word, keys::FIELD_TYPES) => field_type(&word.text).map_or(Kind::Bad, Kind::Known),
        _ => Kind::Bad,
    };
    Some(FieldDraft { name, object: None, kind, required: false })
}

fn field_type(word: &str) -> Option<FieldType> {
    serde_json::from_value(Json::from(word)).ok()
}

/// The column and the rule that fills it. `depth` is how many items a path can go up.
pub fn rule(cx: &mut Cx<'_>, draft: &FieldDraft<'_>, depth: usize) -> Option<(Field, FieldRule)> {
    let name = &draft.name;
    let kind = match draft.kind {
        Kind::Known(kind) => Some(kind),
        Kind::Bad => None,
        Kind::Missing => {
            let at = draft.object.as_ref().map_or(name.at, |object| object.at);
            cx.problem(
                at,
                &name.path,
                format!("'{}' has no type", name.text),
                format!("add type: one of {}", keys::FIELD_TYPES.join(", ")),
            );
            None
        }
    };
    let member = || FieldSource::Path(Path { base: Base::Item, steps: vec![Step::Member(name.text.clone())] });
    let Some(object) = &draft.object else {
        let (kind, name) = (kind?, name.text.clone());
        let column = Field { name: name.clone(), kind, required: draft.required, index: false };
        let (required, from) = (draft.required, member());
        let bounds = Bounds::default();
        return Some((
            column,
            FieldRule { name, kind, from, required, default: None, lookup: None, format: None, bounds },
        ));
    };
    let index = object.boolean(cx, "index");
    let from = source(cx, object, kind, depth, member);
    let lookup = lookup(cx, object);
    let default = object.get("default").and_then(|value| typed(cx, &value, kind));
    let format = format(cx, object, kind);
    let bounds = bounds(cx, object, kind);
    let (kind, name) = (kind?, name.text.clone());
    let column = Field { name: name.clone(), kind, required: draft.required, index };
    Some((column, FieldRule { name, kind, from: from?, required: draft.required, default, lookup, format, bounds }))
}

fn source(
    cx: &mut Cx<'_>,
    object: &Object<'_>,
    kind: Option<FieldType>,
    depth: usize,
    member: impl FnOnce() -> FieldSource,
) -> Option<FieldSource> {
    let written = object.get("path").and_then(|_| path(cx, object, "path"));
    if object.boolean(cx, "position") {
        if let Some(value) = object.get("path") {
            let help = "remove 'path', or remove 'position'";
            cx.problem(value.at, &value.path, "a position is not read from a path", help);
        }
        if let (Some(kind), Some(value)) = (kind.filter(|kind| *kind != FieldType::Integer), object.get("position")) {
            let message = format!("a position is an integer, and the field's type is {}", relations::word(kind));
            cx.problem(value.at, &value.path, message, "write type: integer");
        }
        return Some(FieldSource::Position);
    }
    if object.get("path").is_none() {
        return Some(member());
    }
    let (path, text) = written?;
    if let Base::Up(up) = path.base
        && up > depth
    {
        let message = format!(
            "'{}' goes up {up}, and above a row's item there {}",
            text.text,
            match depth {
                0 => "is nothing".to_owned(),
                1 => "is 1 item".to_owned(),
                n => format!("are {n} items"),
            }
        );
        cx.problem(text.at, &text.path, message, "write fewer ^, or $ for the record; 'each' says how deep items are");
    }
    Some(FieldSource::Path(path))
}

fn lookup(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<Lookup> {
    let Some(value) = object.get("lookup") else {
        if let Some(value) = object.get("otherwise") {
            let help = "remove 'otherwise', add a 'lookup', or write 'default' for values that are missing";
            cx.problem(value.at, &value.path, "'otherwise' says what a lookup does, and there is none", help);
        }
        return None;
    };
    let members = cx.members(&value);
    let table = members.iter().filter_map(|(from, to)| Some((from.text.clone(), cx.scalar_of(to)?))).collect();
    let missing = match object.get("otherwise").map(|value| cx.scalar_of(&value)) {
        None | Some(None) => LookupMissing::Reject,
        Some(Some(Json::String(word))) if word == "reject" => LookupMissing::Reject,
        Some(Some(Json::String(word))) if word == "keep" => LookupMissing::Keep,
        Some(Some(value)) => LookupMissing::Use(value),
    };
    Some(Lookup { table, missing })
}

fn format(cx: &mut Cx<'_>, object: &Object<'_>, kind: Option<FieldType>) -> Option<crate::config::TimeFormat> {
    only_for(cx, object, "format", kind, &[FieldType::Date, FieldType::Timestamp]);
    object.get("format").and_then(|_| time_format(cx, object))
}

fn bounds(cx: &mut Cx<'_>, object: &Object<'_>, kind: Option<FieldType>) -> Bounds {
    let numbers = [FieldType::Integer, FieldType::Number];
    for key in ["min_length", "max_length"] {
        only_for(cx, object, key, kind, &[FieldType::String]);
    }
    for key in ["min", "max"] {
        only_for(cx, object, key, kind, &numbers);
    }
    only_for(cx, object, "one_of", kind, &[FieldType::Integer, FieldType::Number, FieldType::String]);
    let length = |cx: &mut Cx<'_>, key| object.integer(cx, key).and_then(|n| usize::try_from(n).ok());
    let (min_length, max_length) = (length(cx, "min_length"), length(cx, "max_length"));
    let (min, max) = (object.number(cx, "min"), object.number(cx, "max"));
    if let (Some(min), Some(max)) = (min_length, max_length)
        && min > max
    {
        crossed(cx, object, "max_length", "min_length");
    }
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        crossed(cx, object, "max", "min");
    }
    let one_of = object.get("one_of").map(|value| {
        let items = cx.items(&value, "write a list of values, such as [open, closed]");
        items.iter().filter_map(|item| typed(cx, item, kind)).collect()
    });
    Bounds { min_length, max_length, min, max, one_of }
}

fn crossed(cx: &mut Cx<'_>, object: &Object<'_>, greater: &str, lesser: &str) {
    if let Some(value) = object.get(greater) {
        let message = format!("'{greater}' is below '{lesser}', so no value is right");
        cx.problem(value.at, &value.path, message, "exchange the two");
    }
}

fn only_for(cx: &mut Cx<'_>, object: &Object<'_>, key: &str, kind: Option<FieldType>, kinds: &[FieldType]) {
    let (Some(kind), Some(value)) = (kind, object.get(key)) else { return };
    if !kinds.contains(&kind) {
        let words: Vec<&str> = kinds.iter().map(|kind| relations::word(*kind)).collect();
        let message = format!("'{key}' does not go with type {}", relations::word(kind));
        cx.problem(value.at, &value.path, message, format!("remove it, or write type: {}", words.join(" or ")));
    }
}

/// A value that a field of the type can have.
fn typed(cx: &mut Cx<'_>, value: &Value<'_>, kind: Option<FieldType>) -> Option<Json> {
    let json = cx.scalar_of(value)?;
    let Some(kind) = kind else { return Some(json) };
    let (fits, example) = match kind {
        FieldType::Integer => (json.is_i64(), "42"),
        FieldType::Number => (json.is_number(), "2.5"),
        FieldType::Boolean => (json.is_boolean(), "true"),
        FieldType::String => (json.is_string(), "\"text\""),
        FieldType::Date => (parses::<jiff::civil::Date>(&json), "\"2026-01-31\""),
        FieldType::Timestamp => (parses::<jiff::Timestamp>(&json), "\"2026-01-31T12:00:00Z\""),
        FieldType::Json => (true, ""),
    };
    if fits {
        return Some(json);
    }
    let message = format!("{} is not a value of type {}", value.node.describe(), relations::word(kind));
    cx.problem(value.at, &value.path, message, format!("write a value such as {example}"));
    None
}

fn parses<T: std::str::FromStr>(json: &Json) -> bool {
    json.as_str().is_some_and(|text| text.parse::<T>().is_ok())
}
