//! Takes in webhook deliveries: route, verify, store, queue, and only then say yes.
//!
//! Owns what happens between a request at `/hooks/{path}` and its 2xx. Owns no reading of what a delivery
//! says: that is transform's.
//!
//! Always holds (P1): a 2xx means that the delivery is on durable storage and in the queue. What is stored
//! already is queued again all the same, because the time before may have ended between the two. Nothing
//! is parsed before it is verified, and only a `Delivery<Verified>` gets as far as storage.

pub(super) mod event;
pub(super) mod stated;
pub(super) mod store;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

pub use self::verify::{Delivery, Unverified, Verified};
use crate::config::{Source, System};
use crate::domain::message::Arrival;
use crate::domain::{Message, SourceId, TraceParent};
use crate::metrics::{self, Meter};
use crate::mutants::{self, Mutant};
use crate::pipeline::api::{ApiResponse, Code, Problem};
use crate::ports::blobs::Put;
use crate::ports::{BlobWriter, Clock, Entropy, Fault, Outgoing, QueueSender, Secrets};

/// Seconds after which a sender that found us ill is asked to come again.
const RETRY_AFTER: u32 = 30;

pub struct Webhook {
    pub blobs: Arc<dyn BlobWriter>,
    pub queue: Arc<dyn QueueSender>,
    pub secrets: Arc<dyn Secrets>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub meter: Arc<dyn Meter>,
}

pub struct HookRequest {
    /// What follows `/hooks/`, decoded.
    pub path: String,
    /// A header that came twice is there twice.
    pub headers: Vec<(String, String)>,
    /// As it came, byte for byte.
    pub body: Bytes,
}

impl Webhook {
    /// Always an answer. One that is no 2xx asks the sender to come again, or tells it that coming again
    /// is no use.
    pub async fn receive(&self, system: &System, request: HookRequest) -> ApiResponse {
        let hook = |hook: &&Source| hook.webhook.as_ref().is_some_and(|hook| hook.path == request.path);
        let source = system.sources.values().find(hook).map_or("-".to_owned(), |source| source.name.to_string());
        let answer = self.accept(system, request).await;
        let verdict = match &answer {
            Ok(_) => "accepted",
            Err(problem) => match problem.code {
                Code::NoRoute => "unknown",
                Code::TooLarge => "too-large",
                Code::Unverified => "unverified",
                _ => "unavailable",
            },
        };
        self.meter.count(&metrics::WEBHOOKS, &[&source, verdict], 1);
        answer.unwrap_or_else(ApiResponse::from)
    }

    async fn accept(&self, system: &System, request: HookRequest) -> Result<ApiResponse, Problem> {
        let (source, hook) = system
            .sources
            .values()
            .find_map(|source| {
                source.webhook.as_ref().filter(|hook| hook.path == request.path).map(|hook| (source, hook))
            })
            .ok_or_else(|| Problem::new(Code::NoRoute, "no webhook is configured at this address"))?;
        if request.body.len() > hook.max_body {
            let detail = format!("a delivery to this webhook may have {} bytes", hook.max_body);
            return Err(Problem::new(Code::TooLarge, detail));
        }
        let source = SourceId::new(source.name.as_str());
        let delivery = Delivery::new(source.clone(), request.headers, request.body);
        let delivery = verify::verify(delivery, &hook.verify, self.secrets.as_ref()).await?;
        let stored = store::store(&delivery, hook, self).await.map_err(|error| unavailable(&source, &error))?;
        let span = self.entropy.next();
        let given = delivery.header(TraceParent::HEADER).and_then(TraceParent::parse);
        let trace = match given {
            Some(given) => given.child(span),
            None => TraceParent::new([self.entropy.next(), self.entropy.next()], span),
        };
        tracing::debug!(%source, raw = %stored.raw, trace = trace.trace_id(), "a delivery was taken in");
        let (config, trace) = (system.hash.clone(), Some(trace));
        let arrival = if stored.put == Put::WasThere { Arrival::Again } else { Arrival::First };
        let message = Message::Delivery { config, source: source.clone(), raw: stored.raw, trace, arrival };
        match self.queue.send(vec![Outgoing::now(message)]).await.pop() {
            Some(Ok(())) => Ok(ApiResponse::json(202, &json!({ "accepted": stored.id }))),
            Some(Err(_)) if mutants::on(Mutant::AckBeforeStore) => {
                Ok(ApiResponse::json(202, &json!({ "accepted": stored.id })))
            }
            Some(Err(fault)) => Err(unavailable(&source, &fault)),
            None => Err(unavailable(&source, &"the queue gave no result")),
        }
    }
}

pub(super) fn lookup<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Nothing was promised: the sender keeps the delivery and brings it again.
fn unavailable(source: &SourceId, error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%source, %error, "a delivery could not be taken in; its sender is asked to come again");
    Problem::new(Code::Unavailable, "the delivery could not be stored; send it again later").retry_after(RETRY_AFTER)
}

/// A secret that can't be looked up is our trouble, not the sender's.
fn no_secret(source: &SourceId, fault: Option<&Fault>, name: &str) -> Problem {
    match fault {
        Some(fault) => unavailable(source, fault),
        None => unavailable(source, &format!("the secret '{name}' is missing or empty; set it")),
    }
}
