//! Changes to a record between extraction and output, and the same changes to a config before it is used.
//!
//! Always holds: a record is changed in place; templates, paths and conditions are compiled once.

mod config;
mod fields;
mod flatten;
mod keys;

#[cfg(test)]
mod tests;

use crate::value::Value;

use crate::interpolate::{Context, TemplateError};

pub use config::ConfigTransformation;

#[derive(Clone, Debug, thiserror::Error)]
pub enum TransformError {
    #[error("the transformation can't be used: {0}")]
    Component(String),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("{0}")]
    Record(String),
}

#[derive(Clone, Debug)]
pub enum Transformation {
    AddFields(fields::AddFields),
    RemoveFields(fields::RemoveFields),
    KeysToLower,
    KeysToSnakeCase,
    KeysReplace(keys::Replace),
    FlattenFields { lists: bool },
    DpathFlattenFields(flatten::DpathFlatten),
}

impl Transformation {
    /// From a component of type AddFields, RemoveFields, KeysToLower, KeysToSnakeCase, KeysReplace,
    /// FlattenFields or DpathFlattenFields.
    pub fn compile(component: &Value) -> Result<Self, TransformError> {
        Ok(match component.get("type").and_then(Value::as_str).unwrap_or_default() {
            "AddFields" => Self::AddFields(fields::AddFields::compile(component)?),
            "RemoveFields" => Self::RemoveFields(fields::RemoveFields::compile(component)?),
            "KeysToLower" => Self::KeysToLower,
            "KeysToSnakeCase" => Self::KeysToSnakeCase,
            "KeysReplace" => Self::KeysReplace(keys::Replace::compile(component)?),
            "FlattenFields" => {
                Self::FlattenFields { lists: component.get("flatten_lists").and_then(Value::as_bool).unwrap_or(true) }
            }
            "DpathFlattenFields" => Self::DpathFlattenFields(flatten::DpathFlatten::compile(component)?),
            other => return Err(TransformError::Component(format!("there is no transformation '{other}'"))),
        })
    }

    /// `context` shows config, stream_slice and what else the place has, but not the record. What is no object
    /// stays as it is.
    pub fn apply(&self, record: &mut Value, context: &Context) -> Result<(), TransformError> {
        if !record.is_object() {
            return Ok(());
        }
        match self {
            Self::AddFields(add) => add.apply(record, context, true),
            Self::RemoveFields(remove) => remove.apply(record, context),
            Self::KeysToLower => {
                keys::each(record, false, |key| key.to_lowercase());
                Ok(())
            }
            Self::KeysToSnakeCase => {
                keys::each(record, true, keys::snake_case);
                Ok(())
            }
            Self::KeysReplace(replace) => replace.apply(record, context),
            Self::FlattenFields { lists } => {
                flatten::flatten(record, *lists);
                Ok(())
            }
            Self::DpathFlattenFields(flatten) => flatten.apply(record, context),
        }
    }
}
