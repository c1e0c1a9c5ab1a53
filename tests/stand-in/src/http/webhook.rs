//! Webhooks as a source sends them: one POST over plain HTTP/1.1.

use std::io;

use bytes::Bytes;
use http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One delivery. Send it twice to repeat it: it keeps its id and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub id: String,
    pub body: Bytes,
}

/// Posts JSON and gives the answer's status. `url` must begin with `http://`.
pub async fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<u16> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("'{url}' {what}"));
    let uri: Uri = url.parse().map_err(|_| bad("is not a URL"))?;
    if uri.scheme_str() != Some("http") {
        return Err(bad("must begin with http://; a stand-in speaks no TLS"));
    }
    let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        if name.contains(['\r', '\n', ':']) || value.contains(['\r', '\n']) {
            return Err(bad("can't be sent to: a header holds a line break"));
        }
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let host = authority.host().trim_matches(['[', ']']);
    let mut stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    status(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("'{url}' answered without a status")))
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}
