//! The one thing that is wanted of a certificate: its RSA key, and when it is valid.
//!
//! Owns a reader of DER that knows just the way to those two. Owns no chain: whoever fetches a certificate does
//! so over HTTPS from an address of the sender's, and that connection's chain is what is trusted.
//!
//! Always holds: a length that leads outside of what encloses it is an error.

use base64::Engine as _;
use ring::signature::{self, UnparsedPublicKey};

use crate::key::BASE64;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
/// rsaEncryption, 1.2.840.113549.1.1.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// PKCS#1.
    key: Vec<u8>,
    /// Milliseconds since the epoch, both included.
    pub valid: (i64, i64),
}

impl Certificate {
    pub(crate) fn parse(pem: &str) -> Result<Self, &'static str> {
        let inside = pem
            .split_once("-----BEGIN CERTIFICATE-----")
            .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"))
            .ok_or("it is not PEM")?
            .0;
        let text: String = inside.split_ascii_whitespace().collect();
        let der = BASE64.decode(text).map_err(|_| "it is not base64")?;
        Self::read(&der).ok_or("it is not X.509 with an RSA key")
    }

    fn read(der: &[u8]) -> Option<Self> {
        let mut certificate = Der(Der(der).take(SEQUENCE)?);
        let mut inner = Der(certificate.take(SEQUENCE)?);
        if inner.0.first() == Some(&VERSION) {
            inner.take(VERSION)?;
        }
        inner.take(INTEGER)?;
        let (_algorithm, _issuer) = (inner.take(SEQUENCE)?, inner.take(SEQUENCE)?);
        let mut validity = Der(inner.take(SEQUENCE)?);
        let valid = (validity.time()?, validity.time()?);
        let _subject = inner.take(SEQUENCE)?;
        let mut info = Der(inner.take(SEQUENCE)?);
        if Der(info.take(SEQUENCE)?).take(OBJECT_ID)? != RSA {
            return None;
        }
        let (unused, key) = info.take(BIT_STRING)?.split_first()?;
        (*unused == 0).then(|| Self { key: key.to_vec(), valid })
    }

    /// PKCS#1 v1.5. Keys below 2048 bits verify nothing.
    pub(crate) fn verify(&self, sha256: bool, message: &[u8], given: &[u8]) -> bool {
        let algorithm = if sha256 {
            &signature::RSA_PKCS1_2048_8192_SHA256
        } else {
            &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY
        };
        UnparsedPublicKey::new(algorithm, &self.key).verify(message, given).is_ok()
    }
}

struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, value, rest) = self.next()?;
        self.0 = rest;
        (found == tag).then_some(value)
    }

    fn next(&self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            long @ 0x81..=0x83 => {
                let (length, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                (length.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        Some((*tag, value, rest))
    }

    fn time(&mut self) -> Option<i64> {
        let (tag, value, rest) = self.next()?;
        self.0 = rest;
        let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (year, rest) = match (tag, text.len()) {
            (UTC_TIME, 12) => {
                let year: i16 = text[..2].parse().ok()?;
                (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
            }
            (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
            _ => return None,
        };
        let part = |at: usize| rest[at..at + 2].parse::<i8>().ok();
        let time = jiff::civil::DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lead_outside_are_errors() {
        for der in [&[0x30][..], &[0x30, 0x05, 0x30], &[0x30, 0x84, 1, 0, 0, 0], &[0x30, 0x82, 0xff, 0xff, 0], &[]] {
            assert!(Certificate::read(der).is_none());
        }
        for pem in ["", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"] {
            assert!(Certificate::parse(pem).is_err());
        }
    }

    #[test]
    fn both_kinds_of_times_are_read() {
        assert_eq!(Der(b"\x17\x0d700101000000Z").time(), Some(0));
        assert_eq!(Der(b"\x18\x0f21200101000000Z").time(), Some(4_733_510_400_000));
        assert_eq!(Der(b"\x17\x0d701301000000Z").time(), None);
    }
}
