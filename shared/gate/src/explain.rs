//! Why a request was refused, step by step, for the owner.
//!
//! Always holds: no secret is in it, nor what a key gives; bytes are shown only of what the sender sent itself.

use ring::digest::{SHA256, digest};
use serde::Serialize;

use crate::gate::{Gate, Verdict};
use crate::key::{Encoding, Key, Material, to_hex};
use crate::message::{Parts, Piece};
use crate::policy::Scheme;
use crate::request::{Facts, Request};
use crate::signature::{Head, Signature};

/// Bytes of what was signed that are shown.
const SHOWN: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// In the order in which they are taken; the first that is not good is why.
    pub steps: Vec<Step>,
    pub signed: Option<Signed>,
    /// What would have matched instead, and so what to mend.
    pub hints: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub what: String,
    pub good: bool,
}

/// Over what the signature goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// The pieces in their order, with their lengths in bytes.
    pub pieces: Vec<(String, usize)>,
    pub length: usize,
    pub sha256: String,
    /// The first bytes, those that are no printable ASCII escaped.
    pub begins: String,
}

impl Signed {
    fn of(bytes: &[u8], pieces: Vec<(String, usize)>) -> Self {
        let begins = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
        Self { pieces, length: bytes.len(), sha256: to_hex(digest(&SHA256, bytes).as_ref()), begins }
    }
}

impl Explanation {
    fn step(&mut self, what: impl Into<String>, good: bool) {
        self.steps.push(Step { what: what.into(), good });
    }
}

impl Gate {
    #[must_use]
    pub fn explain(&self, request: &Request<'_>, keys: &[Key], facts: &Facts<'_>, now: i64) -> Explanation {
        let mut out = Explanation::default();
        let live: Vec<&Key> = keys.iter().filter(|key| key.lifetime.holds(now)).collect();
        out.step(format!("{} of {} keys are valid at this time", live.len(), keys.len()), !live.is_empty());
        let sizes = format!("{} headers, a body of {} bytes", request.headers.len(), request.body.len());
        out.step(format!("{} with {sizes}", request.method), request.check_size().is_ok());
        match &self.policy.scheme {
            Scheme::Signature(signature) if request.method == "POST" => {
                self.explain_signature(&mut out, signature, request, &live, now);
            }
            Scheme::Sns(sns) => {
                if let Some(signed) = sns.read(request).ok().and_then(|envelope| envelope.signed()) {
                    out.signed =
                        Some(Signed::of(signed.as_bytes(), vec![("the envelope's members".into(), signed.len())]));
                }
            }
            Scheme::Signature(_) | Scheme::Secret(_) => {}
        }
        match self.judge(request, keys, facts, now) {
            Verdict::Genuine => out.step("verdict: genuine", true),
            Verdict::Handshake(handshake) => out.step(format!("verdict: a handshake, {handshake:?}"), true),
            Verdict::Refused(refusal) => out.step(format!("verdict: refused, {refusal}"), false),
        }
        out
    }

    fn explain_signature(
        &self,
        out: &mut Explanation,
        signature: &Signature,
        request: &Request<'_>,
        live: &[&Key],
        now: i64,
    ) {
        let head = match signature.read(request) {
            Ok(head) => head,
            Err(refusal) => return out.step(refusal.to_string(), false),
        };
        let kinds: Vec<String> =
            head.entries.iter().map(|(kind, bytes)| format!("{kind:?}, {} bytes", bytes.len())).collect();
        out.step(format!("signatures in {}: {}", signature.headers.join(" or "), kinds.join("; ")), true);
        if signature.timestamp.is_some() {
            match signature.check_time(&head, now) {
                Ok(()) => out.step("the time is within the window", true),
                Err(refusal) => out.step(refusal.to_string(), false),
            }
        }
        let parts = Parts { body: request.body, timestamp: head.timestamp, id: head.id, url: self.url() };
        let mut pieces = Vec::new();
        signature.message.feed(&parts, |piece, bytes| pieces.push((name(piece), bytes.len())));
        out.signed = Some(Signed::of(&signature.message.bytes(&parts), pieces));
        let same = signature.matches(&head, &parts, live);
        out.step("the signature is what a key gives over these bytes", same);
        if !same {
            out.hints = self.hints(signature, &head, &parts, live);
        }
    }

    /// The mistakes that are made most: each is tried, and named if it explains the signature.
    fn hints(&self, signature: &Signature, head: &Head<'_>, parts: &Parts<'_>, live: &[&Key]) -> Vec<String> {
        let with_body = |body: &[u8]| signature.matches(head, &Parts { body, ..*parts }, live);
        let with_url = |url: &str| signature.matches(head, &Parts { url, ..*parts }, live);
        let mut hints = Vec::new();
        if parts.body.strip_suffix(b"\n").is_some_and(&with_body) {
            hints.push("it matches without the body's last newline: something on the way added one".to_owned());
        }
        if with_body(&[parts.body, b"\n"].concat()) {
            hints.push("it matches with a newline at the end: something on the way took it off".to_owned());
        }
        if let Ok(json) = serde_json::from_slice::<serde_json::Value>(parts.body) {
            let pretty = serde_json::to_vec_pretty(&json).unwrap_or_default();
            let written = [json.to_string().into_bytes(), pretty];
            if written.iter().any(|body| body != parts.body && with_body(body)) {
                hints.push("it matches the same JSON written otherwise: something on the way parsed it".to_owned());
            }
        }
        if signature.message.pieces().contains(&Piece::Url) {
            let other = parts.url.strip_suffix('/').map_or_else(|| format!("{}/", parts.url), str::to_owned);
            let bare = parts.url.split('?').next().unwrap_or_default();
            for url in [other.as_str(), bare].into_iter().filter(|url| *url != parts.url && with_url(url)) {
                hints.push(format!("it matches the address {url}: write that one as 'url'"));
            }
        }
        for (encoding, name) in
            [(Encoding::Utf8, "as it is"), (Encoding::Base64, "as base64"), (Encoding::Hex, "as hexadecimal")]
        {
            let read_otherwise = |key: &&Key| {
                let Material::Hmac(bytes) = &key.material else { return None };
                let text = match signature.key {
                    Encoding::Utf8 => String::from_utf8(bytes.clone()).ok()?,
                    Encoding::Hex => to_hex(bytes),
                    Encoding::Base64 | Encoding::Standard => base64::Engine::encode(&crate::key::BASE64, bytes),
                };
                Some(Key { material: encoding.decode(&text, false).ok()?, lifetime: key.lifetime })
            };
            let others: Vec<Key> = live.iter().filter_map(read_otherwise).collect();
            if encoding != signature.key && signature.matches(head, parts, &others.iter().collect::<Vec<_>>()) {
                hints.push(format!(
                    "it matches when the secret is taken {name}: this is another scheme than the sender's"
                ));
            }
        }
        if hints.is_empty() {
            hints.push("no common mistake explains it: compare the secret here with the one at the sender".to_owned());
        }
        hints
    }
}

fn name(piece: &Piece) -> String {
    match piece {
        Piece::Text(text) => format!("{text:?}"),
        Piece::Body => "the body".to_owned(),
        Piece::Timestamp => "the time, as it came".to_owned(),
        Piece::Id => "the id".to_owned(),
        Piece::Url => "the address".to_owned(),
        Piece::SortedForm => "the form's fields, sorted and decoded".to_owned(),
    }
}
