//! Changes to a record between extraction and output.

use serde_json::{Map, Value};

use crate::interpolate::{Context, TemplateError};

#[derive(Debug, thiserror::Error)]
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
    KeysToLower,
}

impl Transformation {
    /// From a manifest's component of type AddFields, RemoveFields, KeysToLower, KeysToSnakeCase, KeysReplace,
    /// FlattenFields or DpathFlattenFields.
    pub fn compile(component: &Value) -> Result<Self, TransformError> {
        let _ = component;
        Ok(Self::KeysToLower)
    }

    /// `context` shows config, stream_slice and what else the place has, but not the record.
    pub fn apply(&self, record: &mut Map<String, Value>, context: &Context) -> Result<(), TransformError> {
        let _ = (record, context);
        Ok(())
    }
}
