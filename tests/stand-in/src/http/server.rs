//! The socket in front of a desk: carries requests in and answers out, and breaks connections where the desk
//! says so.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::connection::{CuttableListener, Switch};
use super::desk::{self, Answered, Arrives, Desk};
use super::{Asked, Reply, Source};

/// Stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    accepting: AbortHandle,
}

struct Shared<S> {
    desk: Arc<Desk<S>>,
    /// Added to every answer.
    latency: Duration,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Must be called within a tokio runtime.
    pub fn start<S: Source>(listener: TcpListener, desk: Arc<Desk<S>>, latency: Duration) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared { desk, latency, stopped: stopped.clone() });
        let app = Router::new().fallback(handle::<S>).with_state(shared);
        let serve = axum::serve(CuttableListener(listener), app.into_make_service_with_connect_info::<Switch>());
        let accepting = tokio::spawn(async move { serve.await }).abort_handle();
        Ok(Self { address, stopped, accepting })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Accepts no connection from now on, and cuts those that still ask.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.accepting.abort();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn handle<S: Source>(
    State(shared): State<Arc<Shared<S>>>,
    ConnectInfo(switch): ConnectInfo<Switch>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if shared.stopped.load(Ordering::SeqCst) {
        switch.cut();
        return respond(desk::whole(&Reply::error(503, "stopped")));
    }
    let authorization = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let asked = Asked {
        method,
        authorization: authorization.map(str::to_owned),
        body,
        ..Asked::read(uri.path_and_query().map_or("/", |both| both.as_str()))
    };
    if let Some(name) = asked.path.strip_prefix("/control/") {
        return respond(desk::whole(&shared.desk.control(&asked.method, name, &asked.body)));
    }
    let visit = shared.desk.enter(&asked);
    if !shared.latency.is_zero() {
        tokio::time::sleep(shared.latency).await;
    }
    let answered = shared.desk.answer(&visit, &asked);
    if !answered.wait.is_zero() {
        tokio::time::sleep(answered.wait).await;
    }
    if answered.arrives == Arrives::Nothing {
        switch.cut();
    }
    respond(answered)
}

fn respond(answered: Answered) -> Response {
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = Response::builder().status(status);
    for (name, value) in answered.headers {
        builder = builder.header(name, value);
    }
    let body = if answered.arrives == Arrives::Half {
        builder = builder.header("content-length", answered.body.len());
        truncated(&answered.body)
    } else {
        Body::from(answered.body)
    };
    builder.body(body).expect("names and values of these headers are made here")
}

/// The first half goes out, then the connection: the pause between them lets it be written before.
fn truncated(body: &Bytes) -> Body {
    let first = body.slice(..body.len() / 2);
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
    Body::from_stream(parts)
}
