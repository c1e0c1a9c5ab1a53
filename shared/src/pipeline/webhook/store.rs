//! Puts a verified delivery on storage as raw.
//!
//! Always holds: the key is the delivery's id together with its body's hash, so a delivery that comes again
//! is the same object, and an id that is used again for something else loses nothing; no secret header is
//! in the head.

use sha2::{Digest, Sha256};

use super::Webhook as Stage;
use super::stated::{self, Times};
use super::verify::{Delivery, Verified, secret_header};
use crate::config::Webhook;
use crate::domain::raw::{RawFrom, RawHead};
use crate::domain::{Raw, RawKey};
use crate::mutants::{self, Mutant};
use crate::ports::{BlobError, Entropy};

/// Headers that carry somebody's rights, whatever the scheme.
pub(super) const PRIVATE: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// Longest id that is kept as the sender wrote it.
const MAX_ID: usize = 100;

pub(super) struct Stored {
    pub id: String,
    pub raw: RawKey,
}

pub(super) async fn store(delivery: &Delivery<Verified>, hook: &Webhook, stage: &Stage) -> Result<Stored, BlobError> {
    let given = hook.id_header.as_ref().and_then(|name| delivery.header(name));
    let id = id(given, stage.entropy.as_ref());
    let sha256 = format!("{:x}", Sha256::digest(delivery.body()));
    let received = stage.clock.now();
    let Times { stated, timed } = stated::read(delivery, hook.stated.as_ref(), received);
    let raw_key = RawKey::delivery(delivery.source(), &format!("{id}-{}", &sha256[..16]));
    let raw = Raw {
        head: RawHead {
            source: delivery.source().clone(),
            stated,
            from: RawFrom::Delivery { id: id.clone(), received, timed },
            headers: kept_headers(delivery, secret_header(&hook.verify)),
            sha256,
        },
        body: delivery.body().clone(),
    };
    // Whether it was there already makes no difference to what follows.
    stage.blobs.put_if_absent(&raw_key.0, raw.encode()).await?;
    Ok(Stored { id, raw: raw_key })
}

/// What the sender calls the delivery, made fit for a key; 128 random bits where it does not call it anything.
fn id(given: Option<&str>, entropy: &dyn Entropy) -> String {
    match given.map(str::trim).filter(|given| !given.is_empty()) {
        None => format!("{:016x}{:016x}", entropy.next(), entropy.next()),
        Some(given) if is_plain(given) => given.to_owned(),
        Some(given) => format!("{:x}", Sha256::digest(given)),
    }
}

fn is_plain(id: &str) -> bool {
    id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn kept_headers(delivery: &Delivery<Verified>, secret: &str) -> Vec<(String, String)> {
    let leaks = mutants::on(Mutant::SecretStored);
    delivery
        .headers()
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case(secret) && !PRIVATE.contains(&name.as_str()) || leaks)
        .cloned()
        .collect()
}
