//! A manifest's YAML as PyYAML's safe loader reads it, and where each value was written.
//!
//! Scalars mean what YAML 1.1 says (`yes`, `0o`-less octal, `1:30`, `1_000`, dates), `<<` merges, aliases repeat.
//! Keys become texts as Python's JSON writer makes them. Dates become ISO 8601 texts, as they would in output.
//!
//! Always holds: what aliases blow up and what is nested too deep is refused, with its place.

mod scalar;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::value::Value;

#[derive(Clone, Debug)]
pub struct Document {
    pub value: Value,
    pub places: Places,
}

/// Lines and columns, from 1, by JSON pointer.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, Place>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl Places {
    /// Where the value at the JSON pointer begins, or the nearest value around it.
    #[must_use]
    pub fn of(&self, pointer: &str) -> Option<Place> {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.0.get(pointer) {
                return Some(*place);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct YamlError {
    pub at: Place,
    pub what: String,
}

/// The one document of a text; an empty text is null.
pub fn load(text: &str) -> Result<Document, YamlError> {
    let Some(root) = tree::read(text)? else {
        return Ok(Document { value: Value::Null, places: Places::default() });
    };
    let mut places = Places::default();
    let value = tree::Builder::new(&mut places).value(&root, &mut String::new(), 0)?;
    Ok(Document { value, places })
}
