//! Signatures in headers: where they stand, how they are written, over what they go.
//!
//! Always holds: the algorithm is chosen by the policy, through the prefix that the policy gives it; an
//! unknown prefix is no signature.

use base64::Engine as _;
use ring::{hmac, signature as ring_signature};
use subtle::ConstantTimeEq;

use crate::key::{BASE64, BASE64_URL, Encoding, Key, Material, hex, to_hex};
use crate::message::{Parts, Piece, Template};
use crate::refusal::Refusal;
use crate::request::Request;

/// More signatures in one header are not looked at.
const MAX_ENTRIES: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    HmacSha1,
    HmacSha256,
    HmacSha384,
    HmacSha512,
    Ed25519,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextEncoding {
    /// In either case.
    Hex,
    Base64,
    Base64Url,
}

/// How a header holds signatures: entries between separators, each kind by its prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Without one the whole header is one entry.
    pub separator: Option<char>,
    /// `sha256=`, `v1,`; empty where the signature stands alone.
    pub prefixes: Vec<(String, Algorithm)>,
    /// Prefix of the entry that holds the time, such as Stripe's `t=`.
    pub time: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Each may be there once; a signature in any of them counts.
    pub headers: Vec<String>,
    pub format: Format,
    pub encoding: TextEncoding,
    pub key: Encoding,
    pub message: Template,
    /// Headers of `{id}`, one of which must be there.
    pub id: Vec<String>,
    pub timestamp: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    pub from: TimeSource,
    pub unit: TimeUnit,
    /// Milliseconds to either side, both included.
    pub tolerance: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeSource {
    Headers(Vec<String>),
    /// The entry that [`Format::time`] names.
    Entry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Seconds,
    Millis,
    Rfc3339,
}

/// What a request's headers say.
pub(crate) struct Head<'a> {
    pub entries: Vec<(Algorithm, Vec<u8>)>,
    pub timestamp: &'a str,
    pub id: &'a str,
}

impl Algorithm {
    pub(crate) fn hmac(self) -> Option<hmac::Algorithm> {
        match self {
            Self::HmacSha1 => Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            Self::HmacSha256 => Some(hmac::HMAC_SHA256),
            Self::HmacSha384 => Some(hmac::HMAC_SHA384),
            Self::HmacSha512 => Some(hmac::HMAC_SHA512),
            Self::Ed25519 => None,
        }
    }
}

impl TextEncoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex(text),
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Base64Url => BASE64_URL.decode(text).ok(),
        }
    }

    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => to_hex(bytes),
            Self::Base64 => BASE64.encode(bytes),
            Self::Base64Url => BASE64_URL.encode(bytes),
        }
    }
}

impl TimeUnit {
    /// As milliseconds since the epoch.
    pub(crate) fn read(self, text: &str) -> Option<i64> {
        let digits = || {
            let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<i64>().ok()).flatten()
        };
        match self {
            Self::Seconds => digits()?.checked_mul(1000),
            Self::Millis => digits(),
            Self::Rfc3339 => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        }
    }
}

/// Whether the time is within the window. Seconds are compared as seconds, as senders' own libraries do it.
pub(crate) fn in_window(at: i64, unit: TimeUnit, tolerance: u64, now: i64) -> Result<(), Refusal> {
    let now = if unit == TimeUnit::Seconds { now.div_euclid(1000) * 1000 } else { now };
    match now.abs_diff(at).checked_sub(tolerance) {
        None | Some(0) => Ok(()),
        Some(by_ms) if at < now => Err(Refusal::TooOld { by_ms }),
        Some(by_ms) => Err(Refusal::TooNew { by_ms }),
    }
}

impl Signature {
    /// Whether it is for ed25519 alone, so that keys are public ones.
    pub(crate) fn is_public(&self) -> bool {
        self.format.prefixes.iter().all(|(_, algorithm)| *algorithm == Algorithm::Ed25519)
    }

    pub(crate) fn read<'a>(&self, request: &Request<'a>) -> Result<Head<'a>, Refusal> {
        let mut entries = Vec::new();
        let mut time = None;
        let mut found = false;
        for name in &self.headers {
            let Some(value) = request.header(name)? else { continue };
            found = true;
            let parts: Vec<&str> = match self.format.separator {
                Some(separator) => value.split(separator).take(MAX_ENTRIES + 1).collect(),
                None => vec![value],
            };
            if parts.len() > MAX_ENTRIES {
                return Err(Refusal::Malformed { what: name.clone(), why: "it holds too many signatures" });
            }
            for part in parts.into_iter().map(str::trim) {
                if let Some(text) = self.format.time.as_ref().and_then(|prefix| part.strip_prefix(prefix.as_str())) {
                    if time.replace(text).is_some() {
                        return Err(Refusal::Twice { what: format!("the time in {name}") });
                    }
                    continue;
                }
                let kind = self
                    .format
                    .prefixes
                    .iter()
                    .find_map(|(prefix, algorithm)| Some((*algorithm, part.strip_prefix(prefix.as_str())?)));
                // What can't be decoded may be a version to come, and is no signature of ours.
                if let Some((algorithm, text)) = kind
                    && let Some(bytes) = self.encoding.decode(text).filter(|bytes| !bytes.is_empty())
                {
                    entries.push((algorithm, bytes));
                }
            }
        }
        if !found {
            return Err(Refusal::Missing { what: format!("the header {}", self.headers.join(" or ")) });
        }
        if entries.is_empty() {
            let accepted: Vec<String> =
                self.format.prefixes.iter().map(|(prefix, algorithm)| format!("{prefix}{algorithm:?}")).collect();
            return Err(Refusal::Unknown { accepted: accepted.join(", ") });
        }
        let timestamp = match self.timestamp.as_ref().map(|timestamp| &timestamp.from) {
            None => "",
            Some(TimeSource::Headers(names)) => request.header_of(names)?,
            Some(TimeSource::Entry) => {
                time.ok_or_else(|| Refusal::Missing { what: format!("the time in {}", self.headers.join(" or ")) })?
            }
        };
        let id = if self.message.has(&Piece::Id) { request.header_of(&self.id)? } else { "" };
        if self.message.is_torn_by(id) {
            let what = self.id.join(" or ");
            return Err(Refusal::Malformed { what, why: "it holds the character that ends it" });
        }
        Ok(Head { entries, timestamp, id })
    }

    pub(crate) fn check_time(&self, head: &Head<'_>, now: i64) -> Result<(), Refusal> {
        let Some(timestamp) = &self.timestamp else { return Ok(()) };
        let at = timestamp.unit.read(head.timestamp).ok_or(Refusal::Malformed {
            what: "the time".to_owned(),
            why: "it is not written as the sender writes it",
        })?;
        in_window(at, timestamp.unit, timestamp.tolerance, now)
    }

    pub(crate) fn verify(&self, request: &Request<'_>, url: &str, keys: &[&Key], now: i64) -> Result<(), Refusal> {
        let head = self.read(request)?;
        self.check_time(&head, now)?;
        let parts = Parts { body: request.body, timestamp: head.timestamp, id: head.id, url };
        if self.matches(&head, &parts, keys) { Ok(()) } else { Err(Refusal::Differs { what: "the signature" }) }
    }

    pub(crate) fn matches(&self, head: &Head<'_>, parts: &Parts<'_>, keys: &[&Key]) -> bool {
        let mut whole: Option<Vec<u8>> = None;
        keys.iter().any(|key| match &key.material {
            Material::Hmac(key) => self.format.prefixes.iter().any(|(_, algorithm)| {
                let mut given = head.entries.iter().filter(|(of, _)| of == algorithm).peekable();
                match algorithm.hmac() {
                    Some(hmac) if given.peek().is_some() => {
                        let tag = self.mac(hmac, key, parts);
                        given.any(|(_, given)| bool::from(tag.as_ref().ct_eq(given)))
                    }
                    _ => false,
                }
            }),
            Material::Ed25519(key) => {
                let mut given = head.entries.iter().filter(|(of, _)| *of == Algorithm::Ed25519);
                let key = ring_signature::UnparsedPublicKey::new(&ring_signature::ED25519, key);
                given
                    .any(|(_, given)| key.verify(whole.get_or_insert_with(|| self.message.bytes(parts)), given).is_ok())
            }
            Material::Compare(_) | Material::Certificate(_) => false,
        })
    }

    pub(crate) fn mac(&self, algorithm: hmac::Algorithm, key: &[u8], parts: &Parts<'_>) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
        self.message.feed(parts, |_, bytes| context.update(bytes));
        context.sign()
    }
}
