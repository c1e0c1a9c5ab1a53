//! Reading components: a value of the resolved manifest, where it stands, and what is wrong with it.
//!
//! Always holds: reading goes on after a problem, so that all of them are reported at once.

use std::sync::Arc;

use crate::value::{Map, Value};
use jiff::Timestamp;

use crate::interpolate::{Context, Template, Templated};
use crate::problem::{Kind, Problem};

/// What components are compiled with.
pub struct Compiler<'a> {
    pub config: &'a Arc<Value>,
    pub now: Timestamp,
    /// Reads a file beside the manifest.
    pub files: &'a dyn Files,
    /// Schemas of the configured catalog, and what it says of cursors, by stream.
    pub catalog: &'a crate::source::catalog::Catalog,
    /// Persisted state by stream: a few components depend on whether there is one.
    pub states: &'a std::collections::BTreeMap<String, Value>,
    pub problems: Vec<Problem>,
}

/// Files that belong to a manifest. A path is relative to the folder that holds the manifest's folder, as in
/// the packages of the CDK, or to the manifest's folder.
pub trait Files: Send + Sync {
    fn read(&self, path: &str) -> Option<String>;
}

/// A manifest without files beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> Option<String> {
        None
    }
}

#[derive(Clone, Debug)]
pub struct Node<'a> {
    pub value: &'a Value,
    pub at: String,
}

impl Compiler<'_> {
    pub fn report(&mut self, node: &Node, what: impl std::fmt::Display) {
        self.problems.push(Problem::manifest(&node.at, what));
    }

    pub fn report_config(&mut self, node: &Node, what: impl std::fmt::Display) {
        self.problems.push(Problem::new(Kind::Config, &node.at, what));
    }

    /// `None` with a problem when it fails.
    pub fn check<T, E: std::fmt::Display>(&mut self, node: &Node, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.report(node, error)).ok()
    }

    pub fn context(&self) -> Context<'_> {
        Context::new(self.now).with("config", self.config.as_ref())
    }

    pub fn template(&mut self, node: &Node) -> Option<Template> {
        let text = match node.value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => crate::python::text_of(node.value),
            _ => {
                self.report(node, "this must be a text");
                return None;
            }
        };
        self.check(node, Template::compile(&text))
    }

    /// The value of a template that only needs the configuration.
    pub fn evaluate(&mut self, node: &Node, parameters: &Arc<Value>) -> Option<Value> {
        if !node.value.is_string() {
            return Some(node.value.clone());
        }
        let template = self.template(node)?.with_parameters(parameters);
        let result = template.render(&self.context());
        result.map_err(|error| self.report_config(node, error)).ok()
    }

    pub fn evaluate_text(&mut self, node: &Node, parameters: &Arc<Value>) -> Option<String> {
        self.evaluate(node, parameters).map(|value| crate::python::text_of(&value))
    }

    /// A component that Teal does not have, by its type.
    pub fn unknown(&mut self, node: &Node, what: &str) {
        let kind = node.kind();
        if kind.starts_with("Custom") {
            let class = node.value.get("class_name").and_then(Value::as_str).unwrap_or("a class without a name");
            let what = format!("{kind} '{class}' is Python code, which Teal does not run; replace it by a component");
            self.problems.push(Problem::new(Kind::Custom, &node.at, what));
        } else if kind.is_empty() {
            self.report(node, format_args!("{what} needs a 'type'"));
        } else {
            self.report(node, format_args!("'{kind}' is no {what}; check its type"));
        }
    }
}

impl<'a> Node<'a> {
    pub fn root(value: &'a Value) -> Self {
        Self { value, at: String::new() }
    }

    pub fn new(value: &'a Value, at: impl Into<String>) -> Self {
        Self { value, at: at.into() }
    }

    pub fn kind(&self) -> &'a str {
        self.value.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// A member that is there and not null.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Node { value, at: if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) } })
    }

    pub fn require(&self, name: &str, cx: &mut Compiler) -> Option<Node<'a>> {
        let found = self.get(name);
        if found.is_none() {
            let kind = self.kind();
            cx.report(self, format_args!("{} needs '{name}'", if kind.is_empty() { "this" } else { kind }));
        }
        found
    }

    /// The value of a member that only needs the configuration.
    pub fn required(&self, name: &str, parameters: &Arc<Value>, cx: &mut Compiler) -> Option<Value> {
        let node = self.require(name, cx)?;
        cx.evaluate(&node, parameters)
    }

    pub fn required_text(&self, name: &str, parameters: &Arc<Value>, cx: &mut Compiler) -> Option<String> {
        self.required(name, parameters, cx).map(|value| crate::python::text_of(&value))
    }

    /// The items of a list; the node itself when it is none.
    pub fn items(&self) -> Vec<Node<'a>> {
        match self.value {
            Value::Array(items) => (items.iter().enumerate())
                .map(|(index, value)| Node { value, at: format!("{}[{index}]", self.at) })
                .collect(),
            _ => vec![self.clone()],
        }
    }

    pub fn list(&self, name: &str) -> Vec<Node<'a>> {
        self.get(name).map(|node| node.items()).unwrap_or_default()
    }

    pub fn members(&self) -> Vec<(&'a str, Node<'a>)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.as_str(), Node { value, at: format!("{}.{name}", self.at) })).collect()
    }

    pub fn object(&self) -> Option<&'a Map> {
        self.value.as_object()
    }

    pub fn parameters(&self) -> Arc<Value> {
        Arc::new(self.value.get("$parameters").cloned().unwrap_or_else(|| Value::Object(Map::new())))
    }

    pub fn text(&self, name: &str, cx: &mut Compiler) -> Option<&'a str> {
        let node = self.get(name)?;
        let text = node.value.as_str();
        if text.is_none() {
            cx.report(&node, "this must be a text");
        }
        text
    }

    pub fn flag(&self, name: &str) -> bool {
        self.value.get(name).is_some_and(|value| value.as_bool().unwrap_or_else(|| value == "true"))
    }

    pub fn whole(&self, name: &str, cx: &mut Compiler) -> Option<i64> {
        let node = self.get(name)?;
        let number = node.value.as_i64().or_else(|| node.value.as_str().and_then(|text| text.parse().ok()));
        if number.is_none() {
            cx.report(&node, "this must be a whole number");
        }
        number
    }

    pub fn number(&self, name: &str, cx: &mut Compiler) -> Option<f64> {
        let node = self.get(name)?;
        let number = node.value.as_f64();
        if number.is_none() {
            cx.report(&node, "this must be a number");
        }
        number
    }

    /// A text that is a template, with this component's parameters.
    pub fn template(&self, name: &str, cx: &mut Compiler) -> Option<Template> {
        self.get(name).and_then(|node| cx.template(&node)).map(|template| template.with_parameters(&self.parameters()))
    }

    pub fn require_template(&self, name: &str, cx: &mut Compiler) -> Option<Template> {
        self.require(name, cx)?;
        self.template(name, cx)
    }

    pub fn templates(&self, name: &str, cx: &mut Compiler) -> Vec<Template> {
        let parameters = self.parameters();
        let nodes = self.list(name);
        nodes.iter().filter_map(|node| cx.template(node)).map(|t| t.with_parameters(&parameters)).collect()
    }

    pub fn templated(&self, name: &str, cx: &mut Compiler) -> Option<Templated> {
        let node = self.get(name)?;
        cx.check(&node, Templated::compile(node.value, &self.parameters()))
    }

    pub fn texts(&self, name: &str, cx: &mut Compiler) -> Vec<String> {
        let mut out = Vec::new();
        for node in self.list(name) {
            match node.value {
                Value::String(text) => out.push(text.clone()),
                Value::Number(_) => out.push(node.value.to_string()),
                _ => cx.report(&node, "this must be a text"),
            }
        }
        out
    }
}
