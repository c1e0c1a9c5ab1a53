//! What is wrong with a manifest or its configuration, and where.
//!
//! Always holds: a problem names its place as a path through the resolved manifest (`streams[2].retriever`),
//! says what to do, and shows no value of a configuration.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub at: String,
    pub line: Option<usize>,
    pub what: String,
    pub kind: Kind,
}

/// Whom a problem concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The manifest: it is refused whole.
    Manifest,
    /// The configuration does not fit the manifest.
    Config,
    /// A component that only Python has: the streams that need it are refused.
    Custom,
}

impl Problem {
    pub fn new(kind: Kind, at: impl Into<String>, what: impl fmt::Display) -> Self {
        Self { at: at.into(), line: None, what: what.to_string(), kind }
    }

    pub fn manifest(at: impl Into<String>, what: impl fmt::Display) -> Self {
        Self::new(Kind::Manifest, at, what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.what)
    }
}
