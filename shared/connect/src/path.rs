//! Dotted paths to a member of an answer: `data`, `meta.pages`, `result.list.items`.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dotted(Vec<String>);

impl Dotted {
    /// `None` when a part is empty. `.` alone is the answer itself.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "." {
            return Some(Self(Vec::new()));
        }
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        (!parts.iter().any(String::is_empty)).then_some(Self(parts))
    }

    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, part| value.get(part))
    }

    /// Moves the value at the path out.
    pub fn take(&self, mut value: Value) -> Option<Value> {
        for part in &self.0 {
            value = value.get_mut(part)?.take();
        }
        Some(value)
    }
}

impl std::fmt::Display for Dotted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { f.write_str(".") } else { f.write_str(&self.0.join(".")) }
    }
}
