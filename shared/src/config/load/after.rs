//! What a webhook declares of what comes after a delivery was let in.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use super::presets;
use super::reader::{Cx, Object, Text};
use super::sources::{header_of, program};
use super::{grounded, path, positive};
use crate::config::after::{After, Closing, Fetch, Gaps, KEEP, Lease, Paging, Place, Sent, Template, Value};
use crate::config::jq::Program;
use crate::config::keys;
use crate::config::model::SecretName;
use crate::config::path::Path;
use crate::config::yaml::Content;

const BASE_HELP: &str = "write https://host, maybe with the beginning of a path; what differs from request to request \
                         belongs into 'path'";

/// The next poll is asked for in the second half of it, so that each half has to be longer than upkeep's rounds are apart
/// (five minutes by default on AWS, one locally), with time to spare for a round that is late.
const LEAST_COVER: Duration = Duration::from_secs(12 * 60);

/// `repeats` is for how long the sender is known to repeat what it got no good answer to.
pub fn after(cx: &mut Cx<'_>, hook: &Object<'_>, repeats: Option<Duration>) -> After {
    let mut after = After::default();
    if let Some(object) = hook.section(cx, "dedupe") {
        after.keep = positive(cx, &object, "keep").max(Duration::from_secs(60));
        if let (Some(repeats), Some(value)) = (repeats, object.get("keep"))
            && after.keep <= repeats
        {
            let hours = repeats.as_secs().div_ceil(3600);
            let what =
                format!("this sender repeats a delivery for {hours} hours, and by then it would be taken for new");
            cx.problem(value.at, &value.path, what, "write more than that, or leave 'keep' out: it is 7d then");
        }
        after.dedupe = Some(places(cx, &object));
        if let Some(value) = hook.get("id") {
            let help = "remove 'id'; its header can be the first of dedupe.by";
            cx.problem(value.at, &value.path, "'id' and 'dedupe' can't both be given", help);
        }
    } else {
        after.keep = KEEP;
    }
    if hook.get("split").is_some() {
        after.split = path(cx, hook, "split").and_then(|(path, text)| grounded(cx, path, &text));
    }
    after.mask = masks(cx, hook);
    after.lease = hook.section(cx, "lease").and_then(|object| lease(cx, &object));
    after.gaps = hook.section(cx, "gaps").and_then(|object| gaps(cx, &object));
    if let Some(value) = hook.get("silence") {
        after.silence = hook.number(cx, "silence");
        if after.silence.is_some_and(|times| times < 1.0) {
            let help = "write how many times the usual gap may pass, such as 5";
            cx.problem(value.at, &value.path, "a gap that is shorter than usual is no silence", help);
        }
    }
    after
}

fn places(cx: &mut Cx<'_>, object: &Object<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    let Some(value) = object.get("by") else { return places };
    for item in cx.items(&value, "write a list of places, such as [{ header: x-id }, { hash: body }]") {
        let Some(place) = cx.object(&item, &keys::PLACE) else { continue };
        match ["header", "path", "hash"].map(|key| place.get(key).is_some()) {
            [true, false, false] => places.extend(header_of(cx, &place).map(Place::Header)),
            [false, true, false] => {
                let found = path(cx, &place, "path").and_then(|(path, text)| grounded(cx, path, &text));
                places.extend(found.map(Place::Body));
            }
            [false, false, true] => places.extend(place.choice(cx, "hash").map(|_| Place::Hash)),
            _ => {
                cx.problem(place.at, &place.path, "a place is one of 'header', 'path' and 'hash'", "write one of them")
            }
        }
    }
    if places.is_empty() {
        cx.problem(value.at, &value.path, "no place is given", "write one, such as { hash: body }");
    }
    places
}

fn masks(cx: &mut Cx<'_>, hook: &Object<'_>) -> Vec<Vec<Path>> {
    let Some(value) = hook.get("mask") else { return Vec::new() };
    let texts = match &value.node.content {
        Content::List(_) => cx.items(&value, "write paths"),
        _ => vec![value],
    };
    let mut masks = Vec::new();
    for text in texts {
        let Some(text) = cx.text_of(&text, "a path", "write paths such as data.email or events[].email") else {
            continue;
        };
        match Path::parse_each(&text.text) {
            Ok(paths) if paths.is_empty() => {
                cx.problem(text.at, &text.path, "this would hide everything", "write a path to a member");
            }
            Ok(paths) => masks.push(paths),
            Err(error) => cx.problem(text.at, &text.path, error.to_string(), super::PATH_HELP),
        }
    }
    masks
}

/// The keys of an action that asks the source, which go beside the others' in a rule.
pub fn fetch(cx: &mut Cx<'_>, rule: &Object<'_>, stream: Option<Text>) -> Option<Fetch> {
    let request = rule.section(cx, "request").and_then(|object| template(cx, &object));
    let record = match rule.get("record") {
        Some(_) => path(cx, rule, "record").and_then(|(path, text)| grounded(cx, path, &text)),
        None => Path::parse(".").ok(),
    };
    let key = rule.get("key").and_then(|_| path(cx, rule, "key"));
    let key = key.and_then(|(path, text)| grounded(cx, path, &text));
    let wait = rule.duration(cx, "wait");
    Some(Fetch { stream: stream?.text.as_str().into(), request: request?, record: record?, key, wait })
}

pub fn paging(cx: &mut Cx<'_>, rule: &Object<'_>) -> Option<Paging> {
    let request = rule.section(cx, "request").and_then(|object| template(cx, &object));
    let next = program(cx, rule, "next");
    let wait = rule.duration(cx, "wait");
    Some(Paging { request: request?, next: next?, wait })
}

fn template(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<Template> {
    let method = object.choice(cx, "method");
    let base = object.get("base").and_then(|_| object.text(cx, "base")).and_then(|text| base(cx, &text));
    let path = program(cx, object, "path");
    let body = program(cx, object, "body");
    let form = object.choice(cx, "as").is_some_and(|word| word.text == "form");
    let bearer = object.secret(cx, "bearer").map(SecretName);
    let mut headers = BTreeMap::new();
    for (name, value) in values(cx, object, "headers") {
        match http::HeaderName::from_bytes(name.text.as_bytes()) {
            Ok(header) => _ = headers.insert(header.as_str().to_owned(), value),
            Err(_) => {
                let message = format!("'{}' can't be the name of a header", name.text);
                cx.problem(name.at, &name.path, message, "write letters, digits and -");
            }
        }
    }
    let method = http::Method::from_bytes(method?.text.as_bytes()).ok()?;
    Some(Template { method, base: base?, path: path?, body, form, headers, bearer })
}

/// A host that the operator wrote, so that no delivery chooses whom we ask.
fn base(cx: &mut Cx<'_>, text: &Text) -> Option<String> {
    let written = text.text.trim_end_matches('/');
    let uri: Option<http::Uri> = written.parse().ok();
    let authority = uri.as_ref().and_then(|uri| uri.authority());
    let good = uri.as_ref().is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http")) && uri.query().is_none() && !written.contains('#')
    });
    match authority {
        Some(authority) if good && !authority.as_str().contains('@') => Some(written.to_owned()),
        _ => {
            cx.problem(text.at, &text.path, format!("'{}' is no address to ask at", text.text), BASE_HELP);
            None
        }
    }
}

fn values(cx: &mut Cx<'_>, object: &Object<'_>, key: &str) -> Vec<(Text, Value)> {
    let Some(value) = object.get(key) else { return Vec::new() };
    let mut out = Vec::new();
    for (name, value) in cx.members(&value) {
        let value = match &value.node.content {
            Content::Secret(secret) => Some(Value::Secret(SecretName(secret.clone()))),
            _ => {
                cx.text_of(&value, "a text", "write a text, or \"${secret:name}\"").map(|text| Value::Plain(text.text))
            }
        };
        out.extend(value.map(|value| (name, value)));
    }
    out
}

fn json(cx: &mut Cx<'_>, object: &Object<'_>, key: &str) -> Json {
    object.get(key).map_or_else(|| Json::Object(serde_json::Map::new()), |value| cx.json(&value))
}

fn lease(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<Lease> {
    let preset = object.get("preset").and_then(|_| object.choice(cx, "preset"));
    let address = object.get("address").and_then(|_| object.text(cx, "address"))?;
    let with = json(cx, object, "with");
    let mut secrets = BTreeMap::new();
    for (name, value) in values(cx, object, "secrets") {
        match value {
            Value::Secret(secret) => _ = secrets.insert(name.text, secret),
            Value::Plain(_) => {
                let help = format!("write {}: \"${{secret:name}}\", or put it under 'with'", name.text);
                cx.problem(name.at, &name.path, "this is no secret", help);
            }
        }
    }
    let mut lease = match &preset {
        Some(preset) => presets::lease(&preset.text, cx.compile),
        None => presets::no_lease(),
    };
    let (bearer, base) = shared(cx, object);
    for template in [&mut lease.create, &mut lease.refresh, &mut lease.stop].into_iter().flatten() {
        fill(template, bearer.as_ref(), base.as_ref());
    }
    for (key, place) in [("create", &mut lease.create), ("refresh", &mut lease.refresh), ("stop", &mut lease.stop)] {
        if let Some(object) = object.section(cx, key) {
            *place = template(cx, &object);
        }
    }
    lease.read = program(cx, object, "read").or(lease.read);
    lease.confirm |= object.boolean(cx, "confirm");
    if lease.create.is_none() && lease.refresh.is_none() {
        let help = "write create: { … } or refresh: { … }, or a preset";
        cx.problem(object.at, &object.path, "nothing says how the subscription is asked for", help);
    }
    let needs = preset.as_ref().map_or(&[][..], |preset| presets::needs(&preset.text));
    for need in needs.iter().filter(|need| with.get(*need).is_none()) {
        let help = format!("add with: {{ {need}: … }}");
        cx.problem(object.at, &object.path, format!("this preset needs '{need}'"), help);
    }
    lease.life = positive(cx, object, "life");
    lease.cover = positive(cx, object, "cover");
    if let Some(value) = object.get("cover").filter(|_| !lease.cover.is_zero() && lease.cover < LEAST_COVER) {
        let what = "a poll that covers for so short a time may be over before upkeep comes by for the next one";
        let help = format!("write at least {} minutes: upkeep runs every five on AWS", LEAST_COVER.as_secs() / 60);
        cx.problem(value.at, &value.path, what, help);
    }
    Some(Lease { with, secrets, address: address.text, ..lease })
}

fn shared(cx: &mut Cx<'_>, object: &Object<'_>) -> (Option<SecretName>, Option<String>) {
    let bearer = object.secret(cx, "bearer").map(SecretName);
    let base = object.get("base").and_then(|_| object.text(cx, "base")).and_then(|text| self::base(cx, &text));
    (bearer, base)
}

fn fill(template: &mut Template, bearer: Option<&SecretName>, base: Option<&String>) {
    template.bearer = bearer.cloned();
    if let Some(base) = base {
        template.base.clone_from(base);
    }
}

fn gaps(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<Gaps> {
    let every = positive(cx, object, "every");
    let preset = object.get("preset").and_then(|_| object.choice(cx, "preset"));
    let (bearer, base) = shared(cx, object);
    let with = json(cx, object, "with");
    if object.get("event").is_some() {
        return Some(Gaps { every, how: Closing::Event(json(cx, object, "event")) });
    }
    if let Some(preset) = preset {
        for need in presets::needs(&preset.text).iter().filter(|need| with.get(*need).is_none()) {
            let help = format!("add with: {{ {need}: … }}");
            cx.problem(object.at, &object.path, format!("this preset needs '{need}'"), help);
        }
        let mut how = presets::gaps(&with, cx.compile);
        if let Closing::Sent(sent) = &mut how {
            fill(&mut sent.list, bearer.as_ref(), base.as_ref());
            fill(&mut sent.get, bearer.as_ref(), base.as_ref());
        }
        return Some(Gaps { every, how });
    }
    let all = ["list", "missed", "get", "delivery"];
    for key in all.iter().filter(|key| object.get(key).is_none()) {
        object.missing(cx, key);
    }
    let request = |cx: &mut Cx<'_>, key| object.section(cx, key).and_then(|object| template(cx, &object));
    let (list, get) = (request(cx, "list"), request(cx, "get"));
    let part = |cx: &mut Cx<'_>, key| -> Option<Program> { program(cx, object, key) };
    let (missed, delivery) = (part(cx, "missed"), part(cx, "delivery"));
    let sent = Sent { list: list?, missed: missed?, get: get?, delivery: delivery? };
    Some(Gaps { every, how: Closing::Sent(Box::new(sent)) })
}
