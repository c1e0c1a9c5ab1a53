//! Sends the requests that readers ask for.
//!
//! Always holds: one call is one request and the redirects that its answer names; a header that is a secret does
//! not follow to another host; a fault names the host and nothing else of the request.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use rustls::ClientConfig;
use teal::ports::Fault;
use teal::ports::fault::FaultKind;
use teal::ports::upstream::{HeaderValue, Response};
use teal_connect::http::Ask;

use crate::roots;

/// So much room is made for a body before it comes.
const TRUSTED: usize = 8 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Client {
    tls: ClientConfig,
    usual: reqwest::Client,
    /// Leaves bodies as they come over the wire. Few manifests ask for that.
    raw: Arc<OnceLock<reqwest::Client>>,
}

impl Client {
    pub fn new() -> Result<Self, Fault> {
        let wrong = |error| Fault::new(FaultKind::Permanent, "can't set up HTTPS").because(error);
        let tls = roots::tls().map_err(wrong)?;
        Ok(Self { usual: built(&tls, |settings| settings)?, tls, raw: Arc::default() })
    }

    fn raw(&self) -> Result<&reqwest::Client, Fault> {
        if let Some(raw) = self.raw.get() {
            return Ok(raw);
        }
        let raw = built(&self.tls, |settings| settings.no_gzip().no_brotli().no_zstd().no_deflate())?;
        Ok(self.raw.get_or_init(|| raw))
    }

    pub async fn send(&self, ask: &Ask) -> Result<Response, Fault> {
        let timeout = ask.request.timeout;
        tokio::time::timeout(timeout, self.exchange(ask))
            .await
            .unwrap_or_else(|_| Err(Fault::new(FaultKind::Transient, format!("{} did not answer in time", host(ask)))))
    }

    async fn exchange(&self, ask: &Ask) -> Result<Response, Fault> {
        let request = &ask.request;
        let client = if ask.raw { self.raw()? } else { &self.usual };
        let mut builder = client.request(request.method.clone(), &request.url);
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        for (name, value) in &request.headers {
            let (text, is_secret) = match value {
                HeaderValue::Plain(text) => (text.as_str(), false),
                HeaderValue::Secret(secret) => (secret.expose(), true),
            };
            let mut value = http::HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
                Fault::new(FaultKind::Permanent, format!("the header '{name}' has a character that none can carry"))
            })?;
            value.set_sensitive(is_secret);
            let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                Fault::new(FaultKind::Permanent, format!("'{}' can't be the name of a header", name.escape_debug()))
            })?;
            builder = builder.header(name, value);
        }
        let broken = |error: reqwest::Error| {
            let what = if error.is_connect() { "can't connect to" } else { "the exchange broke off with" };
            Fault::new(FaultKind::Transient, format!("{what} {}", host(ask))).because(error.without_url())
        };
        let mut answer = builder.send().await.map_err(broken)?;
        let status = answer.status().as_u16();
        let headers = headers(std::mem::take(answer.headers_mut()));
        let most = request.max_body;
        let too_large = || {
            Fault::new(
                FaultKind::Permanent,
                format!("{} sent more than {most} bytes; ask it for smaller pages", host(ask)),
            )
        };
        let expected = usize::try_from(answer.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if expected > most {
            return Err(too_large());
        }
        let Some(first) = answer.chunk().await.map_err(broken)? else {
            return Ok(Response { status, headers, body: Bytes::new() });
        };
        if first.len() == expected {
            return Ok(Response { status, headers, body: first });
        }
        // What a header promises is not believed beyond some megabytes.
        let mut body = BytesMut::with_capacity(expected.min(TRUSTED).max(first.len()));
        body.extend_from_slice(&first);
        drop(first);
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > most {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: body.freeze() })
    }
}

/// Copied, and the answer's own given up, as its first chunk is once it was copied: both lie in the buffer that the
/// connection reads into, which it can use again when nobody has a part of it.
fn headers(own: http::HeaderMap) -> Vec<(String, String)> {
    own.iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

fn built(
    tls: &ClientConfig,
    more: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, Fault> {
    let settings = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .user_agent(concat!("teal/", env!("CARGO_PKG_VERSION")))
        .retry(reqwest::retry::never())
        .tcp_nodelay(true);
    more(settings).build().map_err(|error| Fault::new(FaultKind::Permanent, "can't set up HTTPS").because(error))
}

fn host(ask: &Ask) -> String {
    let url = teal_connect::http::shown(&ask.request.url);
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_owned()
}
