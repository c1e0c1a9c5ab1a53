//! Requests over a socket become the events that API Gateway would send, and answers come back whole.

use std::sync::Mutex;

use aws_lambda_events::encodings::Body as EventBody;
use teal::ports::Upstream as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::super::stop::{Stopper, stop};
use super::*;
use crate::entropy::SystemEntropy;
use crate::test_clock::TestClock;
use crate::upstream::HttpUpstream;

struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<ApiGatewayV2httpRequest>>>,
    stopper: Stopper,
    task: JoinHandle<io::Result<()>>,
}

async fn start(
    answer: impl Fn(&ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse + Send + Sync + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (stopper, stop) = stop();
    let handler = {
        let seen = Arc::clone(&seen);
        move |event: ApiGatewayV2httpRequest| {
            let response = answer(&event);
            seen.lock().unwrap().push(event);
            async { response }
        }
    };
    let clock = TestClock::at(1_584_039_838_000);
    let task = tokio::spawn(serve(listener, clock, Arc::new(SystemEntropy::default()), stop, handler));
    Server { address, seen, stopper, task }
}

fn ok(body: EventBody, is_base64_encoded: bool) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = 200;
    response.body = Some(body);
    response.is_base64_encoded = is_base64_encoded;
    response
}

/// Sends these bytes and reads until the server closes.
async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn post(server: &Server, kind: &str, body: &[u8]) -> teal::ports::upstream::Response {
    HttpUpstream::new()
        .unwrap()
        .send(teal::ports::upstream::Request {
            method: http::Method::POST,
            url: format!("http://{}/hook", server.address),
            headers: vec![("content-type".into(), teal::ports::upstream::HeaderValue::Plain(kind.into()))],
            body: body.to_vec().into(),
            timeout: std::time::Duration::from_secs(30),
            max_body: MAX_BODY,
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_request_becomes_the_event_that_api_gateway_would_send() {
    let server = start(|_| ok("done".into(), false)).await;
    let answer = exchange(
        server.address,
        b"PUT /a%20b/%C3%A9?x=1&x=2%202&y&z=a+b HTTP/1.1\r\nHost: teal.example.com:80\r\nX-Tag: one\r\nx-tag: two\r\n\
          Cookie: a=1; b=2\r\nCookie: c=3\r\nUser-Agent: test\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.1\r\n\
          Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"n\": 42}",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"), "{answer}");
    let event = serde_json::to_value(&server.seen.lock().unwrap()[0]).unwrap();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "$default");
    assert_eq!(event["rawPath"], "/a b/é");
    assert_eq!(event["rawQueryString"], "x=1&x=2%202&y&z=a+b");
    assert_eq!(event["queryStringParameters"], serde_json::json!({"x": "1,2 2", "y": "", "z": "a b"}));
    assert_eq!(event["cookies"], serde_json::json!(["a=1", "b=2", "c=3"]));
    assert_eq!(event["headers"]["x-tag"], "one,two");
    assert_eq!(event["headers"]["x-forwarded-for"], "192.0.2.1, 127.0.0.1");
    assert_eq!(event["headers"]["x-forwarded-proto"], "http");
    assert!(event["headers"].get("cookie").is_none());
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&"{\"n\": 42}".into(), &false.into()));
    let context = &event["requestContext"];
    assert_eq!(context["domainName"], "teal.example.com");
    assert_eq!(context["time"], "12/Mar/2020:19:03:58 +0000");
    assert_eq!(context["timeEpoch"], 1_584_039_838_000_i64);
    assert_eq!(context["http"]["method"], "PUT");
    assert_eq!(context["http"]["path"], "/a b/é");
    assert_eq!(context["http"]["protocol"], "HTTP/1.1");
    assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(context["http"]["userAgent"], "test");
    assert_eq!(context["requestId"].as_str().unwrap().len(), 16);
}

#[tokio::test]
async fn binary_bodies_come_and_go_unharmed() {
    let bytes: Vec<u8> = (0..=255).collect();
    let server = start(|event| {
        assert!(event.is_base64_encoded);
        ok(EventBody::Text(event.body.clone().unwrap()), true)
    })
    .await;
    // Neither a binary type nor text that isn't UTF-8 is text.
    for kind in ["application/octet-stream", "text/plain"] {
        assert_eq!(post(&server, kind, &bytes).await.body, bytes, "{kind}");
    }
    let server = start(|_| ok(EventBody::Binary(vec![0, 255]), true)).await;
    assert_eq!(post(&server, "text/plain", b"x").await.body[..], [0, 255]);
    let server = start(|_| ok(EventBody::Binary(vec![0, 255]), false)).await;
    assert_eq!(&post(&server, "text/plain", b"x").await.body[..], b"AP8=");
}

#[tokio::test]
async fn an_empty_body_is_no_body() {
    let server = start(|_| ok("".into(), false)).await;
    assert!(post(&server, "application/json", b"").await.body.is_empty());
    let seen = server.seen.lock().unwrap();
    assert_eq!((&seen[0].body, seen[0].is_base64_encoded), (&None, false));
}

#[tokio::test]
async fn repeated_headers_and_cookies_of_a_response_are_all_sent() {
    let server = start(|_| {
        let mut response = ok("x".into(), false);
        response.status_code = 207;
        response.headers.insert("x-one", "1".parse().unwrap());
        response.headers.insert("content-length", "999".parse().unwrap());
        for value in ["a", "b"] {
            response.multi_value_headers.append("x-many", value.parse().unwrap());
            response.cookies.push(format!("{value}=1; HttpOnly"));
        }
        response.multi_value_headers.append("x-one", "1".parse().unwrap());
        response
    })
    .await;
    let response = post(&server, "text/plain", b"x").await;
    let all = |name: &str| -> Vec<String> {
        response.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone()).collect()
    };
    assert_eq!(response.status, 207);
    assert_eq!(all("x-many"), ["a", "b"]);
    assert_eq!(all("x-one"), ["1"]);
    assert_eq!(all("set-cookie"), ["a=1; HttpOnly", "b=1; HttpOnly"]);
    assert_eq!(all("content-length"), ["1"]);
    assert_eq!(all("content-type"), ["text/plain;charset=UTF-8"]);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_announced_or_not_and_reaches_no_handler() {
    let server = start(|_| ok("x".into(), false)).await;
    let announced = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", MAX_BODY + 1);
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    connection.write_all(announced.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    connection.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    connection.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 0x10_0000], b"\r\n"].concat();
    for _ in 0..10 {
        connection.write_all(&chunk).await.unwrap();
    }
    // The one byte too many is the last that is sent: a server that closes with nothing unread resets nothing.
    connection.write_all(b"1\r\nx\r\n").await.unwrap();
    connection.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    assert!(server.seen.lock().unwrap().is_empty());
    assert_eq!(post(&server, "text/plain", &vec![b'x'; MAX_BODY]).await.status, 200);
}

#[tokio::test]
async fn a_panic_or_a_response_that_cannot_be_sent_is_a_500_and_the_server_goes_on() {
    let server = start(|event| match event.body.as_deref() {
        Some("panic") => panic!("a handler of this test"),
        Some("status") => ApiGatewayV2httpResponse::default(),
        Some("base64") => ok("***".into(), true),
        _ => ok("fine".into(), false),
    })
    .await;
    for bad in ["panic", "status", "base64"] {
        let response = post(&server, "text/plain", bad.as_bytes()).await;
        assert_eq!(response.status, 500, "{bad}");
        assert_eq!(&response.body[..], br#"{"message":"Internal Server Error"}"#);
    }
    assert_eq!(&post(&server, "text/plain", b"x").await.body[..], b"fine");
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused() {
    let server = start(|_| ok("x".into(), false)).await;
    let answer = exchange(server.address, b"GET /%FF HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer = exchange(server.address, b"GET /100%/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.seen.lock().unwrap()[0].raw_path.as_deref(), Some("/100%/%zz"));
}

#[tokio::test]
async fn a_stop_answers_the_request_at_hand_and_then_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stopper, stop) = stop();
    let (began, begun) = tokio::sync::oneshot::channel();
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let once = Mutex::new(Some((began, wait)));
    let handler = move |_| {
        let (began, wait) = once.lock().unwrap().take().unwrap();
        async move {
            began.send(()).unwrap();
            wait.await.unwrap();
            ok("late".into(), false)
        }
    };
    let entropy = Arc::new(SystemEntropy::default());
    let server = tokio::spawn(serve(listener, TestClock::at(0), entropy, stop, handler));
    let client = tokio::spawn(async move { exchange(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await });
    begun.await.unwrap();
    stopper.stop();
    go.send(()).unwrap();
    assert!(client.await.unwrap().ends_with("late"));
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopped_server_takes_no_connection() {
    let server = start(|_| ok("x".into(), false)).await;
    server.stopper.stop();
    server.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
