//! An HTTP server in front of handlers that were written for API Gateway's HTTP APIs (payload format 2.0).
//!
//! Owns the socket and the two translations (`request`, `response`). Routes nothing: every request goes to
//! the one handler. Always holds: a handler sees what it would see on AWS; no body larger than
//! [`MAX_BODY`] reaches it; a handler that panics is a 500 for that request alone; after a stop the
//! requests at hand are answered.

mod request;
mod response;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use futures::FutureExt;
use http::StatusCode;
use teal::domain::Millis;
use teal::ports::{Clock, Entropy};
use tokio::net::TcpListener;

use super::panic_message;
use super::stop::Stop;

/// What API Gateway lets through.
pub const MAX_BODY: usize = 10 * 1024 * 1024;

/// Answers requests until `stop`, then finishes those at hand.
pub async fn serve<H, F>(
    listener: TcpListener,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    stop: Stop,
    handler: H,
) -> io::Result<()>
where
    H: Fn(ApiGatewayV2httpRequest) -> F + Send + Sync + 'static,
    F: Future<Output = ApiGatewayV2httpResponse> + Send + 'static,
{
    let gateway =
        Arc::new(Gateway { address: listener.local_addr()?, clock, entropy, second: Mutex::default(), handler });
    let router = Router::new().fallback(move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| {
        let gateway = Arc::clone(&gateway);
        async move { gateway.answer(peer, request).await }
    });
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move { stop.stopped().await })
        .await
}

struct Gateway<H> {
    address: SocketAddr,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// A second since the epoch, and how it is written.
    second: Mutex<(i64, String)>,
    handler: H,
}

impl<H, F> Gateway<H>
where
    H: Fn(ApiGatewayV2httpRequest) -> F,
    F: Future<Output = ApiGatewayV2httpResponse>,
{
    /// Written once a second.
    fn written(&self, at: Millis) -> String {
        let second = at.0.div_euclid(1000);
        let mut last = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != second || last.1.is_empty() {
            *last = (second, request::common_log_time(at));
        }
        last.1.clone()
    }

    async fn answer(&self, peer: SocketAddr, request: Request) -> Response {
        let (head, body) = request.into_parts();
        // A body that announces its size is refused before a byte of it is read.
        if announced_length(&head.headers).is_some_and(|length| length > MAX_BODY as u64) {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        }
        let body = match to_bytes(body, MAX_BODY).await {
            Ok(body) => body,
            Err(error) if is_too_large(&error) => {
                return plain(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
            }
            Err(_) => return plain(StatusCode::BAD_REQUEST, "Bad Request"),
        };
        let at = self.clock.now();
        let received = request::Received {
            peer: peer.ip().to_string(),
            address: self.address,
            at,
            time: self.written(at),
            id: format!("{:016x}", self.entropy.next()),
        };
        let Some(event) = request::event(head, &body, &received) else {
            return plain(StatusCode::BAD_REQUEST, "Bad Request");
        };
        match AssertUnwindSafe(async { (self.handler)(event).await }).catch_unwind().await {
            Ok(answer) => response::from_event(answer).unwrap_or_else(|error| {
                tracing::error!(request = received.id, %error, "the handler's response can't be sent");
                internal_error()
            }),
            Err(panic) => {
                let message = panic_message(&*panic);
                tracing::error!(request = received.id, message, "a handler panicked");
                internal_error()
            }
        }
    }
}

fn announced_length(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn internal_error() -> Response {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

/// What API Gateway says by itself.
fn plain(status: StatusCode, message: &str) -> Response {
    let mut response = Response::new(Body::from(format!(r#"{{"message":"{message}"}}"#)));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
