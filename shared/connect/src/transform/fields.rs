//! Fields added and removed.

use std::sync::Arc;

use crate::value::Value;

use super::TransformError;
use crate::dpath::{self, Step};
use crate::extract::parameters;
use crate::interpolate::{Context, Template, TemplateError, ValueType};

#[derive(Clone, Debug)]
pub struct AddFields {
    fields: Vec<Field>,
    condition: Option<Template>,
}

#[derive(Clone, Debug)]
struct Field {
    path: Vec<Step>,
    /// The path as conditions see it.
    shown: Value,
    value: Template,
    only: Option<ValueType>,
}

fn condition(component: &Value, parameters: &Arc<Value>) -> Result<Option<Template>, TemplateError> {
    let text = component.get("condition").and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(|text| Ok(Template::compile(text)?.with_parameters(parameters))).transpose()
}

impl AddFields {
    pub fn compile(component: &Value) -> Result<Self, TransformError> {
        let own = parameters(component);
        let fields = component.get("fields").and_then(Value::as_array).into_iter().flatten();
        let fields = fields.map(|field| {
            let wrong = |why: &str| TransformError::Component(format!("AddFields: {why}"));
            let path = dpath::steps(field.get("path"));
            if path.is_empty() {
                return Err(wrong("the path of a field must not be empty"));
            }
            let value = field.get("value").and_then(Value::as_str).ok_or_else(|| wrong("a value must be a text"))?;
            let only = match field.get("value_type").and_then(Value::as_str) {
                None => None,
                Some("string") => Some(ValueType::String),
                Some("number") => Some(ValueType::Number),
                Some("integer") => Some(ValueType::Integer),
                Some("boolean") => Some(ValueType::Boolean),
                Some(other) => return Err(wrong(&format!("the value_type '{other}' is not known"))),
            };
            let shown = field.get("path").cloned().unwrap_or_default();
            Ok(Field { path, shown, value: Template::compile(value)?.with_parameters(&parameters(field)), only })
        });
        Ok(Self { fields: fields.collect::<Result<_, _>>()?, condition: condition(component, &own)? })
    }

    /// `show` says whether templates see the target as `record`; a config is `config` already.
    pub fn apply(&self, target: &mut Value, context: &Context, show: bool) -> Result<(), TransformError> {
        for field in &self.fields {
            let value = {
                let context = context.clone().with(if show { "record" } else { "config" }, &*target);
                let value = match field.only {
                    Some(only) => field.value.render_as(only, &context)?,
                    None => field.value.render(&context)?,
                };
                if let Some(condition) = &self.condition
                    && !condition.render_bool(&context.with("value", &value).with("path", &field.shown))?
                {
                    continue;
                }
                value
            };
            dpath::set(target, &field.path, value)
                .map_err(|why| TransformError::Record(format!("AddFields: {why}")))?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub struct RemoveFields {
    pointers: Vec<Vec<Step>>,
    condition: Option<Template>,
}

impl RemoveFields {
    pub fn compile(component: &Value) -> Result<Self, TransformError> {
        let pointers = component.get("field_pointers").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            pointers: pointers.map(|pointer| dpath::steps(Some(pointer))).collect(),
            condition: condition(component, &parameters(component))?,
        })
    }

    pub fn condition(&self) -> Option<&Template> {
        self.condition.as_ref()
    }

    pub fn apply(&self, record: &mut Value, context: &Context) -> Result<(), TransformError> {
        for pointer in &self.pointers {
            match &self.condition {
                None => self.remove(record, pointer)?,
                Some(condition) => {
                    let mut holds = |value: &Value| condition.render_bool(&context.clone().with("property", value));
                    dpath::remove(record, pointer, Some(&mut holds))?;
                }
            }
        }
        Ok(())
    }

    pub fn apply_unconditionally(&self, record: &mut Value) -> Result<(), TransformError> {
        self.pointers.iter().try_for_each(|pointer| self.remove(record, pointer))
    }

    fn remove(&self, record: &mut Value, pointer: &[Step]) -> Result<(), TransformError> {
        dpath::remove::<TemplateError>(record, pointer, None)?;
        Ok(())
    }
}
