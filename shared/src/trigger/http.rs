//! Routes HTTP requests, in the shape in which API Gateway hands them over, to the stages that answer.
//!
//! ```text
//! *    /hooks/{path}          webhook
//! GET  /health                serve
//! GET  /v1/{entity}           serve, for readers
//! GET  /v1/{entity}/{key}     serve, for readers
//! GET  /status                serve, for readers
//! GET  /metrics               metrics for Prometheus, for readers
//! *    /admin/…               admin, for admins
//! ```
//!
//! Owns decoding (base64 bodies, queries, stage prefixes), routing and who may ask. Owns no answer of its
//! own but problems. Paths arrive decoded, as HTTP APIs hand them over, and are not decoded again.
//!
//! Always holds: without a token only `/hooks` and `/health` answer, and entities and status where the
//! host was opened for a demo; whatever comes in, an answer goes out, a panic's included.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::FutureExt;
use http::header::{AUTHORIZATION, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::callers::{Caller, Callers, Role};
use crate::config::System;
use crate::metrics::{self, Meter, Prometheus};
use crate::pipeline::Systems;
pub use crate::pipeline::api::{AdminApi, ReadApi};
use crate::pipeline::api::{ApiResponse, Code, Problem, Query};
use crate::pipeline::webhook::{HookRequest, Webhook};

/// What answers under `/hooks`.
#[async_trait]
pub trait Hooks: Send + Sync {
    async fn receive(&self, request: HookRequest) -> ApiResponse;
}

/// Hooks of a system that stays the same for as long as the process lives.
pub struct FixedHooks {
    pub webhook: Webhook,
    pub system: Arc<System>,
}

#[async_trait]
impl Hooks for FixedHooks {
    async fn receive(&self, request: HookRequest) -> ApiResponse {
        self.webhook.receive(&self.system, request).await
    }
}

/// Hooks of whatever configuration is in force when a delivery comes.
pub struct CurrentHooks {
    pub webhook: Webhook,
    pub systems: Arc<Systems>,
}

#[async_trait]
impl Hooks for CurrentHooks {
    async fn receive(&self, request: HookRequest) -> ApiResponse {
        match self.systems.current().await {
            Ok(loaded) => self.webhook.receive(&loaded.system, request).await,
            Err(error) => {
                tracing::error!(%error, "a delivery came and no configuration could be loaded");
                let detail = "the delivery could not be stored; send it again later";
                Problem::new(Code::Unavailable, detail).retry_after(30).into()
            }
        }
    }
}

/// The stages of one host. A Lambda function has one of them, a laptop all.
pub struct Http {
    pub hooks: Option<Arc<dyn Hooks>>,
    pub serve: Option<Arc<dyn ReadApi>>,
    pub admin: Option<Arc<dyn AdminApi>>,
    pub callers: Arc<dyn Callers>,
    /// For a demo: everybody may read. Nobody may administer without a token all the same.
    pub open: bool,
    pub meter: Arc<dyn Meter>,
    /// What `/metrics` shows. A Lambda function has none: its metrics go into its log.
    pub metrics: Option<Arc<dyn Shown>>,
}

/// Metrics as text.
#[async_trait]
pub trait Shown: Send + Sync {
    async fn text(&self) -> String;
}

/// A request with everything decoded.
pub struct Request {
    pub method: String,
    /// Without the stage's name.
    pub path: String,
    pub query: Query,
    /// As it came: what webhooks are signed over.
    pub raw_query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Http {
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        respond(self.respond_to(Request::read(event)).await)
    }

    /// The answer to a request, or to one that could not be read.
    pub async fn respond_to(&self, request: Result<Request, Problem>) -> ApiResponse {
        let mut route = "other";
        let answer = match request {
            Ok(request) => {
                route = request.route();
                AssertUnwindSafe(self.answer(request)).catch_unwind().await.unwrap_or_else(|_| {
                    tracing::error!("answering a request panicked");
                    Err(Problem::new(Code::Internal, "the log says more"))
                })
            }
            Err(problem) => Err(problem),
        };
        let answer = answer.unwrap_or_else(ApiResponse::from);
        self.meter.count(&metrics::ANSWERS, &[route, metrics::status_class(answer.status)], 1);
        answer
    }

    async fn answer(&self, request: Request) -> Result<ApiResponse, Problem> {
        let path = request.path.clone();
        let parts: Vec<&str> = path.trim_start_matches('/').splitn(3, '/').collect();
        match parts[..] {
            ["hooks", ..] => self.hook(request, &path).await,
            ["health"] => {
                let serve = self.serve.as_ref().ok_or_else(no_route)?;
                request.must_be("GET")?;
                Ok(serve.health().await)
            }
            ["admin", ..] => self.admin(request, &path).await,
            _ => {
                self.identify(&request, Role::Reader).await?;
                if let ["metrics"] = parts[..] {
                    request.must_be("GET")?;
                    let text = self.metrics.as_ref().ok_or_else(no_route)?.text().await;
                    let answer = ApiResponse { body: text.into_bytes().into(), ..ApiResponse::empty(200) };
                    return Ok(answer.with("content-type", Prometheus::CONTENT_TYPE));
                }
                let serve = self.serve.as_ref().ok_or_else(no_route)?;
                let known = request.headers.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
                match parts[..] {
                    ["status"] => {
                        request.must_be("GET")?;
                        Ok(serve.status().await)
                    }
                    ["v1", entity] if !entity.is_empty() => {
                        request.must_be("GET")?;
                        Ok(serve.list(entity, &request.query, known).await)
                    }
                    ["v1", entity, key] if !entity.is_empty() && !key.is_empty() => {
                        request.must_be("GET")?;
                        Ok(serve.row(entity, key, known).await)
                    }
                    _ => Err(no_route()),
                }
            }
        }
    }

    async fn hook(&self, request: Request, path: &str) -> Result<ApiResponse, Problem> {
        let hooks = self.hooks.as_ref().ok_or_else(no_route)?;
        let path = path.strip_prefix("/hooks/").ok_or_else(no_route)?.to_owned();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = request.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let Request { method, raw_query: query, body, .. } = request;
        Ok(hooks.receive(HookRequest { method, path, query, headers, body }).await)
    }

    async fn admin(&self, request: Request, path: &str) -> Result<ApiResponse, Problem> {
        let caller = self.identify(&request, Role::Admin).await?;
        let admin = self.admin.as_ref().ok_or_else(no_route)?;
        let path = path.strip_prefix("/admin").unwrap_or_default();
        Ok(admin.call(&caller, &request.method, path, &request.query, request.body).await)
    }

    async fn identify(&self, request: &Request, role: Role) -> Result<Caller, Problem> {
        let token = request.token();
        match self.callers.identify(token).await {
            Some(caller) if caller.is(role) => Ok(caller),
            Some(caller) => {
                let detail = format!("'{}' may not do this; use a token that has the role for it", caller.subject);
                Err(Problem::new(Code::Forbidden, detail))
            }
            None if self.open && role == Role::Reader => Ok(Caller::new("anybody", [Role::Reader])),
            None => {
                Err(Problem::new(Code::Unauthenticated, "send a token that is known here: `Authorization: Bearer …`")
                    .with("www-authenticate", "Bearer"))
            }
        }
    }
}

impl Request {
    fn read(event: ApiGatewayV2httpRequest) -> Result<Self, Problem> {
        let body = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD
                .decode(body)
                .map_err(|_| Problem::new(Code::Body, "the body is marked as base64 and is not; send it again"))?
        } else {
            body.into_bytes()
        };
        let query = event.raw_query_string.unwrap_or_default();
        let path = event.raw_path.unwrap_or_default();
        Ok(Self {
            method: event.request_context.http.method.as_str().to_owned(),
            path: without_stage(&path, event.request_context.stage.as_deref()).to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            raw_query: query,
            headers: event.headers,
            body: body.into(),
        })
    }

    /// What is asked for, in one of a few words.
    fn route(&self) -> &'static str {
        match self.path.trim_start_matches('/').split('/').next() {
            Some("hooks") => "hooks",
            Some("health") => "health",
            Some("status") => "status",
            Some("metrics") => "metrics",
            Some("admin") => "admin",
            Some("v1") => "entities",
            _ => "other",
        }
    }

    fn must_be(&self, method: &'static str) -> Result<(), Problem> {
        if self.method == method {
            return Ok(());
        }
        let detail = format!("this address takes {method}, not {}", self.method);
        Err(Problem::new(Code::Method, detail).with("allow", method))
    }

    /// Two tokens are none: nobody could say whose request it is.
    fn token(&self) -> Option<&str> {
        let mut given = self.headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return None };
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

/// A named stage's paths begin with its name; the default one's do not.
#[must_use]
pub fn without_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    stage
        .filter(|stage| !stage.is_empty() && *stage != "$default")
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(path)
}

fn no_route() -> Problem {
    Problem::new(Code::NoRoute, "there is nothing at this address; entities are under /v1/{entity}")
}

/// An answer's headers; what can't be one is left out.
#[must_use]
pub fn header_map(headers: Vec<(&'static str, String)>) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        match HeaderValue::try_from(value) {
            Ok(value) => drop(out.append(HeaderName::from_static(name), value)),
            Err(_) => tracing::error!(name, "a header's value can't be sent and is left out"),
        }
    }
    out
}

fn respond(answer: ApiResponse) -> ApiGatewayV2httpResponse {
    let mut out = ApiGatewayV2httpResponse::default();
    out.status_code = answer.status.into();
    out.headers = header_map(answer.headers);
    if !answer.body.is_empty() {
        out.body = Some(match String::from_utf8(answer.body.into()) {
            Ok(text) => Body::Text(text),
            Err(binary) => {
                out.is_base64_encoded = true;
                Body::Binary(binary.into_bytes())
            }
        });
    }
    out
}

#[cfg(test)]
mod tests;
