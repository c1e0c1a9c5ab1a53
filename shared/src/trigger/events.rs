//! What each function may be handed, told apart by its form.
//!
//! Owns the forms of events that are no HTTP request and no batch of messages: what a schedule says, and what
//! somebody says who invokes admin directly. Owns no meaning of theirs.
//!
//! Always holds: an event of another form is refused with what would have been right, and quoted nowhere.

use aws_lambda_events::event::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::event::sqs::SqsEvent;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::domain::{Message, Mode, SourceId};
use crate::pipeline::api::{AdminApi, ApiResponse, Query};
use crate::pipeline::caller::Caller;
use crate::ports::Fault;
use crate::ports::queue::{Outgoing, QueueSender, send_all};

/// The event is none that this function takes.
#[derive(Debug, thiserror::Error)]
#[error("{code}: the event can't be read: {why}; this function takes {takes}", code = BadEvent::CODE)]
pub struct BadEvent {
    takes: &'static str,
    /// A parser's category and place: its own words may quote the event.
    why: String,
}

impl BadEvent {
    pub const CODE: &str = "TEAL-E001";

    fn new(takes: &'static str, error: &serde_json::Error) -> Self {
        let why = if error.is_data() { "a field is missing, wrong or unknown" } else { "it is no JSON" };
        Self { takes, why: why.to_owned() }
    }
}

fn read<T: DeserializeOwned>(event: Json, takes: &'static str) -> Result<T, BadEvent> {
    serde_json::from_value(event).map_err(|error| BadEvent::new(takes, &error))
}

/// A batch of messages, for functions that take nothing else.
pub fn batch(event: Json) -> Result<SqsEvent, BadEvent> {
    read(event, "a batch of SQS messages")
}

/// A request of an HTTP API or a function URL, in payload format 2.0.
pub fn request(event: Json) -> Result<ApiGatewayV2httpRequest, BadEvent> {
    let takes = "HTTP requests in payload format 2.0";
    if event["requestContext"]["http"]["method"].is_string() {
        return read(event, takes);
    }
    Err(BadEvent { takes, why: "it names no HTTP method".to_owned() })
}

/// What poll is handed.
#[derive(Debug)]
pub enum PollEvent {
    Batch(SqsEvent),
    Due(Due),
}

/// What a schedule says when it fires.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Due {
    pub source: String,
    pub mode: Mode,
}

impl PollEvent {
    pub fn read(event: Json) -> Result<Self, BadEvent> {
        if event.get("Records").is_some() {
            return batch(event).map(Self::Batch);
        }
        let takes = r#"a batch of SQS messages, or {"source": "…", "mode": "full" or "incremental"}"#;
        match read::<Due>(event, takes)? {
            Due { mode: Mode::Rebuild, .. } => Err(BadEvent { takes, why: "a rebuild is no sync".to_owned() }),
            due => Ok(Self::Due(due)),
        }
    }
}

impl Due {
    /// Queues the sync, so that a schedule gets the queue's patience, and one way leads into a run.
    pub async fn ask(self, queue: &dyn QueueSender) -> Result<(), Fault> {
        let message = Message::Sync {
            source: SourceId::new(&self.source),
            mode: self.mode,
            cause: "schedule".into(),
            trace: None,
        };
        send_all(queue, vec![Outgoing::now(message)]).await
    }
}

/// What admin is handed.
#[derive(Debug)]
pub enum AdminEvent {
    Request(Box<ApiGatewayV2httpRequest>),
    Ask(Ask),
}

/// A question or an action of the admin API without HTTP around it. Whoever may invoke the function is let in
/// by IAM before.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// What follows `/admin/`.
    #[serde(rename = "do")]
    pub path: String,
    #[serde(default)]
    pub query: std::collections::BTreeMap<String, String>,
    /// An action has one, be it empty; a question has none.
    pub body: Option<Json>,
}

impl AdminEvent {
    pub fn read(event: Json) -> Result<Self, BadEvent> {
        if event.get("requestContext").is_some() {
            return request(event).map(|request| Self::Request(Box::new(request)));
        }
        let takes = r#"HTTP requests in payload format 2.0, or {"do": "status"}, with "query" or "body""#;
        read(event, takes).map(Self::Ask)
    }
}

impl Ask {
    pub async fn put(self, api: &dyn AdminApi, caller: &Caller) -> ApiResponse {
        let query: Query = self.query.into_iter().collect();
        let method = if self.body.is_some() { "POST" } else { "GET" };
        let body = self.body.map_or_else(Bytes::new, |body| body.to_string().into());
        api.call(caller, method, &format!("/{}", self.path.trim_start_matches('/')), &query, body).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn poll_tells_messages_from_a_schedule() {
        let due = PollEvent::read(json!({ "source": "blue", "mode": "incremental" })).unwrap();
        assert!(matches!(due, PollEvent::Due(Due { mode: Mode::Incremental, .. })));
        assert!(matches!(PollEvent::read(json!({ "Records": [] })).unwrap(), PollEvent::Batch(_)));
    }

    #[test]
    fn what_has_another_form_is_refused_with_what_is_right_and_not_quoted() {
        for event in [json!(null), json!({ "source": "hunter2", "mode": "hunter2" }), json!({ "Records": "hunter2" })] {
            let error = PollEvent::read(event).unwrap_err().to_string();
            assert!(error.starts_with("TEAL-E001") && error.contains("SQS messages"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for event in [json!({ "do": "status", "hunter2": 1 }), json!({ "requestContext": {} })] {
            let error = AdminEvent::read(event).unwrap_err().to_string();
            assert!(error.contains("payload format 2.0") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn somebody_who_invokes_admin_asks_or_acts() {
        let AdminEvent::Ask(ask) = AdminEvent::read(json!({ "do": "versions" })).unwrap() else { panic!() };
        assert_eq!((ask.path.as_str(), ask.body), ("versions", None));
        let AdminEvent::Ask(ask) = AdminEvent::read(json!({ "do": "rollback", "body": {} })).unwrap() else { panic!() };
        assert_eq!(ask.body, Some(json!({})));
    }
}
