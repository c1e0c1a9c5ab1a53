//! The gate of one webhook: a policy, found to be right once, that judges requests.

use crate::certificate::Certificate;
use crate::form;
use crate::handshake::{Ask, Handshake, Reply};
use crate::key::{Compare, Key, KeyError, Lifetime, Material};
use crate::policy::{Answers, Policy, PolicyError, Scheme};
use crate::refusal::Refusal;
use crate::request::{Facts, Request};
use crate::sns::Meaning;

/// Mandrill signs its test with it. It proves nothing but that, and is no key.
const MANDRILL_TEST: &str = "test-webhook";
const MANDRILL_FIELD: &[u8] = b"mandrill_events";

#[derive(Clone, Debug)]
pub struct Gate {
    pub(crate) policy: Policy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the sender's, as it stands.
    Genuine,
    Handshake(Handshake),
    Refused(Refusal),
}

impl Gate {
    pub fn compile(policy: Policy) -> Result<Self, PolicyError> {
        policy.check()?;
        Ok(Self { policy })
    }

    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    #[must_use]
    pub fn answers(&self) -> Answers {
        self.policy.answers
    }

    /// Whether a sender may propose its secret here, so that there may be none yet.
    #[must_use]
    pub fn captures(&self) -> bool {
        self.policy.asks.iter().any(|ask| matches!(ask, Ask::Capture(_)))
    }

    /// Whether keys are secrets of the owner's, and not certificates.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        !matches!(self.policy.scheme, Scheme::Sns(_))
    }

    /// The header that a secret travels in, and the parameter: both must be stored nowhere.
    #[must_use]
    pub fn secret_places(&self) -> (Option<&str>, Option<&str>) {
        use crate::secret::SharedSecret;
        match &self.policy.scheme {
            Scheme::Secret(SharedSecret::Parameter(name)) => (None, Some(name)),
            Scheme::Secret(secret) => (secret.header(), None),
            Scheme::Signature(_) | Scheme::Sns(_) => (None, None),
        }
    }

    /// The secret as a key, read the way the scheme writes it.
    pub fn key(&self, secret: &str, lifetime: Lifetime) -> Result<Key, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::Empty);
        }
        if self.policy.asks.contains(&Ask::EmptyBatch) && secret == MANDRILL_TEST {
            return Err(KeyError::WellKnown);
        }
        let material = match &self.policy.scheme {
            Scheme::Signature(signature) => signature.key.decode(secret, signature.is_public())?,
            Scheme::Secret(_) => Material::Compare(Compare::new(secret)),
            Scheme::Sns(_) => return self.certificate(secret),
        };
        Ok(Key { material, lifetime })
    }

    /// Where the certificate is that the request says it is signed with; `None` where a scheme has none.
    pub fn wanted_certificate(&self, request: &Request<'_>) -> Result<Option<String>, Refusal> {
        match &self.policy.scheme {
            Scheme::Sns(_) if request.method != "POST" => Ok(None),
            Scheme::Sns(sns) => sns.certificate(request).map(Some),
            _ => Ok(None),
        }
    }

    /// A fetched certificate, in PEM, as a key that lives as long as it is valid.
    pub fn certificate(&self, pem: &str) -> Result<Key, KeyError> {
        let certificate = Certificate::parse(pem).map_err(KeyError::Certificate)?;
        let (from, until) = certificate.valid;
        let lifetime = Lifetime { not_before: Some(from), not_after: Some(until) };
        Ok(Key { material: Material::Certificate(certificate), lifetime })
    }

    /// Answers what needs neither key nor store, so that it is answered whatever else is down.
    #[must_use]
    pub fn greet(&self, request: &Request<'_>) -> Option<Handshake> {
        self.greeting(request, &[])?.ok()
    }

    fn greeting(&self, request: &Request<'_>, keys: &[&Key]) -> Option<Result<Handshake, Refusal>> {
        let is_secret = |given: &str| {
            keys.iter().any(|key| match &key.material {
                Material::Compare(secret) => secret.is(given),
                Material::Hmac(secret) => {
                    std::str::from_utf8(secret).is_ok_and(|secret| Compare::new(secret).is(given))
                }
                _ => false,
            })
        };
        self.policy.asks.iter().find_map(|ask| ask.greet(request, is_secret))
    }

    /// `now` is in milliseconds since the epoch.
    #[must_use]
    pub fn judge(&self, request: &Request<'_>, keys: &[Key], facts: &Facts<'_>, now: i64) -> Verdict {
        match self.try_judge(request, keys, facts, now) {
            Ok(None) => Verdict::Genuine,
            Ok(Some(handshake)) => Verdict::Handshake(handshake),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    fn try_judge(
        &self,
        request: &Request<'_>,
        keys: &[Key],
        facts: &Facts<'_>,
        now: i64,
    ) -> Result<Option<Handshake>, Refusal> {
        request.check_size()?;
        let live: Vec<&Key> = keys.iter().filter(|key| key.lifetime.holds(now)).collect();
        if let Some(greeting) = self.greeting(request, &live) {
            return greeting.map(Some);
        }
        if request.method != "POST" {
            return Err(Refusal::Method);
        }
        match self.prove(request, &live, facts, now) {
            Ok(Meaning::Notification) => {}
            Ok(Meaning::Confirm(url)) => return Ok(Some(Handshake::Confirm { url, reply: Reply::empty(200) })),
            Ok(Meaning::Ended) => return Ok(Some(Handshake::Ended(Reply::empty(200)))),
            Err(refusal) => return self.unproven(request, facts, !keys.is_empty(), refusal, now).map(Some),
        }
        self.policy.asks.iter().find_map(|ask| ask.instead(request)).transpose()
    }

    fn prove(&self, request: &Request<'_>, live: &[&Key], facts: &Facts<'_>, now: i64) -> Result<Meaning, Refusal> {
        match &self.policy.scheme {
            Scheme::Signature(signature) => {
                let proof = signature.verify(request, self.url(), live, now);
                match proof {
                    Err(Refusal::Differs { .. }) if live.is_empty() => Err(Refusal::NoKey),
                    proof => proof.map(|()| Meaning::Notification),
                }
            }
            Scheme::Secret(_) if live.is_empty() => Err(Refusal::NoKey),
            Scheme::Secret(secret) => secret.verify(request, facts, live).map(|()| Meaning::Notification),
            Scheme::Sns(_) if live.is_empty() => Err(Refusal::Certificate("there is none that is valid at this time")),
            Scheme::Sns(sns) => sns.verify(request, live, now),
        }
    }

    /// What proves nothing may still be a question, whose answer gives nothing away.
    fn unproven(
        &self,
        request: &Request<'_>,
        facts: &Facts<'_>,
        has_keys: bool,
        refusal: Refusal,
        now: i64,
    ) -> Result<Handshake, Refusal> {
        if let Some(candidate) = self.policy.asks.iter().find_map(|ask| ask.capture(request, facts, has_keys)) {
            return candidate;
        }
        if self.policy.asks.contains(&Ask::EmptyBatch) && self.is_empty_batch(request, now) {
            return Ok(Handshake::Answer(Reply::empty(200)));
        }
        Err(refusal)
    }

    fn is_empty_batch(&self, request: &Request<'_>, now: i64) -> bool {
        let Scheme::Signature(signature) = &self.policy.scheme else { return false };
        let mut fields = form::fields(request.body);
        let (Some((name, value)), None) = (fields.next(), fields.next()) else { return false };
        let test = Key { material: Material::Hmac(MANDRILL_TEST.into()), lifetime: Lifetime::default() };
        *name == *MANDRILL_FIELD
            && value.trim_ascii() == b"[]"
            && signature.verify(request, self.url(), &[&test], now).is_ok()
    }

    pub(crate) fn url(&self) -> &str {
        self.policy.url.as_deref().unwrap_or_default()
    }
}
