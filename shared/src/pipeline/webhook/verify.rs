//! Trust as a type: a request becomes a `Delivery<Unverified>`, and only `judge` makes it a
//! `Delivery<Verified>`, which is what can be stored and queued.
//!
//! Owns what the gate needs for its verdict: keys out of secrets, certificates out of the net, whether a secret is
//! awaited. The schemes are `teal_gate`'s.
//!
//! Always holds: a secret that can't be looked up lets nobody in and loses nothing; a missing one is not an empty one.

use std::marker::PhantomData;

use bytes::Bytes;
use teal_gate::{Channel, Facts, Handshake, Key, Preset, Refusal, Request, Verdict};

use super::candidate;
use super::{HookRequest, Webhook, no_secret, outside, unavailable};
use crate::config::{self, Verify};
use crate::domain::{Millis, SourceId};
use crate::pipeline::api::Problem;
use crate::pipeline::channels;

pub struct Unverified(());
pub struct Verified(());

/// One request to a webhook. Its `State` says whether its sender is known to be the source.
pub struct Delivery<State> {
    source: SourceId,
    method: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    state: PhantomData<State>,
}

/// What a request turned out to be.
pub(super) enum Judged {
    Genuine(Delivery<Verified>),
    Handshake(Handshake),
    Refused(Delivery<Unverified>, Refusal),
}

impl Delivery<Unverified> {
    pub(super) fn new(source: SourceId, request: HookRequest) -> Self {
        let HookRequest { method, query, mut headers, body, .. } = request;
        headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
        Self { source, method, query, headers, body, state: PhantomData }
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request { method: &self.method, query: &self.query, headers: &self.headers, body: &self.body }
    }
}

impl<State> Delivery<State> {
    pub(super) fn source(&self) -> &SourceId {
        &self.source
    }
}

impl Delivery<Verified> {
    /// Names in lower case.
    pub(super) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }
}

/// The header that a scheme's secret travels in; it is stored nowhere. No header has the empty name.
pub(super) fn secret_header(how: &Verify) -> &str {
    how.gate.secret_places().0.unwrap_or_default()
}

pub(super) async fn judge(
    delivery: Delivery<Unverified>,
    hook: &config::Webhook,
    stage: &Webhook,
    now: Millis,
) -> Result<Judged, Problem> {
    let how = &hook.verify;
    // Questions that need no key are answered whatever else is down.
    if let Some(handshake) = how.gate.greet(&delivery.request()) {
        return Ok(Judged::Handshake(handshake));
    }
    let keys = if how.gate.has_secret() {
        secrets(&delivery.source, how, stage, now).await?
    } else {
        match how.gate.wanted_certificate(&delivery.request()) {
            Ok(Some(url)) => outside::certificate(&delivery.source, &how.gate, &url, stage).await?,
            Ok(None) => Vec::new(),
            Err(refusal) => return Ok(Judged::Refused(delivery, refusal)),
        }
    };
    let awaiting =
        how.gate.captures() && keys.is_empty() && candidate::is_awaited(&delivery.source, stage, now).await?;
    let channels = opened(&delivery.source, hook, stage).await?;
    let facts = Facts { awaiting, channels: channels.as_deref() };
    Ok(match how.gate.judge(&delivery.request(), &keys, &facts, now.0) {
        Verdict::Genuine => {
            let Delivery { source, method, query, headers, body, .. } = delivery;
            Judged::Genuine(Delivery { source, method, query, headers, body, state: PhantomData })
        }
        Verdict::Handshake(handshake) => Judged::Handshake(handshake),
        Verdict::Refused(refusal) => Judged::Refused(delivery, refusal),
    })
}

/// The channels that Teal opened itself, where it does; one that is just being opened has no resource yet.
async fn opened(source: &SourceId, hook: &config::Webhook, stage: &Webhook) -> Result<Option<Vec<Channel>>, Problem> {
    if hook.verify.preset != Preset::GoogleCalendar || hook.after.lease.is_none() {
        return Ok(None);
    }
    let known = channels::read(stage.ledger.as_ref(), source).await.map_err(|error| unavailable(source, &error))?;
    let channel =
        |channel: channels::Channel| Channel { resource: channel.resource.as_str().map(str::to_owned), id: channel.id };
    Ok(Some(known.live.into_iter().chain(known.pending).chain(known.old).map(channel).collect()))
}

/// Keys that are valid now. One that is no use is told to the operator and left out, as long as another is left.
async fn secrets(source: &SourceId, how: &Verify, stage: &Webhook, now: Millis) -> Result<Vec<Key>, Problem> {
    let mut keys = Vec::new();
    let mut useless = None;
    for name in how.keys.iter().filter(|key| key.lifetime.holds(now.0)) {
        let secret = &name.secret.0;
        match stage.secrets.get(secret).await {
            Ok(Some(found)) if !found.expose().is_empty() => match how.gate.key(found.expose(), name.lifetime) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    useless.get_or_insert_with(|| unavailable(source, &format!("the secret '{secret}': {error}")));
                }
            },
            Ok(_) if how.gate.captures() => {}
            Ok(_) => {
                useless.get_or_insert_with(|| no_secret(source, None, secret));
            }
            Err(fault) => return Err(no_secret(source, Some(&fault), secret)),
        }
    }
    match useless {
        Some(problem) if keys.is_empty() => Err(problem),
        _ => Ok(keys),
    }
}
