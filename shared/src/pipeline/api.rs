//! What stages answer over HTTP, whatever host carries it: answers, problems, and the seam to admin.
//!
//! Owns the error codes of everything that answers HTTP (S: serving, A: administering). Each has a page under docs/errors, named after it.
//! Owns no routing and no event shapes: those are the trigger's.
//!
//! Always holds: what is no success is a problem document (RFC 9457) with a stable code; it names what was
//! asked for and what to do, and nothing of what is inside.

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::caller::Caller;

/// Names and values in the order in which they were asked, decoded.
pub type Query = Vec<(String, String)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiResponse {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl ApiResponse {
    #[must_use]
    pub fn json(status: u16, body: &Json) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string().into_bytes().into(),
        }
    }

    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }
}

/// The serve stage, as the trigger sees it.
#[async_trait]
pub trait ReadApi: Send + Sync {
    /// `GET /v1/{entity}`. `known` is the request's `If-None-Match`.
    async fn list(&self, entity: &str, query: &Query, known: Option<&str>) -> ApiResponse;

    /// `GET /v1/{entity}/{key}`, with the key in its shown form.
    async fn row(&self, entity: &str, key: &str, known: Option<&str>) -> ApiResponse;

    /// `GET /status`.
    async fn status(&self) -> ApiResponse;

    /// `GET /health`: whether a reader would get an answer at all.
    async fn health(&self) -> ApiResponse;
}

/// The admin stage, as the trigger sees it. `path` is what follows `/admin`, decoded.
#[async_trait]
pub trait AdminApi: Send + Sync {
    async fn call(&self, caller: &Caller, method: &str, path: &str, query: &Query, body: Bytes) -> ApiResponse;
}

/// Stable: a code is never given another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    NoRoute,
    Method,
    Unauthenticated,
    Forbidden,
    NoEntity,
    NoRow,
    Parameter,
    Filter,
    Cursor,
    CursorGone,
    Unavailable,
    NotReady,
    Unverified,
    TooLarge,
    Body,
    Internal,
    TooMany,
    Busy,
    Impossible,
    Config,
    NoConfig,
    NoSource,
    NoSecret,
    NoRun,
    NoVersion,
    NoReject,
    NoDelivery,
    ObjectGone,
}

impl Code {
    pub const ALL: [Self; 28] = [
        Self::NoRoute,
        Self::Method,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NoEntity,
        Self::NoRow,
        Self::Parameter,
        Self::Filter,
        Self::Cursor,
        Self::CursorGone,
        Self::Unavailable,
        Self::NotReady,
        Self::Unverified,
        Self::TooLarge,
        Self::Body,
        Self::Internal,
        Self::TooMany,
        Self::Busy,
        Self::Impossible,
        Self::Config,
        Self::NoConfig,
        Self::NoSource,
        Self::NoSecret,
        Self::NoRun,
        Self::NoVersion,
        Self::NoReject,
        Self::NoDelivery,
        Self::ObjectGone,
    ];

    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::NoRoute => ("TEAL-S001", 404, "There is nothing at this address"),
            Self::Method => ("TEAL-S002", 405, "This address does not take this method"),
            Self::Unauthenticated => ("TEAL-S003", 401, "A token is needed"),
            Self::Forbidden => ("TEAL-S004", 403, "The token does not allow this"),
            Self::NoEntity => ("TEAL-S005", 404, "There is no such entity"),
            Self::NoRow => ("TEAL-S006", 404, "There is no such row"),
            Self::Parameter => ("TEAL-S007", 400, "A parameter is wrong"),
            Self::Filter => ("TEAL-S008", 400, "A filter is wrong"),
            Self::Cursor => ("TEAL-S009", 400, "The cursor is wrong"),
            Self::CursorGone => ("TEAL-S010", 410, "The version of this cursor is gone"),
            Self::Unavailable => ("TEAL-S011", 503, "Storage can't be reached"),
            Self::NotReady => ("TEAL-S012", 503, "There is no version to read yet"),
            Self::Unverified => ("TEAL-S013", 401, "The delivery was not accepted"),
            Self::TooLarge => ("TEAL-S014", 413, "The body is too large"),
            Self::Body => ("TEAL-S015", 400, "The body can't be read"),
            Self::Internal => ("TEAL-S016", 500, "Teal failed"),
            Self::TooMany => ("TEAL-S017", 429, "Too many requests came"),
            Self::Busy => ("TEAL-A001", 409, "Something else is at work"),
            Self::Impossible => ("TEAL-A002", 409, "This can't be done now"),
            Self::Config => ("TEAL-A003", 422, "The configuration is wrong"),
            Self::NoConfig => ("TEAL-A004", 409, "There is no configuration yet"),
            Self::NoSource => ("TEAL-A005", 404, "There is no such source"),
            Self::NoSecret => ("TEAL-A006", 409, "A secret is missing"),
            Self::NoRun => ("TEAL-A007", 404, "There is no such run"),
            Self::NoVersion => ("TEAL-A008", 404, "There is no such version"),
            Self::NoReject => ("TEAL-A009", 404, "There is no such reject"),
            Self::NoDelivery => ("TEAL-A010", 404, "There is no such delivery"),
            Self::ObjectGone => ("TEAL-E004", 500, "A stored object is gone"),
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    #[must_use]
    pub fn status(self) -> u16 {
        self.row().1
    }

    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().2
    }
}

/// Why there is no answer, for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", .code.as_str())]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    headers: Vec<(&'static str, String)>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), headers: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Passes by itself; asking again after so many seconds may work.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with("retry-after", seconds.to_string())
    }
}

impl From<Problem> for ApiResponse {
    fn from(problem: Problem) -> Self {
        let code = problem.code;
        let body = json!({
            "type": format!("/errors/{}", code.as_str()),
            "title": code.title(),
            "status": code.status(),
            "code": code.as_str(),
            "detail": problem.detail,
        });
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        headers.extend(problem.headers);
        Self { status: code.status(), headers, body: body.to_string().into_bytes().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_given_once_and_has_its_page() {
        let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code:?}");
            let page = std::fs::read_to_string(pages.join(format!("{}.md", code.as_str())))
                .unwrap_or_else(|error| panic!("docs/errors/{}.md: {error}", code.as_str()));
            assert!(page.contains(code.title()), "the page of {} has its title", code.as_str());
            assert!(page.contains(&code.status().to_string()), "the page of {} names its status", code.as_str());
        }
    }

    #[test]
    fn a_problem_is_a_problem_document() {
        let answer = ApiResponse::from(Problem::new(Code::NoRow, "no 7").retry_after(3));
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("retry-after"), Some("3"));
        let body: Json = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            body,
            json!({"type": "/errors/TEAL-S006", "title": "There is no such row", "status": 404,
                   "code": "TEAL-S006", "detail": "no 7"})
        );
    }
}
