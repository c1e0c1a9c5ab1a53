//! One template, from its text to the value that it renders to.

use std::borrow::Cow;
use std::sync::Arc;

use crate::value::Value;

use super::call::Fault;
use super::context::Context;
use super::error::{TemplateError, shown};
use super::ir::Stmt;
use super::machine::Machine;
use super::print::{python_text, write_text};
use super::value::Py;
use super::{compile, literal, names};

/// Compiled once, cheap to clone.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<Source>,
    parameters: Option<Arc<Value>>,
}

#[derive(Debug)]
struct Source {
    text: Box<str>,
    body: Body,
    /// What the context must have, used or not.
    taken: Vec<Box<str>>,
}

#[derive(Debug)]
enum Body {
    /// No tags: the text, and what it is as a literal.
    Plain(Box<str>, Value),
    Tags(Vec<Stmt>),
    /// Names `stream_state`, which no template may.
    Refused,
}

/// The only type that a result may be read as; a result of another type stays a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    String,
    Number,
    Integer,
    Boolean,
}

impl ValueType {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_f64(),
            Self::Integer => value.is_i64() || value.is_u64() || value.is_boolean(),
            Self::Boolean => value.is_boolean(),
        }
    }
}

impl Template {
    /// A text that names `stream_state` compiles, but never renders: only streams that use it are refused.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        let lines: Cow<str> = match text.contains('\r') {
            true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
            false => Cow::Borrowed(text),
        };
        let (body, taken) = if text.contains("stream_state") {
            (Body::Refused, Vec::new())
        } else if ["{{", "{%", "{#"].iter().any(|tag| lines.contains(tag)) {
            let statements = compile::compile(&lines)?;
            let taken = names::taken(&statements);
            (Body::Tags(statements), taken)
        } else {
            // One line break at the end is no part of a template.
            let text = lines.strip_suffix('\n').unwrap_or(&lines);
            (Body::Plain(text.into(), literal::read(text).unwrap_or_else(|| text.into())), Vec::new())
        };
        Ok(Self { source: Arc::new(Source { text: text.into(), body, taken }), parameters: None })
    }

    /// The same template with the `parameters` of the component that it belongs to.
    #[must_use]
    pub fn with_parameters(mut self, parameters: &Arc<Value>) -> Self {
        self.parameters = Some(parameters.clone());
        self
    }

    /// As the manifest has it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// Whether it renders to the same value in every context.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self.source.body, Body::Plain(..))
    }

    /// Names that its context must have.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.source.taken.iter().map(|name| &**name)
    }

    /// The value. What looks into something missing is an error; an empty result is an empty text.
    pub fn render(&self, context: &Context) -> Result<Value, TemplateError> {
        Ok(self.evaluate(context, None)?.unwrap_or_else(|| Value::String(String::new())))
    }

    /// As `render`, but a result that isn't of the type stays a text.
    pub fn render_as(&self, only: ValueType, context: &Context) -> Result<Value, TemplateError> {
        Ok(self.evaluate(context, Some(only))?.unwrap_or_else(|| Value::String(String::new())))
    }

    /// As `render`, but null for an empty result or one that looks into something missing. So behave the
    /// members of parameters, headers and bodies.
    pub fn render_or_null(&self, context: &Context) -> Result<Value, TemplateError> {
        self.render_member(context, None)
    }

    pub(super) fn render_member(&self, context: &Context, only: Option<ValueType>) -> Result<Value, TemplateError> {
        match self.evaluate(context, only) {
            Ok(value) => Ok(value.unwrap_or(Value::Null)),
            Err(TemplateError::Undefined { .. }) => Ok(Value::Null),
            Err(error) => Err(error),
        }
    }

    /// The value as Python's `str` writes it.
    pub fn render_text(&self, context: &Context) -> Result<String, TemplateError> {
        Ok(match self.render(context)? {
            Value::String(text) => text,
            other => python_text(&other),
        })
    }

    /// Whether the value is none of what counts as false: empty, zero, `false` and `False`, even as texts, or
    /// something missing.
    pub fn render_bool(&self, context: &Context) -> Result<bool, TemplateError> {
        Ok(match self.render_or_null(context)? {
            Value::Null => false,
            Value::Bool(truth) => truth,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !matches!(&*text, "False" | "false" | "{}" | "[]" | "()" | "" | "0" | "0.0"),
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
        })
    }

    /// Nothing when the result is empty.
    fn evaluate(&self, context: &Context, only: Option<ValueType>) -> Result<Option<Value>, TemplateError> {
        match &self.source.body {
            Body::Plain(text, _) if text.is_empty() => Ok(None),
            Body::Plain(text, value) => Ok(Some(match only {
                Some(only) if !only.admits(value) => (&**text).into(),
                _ => value.clone(),
            })),
            Body::Refused => Err(TemplateError::StreamState { template: shown(self.text()) }),
            Body::Tags(statements) => {
                self.check_names(context)?;
                match self.run(statements, context, only) {
                    // Whatever is no use to Python's operators and functions leaves the template as it is written.
                    Err(Fault::Type(_)) => Ok(Some(self.text().into())),
                    result => result.map_err(|fault| self.error(fault)),
                }
            }
        }
    }

    fn check_names(&self, context: &Context) -> Result<(), TemplateError> {
        let missing = |name: &&str| context.get(name).is_none() && *name != "parameters";
        if self.variables().any(|name| missing(&name)) {
            let names: Vec<&str> = self.variables().filter(missing).collect();
            let known: Vec<&str> = context.names().collect();
            return Err(TemplateError::Undeclared {
                template: shown(self.text()),
                names: names.join(", "),
                known: known.join(", "),
            });
        }
        Ok(())
    }

    fn run(&self, statements: &[Stmt], context: &Context, only: Option<ValueType>) -> Result<Option<Value>, Fault> {
        let mut machine = Machine::new(context, self.parameters.as_deref());
        // Most templates are one expression, whose value need not be printed to be read again.
        if let [Stmt::Emit(expr)] = statements {
            let value = machine.expr(expr)?;
            machine.walk(&value)?;
            return match value {
                Py::Text(text) => Ok(of_text(&text, only)),
                Py::Undefined(_) => Ok(None),
                other => match other.to_json() {
                    Some(value) if only.is_none_or(|only| only.admits(&value)) => Ok(Some(value)),
                    _ => {
                        let mut text = String::new();
                        write_text(&mut text, &other)?;
                        Ok(of_text(&text, only))
                    }
                },
            };
        }
        let mut out = String::new();
        machine.run(statements, &mut out)?;
        Ok(of_text(&out, only))
    }

    fn error(&self, fault: Fault) -> TemplateError {
        let template = shown(self.text());
        match fault {
            Fault::Undefined(what) => TemplateError::Undefined { template, what },
            Fault::Type(why) | Fault::Fails(why) => TemplateError::Fails { template, why },
            Fault::Forbidden(what) => TemplateError::Forbidden { template, what },
            Fault::Stopped(why) => TemplateError::Stopped { template, why },
        }
    }
}

fn of_text(text: &str, only: Option<ValueType>) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    let literal = literal::read(text).filter(|value| only.is_none_or(|only| only.admits(value)));
    Some(literal.unwrap_or_else(|| text.into()))
}
