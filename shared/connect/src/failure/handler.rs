//! Error handlers: one that asks its filters, and one that asks other handlers.

use crate::value::Value;

use super::backoff::Backoff;
use super::filter::{Action, Filter, Judged, Resolution, default_resolution};
use super::{Failure, FailureKind};
use crate::interpolate::Context;
use crate::node::{Compiler, Node};

/// How often a request is sent again unless the manifest says otherwise.
const RETRIES: i64 = 5;

#[derive(Clone, Debug)]
pub enum ErrorHandler {
    Default(DefaultHandler),
    Composite(Vec<ErrorHandler>),
}

#[derive(Clone, Debug)]
pub struct DefaultHandler {
    filters: Vec<Filter>,
    backoffs: Vec<Backoff>,
    retries: i64,
}

impl Default for ErrorHandler {
    fn default() -> Self {
        Self::Default(DefaultHandler { filters: Vec::new(), backoffs: Vec::new(), retries: RETRIES })
    }
}

impl ErrorHandler {
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        match node.kind() {
            "DefaultErrorHandler" => DefaultHandler::compile(node, cx).map(Self::Default),
            "CompositeErrorHandler" => {
                let nodes = node.list("error_handlers");
                if nodes.is_empty() {
                    cx.report(node, "CompositeErrorHandler needs at least one of 'error_handlers'");
                }
                Some(Self::Composite(nodes.iter().filter_map(|node| Self::compile(node, cx)).collect()))
            }
            _ => {
                cx.unknown(node, "error handler");
                None
            }
        }
    }

    pub fn retries(&self) -> i64 {
        match self {
            Self::Default(handler) => handler.retries,
            Self::Composite(handlers) => handlers.first().map_or(RETRIES, Self::retries),
        }
    }

    pub fn backoffs(&self) -> Vec<&Backoff> {
        match self {
            Self::Default(handler) => handler.backoffs.iter().collect(),
            Self::Composite(handlers) => handlers.iter().flat_map(Self::backoffs).collect(),
        }
    }

    pub fn uses(&self, action: Action) -> bool {
        match self {
            Self::Default(handler) => handler.filters.iter().any(|filter| filter.uses(action)),
            Self::Composite(handlers) => handlers.iter().any(|handler| handler.uses(action)),
        }
    }

    pub fn judge(&self, answer: &Judged, config: &Value, cx: &Context) -> Result<Resolution, Failure> {
        match self {
            Self::Default(handler) => handler.judge(answer, config, cx),
            Self::Composite(handlers) => {
                let mut last = None;
                for handler in handlers {
                    let resolution = handler.judge(answer, config, cx)?;
                    if !matches!(resolution.action, Action::Fail | Action::RateLimited | Action::RefreshToken) {
                        return Ok(resolution);
                    }
                    last = Some(resolution);
                }
                Ok(last.unwrap_or_else(|| by_status(answer)))
            }
        }
    }
}

impl DefaultHandler {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let retries = match node.get("max_retries") {
            None => RETRIES,
            Some(at) => {
                let value = cx.evaluate(&at, &node.parameters())?;
                let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
                if number.is_none() && !matches!(&value, Value::String(text) if text.is_empty()) {
                    cx.report_config(&at, "'max_retries' must be a whole number");
                }
                number.unwrap_or(RETRIES)
            }
        };
        Some(Self {
            filters: node.list("response_filters").iter().filter_map(|node| Filter::compile(node, cx)).collect(),
            backoffs: node.list("backoff_strategies").iter().filter_map(|node| Backoff::compile(node, cx)).collect(),
            retries: retries.max(0),
        })
    }

    fn judge(&self, answer: &Judged, config: &Value, cx: &Context) -> Result<Resolution, Failure> {
        for filter in &self.filters {
            if let Some(resolution) = filter.judge(answer, config, cx)? {
                return Ok(resolution);
            }
        }
        Ok(by_status(answer))
    }
}

fn by_status(answer: &Judged) -> Resolution {
    let status = answer.response.status;
    if status < 400 {
        return Resolution { action: Action::Success, kind: FailureKind::System, message: None };
    }
    default_resolution(status).unwrap_or_else(|| Resolution {
        action: Action::Retry,
        kind: FailureKind::System,
        message: Some(format!("the source answered with status {status}")),
    })
}
