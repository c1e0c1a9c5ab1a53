//! Whatever comes to a webhook, the gate gives a verdict, tells no secret, and believes nothing that was not signed.
//!
//! An input is text: `preset METHOD query`, headers a line each, an empty line, the body. The keys are none that
//! an input could have been signed with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use teal_gate::{Ask, Facts, Gate, Handshake, Lifetime, Policy, Preset, Request, Scheme, Template, Verdict, form};

const NOW: i64 = 1_795_564_800_000;
/// `unguessable-unguessable-unguessab`, in base64 for those who write their keys so.
const SECRET: &str = "dW5ndWVzc2FibGUtdW5ndWVzc2FibGUtdW5ndWVzc2Fi";

fn policy(preset: Preset) -> Policy {
    let mut policy = preset.policy();
    policy.url = Some("https://hooks.example.com/a?b=1".into());
    for ask in &mut policy.asks {
        if let Ask::WebSub { topics } = ask {
            topics.push("https://feeds.example.com/a".into());
        }
    }
    match &mut policy.scheme {
        Scheme::Sns(sns) => sns.topics.push("arn:aws:sns:eu-west-1:123456789012:changes".into()),
        Scheme::Signature(signature) if preset == Preset::Hmac => {
            signature.headers = vec!["x-signature".into()];
            policy.asks = vec![Ask::Challenge, Ask::Capture(teal_gate::Capture::Header("x-hook-secret".into()))];
        }
        _ => {}
    }
    policy
}

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|at| at == b"\n\n").unwrap_or(input.len());
    let (head, body) = (&input[..end], input.get(end + 2..).unwrap_or_default());
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let preset = first.next().and_then(Preset::named).unwrap_or(Preset::Hmac);
    let (method, query) = (first.next().unwrap_or("POST"), first.next().unwrap_or_default());
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.into(), value.trim().into())).collect();
    let request = Request { method, query, headers: &headers, body };

    let _ = form::tree(body);
    let _ = Template::parse(&head);
    let gate = Gate::compile(policy(preset)).expect("the policies are right");
    let _ = gate.wanted_certificate(&request);
    let _ = gate.certificate(&String::from_utf8_lossy(body));
    let key = if gate.has_secret() { gate.key(SECRET, Lifetime::default()).ok() } else { None };
    let keys: Vec<_> = key.into_iter().collect();
    for awaiting in [false, true] {
        let facts = Facts { awaiting, channels: None };
        for keys in [&keys[..], &[]] {
            match gate.judge(&request, keys, &facts, NOW) {
                Verdict::Genuine => panic!("nobody signed this"),
                Verdict::Handshake(handshake) => {
                    let reply = handshake.reply();
                    assert!(reply.text.len() <= 512 && !reply.text.contains(['<', '>', '"', '\'', '\r', '\n']));
                    if let Handshake::Candidate { .. } = handshake {
                        assert!(awaiting && keys.is_empty(), "a candidate that nobody waits for");
                    }
                }
                Verdict::Refused(refusal) => assert!(!refusal.to_string().contains(SECRET)),
            }
        }
    }
    let told = format!("{:?}", gate.explain(&request, &keys, &Facts::default(), NOW));
    assert!(!told.contains(SECRET) || head.contains(SECRET) || body.windows(SECRET.len()).any(|at| at == SECRET.as_bytes()));

    // And what is signed, whatever it is, is believed.
    if let Some(signed) = gate.sign(body, SECRET, "msg_1", NOW) {
        let query = signed.first().map(|(name, value)| format!("{name}={value}")).unwrap_or_default();
        let request = Request { method: "POST", query: &query, headers: &signed, body };
        if let Verdict::Refused(refusal) = gate.judge(&request, &keys, &Facts::default(), NOW) {
            // A challenge that is no plain text is refused, signed or not.
            assert_eq!(refusal.code(), "challenge", "{refusal}");
        }
    }
});
