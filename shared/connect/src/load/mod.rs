//! From a manifest's text to the tree that components are compiled from.
//!
//! Owns the reading of YAML, `$ref`, `$parameters` and default types, as the CDK has them. Owns no component.
//! Always holds: loops, nesting and growth are bounded, and the bound is an error with its place.

mod parameters;
mod refs;
#[cfg(test)]
mod tests;

use crate::value::{Map, Value};

use crate::manifest_yaml::{self, Places};
use crate::problem::Problem;

/// How deep a manifest may nest once its references are resolved.
pub const DEEPEST: usize = 128;
/// How many values it may have then.
const MOST_VALUES: usize = 3_000_000;

/// The whole manifest, resolved.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub root: Value,
    pub places: Places,
}

pub fn load(text: &str) -> Result<Manifest, Vec<Problem>> {
    let document = manifest_yaml::load(text)
        .map_err(|error| vec![Problem { line: Some(error.at.line), ..Problem::manifest("", error.what) }])?;
    let Value::Object(mut root) = document.value else {
        return Err(vec![Problem::manifest("", "a manifest must be a map that begins with 'type: DeclarativeSource'")]);
    };
    root.entry("type").or_insert_with(|| "DeclarativeSource".into());
    let resolved = refs::resolve(&Value::Object(root), MOST_VALUES).map_err(|problem| vec![problem])?;
    Ok(Manifest { root: propagate(resolved, true), places: document.places })
}

/// Hands `$parameters` down and fills in default types. `inner_win` is what a component's own parameters do
/// against its parents'; a dynamic stream may say otherwise.
pub fn propagate(value: Value, inner_win: bool) -> Value {
    parameters::propagate("", value, &Map::new(), inner_win)
}

impl Manifest {
    /// The line in the text of a place such as `streams[2].retriever`, or of the nearest thing around it.
    pub fn line_of(&self, at: &str) -> Option<usize> {
        let pointer: String = at.split(['.', '[']).map(|step| format!("/{}", step.trim_end_matches(']'))).collect();
        self.places.of(&pointer).map(|place| place.line)
    }
}
