//! Response filters: which answers mean something special.

use crate::value::Value;
use teal::ports::upstream::Response;

use super::{Failure, FailureKind};
use crate::interpolate::{Context, Template};
use crate::node::{Compiler, Node};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Success,
    Fail,
    Retry,
    Ignore,
    ResetPagination,
    RateLimited,
    RefreshToken,
    ReducePageSize,
    SplitWindow,
}

impl Action {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "SUCCESS" => Self::Success,
            "FAIL" => Self::Fail,
            "RETRY" => Self::Retry,
            "IGNORE" => Self::Ignore,
            "RESET_PAGINATION" => Self::ResetPagination,
            "RATE_LIMITED" => Self::RateLimited,
            "REFRESH_TOKEN_THEN_RETRY" => Self::RefreshToken,
            "REDUCE_PAGE_SIZE" => Self::ReducePageSize,
            "SPLIT_REQUEST_WINDOW" => Self::SplitWindow,
            _ => return None,
        })
    }
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    pub action: Action,
    pub kind: FailureKind,
    pub message: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Filter {
    action: Option<Action>,
    kind: Option<FailureKind>,
    codes: Vec<i64>,
    contains: Option<String>,
    predicate: Option<Template>,
    message: Option<Template>,
}

/// An answer with its JSON, parsed at most once.
pub struct Judged<'a> {
    pub response: &'a Response,
    pub url: String,
    body: std::cell::OnceCell<Value>,
    headers: std::cell::OnceCell<Value>,
}

impl<'a> Judged<'a> {
    pub fn new(response: &'a Response, url: &str) -> Self {
        Self { response, url: crate::http::shown(url), body: Default::default(), headers: Default::default() }
    }

    /// The body as JSON, an empty object when it is none.
    pub fn body(&self) -> &Value {
        let parse =
            || serde_json::from_slice(&self.response.body).unwrap_or_else(|_| Value::Object(Default::default()));
        self.body.get_or_init(parse)
    }

    pub fn headers(&self) -> &Value {
        self.headers.get_or_init(|| crate::http::headers_value(self.response, false))
    }
}

impl Filter {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let action = match node.get("action") {
            None => None,
            Some(at) => {
                let action = at.value.as_str().and_then(Action::read);
                if action.is_none() {
                    cx.report(&at, "there is no such action; write SUCCESS, FAIL, RETRY, IGNORE or RATE_LIMITED");
                }
                Some(action?)
            }
        };
        let kind = match node.get("failure_type") {
            None => None,
            Some(at) => {
                let kind = at.value.as_str().and_then(FailureKind::read);
                if kind.is_none() {
                    cx.report(&at, "write system_error, config_error or transient_error");
                }
                Some(kind?)
            }
        };
        let mut codes = Vec::new();
        for code in node.list("http_codes") {
            match code.value.as_i64() {
                Some(code) => codes.push(code),
                None => cx.report(&code, "a status code is a number such as 404"),
            }
        }
        Some(Self {
            action,
            kind,
            codes,
            contains: node.text("error_message_contains", cx).filter(|text| !text.is_empty()).map(str::to_owned),
            predicate: node.template("predicate", cx).filter(|template| !template.text().is_empty()),
            message: node.template("error_message", cx).filter(|template| !template.text().is_empty()),
        })
    }

    pub fn uses(&self, action: Action) -> bool {
        self.action == Some(action)
    }

    /// `None` when this filter has nothing to say of the answer.
    pub fn judge(&self, answer: &Judged, config: &Value, cx: &Context) -> Result<Option<Resolution>, Failure> {
        let status = answer.response.status;
        let url = Value::String(answer.url.clone());
        let seen = || {
            let cx = cx.clone().with("response", answer.body());
            cx.with("headers", crate::interpolate::Variable::Headers(answer.headers())).with("request_url", &url)
        };
        let is_meant = self.codes.contains(&i64::from(status))
            // A predicate sees no configuration: None stands in its place.
            || match &self.predicate {
                Some(predicate) => predicate.render_bool(&seen().with("config", &Value::Null))?,
                None => false,
            }
            || self.contains.as_ref().is_some_and(|part| {
                message_of(answer).is_some_and(|message| message.contains(part))
            });
        let Some(action) = self.action.filter(|_| is_meant) else { return Ok(None) };
        let default = default_resolution(status);
        let message = match &self.message {
            Some(template) => Some(template.render_text(&seen().with("config", config))?),
            None => None,
        };
        let message = message.filter(|message| !message.is_empty());
        let kind = match (self.kind, &default) {
            (Some(kind), _) if action == Action::Fail => kind,
            (_, Some(default)) => default.kind,
            _ => FailureKind::System,
        };
        Ok(Some(Resolution { action, kind, message: message.or(default.and_then(|default| default.message)) }))
    }
}

/// What a status means when no filter says otherwise.
pub fn default_resolution(status: u16) -> Option<Resolution> {
    use Action::{Fail, RateLimited, Retry};
    use FailureKind::{Config, System, Transient};
    let (action, kind, what) = match status {
        400 => (Fail, System, "Bad request. Please check your request parameters."),
        401 => (Fail, Config, "Unauthorized. Please ensure you are authenticated correctly."),
        403 => (Fail, Config, "Forbidden. You don't have permission to access this resource."),
        404 => (Fail, System, "Not found. The requested resource was not found on the server."),
        405 => (Fail, System, "Method not allowed. Please check your request method."),
        408 => (Retry, Transient, "Request timeout."),
        429 => (RateLimited, Transient, "Too many requests."),
        500 => (Retry, Transient, "Internal server error."),
        502 => (Retry, Transient, "Bad gateway."),
        503 => (Retry, Transient, "Service unavailable."),
        504 => (Retry, Transient, "Gateway timeout."),
        _ => return None,
    };
    Some(Resolution { action, kind, message: Some(format!("HTTP Status Code: {status}. Error: {what}")) })
}

/// What an answer says went wrong, wherever it says it.
fn message_of(answer: &Judged) -> Option<String> {
    match serde_json::from_slice::<Value>(&answer.response.body) {
        Ok(body) => said(&body),
        Err(_) => std::str::from_utf8(&answer.response.body).ok().map(str::to_owned),
    }
}

const SAID: [&str; 12] = [
    "message",
    "messages",
    "error",
    "errors",
    "failures",
    "failure",
    "detail",
    "err",
    "error_message",
    "msg",
    "reason",
    "status_message",
];

fn said(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(items.iter().filter_map(said).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let said_at =
                SAID.iter().filter_map(|name| members.get(name)).find(|value| crate::python::is_truthy(value));
            said_at.and_then(said)
        }
        _ => None,
    }
}
