//! Takes in webhook deliveries: limits, route, handshake or proof, store, queue, and only then say yes.
//!
//! Owns what happens between a request at `/hooks/{path}` and its answer. Owns no scheme (those are
//! `teal_gate`'s) and no reading of what a delivery says: that is transform's.
//!
//! Always holds (P1): a 2xx means that the delivery is on durable storage and in the queue, or that it was a
//! handshake, or that its sender wants a 2xx for what is dropped. What is stored already is queued again all the
//! same, because the time before may have ended between the two. Only a `Delivery<Verified>` gets as far as
//! storage. Whoever proves nothing gets one answer, whatever the reason; the reason is in the quarantine.

pub mod candidate;
pub(super) mod event;
#[cfg(test)]
mod gate_tests;
mod memory;
mod outside;
pub mod quarantine;
pub(super) mod stated;
pub(super) mod store;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use teal_gate::{Answers, Handshake, Refusal, Refused, Reply};

pub use self::memory::Memory;
use self::memory::Rate;
use self::verify::Judged;
pub use self::verify::{Delivery, Unverified, Verified};
use crate::config::{self, Source, System};
use crate::domain::message::Arrival;
use crate::domain::{Message, Millis, SourceId, TraceParent};
use crate::metrics::{self, Meter};
use crate::mutants::{self, Mutant};
use crate::pipeline::api::{ApiResponse, Code, Problem};
use crate::pipeline::channels;
use crate::ports::{Arrived, BlobWriter, Clock, Entropy, Fault, Intake, Ledger, Secrets, Upstream};

/// Seconds after which a sender that found us ill is asked to come again.
const RETRY_AFTER: u32 = 30;

pub struct Webhook {
    pub intake: Arc<dyn Intake>,
    /// Where the quarantine is.
    pub blobs: Arc<dyn BlobWriter>,
    pub secrets: Arc<dyn Secrets>,
    /// Where candidates of secrets are.
    pub ledger: Arc<dyn Ledger>,
    /// For the senders' certificates and confirmations: one that reaches no private address.
    pub upstream: Arc<dyn Upstream>,
    pub memory: Memory,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub meter: Arc<dyn Meter>,
}

pub struct HookRequest {
    pub method: String,
    /// What follows `/hooks/`, decoded.
    pub path: String,
    /// What follows `?`, as it came.
    pub query: String,
    /// A header that came twice is there twice.
    pub headers: Vec<(String, String)>,
    /// As it came, byte for byte.
    pub body: Bytes,
}

impl HookRequest {
    /// What most deliveries are.
    #[must_use]
    pub fn post(path: impl Into<String>, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> Self {
        Self { method: "POST".to_owned(), path: path.into(), query: String::new(), headers, body: body.into() }
    }
}

/// An answer, and the word by which it is counted.
type Verdict = (&'static str, ApiResponse);

impl Webhook {
    /// Always an answer. One that is no 2xx asks the sender to come again, or tells it that coming again
    /// is no use.
    pub async fn receive(&self, system: &System, request: HookRequest) -> ApiResponse {
        let hook = |hook: &&Source| hook.webhook.as_ref().is_some_and(|hook| hook.path == request.path);
        let source = system.sources.values().find(hook).map_or("-".to_owned(), |source| source.name.to_string());
        let (verdict, answer) = self.accept(system, request).await.unwrap_or_else(|problem| {
            let verdict = match problem.code {
                Code::NoRoute => "unknown",
                Code::TooLarge => "too-large",
                Code::TooMany => "limited",
                Code::Method => "unverified",
                _ => "unavailable",
            };
            (verdict, problem.into())
        });
        self.meter.count(&metrics::WEBHOOKS, &[&source, verdict], 1);
        answer
    }

    async fn accept(&self, system: &System, request: HookRequest) -> Result<Verdict, Problem> {
        let now = self.clock.now();
        self.admit("", system.hooks_per_second, now)?;
        let (source, hook) = system
            .sources
            .values()
            .find_map(|source| {
                source.webhook.as_ref().filter(|hook| hook.path == request.path).map(|hook| (source, hook))
            })
            .ok_or_else(no_route)?;
        self.admit(source.name.as_str(), hook.per_second, now)?;
        if request.body.len() > hook.max_body {
            let detail = format!("a delivery to this webhook may have {} bytes", hook.max_body);
            return Err(Problem::new(Code::TooLarge, detail));
        }
        let source = SourceId::new(source.name.as_str());
        let delivery = Delivery::new(source.clone(), request);
        match verify::judge(delivery, hook, self, now).await? {
            Judged::Genuine(delivery) => {
                let id = self.take_in(system, hook, &delivery, now).await?;
                Ok(("accepted", accepted(hook.verify.gate.answers(), &id)))
            }
            Judged::Handshake(handshake) => {
                let kept = match &handshake {
                    Handshake::Candidate { secret, .. } => candidate::keep(&source, self, secret.clone(), now).await?,
                    Handshake::Confirm { url, .. } => outside::confirm(&source, url, self).await.map(|()| true)?,
                    Handshake::Ended(_) => {
                        tracing::warn!(%source, "the sender says that its subscription is over; subscribe again");
                        true
                    }
                    Handshake::Subscribed { topic, lease, .. } => {
                        match &hook.after.lease {
                            // Only what was asked for is wanted.
                            Some(ours) => {
                                let life = lease.map(Duration::from_secs);
                                let asked =
                                    channels::confirm(self.ledger.as_ref(), ours, &source, topic, life, now).await;
                                asked.map_err(|error| unavailable(&source, &error))?
                            }
                            None => true,
                        }
                    }
                    Handshake::Answer(_) => true,
                };
                if !kept {
                    return match handshake {
                        Handshake::Subscribed { .. } => Err(no_route()),
                        _ => Ok(("unverified", refused(hook.verify.gate.answers()))),
                    };
                }
                Ok(("handshake", reply(handshake.reply())))
            }
            Judged::Refused(delivery, refusal) => {
                self.meter.count(&metrics::REFUSED, &[source.name.as_str(), refusal.code()], 1);
                if refusal == Refusal::Method {
                    return Err(Problem::new(Code::Method, "this address takes POST").with("allow", "POST"));
                }
                let asked = delivery.request().method != "POST";
                quarantine::keep(&delivery, &refusal, hook, self, now).await;
                // A question to which there is no answer leads nowhere.
                if asked { Err(no_route()) } else { Ok(("unverified", refused(hook.verify.gate.answers()))) }
            }
        }
    }

    /// On storage and in the queue, or a problem.
    async fn take_in(
        &self,
        system: &System,
        hook: &config::Webhook,
        delivery: &Delivery<Verified>,
        now: Millis,
    ) -> Result<String, Problem> {
        let source = delivery.source();
        let (id, raw, bytes) = store::raw(delivery, hook, now, self.entropy.as_ref());
        let span = self.entropy.next();
        let given = delivery.header(TraceParent::HEADER).and_then(TraceParent::parse);
        let trace = match given {
            Some(given) => given.child(span),
            None => TraceParent::new([self.entropy.next(), self.entropy.next()], span),
        };
        tracing::debug!(%source, %raw, trace = trace.trace_id(), "a delivery is taken in");
        let (config, trace, arrival) = (system.hash.clone(), Some(trace), Arrival::First);
        let key = raw.0.clone();
        let message = Message::Delivery { config, source: source.clone(), raw, trace, arrival };
        match self.intake.take_in(Arrived { key, bytes, message }).await {
            Err(error) if !mutants::on(Mutant::AckBeforeStore) => Err(unavailable(source, &error)),
            _ => Ok(id),
        }
    }

    fn admit(&self, what: &str, per_second: Option<f64>, now: Millis) -> Result<(), Problem> {
        let Some(per_second) = per_second else { return Ok(()) };
        self.memory.admit(what, Rate::of(per_second), now).map_err(|wait| {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            Problem::new(Code::TooMany, "more requests came than this webhook takes").retry_after(seconds)
        })
    }
}

fn no_route() -> Problem {
    Problem::new(Code::NoRoute, "no webhook is configured at this address")
}

/// An id is fit for keys, and so needs no escapes.
fn accepted(answers: Answers, id: &str) -> ApiResponse {
    match answers {
        // Whoever drops in silence must not tell the two apart.
        Answers { accepted: 202, refused: Refused::Status(_) } => {
            let body = format!("{{\"accepted\":\"{id}\"}}").into_bytes().into();
            ApiResponse { body, ..ApiResponse::empty(202) }.with("content-type", "application/json")
        }
        Answers { accepted, .. } => ApiResponse::empty(accepted),
    }
}

/// The same for every reason.
fn refused(answers: Answers) -> ApiResponse {
    match answers.refused {
        Refused::Status(401) => {
            Problem::new(Code::Unverified, "the delivery does not prove where it comes from").into()
        }
        Refused::Status(status) => ApiResponse::empty(status),
        Refused::Drop => ApiResponse::empty(answers.accepted),
    }
}

/// Nothing that a browser would take for a page.
fn reply(reply: &Reply) -> ApiResponse {
    let mut answer = ApiResponse::empty(reply.status).with("x-content-type-options", "nosniff");
    if !reply.text.is_empty() {
        answer = answer.with("content-type", "text/plain; charset=utf-8").with("cache-control", "no-store");
        answer.body = reply.text.clone().into_bytes().into();
    }
    match &reply.header {
        Some((name, value)) => answer.with(name, value.clone()),
        None => answer,
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
