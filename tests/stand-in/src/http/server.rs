//! The server around a source: counts, checks the key, keeps the limit, strikes faults, then answers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, State};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::connection::{CuttableListener, Switch};
use super::{Asked, Clock, Counters, Distortion, Fault, FaultRule, Faults, Reply, RetryHint, Source, Spot};

pub struct ServerOptions {
    /// What `Authorization: Bearer …` must say.
    pub key: String,
    /// Most requests in any second; the ones beyond get 429.
    pub per_second: Option<u32>,
    /// Added to every answer.
    pub latency: Duration,
    pub clock: Clock,
}

/// Stops when it is dropped.
pub struct Server<S> {
    shared: Arc<Shared<S>>,
    address: SocketAddr,
    accepting: AbortHandle,
}

struct Shared<S> {
    source: Arc<S>,
    options: ServerOptions,
    counters: Counters,
    faults: Faults,
    stopped: AtomicBool,
}

impl<S: Source> Server<S> {
    /// Must be called within a tokio runtime.
    pub fn start(listener: TcpListener, source: Arc<S>, options: ServerOptions) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            source,
            options,
            counters: Counters::default(),
            faults: Faults::default(),
            stopped: AtomicBool::new(false),
        });
        let app = Router::new().fallback(handle::<S>).with_state(shared.clone());
        let serve = axum::serve(CuttableListener(listener), app.into_make_service_with_connect_info::<Switch>());
        let accepting = tokio::spawn(async move { serve.await }).abort_handle();
        Ok(Self { shared, address, accepting })
    }
}

impl<S> Server<S> {
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Accepts no connection from now on, and cuts those that still ask.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.accepting.abort();
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn handle<S: Source>(
    State(shared): State<Arc<Shared<S>>>,
    ConnectInfo(switch): ConnectInfo<Switch>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if shared.stopped.load(Ordering::SeqCst) {
        switch.cut();
        return whole(&Reply::error(503, "stopped"));
    }
    let asked = Asked { path: uri.path().to_owned(), query };
    match asked.path.strip_prefix("/control/") {
        Some(name) => whole(&shared.control(&method, name, &body)),
        None => shared.listing(&method, &asked, &headers, &switch).await,
    }
}

impl<S: Source> Shared<S> {
    async fn listing(&self, method: &Method, asked: &Asked, headers: &HeaderMap, switch: &Switch) -> Response {
        let spot = self.source.spot(asked);
        let (_in_flight, within) = self.counters.enter(spot.as_ref(), (self.options.clock)());
        if !self.options.latency.is_zero() {
            tokio::time::sleep(self.options.latency).await;
        }
        if self.options.per_second.is_some_and(|limit| within > u64::from(limit)) {
            self.counters.note(|counts| counts.limited += 1);
            return self.too_many(RetryHint::Seconds(1));
        }
        if headers.get(http::header::AUTHORIZATION).map(|value| value.as_bytes())
            != Some(format!("Bearer {}", self.options.key).as_bytes())
        {
            self.counters.note(|counts| counts.unauthorized += 1);
            return whole(&Reply::error(401, "a valid API key is required: Authorization: Bearer KEY"));
        }
        let fault = self.faults.strike(spot.as_ref());
        if fault.as_ref().is_some_and(|fault| !matches!(fault, Fault::Slow(_))) {
            self.counters.note(|counts| counts.faulted += 1);
        }
        let Some(spot) = spot else {
            return whole(&Reply::error(404, format!("nothing lives at {}", asked.path)));
        };
        if method != Method::GET {
            return whole(&Reply::error(405, "listings are read with GET"));
        }
        match fault {
            None => self.serve(asked, &spot),
            Some(fault) => self.spoil(fault, asked, &spot, switch).await,
        }
    }

    fn serve(&self, asked: &Asked, spot: &Spot) -> Response {
        let reply = self.source.answer(asked, spot, None);
        if reply.status == 200 {
            self.counters.served(spot);
        }
        whole(&reply)
    }

    async fn spoil(&self, fault: Fault, asked: &Asked, spot: &Spot, switch: &Switch) -> Response {
        let answer = |distortion| self.source.answer(asked, spot, distortion);
        match fault {
            Fault::Status(status) => whole(&Reply::error(status, "something went wrong on our side")),
            Fault::TooMany(hint) => self.too_many(hint),
            Fault::Truncated => truncated(answer(None).body.to_string()),
            Fault::ErrorInside => {
                whole(&Reply { status: 200, ..Reply::error(200, "the listing is not available now") })
            }
            Fault::EmptyPage => whole(&answer(Some(Distortion::EmptyPage))),
            Fault::Endless => whole(&answer(Some(Distortion::Endless))),
            Fault::InvalidJson => {
                let text = answer(None).body.to_string();
                respond(StatusCode::OK, &[], Body::from(half(&text).to_owned()))
            }
            Fault::Slow(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                self.serve(asked, spot)
            }
            Fault::Drop => {
                switch.cut();
                whole(&Reply::error(503, "dropped"))
            }
        }
    }

    fn too_many(&self, hint: RetryHint) -> Response {
        let header = match hint {
            RetryHint::Missing => None,
            RetryHint::Seconds(seconds) => Some(seconds.to_string()),
            RetryHint::Date(seconds) => {
                let at = (self.options.clock)().saturating_add(seconds.saturating_mul(1000));
                let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0));
                Some(httpdate::fmt_http_date(at))
            }
        };
        let headers: Vec<_> = header.iter().map(|value| ("retry-after", value.as_str())).collect();
        let body = Reply::error(429, "too many requests; slow down").body;
        respond(StatusCode::TOO_MANY_REQUESTS, &headers, Body::from(body.to_string()))
    }

    fn control(&self, method: &Method, name: &str, body: &Bytes) -> Reply {
        let body: Value = match body.is_empty() {
            true => json!({}),
            false => match serde_json::from_slice(body) {
                Ok(body) => body,
                Err(error) => return Reply::error(400, format!("the body is not JSON: {error}")),
            },
        };
        match (method, name) {
            (&Method::GET, "counters") => Reply::ok(json!(self.counters.get())),
            (&Method::DELETE, "counters") => {
                self.counters.reset();
                Reply::ok(json!({}))
            }
            (&Method::GET, "faults") => Reply::ok(json!(self.faults.rules())),
            (&Method::DELETE, "faults") => {
                self.faults.clear();
                Reply::ok(json!([]))
            }
            (&Method::POST, "faults") => match serde_json::from_value::<FaultRule>(body) {
                Ok(rule) => {
                    self.faults.add(rule);
                    Reply::ok(json!(self.faults.rules()))
                }
                Err(error) => Reply::error(400, format!("that is no fault rule: {error}")),
            },
            (&Method::POST, _) => self
                .source
                .control(name, &body)
                .unwrap_or_else(|| Reply::error(404, format!("there is no command '{name}'"))),
            _ => Reply::error(405, "commands are sent with POST"),
        }
    }
}

fn whole(reply: &Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, &[], Body::from(reply.body.to_string()))
}

fn respond(status: StatusCode, headers: &[(&str, &str)], body: Body) -> Response {
    let mut builder = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body).expect("names and values of these headers are made here")
}

/// The first half goes out, then the connection: the pause between them lets it be written before.
fn truncated(text: String) -> Response {
    let length = text.len().to_string();
    let first = Bytes::copy_from_slice(half(&text).as_bytes());
    let parts = stream::unfold(Some(first), |part| async move {
        match part {
            Some(first) if !first.is_empty() => Some((Ok(first), Some(Bytes::new()))),
            Some(_) => {
                tokio::task::yield_now().await;
                Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), None))
            }
            None => None,
        }
    });
    respond(StatusCode::OK, &[("content-length", &length)], Body::from_stream(parts))
}

fn half(text: &str) -> &str {
    let mut end = text.len() / 2;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
