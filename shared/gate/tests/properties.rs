//! Whatever the key and the body: what was signed is accepted, and with one bit flipped it never is.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};
use teal_gate::{Channel, Facts, Gate, Lifetime, Preset, Request, Verdict};

const NOW: i64 = 1_795_564_800_000;
const ID: &str = "msg_1";
const URL: &str = "https://hooks.example.com/hooks/a?b=1";

const SIGNED: [Preset; 10] = [
    Preset::GitHub,
    Preset::Mandrill,
    Preset::Airtable,
    Preset::Notion,
    Preset::WebSub,
    Preset::Standard,
    Preset::Stripe,
    Preset::Shopify,
    Preset::Slack,
    Preset::Hmac,
];

fn gate(preset: Preset) -> Gate {
    let mut policy = preset.policy();
    policy.url = Some(URL.into());
    for ask in &mut policy.asks {
        if let teal_gate::Ask::WebSub { topics } = ask {
            topics.push("t".into());
        }
    }
    if let (Preset::Hmac, teal_gate::Scheme::Signature(signature)) = (preset, &mut policy.scheme) {
        signature.headers = vec!["x-signature".into()];
    }
    Gate::compile(policy).unwrap()
}

/// The key's bytes as this sender writes its secrets.
fn secret(preset: Preset, key: &[u8]) -> String {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(key);
    match preset {
        Preset::Standard => format!("whsec_{base64}"),
        _ => base64,
    }
}

/// A form for Mandrill, which signs nothing else; the bytes themselves for the others.
fn body(preset: Preset, bytes: &[u8]) -> Vec<u8> {
    match preset {
        Preset::Mandrill => {
            [b"mandrill_events=".to_vec(), bytes.iter().flat_map(|b| format!("%{b:02X}").into_bytes()).collect()]
                .concat()
        }
        _ => bytes.to_vec(),
    }
}

struct Sent {
    gate: Gate,
    keys: [teal_gate::Key; 1],
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Sent {
    fn new(preset: Preset, key: &[u8], bytes: &[u8]) -> Self {
        let (gate, secret, body) = (gate(preset), secret(preset, key), body(preset, bytes));
        let headers = gate.sign(&body, &secret, ID, NOW).unwrap();
        Self { keys: [gate.key(&secret, Lifetime::default()).unwrap()], gate, headers, body }
    }

    fn is_genuine(&self) -> bool {
        let request = Request { method: "POST", query: "", headers: &self.headers, body: &self.body };
        self.gate.judge(&request, &self.keys, &Facts::default(), NOW) == Verdict::Genuine
    }

    /// Flips a bit of the headers' values and the body, counted through.
    fn flip(&mut self, bit: usize) {
        let (mut at, mask) = (bit / 8, 1 << (bit % 8));
        for (_, value) in &mut self.headers {
            if at < value.len() {
                let mut bytes = std::mem::take(value).into_bytes();
                bytes[at] ^= mask;
                *value = String::from_utf8_lossy(&bytes).into_owned();
                return;
            }
            at -= value.len();
        }
        self.body[at] ^= mask;
    }

    fn bits(&self) -> usize {
        8 * (self.headers.iter().map(|(_, value)| value.len()).sum::<usize>() + self.body.len())
    }
}

/// Mandrill signs names and values, not their writing: `%2f` is `%2F`, and so is what can't be decoded.
fn means_the_same(preset: Preset, before: &[u8], after: &[u8]) -> bool {
    preset == Preset::Mandrill && {
        let joined = |form: &[u8]| -> Vec<u8> {
            teal_gate::form::fields(form).flat_map(|(name, value)| [name, value].concat()).collect()
        };
        joined(before) == joined(after)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_signed_is_accepted_and_one_flipped_bit_is_not(
        key in prop::collection::vec(any::<u8>(), 1..80),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        bits in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        for preset in SIGNED {
            let mut sent = Sent::new(preset, &key, &bytes);
            prop_assert!(sent.is_genuine(), "{preset:?}");
            let (headers, body) = (sent.headers.clone(), sent.body.clone());
            for bit in &bits {
                sent.flip(bit.index(sent.bits()));
                let same = means_the_same(preset, &body, &sent.body) && headers == sent.headers;
                prop_assert!(!sent.is_genuine() || same, "{preset:?}");
                (sent.headers, sent.body) = (headers.clone(), body.clone());
            }
        }
    }

    #[test]
    fn another_key_proves_nothing(a in prop::collection::vec(any::<u8>(), 1..64), b in prop::collection::vec(any::<u8>(), 1..64)) {
        // A key is filled up with zeros to the hash's block.
        let padded = |key: &[u8]| { let mut key = key.to_vec(); key.resize(64, 0); key };
        prop_assume!(padded(&a) != padded(&b));
        for preset in SIGNED {
            let mut sent = Sent::new(preset, &a, b"{}");
            sent.keys = [sent.gate.key(&secret(preset, &b), Lifetime::default()).unwrap()];
            prop_assert!(!sent.is_genuine());
        }
    }

    #[test]
    fn secrets_in_headers_and_addresses_are_compared_whole(key in "[a-zA-Z0-9]{1,40}", bit in any::<prop::sample::Index>()) {
        for preset in [Preset::SharedSecret, Preset::Apify, Preset::UrlSecret, Preset::Mailchimp, Preset::GoogleCalendar] {
            let gate = gate(preset);
            let keys = [gate.key(&key, Lifetime::default()).unwrap()];
            let channels = [Channel { id: ID.into(), resource: Some(ID.into()) }];
            let facts = Facts { channels: Some(&channels), ..Facts::default() };
            let sent = gate.sign(b"", &key, ID, NOW).unwrap();
            let is_genuine = |sent: &[(String, String)]| {
                let (query, headers) = match preset {
                    Preset::UrlSecret | Preset::Mailchimp => (format!("x=1&{}={}", sent[0].0, sent[0].1), &[][..]),
                    _ => (String::new(), sent),
                };
                let request = Request { method: "POST", query: &query, headers, body: b"any" };
                gate.judge(&request, &keys, &facts, NOW) == Verdict::Genuine
            };
            prop_assert!(is_genuine(&sent), "{preset:?}");
            for at in 0..sent.len() {
                let mut wrong = sent.clone();
                let bit = bit.index(wrong[at].1.len() * 7);
                let mut bytes = wrong[at].1.clone().into_bytes();
                bytes[bit / 7] ^= 1 << (bit % 7);
                wrong[at].1 = String::from_utf8(bytes).unwrap();
                prop_assert!(!is_genuine(&wrong), "{preset:?} {wrong:?}");
            }
        }
    }

    #[test]
    fn ed25519_is_accepted_and_one_flipped_bit_is_not(
        seed in any::<[u8; 32]>(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        bits in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let gate = gate(Preset::Standard);
        let time = (NOW / 1000).to_string();
        let signature = pair.sign(&[format!("{ID}.{time}.").as_bytes(), &bytes].concat());
        let headers = [("id", ID.to_owned()), ("timestamp", time), ("signature", format!("v1a,{}", base64.encode(signature)))];
        let headers = headers.map(|(name, value)| (format!("svix-{name}"), value)).to_vec();
        let key = gate.key(&format!("whpk_{}", base64.encode(pair.public_key())), Lifetime::default()).unwrap();
        let mut sent = Sent { gate, keys: [key], headers, body: bytes };
        prop_assert!(sent.is_genuine());
        let (headers, body) = (sent.headers.clone(), sent.body.clone());
        for bit in bits {
            sent.flip(bit.index(sent.bits()));
            prop_assert!(!sent.is_genuine());
            (sent.headers, sent.body) = (headers.clone(), body.clone());
        }
    }
}

#[test]
fn ten_megabytes_and_nothing_at_all_are_bodies_too() {
    let large: Vec<u8> = (0..10 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for preset in SIGNED.into_iter().filter(|preset| *preset != Preset::Mandrill) {
        for bytes in [&large[..], b""] {
            let mut sent = Sent::new(preset, b"a key", bytes);
            assert!(sent.is_genuine(), "{preset:?}");
            let (first, last) = (sent.bits() - 8 * bytes.len(), sent.bits() - 1);
            for bit in [0, first.min(last), first + 8 * bytes.len() / 2, last] {
                if bit > last {
                    continue;
                }
                let (headers, byte) = (sent.headers.clone(), sent.body.get((bit.saturating_sub(first)) / 8).copied());
                sent.flip(bit);
                assert!(!sent.is_genuine(), "{preset:?} bit {bit}");
                sent.headers = headers;
                if let (Some(byte), true) = (byte, bit >= first) {
                    sent.body[(bit - first) / 8] = byte;
                }
            }
        }
    }
}
