//! Requests that proved nothing, kept for a day so that their owner can see why.
//!
//! ```text
//! quarantine/{received, ms, 13 digits}-{hash of the body}-{source}      JSON
//! ```
//!
//! Owns that place, its quota and what may be in it. No stage reads it; upkeep empties it by age.
//!
//! Always holds: whatever comes, no more than the quota is written; a secret's header or parameter is not in it, right
//! or wrong; of a large body only the beginning is, and of one in which something is to be masked nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use teal_gate::{Refusal, form};

use super::memory::Rate;
use super::store::PRIVATE;
use super::verify::{Delivery, Unverified};
use super::{Webhook, verify};
use crate::config;
use crate::domain::{Millis, SourceId};

pub const PREFIX: &str = "quarantine/";
/// How long one is kept.
pub const LIFE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// Twenty at once for each source, and then one in half a minute.
const QUOTA: Rate = Rate { per_second: 1.0 / 30.0, burst: 20.0 };
const MAX_BODY: usize = 64 << 10;
const MASKED: &str = "[masked]";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub source: SourceId,
    pub received: Millis,
    /// A word, and a sentence.
    pub code: String,
    pub reason: String,
    pub method: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    /// Base64; the beginning of it where it was longer, or nothing where there is something to be masked in it.
    pub body: String,
    pub length: usize,
    pub sha256: String,
}

impl Quarantined {
    /// The body, unless not all of it was kept.
    #[must_use]
    pub fn whole(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.body).ok().filter(|body| body.len() == self.length)
    }
}

/// When the object of this key was received.
#[must_use]
pub fn received(key: &str) -> Option<Millis> {
    key.strip_prefix(PREFIX)?.split('-').next()?.parse().ok().map(Millis)
}

pub(super) async fn keep(
    delivery: &Delivery<Unverified>,
    refusal: &Refusal,
    hook: &config::Webhook,
    stage: &Webhook,
    now: Millis,
) {
    let source = delivery.source();
    if stage.memory.admit(&format!("quarantine {source}"), QUOTA, now).is_err() {
        return;
    }
    let request = delivery.request();
    let secret = verify::secret_header(&hook.verify);
    let headers = request.headers.iter().map(|(name, value)| {
        let masked = name == secret || PRIVATE.contains(&name.as_str());
        (name.clone(), if masked { MASKED.to_owned() } else { value.clone() })
    });
    let sha256 = format!("{:x}", Sha256::digest(request.body));
    // What is masked in what is stored can't be found in what nobody verified: none of it is kept.
    let shown = if hook.after.mask.is_empty() { request.body.len().min(MAX_BODY) } else { 0 };
    let kept = Quarantined {
        source: source.clone(),
        received: now,
        code: refusal.code().to_owned(),
        reason: refusal.to_string(),
        method: request.method.to_owned(),
        query: masked_query(request.query, hook.verify.gate.secret_places().1),
        headers: headers.collect(),
        body: STANDARD.encode(&request.body[..shown]),
        length: request.body.len(),
        sha256,
    };
    let key = format!("{PREFIX}{:013}-{}-{}", now.0, &kept.sha256[..16], source.name);
    let bytes = serde_json::to_vec(&kept).expect("texts and numbers are JSON");
    if let Err(error) = stage.blobs.put_if_absent(&key, bytes.into()).await {
        tracing::warn!(%source, %error, "a refused delivery could not be put into quarantine");
    }
}

/// Names stay, and values but for the secret's.
fn masked_query(query: &str, secret: Option<&str>) -> String {
    let Some(secret) = secret else { return query.to_owned() };
    let fields = query.split('&').map(|field| {
        let is = form::fields(field.as_bytes()).any(|(name, _)| *name == *secret.as_bytes());
        if is { format!("{secret}={MASKED}") } else { field.to_owned() }
    });
    fields.collect::<Vec<_>>().join("&")
}
