//! The sender's side: the headers that a sender with this key would send. For tests, and for owners who try
//! their webhook out.

use ring::hmac;

use crate::gate::Gate;
use crate::key::{Key, Material};
use crate::message::Parts;
use crate::policy::Scheme;
use crate::secret::{SharedSecret, TOKEN};
use crate::signature::{Algorithm, TimeSource, TimeUnit};

impl Gate {
    /// Headers that go with the body; for a secret in the address, its parameter and value. `None` where only
    /// the sender can sign (public keys, SNS).
    #[must_use]
    pub fn sign(&self, body: &[u8], secret: &str, id: &str, now: i64) -> Option<Vec<(String, String)>> {
        let signature = match &self.policy.scheme {
            Scheme::Signature(signature) => signature,
            Scheme::Secret(SharedSecret::Header { name, prefix }) => {
                return Some(vec![(name.clone(), format!("{prefix}{secret}"))]);
            }
            Scheme::Secret(SharedSecret::Parameter(name)) => return Some(vec![(name.clone(), secret.to_owned())]),
            Scheme::Secret(SharedSecret::Channel) => {
                let named = [(TOKEN, secret), ("x-goog-channel-id", id), ("x-goog-resource-id", id)];
                return Some(named.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
            }
            Scheme::Sns(_) => return None,
        };
        let Key { material: Material::Hmac(key), .. } = self.key(secret, Default::default()).ok()? else { return None };
        let (prefix, hmac) = signature
            .format
            .prefixes
            .iter()
            .find_map(|(prefix, algorithm): &(String, Algorithm)| {
                Some((prefix, algorithm.hmac()?)).filter(|(_, hmac)| *hmac != hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)
            })
            .or_else(|| {
                let (prefix, algorithm) = signature.format.prefixes.first()?;
                Some((prefix, algorithm.hmac()?))
            })?;
        let unit = signature.timestamp.as_ref().map(|timestamp| timestamp.unit);
        let time = match unit {
            Some(TimeUnit::Seconds) => now.div_euclid(1000).to_string(),
            Some(TimeUnit::Millis) => now.to_string(),
            Some(TimeUnit::Rfc3339) => jiff::Timestamp::from_millisecond(now).ok()?.to_string(),
            None => String::new(),
        };
        let parts = Parts { body, timestamp: &time, id, url: self.url() };
        let tag = signature.mac(hmac, &key, &parts);
        let mut value = format!("{prefix}{}", signature.encoding.encode(tag.as_ref()));
        let mut headers = Vec::new();
        match signature.timestamp.as_ref().map(|timestamp| &timestamp.from) {
            Some(TimeSource::Headers(names)) => headers.push((names.first()?.clone(), time)),
            Some(TimeSource::Entry) => {
                let (name, separator) = (signature.format.time.as_ref()?, signature.format.separator.unwrap_or(','));
                value = format!("{name}{time}{separator}{value}");
            }
            None => {}
        }
        if let Some(name) = signature.id.first() {
            headers.push((name.clone(), id.to_owned()));
        }
        headers.push((signature.headers.first()?.clone(), value));
        Some(headers)
    }
}
