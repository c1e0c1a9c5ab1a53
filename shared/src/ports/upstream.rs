//! One HTTP request to somebody else's system. No retry inside: each attempt needs its own permit (P9).

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::fault::Fault;
use crate::domain::Secret;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: http::Method,
    pub url: String,
    pub headers: Vec<(String, HeaderValue)>,
    pub body: Bytes,
    /// The whole exchange, body included, must fit in it.
    pub timeout: Duration,
    /// An answer that is larger is an error: memory is per page.
    pub max_body: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    Plain(String),
    Secret(Secret),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Response {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[async_trait]
pub trait Upstream: Send + Sync {
    /// Any status is an answer. A body that was cut short, a refused connection, a timeout are faults.
    async fn send(&self, request: Request) -> Result<Response, Fault>;
}
