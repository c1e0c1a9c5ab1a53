//! Sends one HTTP request to somebody else's system.
//!
//! Owns the HTTP clients of the process. Always holds:
//!
//! - One call is one request, because one permit is: nothing is retried, and a redirect is the answer, so no
//!   header ever reaches another origin.
//! - No more than `max_body` bytes of a body are kept, however small it was when compressed.
//! - A proxy that the environment names is never asked for what is on this machine.
//! - A fault names the host and nothing else of the request: paths, queries and headers may hold secrets.

mod names;

use std::net::IpAddr;
use std::sync::Once;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Url};
use teal::ports::fault::FaultKind;
use teal::ports::upstream::{HeaderValue, Request, Response};
use teal::ports::{Fault, Upstream};

use crate::public;

#[derive(Clone, Debug)]
pub struct HttpUpstream {
    client: Client,
    /// For loopback; `None` for whoever must not get there.
    direct: Option<Client>,
}

impl HttpUpstream {
    /// Makes the clients: once a process, since they keep the connections.
    pub fn new() -> Result<Self, Fault> {
        install_tls();
        Ok(Self { client: build(settings())?, direct: Some(build(settings().no_proxy())?) })
    }

    /// For addresses that somebody else wrote: no name and no address leads to a place that is not public, and no
    /// proxy resolves it elsewhere.
    pub fn public_only() -> Result<Self, Fault> {
        install_tls();
        Ok(Self { client: build(settings().no_proxy().dns_resolver(names::Names))?, direct: None })
    }
}

fn settings() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("teal/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
}

fn build(settings: ClientBuilder) -> Result<Client, Fault> {
    settings.build().map_err(|error| {
        Fault::new(FaultKind::Permanent, "can't set up HTTPS; is the system's list of certificates there?")
            .because(error)
    })
}

/// Whether the URL leads to this machine, by its address or by the name that always does.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// TLS comes from rustls with ring; whoever installed a provider before us keeps theirs.
pub fn install_tls() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

#[async_trait]
impl Upstream for HttpUpstream {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let url = parse(&request.url)?;
        let host = host(&url);
        // Around everything, so that also a body that trickles in comes to an end.
        tokio::time::timeout(request.timeout, self.exchange(url, &host, request))
            .await
            .unwrap_or_else(|_| Err(Fault::new(FaultKind::Transient, format!("{host} did not answer in time"))))
    }
}

impl HttpUpstream {
    async fn exchange(&self, url: Url, host: &str, request: Request) -> Result<Response, Fault> {
        let Request { method, headers, body, max_body, .. } = request;
        let client = match &self.direct {
            Some(direct) if is_loopback(&url) => direct,
            None if !public::may_be(url.host_str().unwrap_or_default()) => return Err(public::refused(host)),
            _ => &self.client,
        };
        let mut builder = client.request(method, url).body(body);
        for (name, value) in headers {
            builder = builder.header(header_name(&name, host)?, header_value(&name, value, host)?);
        }
        let mut answer = builder.send().await.map_err(|error| judge(host, error))?;
        let status = answer.status().as_u16();
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        if answer.content_length().is_some_and(|length| length > max_body as u64) {
            return Err(too_large(host, max_body));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| judge(host, error))? {
            if body.len() + chunk.len() > max_body {
                return Err(too_large(host, max_body));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: Bytes::from(body) })
    }
}

fn parse(text: &str) -> Result<Url, Fault> {
    let wrong = |why: &str| {
        Fault::new(FaultKind::Permanent, format!("the source's URL is invalid: {why}; check its configuration"))
    };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(wrong(&format!("'{other}' is neither http nor https"))),
    }
}

/// Host and port, without the user and password that a URL may carry.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("an unknown host");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn header_name(name: &str, host: &str) -> Result<http::HeaderName, Fault> {
    name.parse().map_err(|_| {
        let name = name.escape_debug();
        Fault::new(FaultKind::Permanent, format!("'{name}', for {host}, can't be the name of a header"))
    })
}

fn header_value(name: &str, value: HeaderValue, host: &str) -> Result<http::HeaderValue, Fault> {
    let (text, secret) = match &value {
        HeaderValue::Plain(text) => (text.as_str(), false),
        HeaderValue::Secret(secret) => (secret.expose(), true),
    };
    let mut value = http::HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        let what = format!("the value of the header '{name}', for {host}, has a character that no header can carry");
        Fault::new(FaultKind::Permanent, format!("{what}; is there a newline in it?"))
    })?;
    value.set_sensitive(secret);
    Ok(value)
}

fn too_large(host: &str, max_body: usize) -> Fault {
    Fault::new(
        FaultKind::Permanent,
        format!("{host} sent more than {max_body} bytes; ask it for smaller pages, or raise the limit"),
    )
}

/// Whatever went wrong on the way is gone next time, perhaps. The cause keeps no URL.
fn judge(host: &str, error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let (kind, what) = if error.is_builder() {
        (FaultKind::Permanent, format!("no request can be made of what was configured for {host}"))
    } else if error.is_connect() {
        (FaultKind::Transient, format!("can't connect to {host}"))
    } else if error.is_body() || error.is_decode() {
        (FaultKind::Transient, format!("{host} cut its answer short"))
    } else {
        (FaultKind::Transient, format!("the exchange with {host} broke off"))
    };
    Fault::new(kind, what).because(error)
}

#[cfg(test)]
mod tests;
