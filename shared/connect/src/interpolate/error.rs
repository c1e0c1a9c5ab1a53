//! What can be wrong with a template: when it is compiled, and when it is rendered.
//!
//! Always holds: a message shows the template as it stands in the manifest, names and types, never a value
//! that a template was rendered with.

/// How much of a template a message shows.
const SHOWN: usize = 120;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the template {template} can't be read: {why}")]
    Syntax { template: String, why: String },
    #[error("the template {template} is larger than a template may be: {why}")]
    TooLarge { template: String, why: String },
    #[error(
        "the template {template} uses stream_state, which is no longer supported for interpolation; \
         use stream_interval instead"
    )]
    StreamState { template: String },
    #[error("the template {template} uses what is not there at this place: {names}; only {known} are")]
    Undeclared { template: String, names: String, known: String },
    #[error("the template {template} looks into something that is missing: {what}")]
    Undefined { template: String, what: String },
    #[error("the template {template} fails: {why}")]
    Fails { template: String, why: String },
    #[error("the template {template} is not allowed to use {what}")]
    Forbidden { template: String, what: String },
    #[error("the template {template} was stopped: {why}")]
    Stopped { template: String, why: String },
}

/// The template as messages show it.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("'{shown}'")
}
