//! Request options: a value that a component puts into a request, and where.

use crate::value::{Map, Value};

use crate::failure::Failure;
use crate::http::{Data, Parts};
use crate::interpolate::{Context, Template};
use crate::node::{Compiler, Node};

#[derive(Clone, Debug)]
pub struct RequestOption {
    pub into: Into,
    path: Vec<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    Parameter,
    Header,
    Data,
    Json,
}

impl RequestOption {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        if !matches!(node.kind(), "" | "RequestOption") {
            cx.unknown(node, "request option");
            return None;
        }
        let place = node.require("inject_into", cx)?;
        let into = match place.value.as_str() {
            Some("request_parameter") => Into::Parameter,
            Some("header") => Into::Header,
            Some("body_data") => Into::Data,
            Some("body_json") => Into::Json,
            _ => {
                cx.report(&place, "write request_parameter, header, body_data or body_json");
                return None;
            }
        };
        // An option knows no parameters of its own, except those of its authenticator, which its template keeps.
        let name = node.template("field_name", cx).filter(|name| !name.text().is_empty());
        let path = node.templates("field_path", cx);
        match (name, path.is_empty()) {
            (Some(_), false) => cx.report(node, "give either 'field_name' or 'field_path', not both"),
            (Some(name), true) => return Some(Self { into, path: vec![name] }),
            (None, true) => cx.report(node, "a request option needs 'field_name', or 'field_path' for a JSON body"),
            (None, false) if into != Into::Json => cx.report(node, "'field_path' is for body_json; use 'field_name'"),
            (None, false) => return Some(Self { into, path }),
        }
        None
    }

    /// An option for a header of this name.
    pub fn header(name: Template) -> Self {
        Self { into: Into::Header, path: vec![name] }
    }

    /// The name in the request, where there is one.
    pub fn name(&self, cx: &Context) -> Result<String, Failure> {
        Ok(self.path[0].render_text(cx)?)
    }

    pub fn inject(&self, value: Value, parts: &mut Parts, cx: &Context) -> Result<(), Failure> {
        let target = match self.into {
            Into::Parameter => &mut parts.params,
            Into::Header => &mut parts.headers,
            Into::Json => &mut parts.json,
            Into::Data => match &mut parts.data {
                Data::Form(members) => members,
                Data::Text(_) => return Err(Failure::system("a body that is a text takes no further members")),
            },
        };
        let mut names = Vec::with_capacity(self.path.len());
        for template in &self.path {
            names.push(template.render_text(cx)?);
        }
        put(target, &names, value).ok_or_else(|| {
            Failure::system(format!("'{}' can't be set: what is before its last part is no object", names.join(".")))
        })
    }

    /// Whether both would be put into the same place.
    pub fn collides(&self, other: &Self, cx: &Context) -> bool {
        let names = |option: &Self| option.path.iter().map(|t| t.render_text(cx)).collect::<Result<Vec<_>, _>>();
        match (names(self), names(other)) {
            (Ok(one), Ok(two)) => self.into == other.into && (one.starts_with(&two) || two.starts_with(&one)),
            _ => false,
        }
    }
}

fn put(target: &mut Map, names: &[String], value: Value) -> Option<()> {
    match names {
        [] => None,
        [name] => {
            target.insert(name.clone(), value);
            Some(())
        }
        [name, rest @ ..] => {
            let below = target.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            put(below.as_object_mut()?, rest, value)
        }
    }
}
