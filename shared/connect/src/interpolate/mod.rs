//! Templates as manifests have them: Jinja text in, a JSON value out.
//!
//! A template is compiled once and rendered often. minijinja reads the text; what it means is carried out here,
//! because manifests rely on how Python prints, compares and adds, and because a context's values are borrowed.
//! The printed result is read again as a Python literal, so `"{{ 1 }}"` is a number and `"{{ [1] }}"` a list.
//!
//! ```text
//! text ─ compile ─► ir ─ machine ─► value ─ print, literal ─► JSON
//!                        │ operators, methods (texts, times), macros, filters (codings, list_filters), checks
//! ```
//!
//! Owns no wall clock and no randomness: a `Context` brings both. Always holds: a text without tags costs
//! nothing to render, and no template runs longer or prints more than its limits allow.

mod call;
mod checks;
mod codings;
mod compile;
mod context;
mod error;
mod filters;
mod format;
mod ir;
mod json;
mod list_filters;
mod literal;
mod machine;
mod macros;
mod methods;
mod names;
pub(crate) mod number;
mod operators;
mod print;
mod shared;
mod sorting;
mod template;
mod templated;
mod texts;
mod times;
mod value;

#[cfg(test)]
mod tests;

pub use context::{Context, StreamSlice, Variable};
pub use error::TemplateError;
pub(crate) use literal::read as python_literal;
pub use print::python_text;
pub use template::{Template, ValueType};
pub use templated::{Templated, TemplatedMap};
pub(crate) use value::json_key;
