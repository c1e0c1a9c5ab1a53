//! The known answers of ../shared/webhooks/vectors.json, where that is beside the clone.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use teal_gate::{
    Algorithm, Ask, Facts, Format, Gate, Handshake, Lifetime, Policy, Preset, Refused, Request, Scheme, SharedSecret,
    Template, TextEncoding, TimeSource, TimeUnit, Timestamp, Verdict, form,
};

/// 2026-11-25, for vectors that depend on no time.
const NOW: i64 = 1_795_564_800;

fn vectors() -> Option<Json> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/webhooks/vectors.json");
    let text = std::fs::read_to_string(file).ok();
    if text.is_none() {
        eprintln!("absent: ../shared/webhooks/vectors.json beside the clone; its known answers are not compared");
    }
    Some(serde_json::from_str(&text?).unwrap())
}

fn policy(vector: &Json) -> Policy {
    let text = |key: &str| vector[key].as_str().unwrap_or_default().to_owned();
    let mut policy = match vector["scheme"].as_str().unwrap() {
        "github-sha1" => {
            let mut policy = Preset::GitHub.policy();
            let Scheme::Signature(signature) = &mut policy.scheme else { panic!() };
            signature.headers = vec!["x-hub-signature".into()];
            signature.format.prefixes = vec![("sha1=".into(), Algorithm::HmacSha1)];
            policy
        }
        "google-channel" => Preset::GoogleCalendar.policy(),
        "shared-secret-header" => Policy {
            scheme: Scheme::Secret(SharedSecret::Header { name: text("secret_header"), prefix: text("secret_prefix") }),
            ..Preset::SharedSecret.policy()
        },
        "generic-hmac" => {
            let config = &vector["config"];
            let text = |key: &str| config[key].as_str().unwrap().to_owned();
            let algorithm = if text("algorithm") == "sha1" { Algorithm::HmacSha1 } else { Algorithm::HmacSha256 };
            let mut policy = Preset::Hmac.policy();
            let Scheme::Signature(signature) = &mut policy.scheme else { panic!() };
            signature.headers = vec![text("signature_header")];
            signature.format = Format { separator: None, prefixes: vec![(text("prefix"), algorithm)], time: None };
            assert_eq!((text("encoding").as_str(), signature.encoding), ("hex", TextEncoding::Hex));
            signature.message = Template::parse(&text("template")).unwrap();
            signature.timestamp = Some(Timestamp {
                from: TimeSource::Headers(vec![text("timestamp_header")]),
                unit: TimeUnit::Seconds,
                tolerance: 300_000,
            });
            policy
        }
        name => Preset::named(name).unwrap_or_else(|| panic!("{name}")).policy(),
    };
    for ask in &mut policy.asks {
        if let Ask::WebSub { topics } = ask {
            topics.push("https://www.youtube.com/feeds/videos.xml?channel_id=CHANNEL_ID".into());
        }
    }
    if let Scheme::Sns(sns) = &mut policy.scheme {
        sns.topics.push("arn:aws:sns:us-east-2:123456789012:s4-MySNSTopic-1G1WEFCOXTC0P".into());
        sns.tolerance = u64::MAX;
    }
    policy.url = vector["url"].as_str().map(str::to_owned);
    policy
}

fn headers(vector: &Json) -> Vec<(String, String)> {
    let headers = vector["headers"].as_object().unwrap();
    headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn every_vector_gets_the_verdict_that_it_states() {
    let Some(file) = vectors() else { return };
    let mut seen = 0;
    for vector in file["vectors"].as_array().unwrap() {
        let id = vector["id"].as_str().unwrap();
        let gate = Gate::compile(policy(vector)).unwrap();
        let body = STANDARD.decode(vector["body_b64"].as_str().unwrap()).unwrap();
        let headers = headers(vector);
        let query = vector["url"].as_str().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
        let request = Request { method: vector["method"].as_str().unwrap(), query, headers: &headers, body: &body };
        let expected = vector["expect"].as_str().unwrap();
        let key = match vector["cert"].as_str() {
            Some(name) => match gate.wanted_certificate(&request) {
                Ok(url) => {
                    assert!(url.is_some_and(|url| url.starts_with("https://sns.")), "{id}");
                    gate.certificate(file["certs"][name].as_str().unwrap()).unwrap()
                }
                Err(refusal) => {
                    assert_eq!((id, expected), ("sns-bad-cert-host", "invalid"), "{refusal}");
                    seen += 1;
                    continue;
                }
            },
            // The key that everybody knows is none; what is signed with it is a handshake.
            None if id == "mandrill-verify-post" => gate.key("the-owners-key", Lifetime::default()).unwrap(),
            None => gate.key(vector["secret"].as_str().unwrap(), Lifetime::default()).unwrap(),
        };
        let facts = Facts { awaiting: id == "notion-handshake", ..Facts::default() };
        let keys = if facts.awaiting { vec![] } else { vec![key] };
        let now = vector["now"].as_i64().unwrap_or(NOW) * 1000;
        let verdict = gate.judge(&request, &keys, &facts, now);
        let got = match &verdict {
            Verdict::Genuine => "valid",
            // Proven, and no delivery: a test of Mandrill's, and GitHub's ping.
            Verdict::Handshake(_) if ["mandrill-verify-post", "github-form"].contains(&id) => "valid",
            Verdict::Handshake(_) => "handshake",
            Verdict::Refused(_) => "invalid",
        };
        assert_eq!(got, expected, "{id}: {verdict:?}");
        if let (Some(text), Verdict::Handshake(handshake)) = (vector["respond_body"].as_str(), &verdict) {
            assert_eq!((handshake.reply().status, handshake.reply().text.as_str()), (200, text), "{id}");
        }
        if vector["respond"] == 204 {
            assert_eq!((gate.answers().refused, gate.answers().accepted), (Refused::Drop, 204), "{id}");
        }
        if let Some(parsed) = vector.get("parsed") {
            assert_eq!(&form::tree(&body), parsed, "{id}");
        }
        if let Verdict::Handshake(Handshake::Candidate { secret, .. }) = &verdict {
            assert_eq!(secret, vector["secret"].as_str().unwrap());
            let live = [gate.key("live", Lifetime::default()).unwrap()];
            assert!(matches!(gate.judge(&request, &live, &facts, now), Verdict::Refused(_)), "{id}");
        }
        seen += 1;
    }
    eprintln!("{seen} vectors");
    assert_eq!(seen, file["vectors"].as_array().unwrap().len());
}

#[test]
fn no_flipped_bit_of_what_sns_signs_is_accepted() {
    let Some(file) = vectors() else { return };
    let vector = file["vectors"].as_array().unwrap().iter().find(|vector| vector["id"] == "sns-v2").unwrap();
    let gate = Gate::compile(policy(vector)).unwrap();
    let keys = [gate.certificate(file["certs"]["sns"].as_str().unwrap()).unwrap()];
    let body = STANDARD.decode(vector["body_b64"].as_str().unwrap()).unwrap();
    let whole: Json = serde_json::from_slice(&body).unwrap();
    let end = body.windows(16).position(|at| at == b"\"SigningCertURL\"").unwrap();
    for bit in 0..end * 8 {
        let mut body = body.clone();
        body[bit / 8] ^= 1 << (bit % 8);
        let request = Request { method: "POST", query: "", headers: &headers(vector), body: &body };
        let verdict = gate.judge(&request, &keys, &Facts::default(), NOW * 1000);
        // White space between members is not signed.
        let same = serde_json::from_slice::<Json>(&body).is_ok_and(|json| json == whole);
        assert!(verdict != Verdict::Genuine || same, "bit {bit}");
    }
}
