//! One row's values: each field read, looked up, converted and checked.
//!
//! Always holds: every field is looked at, so that one pass tells everything that is wrong with a row. A
//! default is the row's own value: it is not looked up, and dates in it are written the way Teal writes them.

use serde_json::Value as Json;

use super::convert::{Problem, check_bounds, convert, text};
use super::reasons::{Code, kind, show};
use crate::config::path::Scope;
use crate::config::{Entity, FieldRule, FieldSource, Lookup, LookupMissing};
use crate::domain::{RejectReason, Value};

/// A row's values in the order of the schema's fields; null where a field was rejected.
pub(super) struct Fields {
    pub(super) values: Vec<Value>,
    pub(super) reasons: Vec<RejectReason>,
}

pub(super) fn read_fields(entity: &Entity, scope: &Scope<'_>, position: usize) -> Fields {
    let position = Json::from(position);
    let mut out = Fields { values: Vec::with_capacity(entity.fields.len()), reasons: Vec::new() };
    for rule in &entity.fields {
        let found = match &rule.from {
            FieldSource::Path(path) => path.get(scope),
            FieldSource::Position => Some(&position),
        };
        let value = read_field(rule, found).unwrap_or_else(|problem| {
            let message = format!("field '{}': {}", rule.name, problem.message);
            out.reasons.push(problem.code.reason(Some(&rule.name), message));
            Value::Null
        });
        out.values.push(value);
    }
    out
}

fn read_field(rule: &FieldRule, found: Option<&Json>) -> Result<Value, Problem> {
    let (value, format) = match (found, &rule.lookup) {
        (None, _) => (rule.default.as_ref(), None),
        (Some(found), Some(lookup)) => (Some(look_up(lookup, found)?), rule.format.as_ref()),
        (Some(found), None) => (Some(found), rule.format.as_ref()),
    };
    let Some(value) = value.filter(|value| !value.is_null()) else {
        if rule.required {
            let from = match &rule.from {
                FieldSource::Path(path) => format!("at '{path}'"),
                FieldSource::Position => "as its position".to_owned(),
            };
            let message = format!("found nothing {from}; expected a value, since the field is required");
            return Err(Problem::new(Code::RequiredMissing, message));
        }
        return Ok(Value::Null);
    };
    let value = convert(value, rule.kind, format)?;
    check_bounds(&value, rule.kind, &rule.bounds)?;
    Ok(value)
}

fn look_up<'a>(lookup: &'a Lookup, found: &'a Json) -> Result<&'a Json, Problem> {
    let replacement = match found {
        Json::String(text) => lookup.table.get(text),
        other => match text(other) {
            Some(text) => lookup.table.get(&text),
            None => {
                let message =
                    format!("found {} ({}); expected a text, number or boolean to look up", show(found), kind(found));
                return Err(Problem::new(Code::WrongType, message));
            }
        },
    };
    match (replacement, &lookup.missing) {
        (Some(replacement), _) | (None, LookupMissing::Use(replacement)) => Ok(replacement),
        (None, LookupMissing::Keep) => Ok(found),
        (None, LookupMissing::Reject) => {
            let message = format!("found {}; expected a value that its lookup table has", show(found));
            Err(Problem::new(Code::NotInLookup, message))
        }
    }
}
