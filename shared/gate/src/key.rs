//! Keys: secrets as their scheme writes them, each with a lifetime, so that several can be valid while they
//! are changed for one another.
//!
//! Always holds: no key is empty, none is one that everybody knows, and none can be printed.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq;

use crate::certificate::Certificate;

/// Milliseconds since the epoch, both ends included. `None`: open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
}

impl Lifetime {
    #[must_use]
    pub fn holds(&self, now: i64) -> bool {
        self.not_before.is_none_or(|at| at <= now) && self.not_after.is_none_or(|at| now <= at)
    }
}

/// How a scheme writes its secret. Never told by the secret itself: Stripe's `whsec_…` is taken whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    Base64,
    Hex,
    /// Standard Webhooks: base64 after `whsec_` for HMAC, after `whpk_` for ed25519.
    Standard,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the secret is empty")]
    Empty,
    #[error("the secret is not {0}")]
    Encoding(&'static str),
    #[error("the secret is a signing key ('whsk_'), which belongs to the sender; the public one begins with 'whpk_'")]
    Private,
    #[error("the public key has {0} bytes, and ed25519 has 32")]
    Length(usize),
    #[error("everybody knows this key: the sender signs its tests with it")]
    WellKnown,
    #[error("the certificate can't be used: {0}")]
    Certificate(&'static str),
}

pub struct Key {
    pub(crate) material: Material,
    pub lifetime: Lifetime,
}

pub(crate) enum Material {
    Hmac(Vec<u8>),
    Ed25519(Vec<u8>),
    Compare(Compare),
    Certificate(Certificate),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Key").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// Compares with a secret without keeping it. Of hashes, so that lengths make no difference.
pub(crate) struct Compare([u8; SHA256_OUTPUT_LEN]);

impl Compare {
    pub(crate) fn new(secret: &str) -> Self {
        Self(sha256(secret))
    }

    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.ct_eq(&sha256(given)).into()
    }
}

fn sha256(text: &str) -> [u8; SHA256_OUTPUT_LEN] {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

/// Padding is neither asked for nor refused.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
pub(crate) const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false),
);

/// In lower case or in upper case; a mixture is nobody's, and would make two texts of one signature.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    if has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(b"0123456789abcdef"[nibble as usize]))
        .collect()
}

impl Encoding {
    /// The key's bytes, and whether they are a public one.
    pub(crate) fn decode(self, secret: &str, public: bool) -> Result<Material, KeyError> {
        let base64 = |text: &str| BASE64.decode(text).map_err(|_| KeyError::Encoding("base64"));
        let (bytes, public) = match self {
            Self::Utf8 => (secret.as_bytes().to_vec(), public),
            Self::Base64 => (base64(secret)?, public),
            Self::Hex => (hex(secret).ok_or(KeyError::Encoding("hexadecimal"))?, public),
            Self::Standard if secret.starts_with("whsk_") => return Err(KeyError::Private),
            Self::Standard => match secret.strip_prefix("whpk_") {
                Some(public) => (base64(public)?, true),
                None => (base64(secret.strip_prefix("whsec_").unwrap_or(secret))?, false),
            },
        };
        match (bytes.len(), public) {
            (0, _) => Err(KeyError::Empty),
            (32, true) => Ok(Material::Ed25519(bytes)),
            (length, true) => Err(KeyError::Length(length)),
            (_, false) => Ok(Material::Hmac(bytes)),
        }
    }
}
