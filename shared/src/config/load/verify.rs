//! How a webhook's sender proves itself: a preset by name, or one with members of it changed.
//!
//! Owns the way from the file to a compiled gate and the names of its secrets. What a gate needs, the gate
//! itself says; here its words get a place in the file.

use teal_gate::{
    Algorithm, Ask, Capture, Encoding, Gate, Lifetime, Piece, Policy, PolicyError, Preset, Refused, Scheme,
    SharedSecret, Signature, Template, TextEncoding, TimeSource, TimeUnit, Timestamp, preset,
};

use super::reader::{Cx, Object, Text, Value, one_of};
use super::sources::header_name;
use crate::config::keys;
use crate::config::model::{KeyName, SecretName, Verify};
use crate::config::yaml::{Content, Mark};

pub fn read(cx: &mut Cx<'_>, hook: &Object<'_>) -> Option<Verify> {
    let before = cx.problems.len();
    let value = hook.get("verify");
    let (name, own) = match value.as_ref()?.node.content {
        Content::Map(_) => {
            let own = cx.object(value.as_ref()?, &keys::VERIFY)?;
            (own.text(cx, "preset")?, Some(own))
        }
        _ => (hook.text(cx, "verify")?, None),
    };
    let keys = secrets(cx, hook);
    let header = hook.get("header").and_then(|_| header_name(cx, hook));
    if !one_of(cx, &name, preset::NAMES) {
        return None;
    }
    let preset = Preset::named(&name.text)?;
    let mut policy = preset.policy();
    match &mut policy.scheme {
        Scheme::Signature(signature) => {
            if let Some(header) = header {
                signature.headers = vec![header];
            }
            if let Some(own) = &own {
                signed(cx, own, signature, &mut policy.asks);
            }
        }
        Scheme::Secret(secret) => {
            if let (SharedSecret::Header { name, prefix }, Some(header)) = (&mut *secret, header) {
                (*name, *prefix) = (header, String::new());
            }
            if let Some(own) = &own {
                shared(cx, own, secret, &name.text);
            }
        }
        Scheme::Sns(_) => {}
    }
    if let Some(own) = &own {
        only(cx, own, &policy.scheme, &name.text);
        questions(cx, own, &mut policy);
    }
    topics(cx, hook, &mut policy, &name.text);
    policy.url = hook.get("url").and_then(|_| hook.text(cx, "url")).map(|url| url.text);
    let keys = match (keys.is_empty(), &policy.scheme) {
        (true, Scheme::Sns(_)) => Vec::new(),
        (false, Scheme::Sns(_)) => {
            let at = hook.get("secret").or_else(|| hook.get("secrets"))?;
            cx.problem(at.at, &at.path, "messages of SNS are signed with certificates, not with a secret", "remove it");
            return None;
        }
        (true, _) => {
            if cx.problems.len() == before {
                hook.missing(cx, "secret");
            }
            return None;
        }
        (false, _) => keys,
    };
    if cx.problems.len() > before {
        return None;
    }
    match Gate::compile(policy) {
        Ok(gate) => Some(Verify { preset, gate, keys }),
        Err(error) => {
            wrong(cx, name.at, &name.path, &error);
            None
        }
    }
}

fn wrong(cx: &mut Cx<'_>, at: Mark, path: &str, error: &PolicyError) {
    let text = error.to_string();
    let (message, help) = text.split_once("; ").unwrap_or((&text, "write it as docs/teal-yaml.md shows it"));
    cx.problem(at, path, message, help);
}

/// One secret, or several with the times that they are valid.
fn secrets(cx: &mut Cx<'_>, hook: &Object<'_>) -> Vec<KeyName> {
    let mut out = Vec::new();
    if let Some(secret) = hook.secret(cx, "secret") {
        out.push(KeyName { secret: SecretName(secret), lifetime: Lifetime::default() });
    }
    let Some(value) = hook.get("secrets") else { return out };
    if hook.get("secret").is_some() {
        let help = "write all of them into 'secrets', a line each";
        cx.problem(value.at, &value.path, "'secret' and 'secrets' can't both be given", help);
    }
    for item in cx.items(&value, "write a list such as [{ secret: \"${secret:name}\", until: 2027-01-01T00:00:00Z }]") {
        let Some(object) = cx.object(&item, &keys::SECRET_OF) else { continue };
        let secret = object.secret(cx, "secret");
        let lifetime = Lifetime { not_before: time(cx, &object, "from"), not_after: time(cx, &object, "until") };
        if let Lifetime { not_before: Some(from), not_after: Some(until) } = lifetime
            && from > until
        {
            cx.problem(item.at, &item.path, "it ends before it begins", "write a 'from' that is before 'until'");
        }
        out.extend(secret.map(|secret| KeyName { secret: SecretName(secret), lifetime }));
    }
    out
}

fn time(cx: &mut Cx<'_>, object: &Object<'_>, key: &str) -> Option<i64> {
    object.get(key)?;
    let text = object.text(cx, key)?;
    let time = text.text.parse().map(jiff::Timestamp::as_millisecond).ok();
    if time.is_none() {
        let message = format!("'{}' is no time with an offset", text.text);
        cx.problem(text.at, &text.path, message, "write it as 2027-01-01T00:00:00Z");
    }
    time
}

/// Keys of `verify` that only some schemes have.
const OF_SIGNATURES: [&str; 8] = ["algorithm", "also", "separator", "encoding", "message", "timestamp", "id", "key"];

fn only(cx: &mut Cx<'_>, own: &Object<'_>, scheme: &Scheme, preset: &str) {
    let foreign: &[&str] = match scheme {
        Scheme::Signature(_) => &["parameter"],
        Scheme::Secret(_) => &OF_SIGNATURES,
        Scheme::Sns(_) => {
            &["algorithm", "also", "separator", "encoding", "message", "id", "key", "parameter", "header", "prefix"]
        }
    };
    for key in foreign {
        if let Some(value) = own.get(key) {
            let message = format!("'{key}' means nothing for {preset}");
            cx.problem(value.at, &value.path, message, "remove it, or write preset: hmac and all of the signature");
        }
    }
}

fn shared(cx: &mut Cx<'_>, own: &Object<'_>, secret: &mut SharedSecret, preset: &str) {
    let foreign: &[&str] = match secret {
        SharedSecret::Header { .. } => &["parameter"],
        SharedSecret::Parameter(_) => &["header", "prefix"],
        SharedSecret::Channel => &["header", "prefix", "parameter"],
    };
    for value in foreign.iter().filter_map(|key| own.get(key)) {
        cx.problem(value.at, &value.path, format!("this means nothing for {preset}"), "remove it");
    }
    match secret {
        SharedSecret::Header { name, prefix } => {
            if let Some(header) = own.get("header").and_then(|_| header_name(cx, own)) {
                (*name, *prefix) = (header, String::new());
            }
            if let Some(text) = text(cx, own, "prefix") {
                *prefix = text.text;
            }
        }
        SharedSecret::Parameter(name) => {
            if let Some(text) = text(cx, own, "parameter") {
                *name = text.text;
            }
        }
        SharedSecret::Channel => {}
    }
}

fn text(cx: &mut Cx<'_>, object: &Object<'_>, key: &str) -> Option<Text> {
    object.get(key)?;
    object.text(cx, key)
}

fn signed(cx: &mut Cx<'_>, own: &Object<'_>, signature: &mut Signature, asks: &mut Vec<Ask>) {
    if let Some(header) = own.get("header").and_then(|_| header_name(cx, own)) {
        signature.headers = vec![header];
    }
    for value in list(cx, own, "also") {
        let more = cx.text_of(&value, "the name of a header", "write a header such as x-signature-2");
        signature.headers.extend(more.map(|more| more.text.to_ascii_lowercase()));
    }
    let algorithm =
        own.get("algorithm").and_then(|_| own.choice(cx, "algorithm")).map(|word| match word.text.as_str() {
            "sha1" => Algorithm::HmacSha1,
            "sha384" => Algorithm::HmacSha384,
            "sha512" => Algorithm::HmacSha512,
            "ed25519" => Algorithm::Ed25519,
            _ => Algorithm::HmacSha256,
        });
    let prefix = text(cx, own, "prefix");
    if algorithm.is_some() || prefix.is_some() {
        let bare = (String::new(), Algorithm::HmacSha256);
        let (before, kind) = signature.format.prefixes.first().cloned().unwrap_or(bare);
        signature.format.prefixes = vec![(prefix.map_or(before, |text| text.text), algorithm.unwrap_or(kind))];
    }
    if let Some(separator) = text(cx, own, "separator") {
        let mut characters = separator.text.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => signature.format.separator = Some(character),
            _ => cx.problem(separator.at, &separator.path, "a separator is one character", "write one, such as \",\""),
        }
    }
    if let Some(word) = own.get("encoding").and_then(|_| own.choice(cx, "encoding")) {
        signature.encoding = match word.text.as_str() {
            "base64" => TextEncoding::Base64,
            "base64url" => TextEncoding::Base64Url,
            _ => TextEncoding::Hex,
        };
    }
    if let Some(word) = own.get("key").and_then(|_| own.choice(cx, "key")) {
        signature.key = match word.text.as_str() {
            "base64" => Encoding::Base64,
            "hex" => Encoding::Hex,
            "standard" => Encoding::Standard,
            _ => Encoding::Utf8,
        };
    }
    if let Some(id) = text(cx, own, "id") {
        signature.id = vec![id.text.to_ascii_lowercase()];
    }
    if let Some(message) = text(cx, own, "message") {
        match Template::parse(&message.text) {
            Ok(template) => {
                // A test that signs otherwise is none of this sender's.
                asks.retain(|ask| *ask != Ask::EmptyBatch || template.has(&Piece::SortedForm));
                signature.message = template;
            }
            Err(error) => wrong(cx, message.at, &message.path, &error.into()),
        }
    }
    if let Some(at) = own.section(cx, "timestamp") {
        signature.timestamp = timestamp(cx, &at, signature);
    }
}

fn timestamp(cx: &mut Cx<'_>, at: &Object<'_>, signature: &mut Signature) -> Option<Timestamp> {
    let header = at.get("header").and_then(|_| header_name(cx, at));
    let entry = text(cx, at, "entry");
    let unit = match at.choice(cx, "unit")?.text.as_str() {
        "ms" => TimeUnit::Millis,
        "rfc3339" => TimeUnit::Rfc3339,
        _ => TimeUnit::Seconds,
    };
    let tolerance = u64::try_from(at.duration(cx, "tolerance").as_millis()).unwrap_or(u64::MAX);
    let from = match (header, entry) {
        (Some(header), None) => TimeSource::Headers(vec![header]),
        (None, Some(entry)) => {
            signature.format.time = Some(entry.text);
            TimeSource::Entry
        }
        _ => {
            let help = "write header: x-timestamp, or entry: \"t=\" for a part of the signature's header";
            cx.problem(at.at, &at.path, "a time stands in one place, in 'header' or in 'entry'", help);
            return None;
        }
    };
    Some(Timestamp { from, unit, tolerance })
}

fn list<'n>(cx: &mut Cx<'_>, object: &Object<'n>, key: &str) -> Vec<Value<'n>> {
    object.get(key).map(|value| cx.items(&value, "write a list such as [a, b]")).unwrap_or_default()
}

fn questions(cx: &mut Cx<'_>, own: &Object<'_>, policy: &mut Policy) {
    if own.get("handshake").is_some() {
        policy.asks.clear();
    }
    for value in list(cx, own, "handshake") {
        let Some(word) = cx.text_of(&value, "the name of a handshake", "write get, head, challenge or hook-secret")
        else {
            continue;
        };
        if one_of(cx, &word, &["get", "head", "challenge", "hook-secret"]) {
            policy.asks.push(match word.text.as_str() {
                "get" => Ask::Get,
                "head" => Ask::Head,
                "challenge" => Ask::Challenge,
                _ => Ask::Capture(Capture::Header("x-hook-secret".to_owned())),
            });
        }
    }
    if let Some(challenge) = text(cx, own, "echo") {
        let token = text(cx, own, "token").map(|token| token.text);
        policy.asks.insert(0, Ask::Echo { challenge: challenge.text, token });
    }
    if own.get("accepted").is_some() {
        let status = own.integer(cx, "accepted").and_then(|status| u16::try_from(status).ok());
        policy.answers.accepted = status.unwrap_or_default();
    }
    if let Some(word) = own.get("refused").and_then(|_| own.choice(cx, "refused")) {
        policy.answers.refused = word.text.parse().map_or(Refused::Drop, Refused::Status);
    }
}

fn topics(cx: &mut Cx<'_>, hook: &Object<'_>, policy: &mut Policy, preset: &str) {
    let given = list(cx, hook, "topics");
    let given: Vec<String> = given
        .iter()
        .filter_map(|value| cx.text_of(value, "a topic", "write its address or ARN"))
        .map(|text| text.text)
        .collect();
    if let Scheme::Sns(sns) = &mut policy.scheme {
        sns.topics = given;
    } else if let Some(topics) = policy.asks.iter_mut().find_map(|ask| match ask {
        Ask::WebSub { topics } => Some(topics),
        _ => None,
    }) {
        *topics = given;
    } else if let Some(value) = hook.get("topics") {
        cx.problem(value.at, &value.path, format!("{preset} has no topics"), "remove 'topics'");
    }
}
