//! What an owner is told about a refused request: the bytes, the first wrong step, the likely mistake, and no secret.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use teal_gate::{Explanation, Facts, Gate, Lifetime, Preset, Request};

const NOW: i64 = 1_795_564_800_000;
const SECRET: &str = "s3cret-of-the-owner";

fn gate(preset: Preset, url: &str) -> Gate {
    let mut policy = preset.policy();
    policy.url = Some(url.to_owned()).filter(|url| !url.is_empty());
    Gate::compile(policy).unwrap()
}

/// The sender signs one thing, and another one arrives.
fn explain(sender: &Gate, signed: &[u8], receiver: &Gate, arrived: &[u8], secret: &str, at: i64) -> Explanation {
    let headers = sender.sign(signed, SECRET, "msg_1", NOW).unwrap();
    let keys = [receiver.key(secret, Lifetime::default()).unwrap()];
    let request = Request { method: "POST", query: "", headers: &headers, body: arrived };
    let told = receiver.explain(&request, &keys, &Facts::default(), at);
    assert!(!format!("{told:?}").contains(secret), "{told:?}");
    told
}

fn first_wrong(told: &Explanation) -> &str {
    told.steps.iter().find(|step| !step.good).map_or("", |step| &step.what)
}

#[test]
fn the_bytes_that_were_signed_are_shown_by_length_hash_and_beginning() {
    let stripe = gate(Preset::Stripe, "");
    let told = explain(&stripe, b"{}", &stripe, b"{\"a\": \"\xc3\xa9\"}", SECRET, NOW);
    let signed = told.signed.as_ref().unwrap();
    assert_eq!(signed.begins, "1795564800.{\\\"a\\\": \\\"\\xc3\\xa9\\\"}");
    let lengths: Vec<usize> = signed.pieces.iter().map(|(_, length)| *length).collect();
    assert_eq!((lengths, signed.length), (vec![10, 1, 11], 22));
    assert_eq!(first_wrong(&told), "the signature is what a key gives over these bytes");
    assert!(told.hints[0].starts_with("no common mistake"), "{:?}", told.hints);
}

#[test]
fn the_usual_mistakes_are_found_by_trying_them() {
    let github = gate(Preset::GitHub, "");
    let at = |signed: &[u8], arrived: &[u8]| explain(&github, signed, &github, arrived, SECRET, NOW).hints.join("; ");
    assert!(at(b"{}", b"{}\n").contains("without the body's last newline"));
    assert!(at(b"{}\n", b"{}").contains("took it off"));
    assert!(at(b"{\"a\":1}", b"{\"a\": 1}").contains("parsed it"));
    let given = gate(Preset::Mandrill, "https://teal.example.com/hooks/m/");
    let ours = gate(Preset::Mandrill, "https://teal.example.com/hooks/m");
    let told = explain(&given, b"mandrill_events=1", &ours, b"mandrill_events=1", SECRET, NOW);
    assert!(told.hints[0].contains("https://teal.example.com/hooks/m/"), "{:?}", told.hints);
}

#[test]
fn time_headers_and_keys_are_steps_of_their_own() {
    let slack = gate(Preset::Slack, "");
    let told = explain(&slack, b"{}", &slack, b"{}", SECRET, NOW + 712_000);
    assert!(first_wrong(&told).contains("412000 ms too long ago"), "{told:?}");
    let told = explain(&gate(Preset::GitHub, ""), b"{}", &slack, b"{}", SECRET, NOW);
    assert!(first_wrong(&told).contains("x-slack-signature is missing"), "{told:?}");
    let told = explain(&slack, b"{}", &slack, b"{}", SECRET, NOW);
    assert_eq!((first_wrong(&told), told.hints.len()), ("", 0));
}
