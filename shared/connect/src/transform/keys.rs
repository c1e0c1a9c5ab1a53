//! Names of fields changed.

use crate::value::{Map, Value};

use super::TransformError;
use crate::extract::parameters;
use crate::interpolate::{Context, Template};

/// Renames the members of an object, and of objects inside objects if `deep`. Lists are left alone.
pub(super) fn each<N: Fn(&str) -> String + Copy>(record: &mut Value, deep: bool, name: N) {
    let Value::Object(members) = record else { return };
    let old = std::mem::take(members);
    members.extend(old.into_iter().map(|(key, mut value)| {
        if deep {
            each(&mut value, true, name);
        }
        (name(&key), value)
    }));
}

/// Words at changes of case, digits and other signs, in ASCII.
pub(super) fn snake_case(key: &str) -> String {
    let ascii = any_ascii::any_ascii(key);
    let bytes = ascii.as_bytes();
    let mut words: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let run = |fits: fn(&u8) -> bool, from: usize| bytes[from..].iter().take_while(|byte| fits(byte)).count();
        let upper = run(u8::is_ascii_uppercase, at);
        let word = upper + run(u8::is_ascii_lowercase, at + upper);
        let word = if word > 0 { word } else { run(u8::is_ascii_digit, at) };
        words.push(&ascii[at..at + word]);
        at += if word > 0 { word } else { run(|byte| !byte.is_ascii_alphanumeric(), at) };
    }
    let last = words.len().saturating_sub(1);
    let kept: Vec<&str> = words
        .iter()
        .enumerate()
        .filter(|(i, word)| *i == 0 || *i == last || !word.is_empty())
        .map(|(_, w)| *w)
        .collect();
    let lead = kept.first().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    format!("{}{}", if lead { "_" } else { "" }, kept.join("_").to_ascii_lowercase())
}

#[derive(Clone, Debug)]
pub struct Replace {
    old: Template,
    new: Template,
}

impl Replace {
    pub fn compile(component: &Value) -> Result<Self, TransformError> {
        let own = parameters(component);
        let template = |name: &str| {
            let text = component.get(name).and_then(Value::as_str);
            let text = text.ok_or_else(|| TransformError::Component(format!("KeysReplace needs '{name}'")))?;
            Ok::<_, TransformError>(Template::compile(text)?.with_parameters(&own))
        };
        Ok(Self { old: template("old")?, new: template("new")? })
    }

    pub fn apply(&self, record: &mut Value, context: &Context) -> Result<(), TransformError> {
        let (old, new) = {
            let context = context.clone().with("record", &*record);
            (self.old.render_text(&context)?, self.new.render_text(&context)?)
        };
        each(record, true, |key| key.replace(&old, &new));
        Ok(())
    }
}

/// The members under other names.
pub(super) fn affixed(members: Map, prefix: &str, suffix: &str) -> Map {
    if prefix.is_empty() && suffix.is_empty() {
        return members;
    }
    members.into_iter().map(|(key, value)| (format!("{prefix}{key}{suffix}"), value)).collect()
}
