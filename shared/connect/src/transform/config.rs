//! Changes to a config before anything reads it: ConfigAddFields, ConfigRemoveFields, ConfigRemapField.

use std::sync::Arc;

use crate::value::{Map, Value};

use super::TransformError;
use super::fields::{AddFields, RemoveFields};
use crate::dpath::Step;
use crate::extract::{render, templates};
use crate::interpolate::{Context, Template, TemplatedMap};

#[derive(Clone, Debug)]
pub enum ConfigTransformation {
    Add(AddFields),
    Remove(RemoveFields),
    Remap { path: Vec<Template>, map: TemplatedMap },
}

impl ConfigTransformation {
    pub fn compile(component: &Value) -> Result<Self, TransformError> {
        match component.get("type").and_then(Value::as_str).unwrap_or_default() {
            "ConfigAddFields" => AddFields::compile(component).map(Self::Add),
            "ConfigRemoveFields" => RemoveFields::compile(component).map(Self::Remove),
            "ConfigRemapField" => {
                let none = Arc::new(Value::Object(Map::new()));
                let path = templates(component.get("field_path"), &none)?;
                let map = component.get("map").and_then(Value::as_object);
                let map =
                    map.ok_or_else(|| TransformError::Component("ConfigRemapField: map must be a mapping".into()))?;
                if path.is_empty() {
                    return Err(TransformError::Component("ConfigRemapField: field_path must not be empty".into()));
                }
                Ok(Self::Remap { path, map: TemplatedMap::compile(map, &none)? })
            }
            other => Err(TransformError::Component(format!("there is no config transformation '{other}'"))),
        }
    }

    /// `context` shows no config; templates see the one that is changed.
    pub fn apply(&self, config: &mut Value, context: &Context) -> Result<(), TransformError> {
        match self {
            Self::Add(add) => add.apply(config, context, false),
            Self::Remove(remove) => {
                if let Some(condition) = remove.condition()
                    && !condition.render_bool(&context.clone().with("config", &*config))?
                {
                    return Ok(());
                }
                remove.apply_unconditionally(config)
            }
            Self::Remap { path, map } => {
                let (path, map) = {
                    let context = context.clone().with("config", &*config);
                    (render(path, &context)?, map.render(&context)?)
                };
                let mut place = config;
                for step in path {
                    let Step::Name(name) = step else { return Ok(()) };
                    let Some(next) = place.as_object_mut().and_then(|members| members.get_mut(&name)) else {
                        return Ok(());
                    };
                    place = next;
                }
                let known = match &*place {
                    Value::String(text) => map.into_iter().rfind(|(name, _)| name == text),
                    _ => None,
                };
                if let Some((_, new)) = known {
                    *place = new;
                }
                Ok(())
            }
        }
    }
}
