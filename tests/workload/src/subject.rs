//! What a driver asks of a Teal under test, whatever it runs on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use serde_json::Value as Json;
use teal::domain::Secret;
use teal::ports::upstream::{HeaderValue, Request};
use teal::ports::{BlobReader, EntityReader, LedgerReader, Upstream};
use tokio::sync::watch;

/// No answer takes this long, also on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_BODY: usize = 16 << 20;

/// A Teal that can be killed. Its data stays.
#[async_trait]
pub trait Subject: Send {
    /// Begins to start it. Does not wait until it answers.
    fn start(&mut self);

    /// Kills whatever works for it, wherever that is. It may be dead already.
    fn kill(&mut self);

    /// Has it look after itself now, as it does by itself now and then.
    fn upkeep(&mut self);

    /// How to reach it.
    fn door(&self) -> Door;

    /// Opens what is stored, to look at it. Nothing works on it meanwhile.
    fn open(&self) -> Stored;

    /// What it has told about itself, for whoever looks into a failure.
    fn log(&self) -> String;
}

/// What is stored, behind the ports that read.
pub struct Stored {
    pub ledger: Arc<dyn LedgerReader>,
    pub entities: Arc<dyn EntityReader>,
    pub blobs: Arc<dyn BlobReader>,
}

/// Where a subject answers now, and as whom to ask.
#[derive(Clone)]
pub struct Place {
    pub base: String,
    pub token: Secret,
}

/// The way to a subject that comes and goes.
#[derive(Clone)]
pub struct Door {
    pub http: Arc<dyn Upstream>,
    /// `None` while nobody answers.
    pub place: watch::Receiver<Option<Place>>,
}

/// An answer that came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Json,
}

impl Door {
    /// Returns once somebody may answer.
    pub async fn opens(&mut self) {
        // A door whose other side is gone for good never opens.
        let _ = self.place.wait_for(Option::is_some).await;
    }

    pub async fn get(&self, path: &str) -> Option<Answer> {
        self.ask(Method::GET, path, &[], Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: &Json) -> Option<Answer> {
        self.ask(Method::POST, path, &[], body.to_string().into()).await
    }

    /// `None` when no answer came, whatever became of the question.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Option<Answer> {
        let place = self.place.borrow().clone()?;
        let token = Secret::new(format!("Bearer {}", place.token.expose()));
        let mut all = vec![
            ("authorization".to_owned(), HeaderValue::Secret(token)),
            ("content-type".to_owned(), HeaderValue::Plain("application/json".to_owned())),
        ];
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), HeaderValue::Plain((*value).to_owned()))));
        let url = format!("{}{path}", place.base);
        let request = Request { method, url, headers: all, body, timeout: PATIENCE, max_body: MAX_BODY };
        let response = self.http.send(request).await.ok()?;
        Some(Answer { status: response.status, body: serde_json::from_slice(&response.body).unwrap_or_default() })
    }
}
