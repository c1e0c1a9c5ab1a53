//! Requesters: templates of a request, and how its answers are judged.

use std::sync::Arc;
use std::time::Duration;

use crate::value::{Map, Value};
use jiff::Timestamp;

use crate::auth::Auth;
use crate::failure::{ErrorHandler, Failure};
use crate::http::{self, Ask, Data, Parts, Purpose};
use crate::interpolate::{Context, StreamSlice, Template, Templated, ValueType};
use crate::node::{Compiler, Node};
use crate::session::Session;

#[derive(Debug)]
pub struct Requester {
    /// Whose requests these are, for messages.
    pub name: String,
    url: Option<Template>,
    url_base: Option<Template>,
    path: Option<Template>,
    method: ::http::Method,
    pub auth: Auth,
    params: Inputs,
    headers: Inputs,
    body: Body,
    pub handler: ErrorHandler,
    pub use_cache: bool,
    timeout: Option<Duration>,
    /// The parameter that holds the properties to ask for.
    pub properties_key: Option<String>,
    pub raw: bool,
    pub purpose: Purpose,
}

#[derive(Debug)]
enum Body {
    None,
    Json(Templated),
    /// A text that should give an object.
    JsonText(Template),
    Data(Inputs),
}

/// One level of names and values, or a template for all of them.
#[derive(Debug)]
enum Inputs {
    Map(Vec<(Template, Input)>),
    Text(Template),
}

#[derive(Debug)]
enum Input {
    Template(Template),
    Fixed(Value),
}

impl Requester {
    pub fn compile(node: &Node, name: &str, cx: &mut Compiler) -> Option<Self> {
        if !matches!(node.kind(), "HttpRequester") {
            cx.unknown(node, "requester");
            return None;
        }
        let problems = cx.problems.len();
        let (url, url_base) = (node.template("url", cx), node.template("url_base", cx));
        if url.is_none() && url_base.is_none() {
            cx.report(node, "HttpRequester needs 'url'");
        }
        let method = match node.text("http_method", cx).unwrap_or("GET") {
            "GET" => ::http::Method::GET,
            "POST" => ::http::Method::POST,
            other => {
                let text = format!("'{other}' is no method that a requester has; write GET or POST");
                cx.report(node, text);
                return None;
            }
        };
        let auth = match node.get("authenticator") {
            None => Auth::None,
            Some(auth) => {
                let base = node.get("url").or_else(|| node.get("url_base"));
                Auth::compile(&auth, name, base.as_ref(), cx)?
            }
        };
        let parameters = node.get("request_parameters");
        let mut properties_key = None;
        if let Some(parameters) = &parameters {
            for (key, value) in parameters.members() {
                if value.kind() == "QueryProperties" {
                    properties_key = Some(key.to_owned());
                }
            }
        }
        let handler = match node.get("error_handler") {
            None => ErrorHandler::default(),
            Some(handler) => ErrorHandler::compile(&handler, cx)?,
        };
        let timeout = node.number("read_timeout_in_seconds", cx).filter(|seconds| *seconds > 0.0);
        let requester = Self {
            name: name.to_owned(),
            url,
            url_base,
            path: node.template("path", cx),
            method,
            auth,
            params: Inputs::compile(parameters.as_ref(), node, cx),
            headers: Inputs::compile(node.get("request_headers").as_ref(), node, cx),
            body: Body::compile(node, cx),
            handler,
            use_cache: node.flag("use_cache"),
            timeout: timeout.map(Duration::from_secs_f64),
            properties_key,
            raw: false,
            purpose: Purpose::Page,
        };
        (cx.problems.len() == problems).then_some(requester)
    }

    /// The headers, except for what the authenticator adds.
    pub fn headers(&self, cx: &Context) -> Result<Map, Failure> {
        match self.headers.render(cx, false)? {
            Data::Form(members) => Ok(members),
            Data::Text(_) => Err(Failure::system("request headers can't be a text; write a map")),
        }
    }

    /// The request, except for what its authenticator adds.
    pub fn parts(&self, cx: &Context, properties: Option<&Value>) -> Result<Parts, Failure> {
        let mut parts = Parts {
            params: match self.params.render(cx, true)? {
                Data::Form(members) => members,
                Data::Text(_) => Map::new(),
            },
            headers: self.headers(cx)?,
            ..Parts::default()
        };
        match &self.body {
            Body::None => {}
            Body::Json(templated) => match templated.render(cx)? {
                Value::Object(members) => parts.json = members,
                _ => return Err(Failure::system("a JSON body must be an object")),
            },
            Body::JsonText(template) => match template.render_or_null(cx)? {
                Value::Object(members) => parts.json = members,
                Value::Null => {}
                _ => return Err(Failure::system("a JSON body must be an object; this template gives none")),
            },
            Body::Data(inputs) => parts.data = inputs.render(cx, true)?,
        }
        if let (Some(key), Some(Value::Array(properties))) = (&self.properties_key, properties) {
            let names: Vec<String> = properties.iter().map(crate::python::text_of).collect();
            parts.params.insert(key.clone(), names.join(",").into());
        }
        Ok(parts)
    }

    pub fn url(&self, cx: &Context, path: Option<&str>) -> Result<String, Failure> {
        let render = |template: &Option<Template>| template.as_ref().map_or(Ok(String::new()), |t| t.render_text(cx));
        let path = match path.filter(|path| !path.is_empty()) {
            Some(path) => path.to_owned(),
            None => render(&self.path)?.trim_start_matches('/').to_owned(),
        };
        let base = render(&self.url_base)?;
        let base = if base.is_empty() { render(&self.url)? } else { base };
        http::join(&base, &path)
    }

    /// The whole request, once every token is there.
    pub fn ask(
        &self,
        session: &Session,
        now: Timestamp,
        slice: Option<&Arc<StreamSlice>>,
        token: &Value,
        extra: Parts,
        path: Option<&str>,
    ) -> Result<Ask, Failure> {
        let cx = session.scope(now, slice.map(AsRef::as_ref), token);
        let properties = slice.and_then(|slice| slice.extra_fields().get("query_properties"));
        let mut parts = self.parts(&cx, properties)?;
        parts.add(self.auth.parts(session, now)?)?;
        parts.add(extra)?;
        let url = self.url(&cx, path)?;
        let secret = self.auth.header(session, now)?;
        let request = http::request(&self.method, &url, parts, secret.as_deref(), self.timeout)?;
        Ok(Ask { request, cache: self.use_cache, raw: self.raw, purpose: self.purpose })
    }
}

impl Body {
    fn compile(node: &Node, cx: &mut Compiler) -> Self {
        let json = |at: &Node, cx: &mut Compiler| match at.value {
            Value::String(_) => cx.template(at).map(|t| Body::JsonText(t.with_parameters(&node.parameters()))),
            _ => cx.check(at, Templated::compile(at.value, &node.parameters())).map(Body::Json),
        };
        if let Some(body) = node.get("request_body") {
            let Some(value) = body.require("value", cx) else { return Self::None };
            return match body.kind() {
                "RequestBodyJsonObject" | "RequestBodyGraphQL" => json(&value, cx).unwrap_or(Self::None),
                "RequestBodyPlainText" | "RequestBodyUrlEncodedForm" => {
                    Self::Data(Inputs::compile(Some(&value), node, cx))
                }
                _ => {
                    cx.unknown(&body, "request body");
                    Self::None
                }
            };
        }
        let (data, body) = (node.get("request_body_data"), node.get("request_body_json"));
        let is_there = |node: &Option<Node>| node.as_ref().is_some_and(|node| crate::python::is_truthy(node.value));
        match (is_there(&data), is_there(&body)) {
            (true, true) => {
                cx.report(node, "give either 'request_body_data' or 'request_body_json', not both");
                Self::None
            }
            (true, false) => Self::Data(Inputs::compile(data.as_ref(), node, cx)),
            (false, true) => body.and_then(|body| json(&body, cx)).unwrap_or(Self::None),
            (false, false) => Self::None,
        }
    }
}

impl Inputs {
    fn compile(node: Option<&Node>, owner: &Node, cx: &mut Compiler) -> Self {
        let parameters = owner.parameters();
        let Some(node) = node else { return Self::Map(Vec::new()) };
        if node.value.is_string() {
            return cx.template(node).map_or(Self::Map(Vec::new()), |t| Self::Text(t.with_parameters(&parameters)));
        }
        let mut out = Vec::new();
        for (name, value) in node.members().into_iter().filter(|(_, value)| value.kind() != "QueryProperties") {
            let key = Value::String(name.to_owned());
            let Some(key) = cx.template(&Node::new(&key, &value.at)) else { continue };
            let input = match value.value {
                Value::String(_) => match cx.template(&value) {
                    Some(template) => Input::Template(template.with_parameters(&parameters)),
                    None => continue,
                },
                fixed => Input::Fixed(fixed.clone()),
            };
            out.push((key.with_parameters(&parameters), input));
        }
        Self::Map(out)
    }

    /// `as_texts`: only texts and lists are taken for what they are; anything else stays the text it came from.
    fn render(&self, cx: &Context, as_texts: bool) -> Result<Data, Failure> {
        match self {
            Self::Text(template) => Ok(match template.render_or_null(cx)? {
                Value::String(text) => Data::Text(text),
                Value::Object(members) => Data::Form(members.into_iter().filter(|(_, v)| !v.is_null()).collect()),
                _ => Data::default(),
            }),
            Self::Map(members) => {
                let mut out = Map::new();
                for (name, input) in members {
                    let value = match input {
                        Input::Fixed(value) => value.clone(),
                        Input::Template(template) => match template.render_or_null(cx)? {
                            value @ Value::String(_) => value,
                            value if as_texts => as_text(template, value, cx)?,
                            value => value,
                        },
                    };
                    if !value.is_null() {
                        out.insert(
                            name.render_as(ValueType::String, cx).map(|name| crate::python::text_of(&name))?,
                            value,
                        );
                    }
                }
                Ok(Data::Form(out))
            }
        }
    }
}

/// What is neither a text nor a list stays the text that it came from; so do tuples, and a None that was printed.
fn as_text(template: &Template, value: Value, cx: &Context) -> Result<Value, Failure> {
    let text = match (&value, template.render_as(ValueType::String, cx)) {
        (_, Ok(text)) => text,
        // It looked into something missing.
        (Value::Null, Err(_)) => return Ok(Value::Null),
        (_, Err(error)) => return Err(error.into()),
    };
    let printed = text.as_str().unwrap_or_default();
    let is_kept = if value.is_array() { printed.trim_start().starts_with('[') } else { printed.is_empty() };
    Ok(if is_kept { value } else { text })
}
