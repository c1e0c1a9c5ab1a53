//! The sources: connector, configuration with its secrets, schedule, webhook, limits.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::after;
use super::reader::{Cx, Object, Text, Value};
use super::{check_name, grounded, nothing, path, positive, provider_order, time_format, verify};
use crate::config::bundle::Bundle;
use crate::config::jq::Program;
use crate::config::keys;
use crate::config::model::{Action, Limits, Rule, SecretName, Source, Stated, Webhook};
use crate::config::problem::nearest;
use crate::config::schedule::{Schedule, ScheduleError};
use crate::config::yaml::{Content, Mark};
use crate::domain::{Mode, SourceName};

/// `streams` are the sources and streams that entities are made from.
pub fn read(
    cx: &mut Cx<'_>,
    declared: &[(Text, Value<'_>)],
    streams: &[(&str, &str)],
    bundle: &Bundle,
) -> BTreeMap<SourceName, Source> {
    let mut sources = BTreeMap::new();
    let mut hooks: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in declared {
        check_name(cx, name, "a source");
        let Some(object) = cx.object(value, &keys::SOURCE) else { continue };
        let manifest = manifest(cx, &object, bundle);
        let (config, secrets) = config(cx, &object);
        let schedule = object.section(cx, "schedule");
        let (full, incremental) = schedule.map_or((None, None), |s| schedules(cx, &s, ["full", "incremental"]));
        let streams: Vec<&str> = streams.iter().filter(|(of, _)| *of == name.text).map(|(_, stream)| *stream).collect();
        let webhook = object.section(cx, "webhook").and_then(|hook| webhook(cx, &hook, name, &streams, &mut hooks));
        let limits = limits(cx, &object);
        let (Some(manifest), Some(limits)) = (manifest, limits) else { continue };
        let name = SourceName::new(&name.text);
        let source = Source { name: name.clone(), manifest, config, secrets, full, incremental, webhook, limits };
        sources.insert(name, source);
    }
    sources
}

fn manifest(cx: &mut Cx<'_>, object: &Object<'_>, bundle: &Bundle) -> Option<String> {
    let connector = object.text(cx, "connector")?;
    let manifest = bundle.files.get(&connector.text);
    if manifest.is_none() {
        cx.problem(
            connector.at,
            &connector.path,
            format!("there is no file '{}'", connector.text),
            "write the path of a connector manifest, relative to teal.yaml",
        );
    }
    manifest.cloned()
}

fn config(cx: &mut Cx<'_>, object: &Object<'_>) -> (Json, BTreeMap<String, SecretName>) {
    let mut plain = serde_json::Map::new();
    let mut secrets = BTreeMap::new();
    if let Some(value) = object.get("config") {
        for (name, value) in cx.members(&value) {
            if let Content::Secret(secret) = &value.node.content {
                secrets.insert(name.text, SecretName(secret.clone()));
            } else {
                plain.insert(name.text, cx.json(&value));
            }
        }
    }
    (Json::Object(plain), secrets)
}

/// Two schedules and the zone that both are in.
pub fn schedules(
    cx: &mut Cx<'_>,
    object: &Object<'_>,
    [first, second]: [&str; 2],
) -> (Option<Schedule>, Option<Schedule>) {
    let zone = object.text(cx, "zone");
    let mut zone = zone.map_or_else(|| "UTC".to_owned(), |zone| zone.text);
    if let Err(error @ ScheduleError::Zone(_)) = Schedule::parse("rate(1 day)", &zone) {
        if let Some(value) = object.get("zone") {
            cx.problem(value.at, &value.path, error.to_string(), error.help());
        }
        zone = "UTC".to_owned();
    }
    let mut schedule = |key| {
        object.get(key)?;
        let text = object.text(cx, key)?;
        Schedule::parse(&text.text, &zone)
            .map_err(|error| cx.problem(text.at, &text.path, error.to_string(), error.help()))
            .ok()
    };
    (schedule(first), schedule(second))
}

fn limits(cx: &mut Cx<'_>, source: &Object<'_>) -> Option<Limits> {
    let empty = nothing();
    let none = Value { node: &empty, at: Mark::default(), path: String::new() };
    let object = cx.object(&source.get("limits").unwrap_or(none), &keys::LIMITS)?;
    let per_second = rate(cx, &object, "To ask nothing, leave the schedule out");
    let (attempts, max_body) = (object.integer(cx, "attempts"), object.size(cx, "max_body"));
    let (timeout, max_wait) = (positive(cx, &object, "timeout"), object.duration(cx, "max_wait"));
    let concurrency = object.get("concurrency").and_then(|_| object.integer(cx, "concurrency"));
    let concurrency = concurrency.and_then(|number| usize::try_from(number).ok());
    let conditional = object.boolean(cx, "conditional");
    Some(Limits { per_second, concurrency, attempts: attempts?, timeout, max_wait, max_body, conditional })
}

/// Requests a second.
pub fn rate(cx: &mut Cx<'_>, object: &Object<'_>, otherwise: &str) -> Option<f64> {
    let per_second = object.number(cx, "per_second");
    if let (Some(number), Some(value)) = (per_second, object.get("per_second"))
        && number <= 0.0
    {
        let help = format!("write a number above 0; 0.1 is one request in ten seconds. {otherwise}");
        cx.problem(value.at, &value.path, format!("{number} requests a second is no limit that can be kept"), help);
    }
    per_second
}

fn webhook(
    cx: &mut Cx<'_>,
    object: &Object<'_>,
    source: &Text,
    streams: &[&str],
    hooks: &mut BTreeMap<String, String>,
) -> Option<Webhook> {
    let path = hook_path(cx, object, source, hooks);
    let verify = verify::read(cx, object);
    let id_header = object.section(cx, "id").and_then(|id| header_of(cx, &id));
    let stated = object.section(cx, "stated").and_then(|at| stated(cx, &at));
    let max_body = object.size(cx, "max_body");
    let timed = object.get("stated").is_some();
    let repeats = verify.as_ref().and_then(|verify| verify.preset.repeats());
    let after = after::after(cx, object, repeats);
    let mut on = Vec::new();
    if let Some(value) = object.get("on") {
        for item in cx.items(&value, "write a list of rules, such as [{ do: sync, mode: full }]") {
            if let Some(object) = cx.object(&item, &keys::RULE) {
                on.extend(rule(cx, &object, timed, streams));
            }
        }
    }
    let per_second = rate(cx, object, "To take nothing, leave the webhook out");
    Some(Webhook { path: path?, verify: verify?, id_header, stated, on, max_body, per_second, after })
}

fn hook_path(
    cx: &mut Cx<'_>,
    object: &Object<'_>,
    source: &Text,
    hooks: &mut BTreeMap<String, String>,
) -> Option<String> {
    let path = match object.get("path") {
        Some(_) => object.text(cx, "path")?,
        None => Text { text: source.text.clone(), at: object.at, path: object.path.clone() },
    };
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if path.text.is_empty() || path.text.len() > 128 || !path.text.chars().all(good) {
        cx.problem(
            path.at,
            &path.path,
            format!("'{}' can't be the path of a webhook", path.text),
            "write letters, digits, - and _ only, 128 at most",
        );
        return None;
    }
    if let Some(other) = hooks.insert(path.text.clone(), source.text.clone()) {
        cx.problem(
            path.at,
            &path.path,
            format!("the webhook of '{other}' has the path '{}' already", path.text),
            "give each webhook a path of its own",
        );
    }
    Some(path.text)
}

pub fn header_of(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<String> {
    object.get("header").and_then(|_| header_name(cx, object))
}

/// A header's name, in lower case, as requests are looked at.
pub fn header_name(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<String> {
    let text = object.text(cx, "header")?;
    match http::HeaderName::from_bytes(text.text.as_bytes()) {
        Ok(name) => Some(name.as_str().to_owned()),
        Err(_) => {
            let message = format!("'{}' can't be the name of a header", text.text);
            cx.problem(text.at, &text.path, message, "write letters, digits and -, such as x-delivery-id");
            None
        }
    }
}

fn stated(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<Stated> {
    let format = time_format(cx, object);
    let by_header = header_of(cx, object);
    let by_path = object.get("path").and_then(|_| path(cx, object, "path"));
    let by_path = by_path.and_then(|(path, text)| grounded(cx, path, &text));
    match (object.get("header"), object.get("path")) {
        (Some(_), None) => Some(Stated::Header { name: by_header?, format: format? }),
        (None, Some(_)) => Some(Stated::Body { path: by_path?, format: format? }),
        (Some(_), Some(value)) => {
            cx.problem(value.at, &value.path, "'header' and 'path' can't both be given", "remove one of the two");
            None
        }
        (None, None) => {
            let help = "write path: sentAt for a member of the body, or header: x-sent-at";
            cx.problem(object.at, &object.path, "neither 'header' nor 'path' is given", help);
            None
        }
    }
}

/// Keys of a rule that belong to some actions only, and those that can do without.
const OWN_KEYS: [(&str, &[&str], &[&str]); 8] = [
    ("mode", &["sync"], &["sync"]),
    ("stream", &["upsert", "delete", "fetch"], &[]),
    ("record", &["upsert", "fetch"], &["fetch"]),
    ("key", &["delete", "fetch"], &["fetch"]),
    ("order", &["delete"], &["delete"]),
    ("request", &["fetch", "page"], &[]),
    ("next", &["page"], &[]),
    ("wait", &["fetch", "page"], &["fetch", "page"]),
];

fn rule(cx: &mut Cx<'_>, object: &Object<'_>, timed: bool, streams: &[&str]) -> Option<Rule> {
    let when = program(cx, object, "when");
    object.get("do")?;
    let action = object.choice(cx, "do")?;
    for (key, actions, without) in OWN_KEYS {
        match object.get(key) {
            Some(value) if !actions.contains(&action.text.as_str()) => {
                let help = format!("remove '{key}', or write do: {}", actions.join(" or do: "));
                cx.problem(value.at, &value.path, format!("'{key}' does not go with do: {}", action.text), help);
            }
            None if actions.contains(&action.text.as_str()) && !without.contains(&action.text.as_str()) => {
                object.missing(cx, key);
            }
            _ => {}
        }
    }
    if matches!(action.text.as_str(), "upsert" | "delete") && !timed {
        cx.problem(
            action.at,
            &action.path,
            format!("do: {} needs to know when a delivery was sent", action.text),
            "add stated: { path: .. } or stated: { header: .. } to the webhook, or write do: sync",
        );
    }
    let action = match action.text.as_str() {
        "sync" => {
            let mode = object.choice(cx, "mode")?;
            Action::Sync { mode: if mode.text == "full" { Mode::Full } else { Mode::Incremental } }
        }
        "upsert" => {
            let stream = stream(cx, object, streams);
            let record = path(cx, object, "record").and_then(|(path, text)| grounded(cx, path, &text));
            Action::Upsert { stream: stream?.text.as_str().into(), record: record? }
        }
        "fetch" => {
            let stream = stream(cx, object, streams);
            Action::Fetch(after::fetch(cx, object, stream)?)
        }
        "page" => Action::Page(after::paging(cx, object)?),
        _ => {
            let stream = stream(cx, object, streams);
            let key = path(cx, object, "key").and_then(|(path, text)| grounded(cx, path, &text));
            let provider = object.section(cx, "order").and_then(|order| provider_order(cx, &order));
            Action::Delete { stream: stream?.text.as_str().into(), key: key?, provider }
        }
    };
    Some(Rule { when, action })
}

/// The stream that a rule is about. One that nothing is made from would swallow what it is sent.
fn stream(cx: &mut Cx<'_>, object: &Object<'_>, streams: &[&str]) -> Option<Text> {
    let stream = object.text(cx, "stream")?;
    if !streams.contains(&stream.text.as_str()) {
        let help = match nearest(&stream.text, streams.iter().copied()) {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => "write the stream of an entity's 'from', or add an entity that is made from this one".to_owned(),
        };
        let message = format!("no entity is made from the stream '{}' of this source", stream.text);
        cx.problem(stream.at, &stream.path, message, help);
    }
    Some(stream)
}

/// The jq program under a key, if there is one.
pub fn program(cx: &mut Cx<'_>, object: &Object<'_>, key: &str) -> Option<Program> {
    object.get(key)?;
    let text = object.text(cx, key)?;
    match (cx.compile)(&text.text) {
        Ok(program) => Some(program),
        Err(error) => {
            let help = "write one jq program, such as .status == \"open\" or { id, name: .title }";
            cx.problem(text.at, &text.path, error.to_string(), help);
            None
        }
    }
}
