//! A server that answers as a test says, or hands on to the emulator and disturbs what comes back.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_types::retry::RetryConfig;
use serde_json::Value;
use teal_aws::AwsClients;
use teal_aws::patience::Patience;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method and path.
    pub line: String,
    /// What JSON services call the operation, after its version; empty elsewhere.
    pub operation: String,
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    /// The body of a JSON service.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Edit = Box<dyn FnOnce(Value) -> Value + Send>;

pub enum Answer {
    /// A status, with a body of JSON.
    Json(u16, Value),
    /// A status, with an error of S3.
    Xml(u16, &'static str),
    /// The connection is cut before anything happens.
    Cut,
    /// What the emulator says.
    HandOn,
    /// The emulator does it, and the connection is cut before it can say so.
    Lose,
    /// The emulator does it twice, and says what came of the second time.
    Twice,
    /// The emulator gets another body, and its answer is edited.
    Edit(Value, Edit),
}

type Script = Arc<dyn Fn(&Request, usize) -> Answer + Send + Sync>;

/// Listens on loopback until it is dropped.
pub struct Wire {
    pub url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    server: JoinHandle<()>,
}

impl Wire {
    /// `script` gets each request and how many came before it. What it hands on goes to `beyond`.
    pub async fn start(
        beyond: Option<&str>,
        script: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let beyond = beyond.map(|url| url.trim_start_matches("http://").to_owned());
        let (script, all) = (Arc::new(script) as Script, seen.clone());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, all, beyond) = (script.clone(), all.clone(), beyond.clone());
                tokio::spawn(async move { serve(stream, &script, &all, beyond.as_deref()).await });
            }
        });
        Self { url, seen, server }
    }

    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Clients that have little patience, so that a test need not have any.
    #[must_use]
    pub fn clients(&self, account: &str) -> Arc<AwsClients> {
        let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1));
        let config = crate::config(&self.url, account).to_builder().retry_config(retries).build();
        let patience = Patience { attempts: 4, first: Duration::from_millis(1), longest: Duration::from_millis(2) };
        Arc::new(AwsClients::of(config, patience))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(mut stream: TcpStream, script: &Script, seen: &Mutex<Vec<Request>>, beyond: Option<&str>) {
    let _ = stream.set_nodelay(true);
    while let Ok(Some(request)) = read(&mut stream).await {
        let nth = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let beyond = beyond.unwrap_or_default();
        let reply = match script(&request, nth) {
            Answer::Json(status, body) => reply(status, "application/x-amz-json-1.0", &body.to_string()),
            Answer::Xml(status, code) => {
                let body = format!("<Error><Code>{code}</Code><Message>as the test says</Message></Error>");
                reply(status, "application/xml", &body)
            }
            Answer::Cut => return,
            Answer::HandOn => hand_on(beyond, &request, &request.body).await.unwrap(),
            Answer::Twice => {
                hand_on(beyond, &request, &request.body).await.unwrap();
                hand_on(beyond, &request, &request.body).await.unwrap()
            }
            Answer::Lose => {
                hand_on(beyond, &request, &request.body).await.unwrap();
                return;
            }
            Answer::Edit(body, edit) => {
                let answer = hand_on(beyond, &request, body.to_string().as_bytes()).await.unwrap();
                let start = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                let edited = edit(serde_json::from_slice(&answer[start..]).unwrap());
                reply(200, "application/x-amz-json-1.0", &edited.to_string())
            }
        };
        if stream.write_all(&reply).await.is_err() {
            return;
        }
    }
}

fn reply(status: u16, kind: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("HTTP/1.1 {status} As Told\r\ncontent-type: {kind}\r\ncontent-length: {len}\r\n\r\n{body}").into_bytes()
}

async fn read(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let len = header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await?;
    let target = header("x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    Ok(Some(Request { line, operation, head, body }))
}

async fn hand_on(beyond: &str, request: &Request, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(beyond).await?;
    let kept = request.head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !line.is_empty() && name != "content-length" && name != "connection"
    });
    let head: Vec<&str> = kept.collect();
    let ends = format!("\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all((head.join("\r\n") + &ends).as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}
