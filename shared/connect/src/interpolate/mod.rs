//! Templates as manifests have them: Jinja text in, a JSON value out.
//!
//! A template is compiled once and rendered often. minijinja reads the text; what it means is carried out here,
//! because manifests rely on how Python prints, compares and adds. The printed result is read again as a Python
//! literal, so `"{{ 1 }}"` is a number and `"{{ [1] }}"` a list.
//!
//! Owns no wall clock and no randomness: a `Context` brings both. Always holds: a text without tags costs
//! nothing to render, and no template runs longer or prints more than its limits allow.

mod context;
mod error;

use std::sync::Arc;

use serde_json::Value;

pub use context::{Context, StreamSlice, Variable};
pub use error::TemplateError;

#[derive(Clone, Debug)]
pub struct Template {
    text: Arc<str>,
    parameters: Option<Arc<Value>>,
}

/// The only type that a result may be read as; anything else stays a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    String,
    Number,
    Integer,
    Boolean,
}

impl Template {
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { text: text.into(), parameters: None })
    }

    /// The same template with `parameters` of the component that it belongs to.
    #[must_use]
    pub fn with_parameters(mut self, parameters: &Arc<Value>) -> Self {
        self.parameters = Some(parameters.clone());
        self
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it renders to the same value in every context.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        false
    }

    /// The value. What looks into something missing is an error; an empty result is an empty text.
    pub fn render(&self, context: &Context) -> Result<Value, TemplateError> {
        let _ = context;
        Ok(Value::Null)
    }

    /// As `render`, but a result that isn't of the type stays a text.
    pub fn render_as(&self, only: ValueType, context: &Context) -> Result<Value, TemplateError> {
        let _ = (context, only);
        Ok(Value::Null)
    }

    /// As `render`, but null for an empty result or one that looks into something missing. So behave the
    /// members of parameters, headers and bodies.
    pub fn render_or_null(&self, context: &Context) -> Result<Value, TemplateError> {
        let _ = context;
        Ok(Value::Null)
    }

    /// The value as Python's `str` writes it.
    pub fn render_text(&self, context: &Context) -> Result<String, TemplateError> {
        let _ = context;
        Ok(String::new())
    }

    /// Whether the value is none of what counts as false: empty, zero, `false` and `False`, even as texts.
    pub fn render_bool(&self, context: &Context) -> Result<bool, TemplateError> {
        let _ = context;
        Ok(false)
    }
}

/// A JSON value whose texts, keys too, are templates. Members that render to null are left out.
#[derive(Clone, Debug)]
pub struct Templated(Value);

impl Templated {
    pub fn compile(value: &Value, parameters: &Arc<Value>) -> Result<Self, TemplateError> {
        let _ = parameters;
        Ok(Self(value.clone()))
    }

    pub fn render(&self, context: &Context) -> Result<Value, TemplateError> {
        let _ = context;
        Ok(self.0.clone())
    }
}

/// One level of names and values. Names stay texts, values that aren't texts stay as they are, nulls stay.
#[derive(Clone, Debug)]
pub struct TemplatedMap(Vec<(Template, Value)>);

impl TemplatedMap {
    pub fn compile(members: &serde_json::Map<String, Value>, parameters: &Arc<Value>) -> Result<Self, TemplateError> {
        let _ = (members, parameters);
        Ok(Self(Vec::new()))
    }

    pub fn render(&self, context: &Context) -> Result<Vec<(String, Value)>, TemplateError> {
        let _ = (context, &self.0);
        Ok(Vec::new())
    }
}
