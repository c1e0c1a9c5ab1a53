//! Requests to addresses that somebody else wrote, by the HTTP client that the SDK has: whoever asks for nothing else
//! links no other.
//!
//! Always holds: one call is one request, and a redirect is the answer; no name and no address leads to a place that is
//! not public; no more than `max_body` bytes of a body are kept; a fault names the host and nothing else of the request.

use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::{Bytes, BytesMut};
use teal::ports::fault::FaultKind;
use teal::ports::upstream::{HeaderValue, Request, Response};
use teal::ports::{Fault, Upstream};
use teal_real::public;

use crate::clients::tls;
use crate::fault::permanent;
use crate::names::Names;

const CONNECT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct PublicUpstream {
    connector: Connector,
    names: Names,
}

impl Default for PublicUpstream {
    fn default() -> Self {
        Self::of(Names::Public)
    }
}

impl PublicUpstream {
    fn of(names: Names) -> Self {
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT).build();
        let connector = Connector::builder().connector_settings(settings).tls_provider(tls());
        Self { connector: connector.build_with_resolver(names), names }
    }

    async fn exchange(&self, host: &str, request: Request) -> Result<Response, Fault> {
        let max_body = request.max_body;
        let request = translated(host, request)?;
        let answer = self.connector.call(request).await.map_err(|error| judge(host, error))?;
        let status = answer.status().as_u16();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Response { status, headers, body: body(host, answer, max_body).await? })
    }
}

#[async_trait]
impl Upstream for PublicUpstream {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let uri: http::Uri =
            request.url.parse().map_err(|_| permanent("a sender's own address can't be read as one"))?;
        let host = uri.host().unwrap_or("an unknown host");
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(permanent(format!("the address at {host} is neither http nor https")));
        }
        if self.names == Names::Public && !public::may_be(host) {
            return Err(public::refused(host));
        }
        // Around everything, so that also a body that trickles in comes to an end.
        tokio::time::timeout(request.timeout, self.exchange(host, request))
            .await
            .unwrap_or_else(|_| Err(Fault::new(FaultKind::Transient, format!("{host} did not answer in time"))))
    }
}

fn translated(host: &str, request: Request) -> Result<HttpRequest, Fault> {
    let wrong = || permanent(format!("no request can be made of what is meant for {host}"));
    let mut out = HttpRequest::new(SdkBody::from(request.body));
    out.set_method(request.method.as_str()).map_err(|_| wrong())?;
    out.set_uri(request.url).map_err(|_| wrong())?;
    for (name, value) in request.headers {
        let value = match value {
            HeaderValue::Plain(text) => text,
            HeaderValue::Secret(secret) => secret.expose().to_owned(),
        };
        out.headers_mut().try_append(name, value).map_err(|_| wrong())?;
    }
    Ok(out)
}

async fn body(host: &str, answer: HttpResponse, max_body: usize) -> Result<Bytes, Fault> {
    let (mut body, mut stream) = (BytesMut::new(), ByteStream::new(answer.into_body()));
    while let Some(chunk) = stream.next().await {
        let chunk = chunk
            .map_err(|error| Fault::new(FaultKind::Transient, format!("{host} cut its answer short")).because(error))?;
        if body.len() + chunk.len() > max_body {
            return Err(permanent(format!("{host} sent more than {max_body} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Whatever went wrong on the way is gone next time, perhaps.
fn judge(host: &str, error: ConnectorError) -> Fault {
    let what = if error.is_user() {
        return permanent(format!("no request can be made of what is meant for {host}")).because(error);
    } else if error.is_timeout() {
        format!("{host} did not answer in time")
    } else {
        format!("{host} can't be reached, or broke off")
    };
    Fault::new(FaultKind::Transient, what).because(error)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn get(url: &str) -> Request {
        let timeout = Duration::from_secs(30);
        let headers = vec![("x-a".to_owned(), HeaderValue::Plain("b".to_owned()))];
        Request { method: http::Method::GET, url: url.to_owned(), headers, body: Bytes::new(), timeout, max_body: 10 }
    }

    /// Answers one request with this, and gives back what it was.
    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/a?secret=b", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap()
        });
        (url, asked)
    }

    #[tokio::test]
    async fn inner_places_are_not_asked_however_they_are_called() {
        for url in [
            "http://127.0.0.1:1/a",
            "http://[::1]:1/a",
            "http://localhost:1/a",
            "http://127.1:1/a",
            "http://169.254.169.254/latest",
            "ftp://a.example.com/",
            "nonsense",
        ] {
            let fault = PublicUpstream::default().send(get(url)).await.unwrap_err();
            assert!(!fault.what.contains("/a"), "{url}: {fault}");
        }
    }

    #[tokio::test]
    async fn an_answer_comes_as_it_is_and_a_redirect_is_one() {
        let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\nok";
        let (url, asked) = server(answer).await;
        let answer = PublicUpstream::of(Names::All).send(get(&url)).await.unwrap();
        assert_eq!((answer.status, answer.header("location")), (302, Some("http://127.0.0.1:1/")));
        assert_eq!(answer.body, "ok");
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /a?secret=b HTTP/1.1\r\n") && asked.contains("x-a: b\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn no_more_of_a_body_is_kept_than_was_asked_for_and_no_fault_tells_the_query() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n12345678901",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n12345",
            "",
        ] {
            let (url, _asked) = server(answer).await;
            let fault = PublicUpstream::of(Names::All).send(get(&url)).await.unwrap_err();
            assert!(!format!("{fault:?}").contains("secret"), "{fault:?}");
            assert_eq!(fault.is_retryable(), !answer.contains("11"), "{fault}");
        }
    }
}
