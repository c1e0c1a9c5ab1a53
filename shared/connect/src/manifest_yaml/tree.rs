//! Events to a tree in which aliases share, and the tree to a JSON value.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

use crate::value::{Map, Value};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{Place, Places, YamlError, scalar};

const MAX_DEPTH: usize = 100;
/// Aliases counted as often as they occur.
const MAX_NODES: usize = 200_000;

pub(super) struct Node {
    at: Place,
    kind: Kind,
}

enum Kind {
    Scalar(Value),
    /// `<<`, unquoted.
    Merge,
    List(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

/// A list or mapping whose end has not been seen.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<Rc<Node>>,
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

fn error<T>(at: Place, what: impl Into<String>) -> Result<T, YamlError> {
    Err(YamlError { at, what: what.into() })
}

pub(super) fn read(text: &str) -> Result<Option<Rc<Node>>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut stack: Vec<Open> = Vec::new();
    let mut anchors: BTreeMap<usize, Rc<Node>> = BTreeMap::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|wrong| YamlError {
            at: place(wrong.marker()),
            what: format!("this is not YAML: {}; check indentation, quotes and brackets", wrong.info()),
        })?;
        let at = place(&span.start);
        let (node, anchor) = match event {
            Event::DocumentStart(_) if root.is_some() => {
                return error(at, "a second document begins here; a manifest is one");
            }
            Event::Scalar(text, style, anchor, tag) => {
                let kind = scalar_of(&text, style == ScalarStyle::Plain, tag.as_deref(), at)?;
                (Rc::new(Node { at, kind }), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                known_tag(tag.as_deref(), "seq", at)?;
                stack.push(Open { node: Node { at, kind: Kind::List(Vec::new()) }, anchor, key: None });
                if stack.len() > MAX_DEPTH {
                    return error(at, format!("nested more than {MAX_DEPTH} levels deep"));
                }
                continue;
            }
            Event::MappingStart(anchor, tag) => {
                known_tag(tag.as_deref(), "map", at)?;
                stack.push(Open { node: Node { at, kind: Kind::Map(Vec::new()) }, anchor, key: None });
                if stack.len() > MAX_DEPTH {
                    return error(at, format!("nested more than {MAX_DEPTH} levels deep"));
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(open) => (Rc::new(open.node), open.anchor),
                None => continue,
            },
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some(node) => (node.clone(), 0),
                None => return error(at, "this alias is inside the value that it names, or names nothing"),
            },
            _ => continue,
        };
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match stack.last_mut() {
            None => root = Some(node),
            Some(open) => match (&mut open.node.kind, open.key.take()) {
                (Kind::List(items), _) => items.push(node),
                (Kind::Map(members), Some(key)) => members.push((key, node)),
                _ => open.key = Some(node),
            },
        }
    }
    Ok(root)
}

fn suffix(tag: &Tag) -> Option<&str> {
    (tag.handle == "tag:yaml.org,2002:").then_some(&*tag.suffix)
}

fn known_tag(tag: Option<&Tag>, expected: &str, at: Place) -> Result<(), YamlError> {
    match tag {
        Some(tag) if suffix(tag) != Some(expected) => error(at, format!("the tag {tag} is not known here")),
        _ => Ok(()),
    }
}

fn scalar_of(text: &str, plain: bool, tag: Option<&Tag>, at: Place) -> Result<Kind, YamlError> {
    let read = || scalar::plain(text).map_err(|what| YamlError { at, what });
    // A lone '!' says nothing about a plain scalar.
    let Some(tag) = tag.filter(|tag| !(plain && tag.handle.is_empty() && tag.suffix == "!")) else {
        return Ok(match (plain, text) {
            (true, "<<") => Kind::Merge,
            (true, _) => Kind::Scalar(read()?),
            (false, text) => Kind::Scalar(text.into()),
        });
    };
    let value = match suffix(tag) {
        Some("str") => Some(text.into()),
        Some("null") => Some(Value::Null),
        Some("bool") => read().ok().filter(Value::is_boolean),
        Some("int") => scalar::int(text),
        Some("float") => scalar::float(text).or_else(|| scalar::int(text)?.as_f64().map(Value::from)),
        Some("timestamp") => {
            read().ok().filter(|value| value.is_string() && text.starts_with(|c: char| c.is_ascii_digit()))
        }
        // The tag that says "no special type".
        None if tag.handle.is_empty() && tag.suffix == "!" => Some(text.into()),
        _ => return error(at, format!("the tag {tag} is not known here")),
    };
    match value {
        Some(value) => Ok(Kind::Scalar(value)),
        None => error(at, format!("'{text}' is not of the type that its tag says")),
    }
}

pub(super) struct Builder<'p> {
    places: &'p mut Places,
    nodes: usize,
}

impl<'p> Builder<'p> {
    pub fn new(places: &'p mut Places) -> Self {
        Self { places, nodes: 0 }
    }

    pub fn value(&mut self, node: &Node, pointer: &mut String, depth: usize) -> Result<Value, YamlError> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return error(
                node.at,
                format!("too large: more than {MAX_DEPTH} levels or {MAX_NODES} values, aliases included"),
            );
        }
        self.places.0.insert(pointer.clone(), node.at);
        let here = pointer.len();
        Ok(match &node.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::Merge => "<<".into(),
            Kind::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    let _ = write!(pointer, "/{i}");
                    list.push(self.value(item, pointer, depth + 1)?);
                    pointer.truncate(here);
                }
                Value::Array(list)
            }
            Kind::Map(members) => {
                let mut object = Map::new();
                for (key, value) in self.flattened(node.at, members, 0)? {
                    let _ = write!(pointer, "/{}", key.replace('~', "~0").replace('/', "~1"));
                    let value = self.value(value, pointer, depth + 1)?;
                    pointer.truncate(here);
                    object.insert(key, value);
                }
                Value::Object(object)
            }
        })
    }

    /// What is merged in, the first of equal names, then the mapping's own members, which win; of those the last.
    fn flattened<'n>(
        &mut self,
        at: Place,
        members: &'n [(Rc<Node>, Rc<Node>)],
        depth: usize,
    ) -> Result<Vec<(String, &'n Node)>, YamlError> {
        self.nodes += members.len();
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return error(at, "too much is merged here");
        }
        let (mut flat, mut known) = (Vec::with_capacity(members.len()), BTreeMap::new());
        for (_, value) in members.iter().filter(|(key, _)| matches!(key.kind, Kind::Merge)) {
            let sources = match &value.kind {
                Kind::List(items) => items.iter().collect(),
                _ => vec![value],
            };
            for source in sources {
                let Kind::Map(members) = &source.kind else {
                    return error(source.at, "only a mapping, or a list of mappings, can be merged with <<");
                };
                for (key, value) in self.flattened(source.at, members, depth + 1)? {
                    if !known.contains_key(&key) {
                        known.insert(key.clone(), flat.len());
                        flat.push((key, value));
                    }
                }
            }
        }
        for (key, value) in members.iter().filter(|(key, _)| !matches!(key.kind, Kind::Merge)) {
            let key = key_of(key)?;
            match known.get(&key) {
                Some(at) => flat[*at].1 = value,
                None => {
                    known.insert(key.clone(), flat.len());
                    flat.push((key, value));
                }
            }
        }
        Ok(flat)
    }
}

fn key_of(key: &Node) -> Result<String, YamlError> {
    let value = match &key.kind {
        Kind::Scalar(value) => crate::interpolate::json_key(value),
        _ => None,
    };
    value.map_or_else(|| error(key.at, "a list or mapping can't be a key"), Ok)
}
