//! Pagination: what asks for the next page, and when there is none.

mod rounds;
#[cfg(test)]
mod tests;

pub use rounds::Rounds;

use crate::value::Value;

use crate::failure::Failure;
use crate::http::Parts;
use crate::interpolate::{Context, Template, Variable};
use crate::node::{Compiler, Node};
use crate::options::RequestOption;

#[derive(Debug)]
pub struct Paginator {
    strategy: Strategy,
    size_option: Option<RequestOption>,
    token: TokenPlace,
}

#[derive(Debug)]
enum Strategy {
    Page { size: Option<i64>, first: i64, injects_first: bool },
    Offset { size: Option<Template>, injects_first: bool },
    Cursor { value: Template, stop: Option<Template>, size: Option<i64> },
}

#[derive(Debug)]
enum TokenPlace {
    None,
    /// The token is the path, or the URL, of the next page.
    Path,
    Option(RequestOption),
}

/// What is known of the page that was read.
pub struct Facts<'a> {
    /// How many records were taken out of the answer.
    pub extracted: i64,
    /// How many of them are left.
    pub kept: i64,
    pub last_record: &'a Value,
    pub response: &'a Value,
    pub headers: &'a Value,
    pub token: Option<&'a Value>,
    /// The page size that was asked for in place of the manifest's.
    pub size: Option<i64>,
}

impl Paginator {
    /// `None` without a problem for a component that does not paginate.
    pub fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        match node.kind() {
            "NoPagination" => return None,
            "DefaultPaginator" => {}
            _ => {
                cx.unknown(node, "paginator");
                return None;
            }
        }
        let strategy = Strategy::compile(&node.require("pagination_strategy", cx)?, cx)?;
        let size_option = match node.get("page_size_option") {
            Some(option) => Some(RequestOption::compile(&option, cx)?),
            None => None,
        };
        let token = match node.get("page_token_option") {
            None => TokenPlace::None,
            Some(option) if option.kind() == "RequestPath" => TokenPlace::Path,
            Some(option) => TokenPlace::Option(RequestOption::compile(&option, cx)?),
        };
        let paginator = Self { strategy, size_option, token };
        if let Some(size) = &paginator.size_option {
            match paginator.size(&cx.context()) {
                Ok(Some(1..)) => {}
                Ok(_) => cx.report(node, "'page_size_option' needs a 'page_size' in the pagination strategy"),
                Err(failure) => cx.report_config(node, failure),
            }
            if let TokenPlace::Option(token) = &paginator.token
                && token.collides(size, &cx.context())
            {
                cx.report(node, "page size and page token would be put into the same place; give one another name");
            }
        }
        Some(paginator)
    }

    pub fn first_token(&self) -> Option<Value> {
        match &self.strategy {
            Strategy::Page { first, injects_first: true, .. } => Some((*first).into()),
            Strategy::Offset { injects_first: true, .. } => Some(0.into()),
            _ => None,
        }
    }

    /// The page size that the manifest asks for.
    pub fn size(&self, cx: &Context) -> Result<Option<i64>, Failure> {
        match &self.strategy {
            Strategy::Page { size, .. } | Strategy::Cursor { size, .. } => Ok(*size),
            Strategy::Offset { size: None, .. } => Ok(None),
            Strategy::Offset { size: Some(template), .. } => {
                let size = template.render(cx)?;
                size.as_i64().map(Some).ok_or_else(|| Failure::config("the page size is no whole number"))
            }
        }
    }

    pub fn can_reduce(&self) -> bool {
        !matches!(self.strategy, Strategy::Page { .. })
            && self.size_option.is_some()
            && !matches!(self.token, TokenPlace::Path)
    }

    /// What asks for the page of this token.
    pub fn inject(
        &self,
        token: Option<&Value>,
        size: Option<i64>,
        parts: &mut Parts,
        cx: &Context,
    ) -> Result<(), Failure> {
        if let (TokenPlace::Option(option), Some(token)) = (&self.token, token) {
            option.inject(token.clone(), parts, cx)?;
        }
        if let Some(option) = &self.size_option {
            let size = match size {
                Some(size) => Some(size),
                None => self.size(cx)?,
            };
            if let Some(size) = size.filter(|size| *size != 0) {
                option.inject(size.into(), parts, cx)?;
            }
        }
        Ok(())
    }

    pub fn path(&self, token: Option<&Value>) -> Option<String> {
        let token = token.filter(|token| crate::python::is_truthy(token));
        token.filter(|_| matches!(self.token, TokenPlace::Path)).map(crate::python::text_of)
    }

    fn mentions(&self, name: &str) -> bool {
        match &self.strategy {
            Strategy::Cursor { value, stop, .. } => {
                value.text().contains(name) || stop.as_ref().is_some_and(|stop| stop.text().contains(name))
            }
            Strategy::Offset { size: Some(size), .. } => size.text().contains(name),
            _ => false,
        }
    }

    pub fn needs_response(&self) -> bool {
        self.mentions("response")
    }

    /// Whether a template could look at a member of the answer by this name.
    pub fn looks_at(&self, name: &str) -> bool {
        self.mentions(name)
    }

    pub fn needs_last_record(&self) -> bool {
        self.mentions("last_record")
    }

    pub fn needs_headers(&self) -> bool {
        self.mentions("headers")
    }

    /// The token of the next page; `None` when this was the last.
    pub fn next(&self, facts: &Facts, cx: &Context) -> Result<Option<Value>, Failure> {
        let is_short =
            |size: Option<i64>| facts.extracted == 0 || size.is_some_and(|size| size != 0 && facts.extracted < size);
        let last = |what: &str| match facts.token {
            None | Some(Value::Null) => Ok(None),
            Some(token) => {
                token.as_i64().map(Some).ok_or_else(|| Failure::system(format!("the last {what} is no whole number")))
            }
        };
        let token: Value = match &self.strategy {
            Strategy::Page { size, first, .. } => {
                if is_short(*size) {
                    return Ok(None);
                }
                (last("page")?.unwrap_or(*first) + 1).into()
            }
            Strategy::Offset { size, .. } => {
                let size = match (facts.size, size) {
                    (Some(size), _) => Some(size),
                    (None, None) => None,
                    (None, Some(template)) => {
                        let size = template.render(&cx.clone().with("response", facts.response))?;
                        size.as_f64().map(|size| size as i64)
                    }
                };
                if is_short(size) {
                    return Ok(None);
                }
                (last("offset")?.unwrap_or(0) + facts.extracted).into()
            }
            Strategy::Cursor { value, stop, size } => {
                let (kept, size) = (Value::from(facts.kept), Value::from(facts.size.or(*size)));
                let cx = cx.clone().with("response", facts.response).with("headers", Variable::Headers(facts.headers));
                let cx =
                    cx.with("last_record", facts.last_record).with("last_page_size", &kept).with("page_size", &size);
                // A name of Teal's own: a token may tell the next one what its page was like.
                let cx = cx.with("last_page_token_value", facts.token.unwrap_or(&Value::Null));
                if let Some(stop) = stop
                    && stop.render_bool(&cx)?
                {
                    return Ok(None);
                }
                value.render(&cx)?
            }
        };
        Ok(Some(token).filter(crate::python::is_truthy))
    }
}

impl Strategy {
    fn compile(node: &Node, cx: &mut Compiler) -> Option<Self> {
        let size = |cx: &mut Compiler| match node.get("page_size") {
            None => Some(None),
            Some(at) => {
                let size = cx.evaluate(&at, &node.parameters())?;
                let size = size.as_i64();
                if size.is_none() {
                    cx.report_config(&at, "'page_size' must be a whole number");
                }
                size.map(Some)
            }
        };
        let injects_first = node.flag("inject_on_first_request");
        Some(match node.kind() {
            "PageIncrement" => {
                let first = node.whole("start_from_page", cx).unwrap_or(0);
                Self::Page { size: size(cx)?, first, injects_first }
            }
            "OffsetIncrement" => {
                let size = node.template("page_size", cx).filter(|size| !matches!(size.text(), "" | "0"));
                Self::Offset { size, injects_first }
            }
            "CursorPagination" => Self::Cursor {
                value: node.require_template("cursor_value", cx)?,
                stop: node.template("stop_condition", cx),
                size: size(cx)?,
            },
            _ => {
                cx.unknown(node, "pagination strategy");
                return None;
            }
        })
    }
}
