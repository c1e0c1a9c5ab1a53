//! Questions that senders ask before, or instead of, delivering anything.
//!
//! Always holds: what comes back to an unproven caller is empty, or a short text without markup that is declared
//! to be plain; nothing here changes a key.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::policy::Capture;
use crate::refusal::Refusal;
use crate::request::{Facts, Request};

/// Longest text that is echoed, and longest secret that is taken as a candidate.
const MAX_ECHO: usize = 512;

/// A question that the policy answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// GET: is anybody there?
    Get,
    Head,
    /// GET with a parameter that is to come back.
    Echo {
        challenge: String,
        /// Parameter that must be the secret.
        token: Option<String>,
    },
    /// WebSub: GET with mode and topic, which must be a subscription of ours.
    WebSub {
        topics: Vec<String>,
    },
    /// A signed body `{"type": "url_verification", "challenge": …}`.
    Challenge,
    /// A verified request whose header has this value is no delivery.
    Ping {
        header: String,
        value: String,
    },
    /// Mandrill: an empty batch, signed with a key that everybody knows.
    EmptyBatch,
    /// The sender proposes its secret.
    Capture(Capture),
}

/// What is to be done with a handshake.
#[derive(Clone, PartialEq, Eq)]
pub enum Handshake {
    /// Answered, and over.
    Answer(Reply),
    /// A hub confirmed a subscription: for how long, in seconds, if it said so.
    Subscribed { topic: String, lease: Option<u64>, reply: Reply },
    /// A hub says that a subscription is refused, or is over.
    Ended(Reply),
    /// The sender proposes its secret: keep it as a candidate, and answer only when it is kept.
    Candidate { secret: String, reply: Reply },
    /// Confirm by a GET to this address, which is the sender's; answer only when it is done.
    Confirm { url: String, reply: Reply },
}

impl Handshake {
    #[must_use]
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Answer(reply)
            | Self::Subscribed { reply, .. }
            | Self::Ended(reply)
            | Self::Candidate { reply, .. }
            | Self::Confirm { reply, .. } => reply,
        }
    }
}

impl std::fmt::Debug for Handshake {
    /// Without the candidate.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(reply) => out.debug_tuple("Answer").field(reply).finish(),
            Self::Subscribed { topic, lease, .. } => out.debug_tuple("Subscribed").field(topic).field(lease).finish(),
            Self::Ended(_) => out.write_str("Ended"),
            Self::Candidate { .. } => out.write_str("Candidate"),
            Self::Confirm { url, .. } => out.debug_tuple("Confirm").field(url).finish(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Besides what goes with a text.
    pub header: Option<(&'static str, String)>,
    /// Plain text, to be sent as such and with `nosniff`.
    pub text: String,
}

impl Reply {
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, header: None, text: String::new() }
    }

    fn echo(text: &str) -> Result<Self, Refusal> {
        if is_plain(text) { Ok(Self { text: text.to_owned(), ..Self::empty(200) }) } else { Err(Refusal::Challenge) }
    }
}

/// Printable, without space, and nothing that markup is made of.
fn is_plain(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_graphic() && !b"<>\"'&`\\".contains(&byte);
    !text.is_empty() && text.len() <= MAX_ECHO && text.bytes().all(good)
}

impl Ask {
    /// Answers what needs no key. `is_secret` compares with the live keys.
    pub(crate) fn greet(
        &self,
        request: &Request<'_>,
        is_secret: impl Fn(&str) -> bool,
    ) -> Option<Result<Handshake, Refusal>> {
        let parameter = |name: &str| request.parameter(name);
        match (self, request.method) {
            (Self::Get, "GET") | (Self::Head, "HEAD") => Some(Ok(Handshake::Answer(Reply::empty(200)))),
            (Self::Echo { challenge, token }, "GET") => {
                let known = match token {
                    None => true,
                    Some(token) => parameter(token).is_some_and(|given| is_secret(&given)),
                };
                let text = parameter(challenge).filter(|_| known);
                Some(text.map_or(Err(Refusal::Challenge), |text| Reply::echo(&text).map(Handshake::Answer)))
            }
            (Self::WebSub { topics }, "GET") => Some(websub(request, topics)),
            _ => None,
        }
    }

    /// Whether a request that proves nothing is one that proposes a secret.
    pub(crate) fn capture(
        &self,
        request: &Request<'_>,
        facts: &Facts<'_>,
        live: bool,
    ) -> Option<Result<Handshake, Refusal>> {
        let Self::Capture(capture) = self else { return None };
        let secret = capture.secret(request)?;
        if live || !facts.awaiting {
            return Some(Err(Refusal::NotAwaited));
        }
        if !is_plain(&secret) {
            return Some(Err(Refusal::Challenge));
        }
        let header = match capture {
            Capture::Header(_) => Some(("x-hook-secret", secret.clone().into_owned())),
            Capture::Body(_) => None,
        };
        let reply = Reply { header, ..Reply::empty(200) };
        Some(Ok(Handshake::Candidate { secret: secret.into_owned(), reply }))
    }

    /// Whether a verified request is no delivery after all.
    pub(crate) fn instead(&self, request: &Request<'_>) -> Option<Result<Handshake, Refusal>> {
        match self {
            Self::Challenge => {
                let body: Json = serde_json::from_slice(request.body).ok()?;
                (body.get("type")?.as_str()? == "url_verification").then(|| {
                    let challenge = body.get("challenge").and_then(Json::as_str).unwrap_or_default();
                    Reply::echo(challenge).map(Handshake::Answer)
                })
            }
            Self::Ping { header, value } => {
                let is = request.header(header).is_ok_and(|given| given == Some(value.as_str()));
                is.then(|| Ok(Handshake::Answer(Reply::empty(200))))
            }
            _ => None,
        }
    }
}

impl Capture {
    /// The secret that the request proposes, if it does nothing else.
    fn secret<'a>(&self, request: &Request<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Header(name) => request.header(name).ok().flatten().map(Cow::Borrowed),
            Self::Body(member) => {
                if request.body.len() > 4 * MAX_ECHO {
                    return None;
                }
                let body: Json = serde_json::from_slice(request.body).ok()?;
                let members = body.as_object().filter(|members| members.len() == 1)?;
                members.get(member)?.as_str().map(|secret| Cow::Owned(secret.to_owned()))
            }
        }
    }
}

fn websub(request: &Request<'_>, topics: &[String]) -> Result<Handshake, Refusal> {
    let topic = request.parameter("hub.topic").filter(|topic| topics.iter().any(|known| known == topic));
    let topic = topic.ok_or(Refusal::Topic)?.into_owned();
    match request.parameter("hub.mode").as_deref() {
        Some("subscribe") => {
            let challenge = request.parameter("hub.challenge").ok_or(Refusal::Challenge)?;
            let lease = request.parameter("hub.lease_seconds").and_then(|seconds| seconds.parse().ok());
            Ok(Handshake::Subscribed { topic, lease, reply: Reply::echo(&challenge)? })
        }
        Some("denied") => Ok(Handshake::Ended(Reply::empty(200))),
        // Nobody here ever ends a subscription to a topic that is still wanted.
        _ => Err(Refusal::Challenge),
    }
}
