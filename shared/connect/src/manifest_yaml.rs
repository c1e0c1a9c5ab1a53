//! A manifest's YAML as PyYAML's safe loader reads it, and where each value was written.

use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Document {
    pub value: Value,
    pub places: Places,
}

/// Lines and columns by JSON pointer.
#[derive(Clone, Debug, Default)]
pub struct Places(std::collections::BTreeMap<String, Place>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Places {
    /// Where the value at the JSON pointer begins, or the nearest one around it.
    #[must_use]
    pub fn of(&self, pointer: &str) -> Option<Place> {
        self.0.get(pointer).copied()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct YamlError {
    pub line: usize,
    pub column: usize,
    pub what: String,
}

pub fn load(text: &str) -> Result<Document, YamlError> {
    Err(YamlError { line: 1, column: 1, what: text.to_owned() })
}
