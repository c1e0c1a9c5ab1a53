//! `$ref` and texts that begin with `#/`.

use crate::value::{Map, Value};

use super::DEEPEST;
use crate::problem::Problem;

/// A member whose values are handed on as they are: they belong to a configuration.
const OPAQUE: &str = "config_overrides";

pub fn resolve(root: &Value, most_values: usize) -> Result<Value, Problem> {
    Resolver { root, open: Vec::new(), left: most_values }.value(root, 0)
}

struct Resolver<'a> {
    root: &'a Value,
    /// References that are being resolved, outermost first.
    open: Vec<&'a str>,
    left: usize,
}

impl<'a> Resolver<'a> {
    fn value(&mut self, value: &'a Value, depth: usize) -> Result<Value, Problem> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Problem::manifest(self.place(), "its references make it grow beyond every bound; refer to less in each")
        })?;
        if depth > DEEPEST {
            return Err(Problem::manifest(self.place(), format_args!("it nests deeper than {DEEPEST}; flatten it")));
        }
        match value {
            Value::Object(members) => self.object(members, depth),
            Value::Array(items) => items.iter().map(|item| self.value(item, depth + 1)).collect(),
            Value::String(text) if text.starts_with("#/") => self.reference(text, depth),
            other => Ok(other.clone()),
        }
    }

    fn object(&mut self, members: &'a Map, depth: usize) -> Result<Value, Problem> {
        let mut own = Map::new();
        for (name, value) in members.iter().filter(|(name, _)| *name != "$ref") {
            let value = if name == OPAQUE { value.clone() } else { self.value(value, depth + 1)? };
            own.insert(name.clone(), value);
        }
        let Some(reference) = members.get("$ref") else { return Ok(own.into()) };
        match self.value(reference, depth + 1)? {
            Value::Object(mut referred) => {
                referred.extend(own);
                Ok(referred.into())
            }
            other => Ok(other),
        }
    }

    fn reference(&mut self, text: &'a str, depth: usize) -> Result<Value, Problem> {
        if self.open.contains(&text) {
            return Err(Problem::manifest(text, "this reference leads back to itself; break the circle"));
        }
        let found = lookup(self.root, &text[2..]).ok_or_else(|| {
            Problem::manifest(self.place(), format_args!("'{text}' refers to nothing; check its spelling"))
        })?;
        self.open.push(text);
        let value = self.value(found, depth + 1);
        self.open.pop();
        value
    }

    fn place(&self) -> String {
        self.open.last().copied().unwrap_or_default().to_owned()
    }
}

/// A member may have slashes in its name: the longest name that is there wins.
fn lookup<'a>(mut node: &'a Value, mut path: &str) -> Option<&'a Value> {
    while !path.is_empty() {
        if let Some(found) = node.as_object().and_then(|members| members.get(path)) {
            return Some(found);
        }
        let (head, rest) = path.split_once('/').unwrap_or((path, ""));
        node = match node {
            Value::Object(members) => members.get(head)?,
            Value::Array(items) => items.get(head.parse::<usize>().ok()?)?,
            _ => return None,
        };
        path = rest;
    }
    Some(node)
}
