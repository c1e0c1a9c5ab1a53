//! JSON values whose texts are templates.

use std::sync::Arc;

use crate::value::{Map, Value};

use super::context::Context;
use super::error::TemplateError;
use super::template::{Template, ValueType};
use super::value::json_key;

/// A value whose texts, keys too, are templates, at every depth. Members that render to null are left out.
#[derive(Clone, Debug)]
pub struct Templated(Node);

#[derive(Clone, Debug)]
enum Node {
    Plain(Value),
    Text(Template),
    List(Vec<Node>),
    Map(Vec<(Template, Node)>),
}

impl Templated {
    pub fn compile(value: &Value, parameters: &Arc<Value>) -> Result<Self, TemplateError> {
        Node::compile(value, parameters).map(Self)
    }

    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self.0, Node::Plain(_))
    }

    pub fn render(&self, context: &Context) -> Result<Value, TemplateError> {
        self.0.render(context)
    }
}

impl Node {
    fn compile(value: &Value, parameters: &Arc<Value>) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => match template(text, parameters)? {
                plain if plain.is_plain() && text.is_empty() => Self::Plain(Value::Null),
                other => Self::Text(other),
            },
            Value::Array(items) => {
                Self::List(items.iter().map(|item| Self::compile(item, parameters)).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let members = members.iter();
                let members = members.map(|(k, v)| Ok((template(k, parameters)?, Self::compile(v, parameters)?)));
                Self::Map(members.collect::<Result<_, TemplateError>>()?)
            }
            other => Self::Plain(other.clone()),
        })
    }

    fn render(&self, context: &Context) -> Result<Value, TemplateError> {
        Ok(match self {
            Self::Plain(value) => value.clone(),
            Self::Text(template) => template.render_or_null(context)?,
            Self::List(items) => items.iter().map(|item| item.render(context)).collect::<Result<_, _>>()?,
            Self::Map(members) => {
                let mut object = Map::new();
                for (key, value) in members {
                    let value = value.render(context)?;
                    if !value.is_null() {
                        object.insert(key_text(key, key.render_or_null(context)?)?, value);
                    }
                }
                Value::Object(object)
            }
        })
    }
}

fn template(text: &str, parameters: &Arc<Value>) -> Result<Template, TemplateError> {
    Ok(Template::compile(text)?.with_parameters(parameters))
}

fn key_text(key: &Template, value: Value) -> Result<String, TemplateError> {
    json_key(&value).ok_or_else(|| TemplateError::Fails {
        template: super::error::shown(key.text()),
        why: "it makes a list or mapping where a name belongs".to_owned(),
    })
}

/// One level of names and values. Names stay texts, values that aren't texts stay as they are, nulls stay.
#[derive(Clone, Debug)]
pub struct TemplatedMap(Vec<(Template, Node)>);

impl TemplatedMap {
    pub fn compile(members: &Map, parameters: &Arc<Value>) -> Result<Self, TemplateError> {
        let members = members.iter().map(|(name, value)| {
            let value = match value {
                Value::String(_) => Node::compile(value, parameters)?,
                other => Node::Plain(other.clone()),
            };
            Ok((template(name, parameters)?, value))
        });
        members.collect::<Result<_, TemplateError>>().map(Self)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn render(&self, context: &Context) -> Result<Vec<(String, Value)>, TemplateError> {
        let members = self.0.iter().map(|(name, value)| {
            let text = match name.render_member(context, Some(ValueType::String))? {
                Value::String(text) => text,
                other => super::print::python_text(&other),
            };
            Ok((text, value.render(context)?))
        });
        members.collect()
    }
}
