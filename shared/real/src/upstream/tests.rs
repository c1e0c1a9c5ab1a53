//! Requests to a real socket: answers of any status, limits of size and time, connections that break.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use teal::domain::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// Answers one connection after the other with these bytes, and returns what it was asked.
async fn server(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut buffer = [0; 1024];
                let read = connection.read(&mut buffer).await.unwrap();
                assert_ne!(read, 0, "the client left early");
                request.extend_from_slice(&buffer[..read]);
            }
            asked.push(String::from_utf8(request).unwrap());
            // The client may have had enough before the end.
            let _ = connection.write_all(&answer).await;
            let _ = connection.shutdown().await;
        }
        asked
    });
    (address, task)
}

fn get(url: String) -> Request {
    Request {
        method: http::Method::GET,
        url,
        headers: vec![("authorization".into(), HeaderValue::Secret(Secret::new("Bearer hunter2")))],
        body: Bytes::new(),
        timeout: Duration::from_secs(20),
        max_body: 1000,
    }
}

fn everything_said(fault: &Fault) -> String {
    let mut text = format!("{fault} {fault:?}");
    let mut source = fault.source();
    while let Some(error) = source {
        text.push_str(&format!(" {error} {error:?}"));
        source = error.source();
    }
    text
}

async fn fault_of(answer: &[u8]) -> Fault {
    let (address, _) = server(vec![answer.to_vec()]).await;
    let fault = HttpUpstream::new().unwrap().send(get(format!("http://{address}/p?key=hunter2"))).await.unwrap_err();
    assert!(fault.what.contains(&address.to_string()), "{fault}");
    let said = everything_said(&fault);
    assert!(!said.contains("hunter2"), "{said}");
    fault
}

#[tokio::test]
async fn any_status_is_an_answer_with_its_headers_in_lower_case() {
    let (address, asked) = server(vec![
        b"HTTP/1.1 503 Gone Fishing\r\nRetry-After: 7\r\nX-A: 1\r\nX-A: 2\r\ncontent-length: 4\r\n\r\nlate".to_vec(),
    ])
    .await;
    let response = HttpUpstream::new().unwrap().send(get(format!("http://{address}/p?q=1"))).await.unwrap();
    assert_eq!((response.status, response.header("retry-after"), &response.body[..]), (503, Some("7"), &b"late"[..]));
    assert_eq!(response.headers.iter().filter(|(name, _)| name == "x-a").count(), 2);
    let asked = asked.await.unwrap();
    assert!(asked[0].starts_with("GET /p?q=1 HTTP/1.1"), "{}", asked[0]);
    assert!(asked[0].contains("authorization: Bearer hunter2"), "{}", asked[0]);
}

#[tokio::test]
async fn a_body_that_was_cut_short_is_a_transient_fault() {
    for cut in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"items\":[",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ncontent-",
        "",
    ] {
        assert_eq!(fault_of(cut.as_bytes()).await.kind, FaultKind::Transient, "{cut}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_announced_or_not() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec();
    for mut answer in [head, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec()] {
        answer.extend(vec![b'x'; 1001]);
        let fault = fault_of(&answer).await;
        assert_eq!(fault.kind, FaultKind::Permanent);
        assert!(fault.what.contains("more than 1000 bytes"), "{fault}");
    }
    let mut just = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec();
    just.extend(vec![b'x'; 1000]);
    let (address, _) = server(vec![just]).await;
    assert!(HttpUpstream::new().unwrap().send(get(format!("http://{address}/"))).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_never_ends_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hold = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        assert_ne!(connection.read(&mut [0; 1024]).await.unwrap(), 0);
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow").await.unwrap();
        std::future::pending::<()>().await;
    });
    let request = Request { timeout: Duration::from_millis(100), ..get(format!("http://{address}/")) };
    let fault = HttpUpstream::new().unwrap().send(request).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.what.contains("in time"), "{fault}");
    hold.abort();
}

#[tokio::test]
async fn a_refused_connection_is_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fault = HttpUpstream::new().unwrap().send(get(format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.what.contains(&address.to_string()), "{fault}");
}

#[tokio::test]
async fn what_can_never_be_sent_is_permanent_and_says_why_without_the_secret() {
    let upstream = HttpUpstream::new().unwrap();
    for url in ["not a url", "ftp://example.com/", "http://", "/path"] {
        let fault = upstream.send(get(url.into())).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Permanent, "{url}");
    }
    let mut request = get("http://127.0.0.1:9/".into());
    request.headers = vec![("x-key".into(), HeaderValue::Secret(Secret::new("hunter2\n")))];
    let fault = upstream.send(request).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permanent);
    assert!(fault.what.contains("'x-key'") && !everything_said(&fault).contains("hunter2"), "{fault}");
}

#[tokio::test]
async fn a_redirect_is_the_answer_because_following_it_would_be_a_second_request() {
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: /next\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec();
    let (address, asked) = server(vec![redirect]).await;
    let response = HttpUpstream::new().unwrap().send(get(format!("http://{address}/first"))).await.unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(response.header("location"), Some("/next"));
    assert_eq!(asked.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_compressed_body_counts_by_what_it_unpacks_to() {
    // 2,000 zero bytes, gzipped.
    let packed: [u8; 35] = [
        0x1f, 0x8b, 0x8, 0x0, 0x0, 0x0, 0x0, 0x0, 0x2, 0x3, 0x63, 0x60, 0x18, 0x5, 0xa3, 0x60, 0x14, 0x8c, 0x82, 0x51,
        0x30, 0xa, 0x46, 0xc1, 0x50, 0x7, 0x0, 0x44, 0xf4, 0xc9, 0x2, 0xd0, 0x7, 0x0, 0x0,
    ];
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len()).into_bytes();
    answer.extend(packed);
    assert!(fault_of(&answer).await.what.contains("more than 1000 bytes"));
}

#[test]
fn what_is_on_this_machine_is_told_from_what_is_not() {
    for (url, expected) in [
        ("http://127.0.0.1:8377/x", true),
        ("http://127.8.9.1/", true),
        ("http://[::1]:80/", true),
        ("http://localhost:3000/", true),
        ("http://LOCALHOST/", true),
        ("https://example.com/", false),
        ("http://localhost.example.com/", false),
        ("http://10.0.0.1/", false),
        ("http://[2001:db8::1]/", false),
    ] {
        assert_eq!(is_loopback(&parse(url).unwrap()), expected, "{url}");
    }
}

#[tokio::test]
async fn who_may_only_go_to_public_places_gets_to_no_inner_one_by_address_or_by_name() {
    let (address, asked) = server(vec![b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()]).await;
    let upstream = HttpUpstream::public_only().unwrap();
    for url in [
        format!("http://{address}/"),
        format!("http://localhost:{}/", address.port()),
        format!("http://[::ffff:127.0.0.1]:{}/", address.port()),
    ] {
        upstream.send(get(url)).await.unwrap_err();
    }
    assert!(!asked.is_finished(), "nobody came");
    asked.abort();
}
