//! What of a verified delivery is stored, as raw, and under which key.
//!
//! Always holds: the key is the delivery's id together with its body's hash, so a delivery that comes again
//! is the same object, and an id that is used again for something else loses nothing; no secret header is
//! in the head; what is masked reaches no store.

use std::cell::OnceCell;

use bytes::Bytes;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::stated::{self, Times};
use super::verify::{Delivery, Verified, secret_header};
use super::{event, lookup};
use crate::config::after::{After, Place};
use crate::config::path::Scope;
use crate::config::{Stated, Webhook};
use crate::domain::raw::{RawFrom, RawHead};
use crate::domain::{Millis, Raw, RawKey, SourceId};
use crate::mutants::{self, Mutant};
use crate::ports::Entropy;

/// Headers that carry somebody's rights, whatever the scheme.
pub(super) const PRIVATE: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// Longest id that is kept as the sender wrote it.
const MAX_ID: usize = 100;

/// Its id, its key and what is stored.
pub(super) fn raw(
    delivery: &Delivery<Verified>,
    hook: &Webhook,
    now: Millis,
    entropy: &dyn Entropy,
) -> (String, RawKey, Bytes) {
    let headers = kept_headers(delivery, secret_header(&hook.verify));
    let taken = Taken { source: delivery.source(), headers: delivery.headers(), body: delivery.body(), of: None };
    let (id, key, raw) = taken.raw(hook, headers, now, entropy);
    (id, key, raw.encode())
}

/// A delivery, or one event of one, on its way into storage.
pub(in crate::pipeline) struct Taken<'a> {
    pub source: &'a SourceId,
    pub headers: &'a [(String, String)],
    pub body: &'a Bytes,
    /// For an event: whose, and which one.
    pub of: Option<(&'a RawKey, &'a str, usize)>,
}

impl Taken<'_> {
    /// Its id, key and raw object. `kept` are the headers that may be stored.
    pub fn raw(
        &self,
        hook: &Webhook,
        kept: Vec<(String, String)>,
        received: Millis,
        entropy: &dyn Entropy,
    ) -> (String, RawKey, Raw) {
        let read = OnceCell::new();
        let body = || read.get_or_init(|| event::read(self.headers, self.body)).as_ref();
        let sha256 = format!("{:x}", Sha256::digest(self.body));
        let id = self.id(hook, body, &sha256, entropy);
        // A batch's own time is no event's.
        let stated = hook.stated.as_ref().filter(|s| self.of.is_some() || hook.after.split.is_none() || by_header(s));
        let Times { stated, timed } = stated::read(self.headers, body, stated, received);
        let key = RawKey::delivery(self.source, &format!("{id}-{}", &sha256[..16]));
        let (headers, stored) = self.masked(&hook.after, kept, read.into_inner().flatten());
        let of = self.of.map(|(parent, ..)| parent.clone());
        let from = RawFrom::Delivery { id: id.clone(), received, timed, of };
        let head = RawHead { source: self.source.clone(), stated, from, headers, sha256 };
        (id, key, Raw { head, body: stored })
    }

    fn id<'j>(
        &self,
        hook: &Webhook,
        body: impl Fn() -> Option<&'j Json>,
        sha256: &str,
        entropy: &dyn Entropy,
    ) -> String {
        let of_event = |id: &str| self.of.map_or_else(|| id.to_owned(), |(_, _, index)| format!("{id}.{index}"));
        let Some(places) = &hook.after.dedupe else {
            let given = match self.of {
                Some((_, parent, _)) => Some(of_event(parent)),
                None => hook.id_header.as_ref().and_then(|name| lookup(self.headers, name)).map(str::to_owned),
            };
            return id(given.as_deref(), entropy);
        };
        let in_body = |path: &crate::config::path::Path| {
            // A batch is named by its header or its bytes: its events are what the path is about.
            let found =
                path.get(&Scope::record(body()?)).filter(|_| self.of.is_some() || hook.after.split.is_none())?;
            let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            // What may be masked must not be read in a key.
            Some(if hook.after.mask.is_empty() { text } else { format!("{:x}", Sha256::digest(text)) })
        };
        let found = places.iter().find_map(|place| match place {
            Place::Header(name) => lookup(self.headers, name).map(of_event),
            Place::Body(path) => in_body(path),
            Place::Hash => Some(sha256.to_owned()),
        });
        let found = found.or_else(|| self.of.map(|(_, parent, _)| of_event(parent)));
        id(found.as_deref(), entropy)
    }

    /// What can't be read can't be masked either: none of it is stored.
    fn masked(
        &self,
        after: &After,
        mut headers: Vec<(String, String)>,
        read: Option<Json>,
    ) -> (Vec<(String, String)>, Bytes) {
        // An event was cut out of what is masked already.
        if after.mask.is_empty() || self.of.is_some() {
            return (headers, self.body.clone());
        }
        let Some(mut body) = read.or_else(|| event::read(self.headers, self.body)) else {
            return (headers, Bytes::new());
        };
        if !event::hide(&mut body, &after.mask) {
            return (headers, self.body.clone());
        }
        headers.retain(|(name, _)| name != "content-type");
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        (headers, body.to_string().into_bytes().into())
    }
}

fn by_header(stated: &Stated) -> bool {
    matches!(stated, Stated::Header { .. })
}

/// What the sender calls the delivery, made fit for a key; 128 random bits where it does not call it anything.
fn id(given: Option<&str>, entropy: &dyn Entropy) -> String {
    match given.map(str::trim).filter(|given| !given.is_empty()) {
        None => format!("{:016x}{:016x}", entropy.next(), entropy.next()),
        Some(given) => id_for_key(given),
    }
}

/// What a sender calls a delivery as it stands in keys.
pub(in crate::pipeline) fn id_for_key(given: &str) -> String {
    if is_plain(given) { given.to_owned() } else { format!("{:x}", Sha256::digest(given)) }
}

/// Whether a header carries somebody's rights.
pub(in crate::pipeline) fn is_private(name: &str) -> bool {
    PRIVATE.contains(&name)
}

fn is_plain(id: &str) -> bool {
    id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn kept_headers(delivery: &Delivery<Verified>, secret: &str) -> Vec<(String, String)> {
    let leaks = mutants::on(Mutant::SecretStored);
    delivery
        .headers()
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case(secret) && !is_private(name) || leaks)
        .cloned()
        .collect()
}
