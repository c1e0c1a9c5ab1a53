//! The gate at work in its stage: each sender's answers, its questions, and what nobody gets out of them.

use serde_json::json;
use teal_gate::{Ask, Gate, Policy, Preset, Scheme, Template};

use super::tests::{NOW, World, verify, world_with};
use super::*;
use crate::config::Verify;
use crate::pipeline::fakes::ready;
use crate::ports::fault::FaultKind;

const TOPIC: &str = "https://feeds.example.com/a";
const ARN: &str = "arn:aws:sns:eu-west-1:123456789012:changes";
const CERTIFICATE: &str = "https://sns.eu-west-1.amazonaws.com/a.pem";

fn policy(preset: Preset) -> Policy {
    let mut policy = preset.policy();
    policy.url = Some("https://hooks.example.com/hooks/in?b=1".into());
    for ask in &mut policy.asks {
        if let Ask::WebSub { topics } = ask {
            topics.push(TOPIC.into());
        }
    }
    match &mut policy.scheme {
        Scheme::Sns(sns) => sns.topics.push(ARN.into()),
        Scheme::Signature(signature) if preset == Preset::Hmac => signature.headers = vec!["x-signature".into()],
        Scheme::Signature(_) | Scheme::Secret(_) => {}
    }
    policy
}

fn world_of(policy: Policy) -> World {
    world_with(|hook| {
        let sns = matches!(policy.scheme, Scheme::Sns(_));
        hook.verify = verify(policy, if sns { &[] } else { &["key"] });
        hook.max_body = 4096;
    })
}

fn of(preset: Preset) -> World {
    world_of(policy(preset))
}

fn gate(world: &World) -> &Gate {
    &hook(world).gate
}

fn hook(world: &World) -> &Verify {
    &world.system.sources[&"blue".into()].webhook.as_ref().unwrap().verify
}

/// The secret that the fakes know as `hook-key`.
const SECRET: &str = "s3cret";

fn post(headers: Vec<(String, String)>, body: &str) -> HookRequest {
    HookRequest::post("in/blue", headers, body.to_owned())
}

fn signed(world: &World, body: &str) -> HookRequest {
    signed_with(world, body, SECRET)
}

fn signed_with(world: &World, body: &str, secret: &str) -> HookRequest {
    let proof = gate(world).sign(body.as_bytes(), secret, "msg_1", NOW).unwrap();
    match gate(world).secret_places() {
        (None, Some(_)) => HookRequest { query: format!("{}={}", proof[0].0, proof[0].1), ..post(vec![], body) },
        _ => post(proof, body),
    }
}

fn get(query: &str) -> HookRequest {
    HookRequest { method: "GET".into(), query: query.into(), ..post(vec![], "") }
}

fn text(answer: &ApiResponse) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

/// Every sender whose deliveries a test can sign.
const SIGNERS: [(Preset, u16, u16); 13] = [
    (Preset::GitHub, 202, 401),
    (Preset::Mailchimp, 200, 401),
    (Preset::Mandrill, 200, 401),
    (Preset::Airtable, 204, 401),
    (Preset::Notion, 200, 401),
    (Preset::GoogleCalendar, 200, 403),
    (Preset::WebSub, 204, 204),
    (Preset::Apify, 200, 401),
    (Preset::Standard, 200, 401),
    (Preset::Stripe, 200, 400),
    (Preset::Shopify, 200, 401),
    (Preset::Slack, 200, 401),
    (Preset::Hmac, 202, 401),
];

/// Airtable's and Standard Webhooks' secrets are base64.
fn secret_of(preset: Preset) -> &'static str {
    if matches!(preset, Preset::Airtable | Preset::Standard) { "c2VjcmV0" } else { SECRET }
}

fn keyed(preset: Preset) -> World {
    let world = of(preset);
    world.secrets.set("key", secret_of(preset));
    world
}

#[test]
fn each_sender_gets_the_answers_that_it_asks_for() {
    for (preset, accepted, refused) in SIGNERS {
        let world = keyed(preset);
        let answer = world.receive(signed_with(&world, "a=1", secret_of(preset)));
        assert_eq!((answer.status, answer.body.is_empty()), (accepted, accepted != 202), "{preset:?}");
        assert_eq!(world.raws().len(), 1, "{preset:?}");

        let world = keyed(preset);
        let wrong = world.receive(signed_with(&world, "a=1", "b3RoZXI="));
        assert_eq!(wrong.status, refused, "{preset:?}");
        assert!(world.nothing_happened(), "{preset:?}");
        let none = world.receive(post(vec![], "a=1"));
        assert_eq!(none, wrong, "{preset:?}: every reason has one answer");
    }
}

#[test]
fn whoever_is_dropped_in_silence_sees_what_the_others_see() {
    let world = keyed(Preset::WebSub);
    let good = world.receive(signed(&world, "<feed/>"));
    let bad = world.receive(signed_with(&world, "<feed/>", "wrong"));
    assert_eq!((good.status, &good), (204, &bad));
    assert_eq!((world.raws().len(), world.quarantined().len()), (1, 1));
}

#[test]
fn storage_that_is_down_is_503_for_every_sender() {
    for (preset, ..) in SIGNERS {
        let world = keyed(preset);
        world.blobs.down.fail(FaultKind::Transient);
        let answer = world.receive(signed_with(&world, "a=1", secret_of(preset)));
        assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{preset:?}");
    }
}

#[test]
fn questions_are_answered_while_everything_else_is_down() {
    for preset in [Preset::Mailchimp, Preset::Mandrill, Preset::WebSub] {
        let world = keyed(preset);
        world.secrets.down.fail(FaultKind::Transient);
        world.blobs.down.fail(FaultKind::Transient);
        world.ledger.down.fail(FaultKind::Transient);
        let query = format!("hub.mode=subscribe&hub.topic={TOPIC}&hub.challenge=123");
        assert_eq!(world.receive(get(&query)).status, 200, "{preset:?}");
        assert!(world.nothing_happened());
    }
    let world = keyed(Preset::Mandrill);
    assert_eq!(world.receive(HookRequest { method: "HEAD".into(), ..get("") }).status, 200);
}

#[test]
fn who_takes_no_questions_says_so_and_nothing_else() {
    let world = keyed(Preset::GitHub);
    let answer = world.receive(get("hub.challenge=1"));
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(world.receive(HookRequest { method: "DELETE".into(), ..get("") }).status, 405);
}

#[test]
fn a_hub_gets_its_challenge_back_as_plain_text_and_only_for_a_topic_of_ours() {
    let world = keyed(Preset::WebSub);
    let query = |mode: &str, topic: &str, challenge: &str| {
        get(&format!("hub.mode={mode}&hub.topic={topic}&hub.challenge={challenge}&hub.lease_seconds=432000"))
    };
    let answer = world.receive(query("subscribe", TOPIC, "9123456789"));
    assert_eq!((answer.status, text(&answer)), (200, "9123456789"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));

    let long = "1".repeat(513);
    for (mode, topic, challenge) in [
        ("subscribe", "https://evil.example.com/b", "1"),
        ("unsubscribe", TOPIC, "1"),
        ("", TOPIC, "1"),
        ("subscribe", TOPIC, "<script>alert(1)</script>"),
        ("subscribe", TOPIC, "%3Cimg%20src%3Dx%3E"),
        ("subscribe", TOPIC, "a%0d%0aset-cookie:%20a=b"),
        ("subscribe", TOPIC, "a%22onload=b"),
        ("subscribe", TOPIC, "%C3%A9"),
        ("subscribe", TOPIC, ""),
        ("subscribe", TOPIC, &long),
        ("subscribe", TOPIC, "1&hub.challenge=2"),
    ] {
        let answer = world.receive(query(mode, topic, challenge));
        assert_eq!(answer.status, 404, "{mode} {topic} {challenge}");
        assert!(!text(&answer).contains("script") && answer.header("set-cookie").is_none());
    }
    assert_eq!(world.receive(query("denied", TOPIC, "1")).status, 200);
    assert!(world.nothing_happened());
}

#[test]
fn an_echo_that_asks_for_the_secret_gives_it_to_nobody_else() {
    let mut policy = policy(Preset::Hmac);
    policy.asks = vec![Ask::Echo { challenge: "hub.challenge".into(), token: Some("hub.verify_token".into()) }];
    let world = world_of(policy);
    world.secrets.set("key", SECRET);
    let ask = |token: &str| world.receive(get(&format!("hub.challenge=42&hub.verify_token={token}")));
    assert_eq!((ask(SECRET).status, text(&ask(SECRET))), (200, "42"));
    for wrong in ["", "S3cret", "s3cret%20", "s3cre"] {
        assert_eq!(ask(wrong).status, 404);
    }
}

#[test]
fn slacks_challenge_is_answered_when_it_is_signed_and_is_no_markup() {
    let world = keyed(Preset::Slack);
    let ask = |challenge: &str| json!({"type": "url_verification", "challenge": challenge}).to_string();
    let answer = world.receive(signed(&world, &ask("3eZbrw1a")));
    assert_eq!((answer.status, text(&answer)), (200, "3eZbrw1a"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(world.receive(signed_with(&world, &ask("3eZbrw1a"), "wrong")).status, 401);
    assert_eq!(world.receive(post(vec![], &ask("3eZbrw1a"))).status, 401);
    assert_eq!(world.receive(signed(&world, &ask("<b>hi</b>"))).status, 401);
    assert!(world.nothing_happened());
}

#[test]
fn pings_and_tests_are_thanked_and_not_routed() {
    let world = keyed(Preset::GitHub);
    let mut ping = signed(&world, "{\"zen\": \"\"}");
    ping.headers.push(("X-GitHub-Event".into(), "ping".into()));
    assert_eq!(world.receive(ping).status, 200);
    let unsigned = post(vec![("x-github-event".into(), "ping".into())], "{}");
    assert_eq!(world.receive(unsigned).status, 401);

    let world = keyed(Preset::GoogleCalendar);
    let mut sync = signed(&world, "");
    sync.headers.push(("x-goog-resource-state".into(), "sync".into()));
    assert_eq!(world.receive(sync).status, 200);
    assert!(world.nothing_happened());
}

#[test]
fn mandrills_test_key_opens_for_an_empty_batch_and_for_nothing_else() {
    let world = keyed(Preset::Mandrill);
    // The owner's gate makes no key of it, so the sender's side is played by one without that question.
    let test = Gate::compile(Policy { asks: Vec::new(), ..policy(Preset::Mandrill) }).unwrap();
    let batch = |form: &str| post(test.sign(form.as_bytes(), "test-webhook", "", NOW).unwrap(), form);
    assert_eq!(world.receive(batch("mandrill_events=%5B%5D")).status, 200);
    for form in [
        "mandrill_events=%5B%7B%7D%5D",
        "mandrill_events=%5B%5D&mandrill_events=%5B%7B%7D%5D",
        "mandrill_events=%5B%5D&a=b",
        "other=%5B%5D",
        "",
    ] {
        assert_eq!(world.receive(batch(form)).status, 401, "{form}");
    }
    assert!(world.nothing_happened());
    world.secrets.set("key", "test-webhook");
    assert_eq!(world.receive(batch("mandrill_events=%5B%7B%7D%5D")).status, 503, "it is no key");
}

fn proposal(secret: &str) -> HookRequest {
    post(vec![], &json!({ "verification_token": secret }).to_string())
}

fn take(world: &World) -> candidate::Found {
    ready(candidate::take(world.ledger.as_ref(), &SourceId::new("blue"), world.clock.now())).unwrap()
}

fn wait(world: &World) {
    ready(candidate::wait(world.ledger.as_ref(), &SourceId::new("blue"), world.clock.now())).unwrap();
}

#[test]
fn a_proposed_secret_is_a_candidate_only_while_its_owner_waits_and_the_first_one_stays() {
    let world = of(Preset::Notion);
    assert_eq!(world.receive(proposal("secret_a")).status, 401, "nobody waits");
    wait(&world);
    assert!(matches!(take(&world), candidate::Found::Awaiting { .. }));
    assert_eq!(world.receive(proposal("secret_a")).status, 200);
    assert_eq!(world.receive(proposal("secret_evil")).status, 401, "the first one stays");
    let candidate::Found::Candidate(secret) = take(&world) else { panic!("a candidate") };
    assert_eq!(secret.expose(), "secret_a");
    assert!(matches!(take(&world), candidate::Found::Nothing), "it is shown once");
    assert_eq!(world.receive(proposal("secret_evil")).status, 401, "nobody waits any more");
    assert!(world.nothing_happened());
}

#[test]
fn a_candidate_proves_nothing_until_its_owner_has_made_it_the_secret() {
    let world = of(Preset::Notion);
    wait(&world);
    assert_eq!(world.receive(proposal("secret_a")).status, 200);
    let event = || signed_with(&world, "{\"id\": 1}", "secret_a");
    assert_eq!(world.receive(event()).status, 401);
    world.secrets.set("key", "secret_a");
    assert_eq!(world.receive(event()).status, 200);
}

#[test]
fn no_proposal_replaces_a_live_key_even_if_one_is_awaited() {
    let world = keyed(Preset::Notion);
    wait(&world);
    assert_eq!(world.receive(proposal("secret_evil")).status, 401);
    assert!(matches!(take(&world), candidate::Found::Awaiting { .. }));
    world.secrets.down.fail(FaultKind::Transient);
    assert_eq!(world.receive(proposal("secret_evil")).status, 503, "a key that can't be looked up is no missing one");
}

#[test]
fn what_is_no_secret_is_no_candidate() {
    let world = of(Preset::Notion);
    wait(&world);
    let long = "x".repeat(600);
    for secret in ["", "a b", "<script>", "é", "a\nb", long.as_str()] {
        assert_eq!(world.receive(proposal(secret)).status, 401, "{secret}");
    }
    for body in ["{\"verification_token\": 7}", "{\"verification_token\": \"a\", \"x\": 1}", "[]", "verification_token"]
    {
        assert_eq!(world.receive(post(vec![], body)).status, 401, "{body}");
    }
    assert!(matches!(take(&world), candidate::Found::Awaiting { .. }));
    world.clock.0.store(NOW + 3_600_001, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.receive(proposal("late")).status, 401, "an hour is long enough");
}

#[test]
fn a_proposal_in_a_header_is_echoed_only_while_it_is_awaited() {
    let mut policy = policy(Preset::Hmac);
    policy.asks = vec![Ask::Capture(teal_gate::Capture::Header("x-hook-secret".into()))];
    let world = world_of(policy);
    let propose = |secret: &str| world.receive(post(vec![("X-Hook-Secret".into(), secret.into())], ""));
    let answer = propose("abc");
    assert_eq!((answer.status, answer.header("x-hook-secret")), (401, None));
    wait(&world);
    let answer = propose("abc");
    assert_eq!((answer.status, answer.header("x-hook-secret")), (200, Some("abc")));
    assert_eq!(propose("def").status, 401);
}

fn message(kind: &str, topic: &str, certificate: &str, subscribe: &str) -> HookRequest {
    let body = json!({
        "Type": kind, "MessageId": "1", "TopicArn": topic, "Message": "m", "Timestamp": "2023-11-14T22:13:20.000Z",
        "SignatureVersion": "2", "Signature": "AAAA", "SigningCertURL": certificate, "SubscribeURL": subscribe,
        "Token": "t",
    });
    post(vec![], &body.to_string())
}

#[test]
fn messages_of_sns_make_nobody_ask_an_address_that_is_not_amazons_or_for_a_topic_that_is_not_ours() {
    let world = of(Preset::Sns);
    let confirm = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription";
    for (topic, certificate, subscribe) in [
        ("arn:aws:sns:eu-west-1:999999999999:theirs", CERTIFICATE, confirm),
        (ARN, "https://evil.example.com/a.pem", confirm),
        (ARN, "http://169.254.169.254/latest/meta-data", confirm),
        (ARN, "https://sns.eu-west-1.amazonaws.com@10.0.0.1/a.pem", confirm),
        (ARN, CERTIFICATE, "http://localhost:8080/admin/sync"),
        (ARN, CERTIFICATE, "https://[::1]/"),
    ] {
        let answer = world.receive(message("SubscriptionConfirmation", topic, certificate, subscribe));
        assert_eq!(answer.status, 403, "{topic} {certificate} {subscribe}");
    }
    assert_eq!(world.upstream.asked.lock().unwrap().len(), 0);
    // One that is right so far is asked for, and what it signs nothing with confirms nothing.
    world.upstream.known.lock().unwrap().insert(CERTIFICATE.into(), "no certificate".into());
    assert_eq!(world.receive(message("SubscriptionConfirmation", ARN, CERTIFICATE, confirm)).status, 403);
    assert_eq!(*world.upstream.asked.lock().unwrap(), [CERTIFICATE]);
    world.upstream.down.fail(FaultKind::Transient);
    assert_eq!(world.receive(message("Notification", ARN, CERTIFICATE, confirm)).status, 503, "it comes again");
    assert!(world.nothing_happened());
}

#[test]
fn what_is_refused_is_in_quarantine_with_its_reason_and_without_its_secret() {
    let world = keyed(Preset::UrlSecret);
    let sent = HookRequest { query: "a=1&secret=hunter2&b=%20".into(), ..post(vec![], "{\"x\": 1}") };
    assert_eq!(world.receive(sent).status, 401);
    let kept = world.quarantined();
    assert_eq!((kept[0].query.as_str(), kept[0].code.as_str()), ("a=1&secret=[masked]&b=%20", "differs"));
    assert_eq!(kept[0].whole().unwrap(), b"{\"x\": 1}");

    let world = keyed(Preset::Apify);
    let headers = vec![("Authorization".into(), "Bearer hunter2".into()), ("Cookie".into(), "hunter2".into())];
    assert_eq!(world.receive(post(headers, "{}")).status, 401);
    let stored = world.blobs.stored.lock().unwrap().values().next().unwrap().clone();
    assert!(!String::from_utf8_lossy(&stored).contains("hunter2"));
}

#[test]
fn the_quarantine_takes_no_more_than_its_quota_and_of_a_large_body_the_beginning() {
    let world = world_with(|hook| {
        hook.verify = verify(policy(Preset::GitHub), &["hook-key"]);
        hook.max_body = 1 << 20;
    });
    for _ in 0..500 {
        let nth = world.webhook.entropy.next();
        assert_eq!(world.receive(post(vec![], &format!("{nth}"))).status, 401);
    }
    assert_eq!(world.quarantined().len(), 20);
    world.clock.0.store(NOW + 30_000, std::sync::atomic::Ordering::Relaxed);
    world.receive(post(vec![], &"x".repeat(1 << 20)));
    let large = world.quarantined().into_iter().find(|kept| kept.length == 1 << 20).unwrap();
    assert!(large.whole().is_none() && large.body.len() < 100_000);
}

#[test]
fn a_limit_answers_429_with_when_to_come_again_and_keeps_no_other_source_waiting() {
    let world = world_with(|hook| hook.per_second = Some(2.0));
    let statuses: Vec<u16> = (0..5).map(|_| world.receive(post(vec![], "{}")).status).collect();
    assert_eq!(statuses, [401, 401, 429, 429, 429]);
    assert_eq!(world.receive(post(vec![], "{}")).header("retry-after"), Some("1"));
    assert_eq!(world.receive(HookRequest { path: "other".into(), ..post(vec![], "") }).status, 404);

    let mut world = world_with(|_| {});
    world.system.hooks_per_second = Some(1.0);
    assert_eq!(world.receive(HookRequest { path: "other".into(), ..post(vec![], "") }).status, 404);
    assert_eq!(world.receive(post(vec![], "{}")).status, 429);
}

#[test]
fn keys_are_changed_for_one_another_within_their_lifetimes() {
    let world = world_with(|hook| {
        hook.verify = verify(policy(Preset::GitHub), &["old", "new"]);
        hook.verify.keys[0].lifetime.not_after = Some(NOW + 1000);
        hook.verify.keys[1].lifetime.not_before = Some(NOW - 1000);
    });
    world.secrets.set("old", "old-secret");
    world.secrets.set("new", "new-secret");
    let at = |now: i64| {
        world.clock.0.store(now, std::sync::atomic::Ordering::Relaxed);
        ["old-secret", "new-secret"].map(|secret| world.receive(signed_with(&world, "{}", secret)).status)
    };
    assert_eq!(at(NOW - 1001), [202, 401]);
    assert_eq!(at(NOW), [202, 202]);
    assert_eq!(at(NOW + 1000), [202, 202]);
    assert_eq!(at(NOW + 1001), [401, 202]);
}

#[test]
fn a_time_that_is_signed_is_looked_at_and_one_that_comes_twice_is_none() {
    let world = keyed(Preset::Slack);
    let sent = || signed(&world, "{}");
    let at = |now: i64| {
        world.clock.0.store(now, std::sync::atomic::Ordering::Relaxed);
        world.receive(sent()).status
    };
    assert_eq!([NOW - 300_000, NOW + 300_999, NOW - 301_000, NOW + 301_000].map(at), [200, 200, 401, 401]);
    world.clock.0.store(NOW, std::sync::atomic::Ordering::Relaxed);
    for header in ["x-slack-request-timestamp", "X-Slack-Signature"] {
        let mut twice = sent();
        let (_, value) = twice.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(header)).unwrap().clone();
        twice.headers.push((header.into(), value));
        assert_eq!(world.receive(twice).status, 401, "{header}");
    }
    let mut large = sent();
    large.headers.push(("x-padding".into(), "x".repeat(40_000)));
    assert_eq!(world.receive(large).status, 401);
}

#[test]
fn a_template_with_the_address_takes_the_one_that_the_sender_was_given() {
    let mut policy = policy(Preset::Hmac);
    let Scheme::Signature(signature) = &mut policy.scheme else { panic!() };
    signature.message = Template::parse("{url}|{body}").unwrap();
    let world = world_of(policy);
    world.secrets.set("key", SECRET);
    let mut sent = signed(&world, "{}");
    sent.headers.push(("host".into(), "evil.example.com".into()));
    assert_eq!(world.receive(sent).status, 202);
}

fn lease() -> crate::config::after::Lease {
    let (life, cover) = (Duration::from_secs(432_000), Duration::from_secs(900));
    crate::config::after::Lease {
        create: None,
        refresh: None,
        stop: None,
        read: None,
        confirm: true,
        with: json!({ "topic": TOPIC }),
        secrets: Default::default(),
        address: String::new(),
        life,
        cover,
    }
}

fn leased(preset: Preset, known: &channels::Channels) -> World {
    let world = world_with(|hook| {
        hook.verify = verify(policy(preset), &["hook-key"]);
        hook.verify.preset = preset;
        hook.after.lease = Some(lease());
    });
    world.ledger.put(crate::pipeline::ledger::channels_key(&SourceId::new("blue")), known);
    world
}

fn channel(id: &str, resource: serde_json::Value) -> channels::Channel {
    channels::Channel { id: id.into(), resource, since: Millis(NOW), until: Millis(NOW + 1) }
}

#[test]
fn a_hub_that_asks_about_what_teal_did_not_ask_for_gets_no_challenge_back() {
    let ask = || get(&format!("hub.mode=subscribe&hub.topic={TOPIC}&hub.challenge=77&hub.lease_seconds=60"));
    let world = leased(Preset::WebSub, &channels::Channels::default());
    assert_eq!(world.receive(ask()).status, 404);
    let pending = Some(channel("a", json!(null)));
    let world = leased(Preset::WebSub, &channels::Channels { pending, ..Default::default() });
    assert_eq!((world.receive(ask()).status, world.receive(ask()).status), (200, 200), "an answer may get lost");
    let known = ready(channels::read(world.ledger.as_ref(), &SourceId::new("blue"))).unwrap();
    assert_eq!(known.live.unwrap().until, Millis(NOW + 60_000), "the hub's word counts");
    world.clock.0.store(NOW + 600_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.receive(ask()).status, 404);
}

#[test]
fn a_channel_that_teal_did_not_open_proves_nothing_even_with_the_token() {
    let known = channels::Channels {
        live: Some(channel("msg_1", json!("msg_1"))),
        pending: Some(channel("next", json!(null))),
        ..Default::default()
    };
    let world = leased(Preset::GoogleCalendar, &known);
    let sent = |id: &str, resource: &str| {
        let headers = [("x-goog-channel-token", SECRET), ("x-goog-channel-id", id), ("x-goog-resource-id", resource)];
        post(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), "")
    };
    for (id, resource, status) in
        [("msg_1", "msg_1", 200), ("next", "any", 200), ("msg_1", "other", 403), ("x", "y", 403)]
    {
        assert_eq!(world.receive(sent(id, resource)).status, status, "{id} {resource}");
    }
}

/// From ../shared/webhooks beside the clone: what it takes to sign for SNS is not here.
#[test]
fn a_genuine_confirmation_of_a_topic_of_ours_is_confirmed_at_amazon_and_its_certificate_fetched_once() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/webhooks/vectors.json");
    let Ok(text) = std::fs::read_to_string(file) else {
        return eprintln!("absent: ../shared/webhooks/vectors.json beside the clone; no message of SNS is tried");
    };
    let known: serde_json::Value = serde_json::from_str(&text).unwrap();
    let body = |id: &str| {
        let vector = known["vectors"].as_array().unwrap().iter().find(|vector| vector["id"] == id).unwrap();
        let body =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, vector["body_b64"].as_str().unwrap());
        String::from_utf8(body.unwrap()).unwrap()
    };
    let confirmation: serde_json::Value = serde_json::from_str(&body("sns-confirm")).unwrap();
    let mut policy = policy(Preset::Sns);
    let Scheme::Sns(sns) = &mut policy.scheme else { panic!() };
    sns.topics = vec![confirmation["TopicArn"].as_str().unwrap().into()];
    sns.tolerance = u64::MAX;
    let world = world_of(policy);
    let (certificate, subscribe) = (&confirmation["SigningCertURL"], &confirmation["SubscribeURL"]);
    let there = |url: &serde_json::Value, text: &str| {
        world.upstream.known.lock().unwrap().insert(url.as_str().unwrap().into(), text.into());
    };
    there(certificate, known["certs"]["sns"].as_str().unwrap());
    let send = |id: &str| world.receive(post(vec![], &body(id))).status;
    assert_eq!(send("sns-confirm"), 503, "Amazon does not answer, so it comes again");
    there(subscribe, "<ok/>");
    assert_eq!((send("sns-confirm"), send("sns-v1"), send("sns-v2"), send("sns-tampered")), (200, 200, 200, 403));
    assert_eq!(world.raws().len(), 2);
    let asked = world.upstream.asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|url| **url == *certificate).count(), 1);
    assert_eq!(asked.iter().filter(|url| **url == *subscribe).count(), 2);
}
