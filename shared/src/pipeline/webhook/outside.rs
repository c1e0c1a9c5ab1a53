//! What a verdict needs from outside: a certificate, a confirmation.
//!
//! Owns those two requests. Their addresses were found to be the sender's by the gate; that they lead to no inner
//! place is seen to by the `Upstream` that the host gives this stage, which resolves no name to a private address.
//!
//! Always holds: no more than one request for each, small and short; a redirect is not followed.

use std::time::Duration;

use bytes::Bytes;
use teal_gate::{Gate, Key};

use super::{Webhook, unavailable};
use crate::domain::SourceId;
use crate::pipeline::api::Problem;
use crate::ports::upstream::Request;

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 64 << 10;
/// Senders change their certificates once in months.
const MAX_CERTIFICATES: usize = 16;

/// The certificate at this address, as the only key. One that is no use is fetched again each time.
pub(super) async fn certificate(
    source: &SourceId,
    gate: &Gate,
    url: &str,
    stage: &Webhook,
) -> Result<Vec<Key>, Problem> {
    let kept = stage.memory.certificate(url);
    let pem = match &kept {
        Some(pem) => pem.clone(),
        None => get(source, url, stage).await?,
    };
    let Some(key) = std::str::from_utf8(&pem).ok().and_then(|pem| gate.certificate(pem).ok()) else {
        return Ok(Vec::new());
    };
    if kept.is_none() {
        stage.memory.keep_certificate(url, pem, MAX_CERTIFICATES);
    }
    Ok(vec![key])
}

pub(super) async fn confirm(source: &SourceId, url: &str, stage: &Webhook) -> Result<(), Problem> {
    get(source, url, stage).await.map(|_| ())
}

async fn get(source: &SourceId, url: &str, stage: &Webhook) -> Result<Bytes, Problem> {
    let request = Request {
        method: http::Method::GET,
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        timeout: TIMEOUT,
        max_body: MAX_ANSWER,
    };
    let answer = stage.upstream.send(request).await.map_err(|fault| unavailable(source, &fault))?;
    match answer.status {
        200..=299 => Ok(answer.body),
        status => Err(unavailable(source, &format!("the sender's own address answered {status}"))),
    }
}
