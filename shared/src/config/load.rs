//! From a bundle to a system, or to everything that is wrong with it.
//!
//! Owns the order of the work: form, variables, sources, entities, what refers to what. Each step goes on
//! after a mistake, so that one run of `teal check` shows them all. Reads nothing but the bundle.

mod after;
mod entities;
mod fields;
mod presets;
mod reader;
mod relations;
mod sources;
pub(super) mod variables;
mod verify;

use std::time::Duration;

use self::reader::{Cx, Object, Text, Value};
use super::bundle::{Bundle, ROOT};
use super::jq::{Compile, Program};
use super::keys;
use super::model::{Backups, Guard, OrderKind, ProviderOrder, RelationsGuard, System, TimeFormat, Versions};
use super::path::{Base, Path};
use super::problem::{Problem, Problems};
use super::yaml;
use crate::domain::names::is_name;

/// Checks and compiles a system.
pub fn load(bundle: &Bundle) -> Result<System, Problems> {
    load_as(ROOT, bundle, Program::compile)
}

/// [`load`] for who runs none of the system's programs, which are taken for right.
pub fn load_without_programs(bundle: &Bundle) -> Result<System, Problems> {
    load_as(ROOT, bundle, Program::unread)
}

/// `file` is what problems call the system's own file.
pub(super) fn load_as(file: &str, bundle: &Bundle, compile: Compile) -> Result<System, Problems> {
    let Some(text) = bundle.files.get(ROOT) else {
        return Err(Problems(vec![Problem {
            file: file.to_owned(),
            line: 0,
            column: 0,
            path: String::new(),
            message: "the configuration holds no teal.yaml".to_owned(),
            help: "create teal.yaml, or name the folder that holds it".to_owned(),
            excerpt: None,
        }]));
    };
    let mut cx = Cx::new(file, text, compile);
    let (root, problems) = yaml::parse(file, text);
    cx.problems = problems;
    if root.is_none() && cx.problems.is_empty() {
        let help = "begin with system: name, then sources: and entities:";
        cx.problem(yaml::Mark { line: 1, column: 1 }, "", "the file is empty", help);
    }
    let system = root.and_then(|mut root| {
        variables::fill(&mut root, &bundle.env, "", &mut cx);
        let at = if root.is_null() { yaml::Mark { line: 1, column: 1 } } else { root.at };
        let value = Value { node: &root, at, path: String::new() };
        read(&mut cx, &value, bundle)
    });
    let problems = cx.finish();
    match system {
        Some(system) if problems.is_empty() => Ok(system),
        _ => Err(Problems(problems)),
    }
}

fn read(cx: &mut Cx<'_>, value: &Value<'_>, bundle: &Bundle) -> Option<System> {
    let root = cx.object(value, &keys::SYSTEM)?;
    let name = root.text(cx, "system");
    if let Some(name) = &name {
        check_name(cx, name, "a system");
    }
    let versions = versions(cx, &root);
    let own_guard = root.section(cx, "guard");
    let guard = guard(cx, own_guard, None);
    let declared = root.get("sources").map(|value| cx.members(&value)).unwrap_or_default();
    let names: Vec<&str> = declared.iter().map(|(name, _)| name.text.as_str()).collect();
    let entities = root.get("entities").map(|value| cx.members(&value)).unwrap_or_default();
    let streams = entities::streams(&entities);
    let entities = entities::read(cx, &entities, &names, &guard);
    let sources = sources::read(cx, &declared, &streams, bundle);
    let backups = root.section(cx, "backups").map(|object| backups(cx, &object));
    let hooks = root.section(cx, "webhooks");
    let hooks_per_second = hooks.and_then(|object| sources::rate(cx, &object, "To take nothing, leave webhooks out"));
    let (hash, name, versions) = (bundle.hash(), name?.text, versions?);
    Some(System { hash, name, sources, entities, versions, guard, backups, hooks_per_second })
}

fn versions(cx: &mut Cx<'_>, root: &Object<'_>) -> Option<Versions> {
    let empty;
    let object = match root.get("versions") {
        Some(value) => cx.object(&value, &keys::VERSIONS)?,
        None => {
            empty = nothing();
            cx.object(&Value { node: &empty, at: root.at, path: String::new() }, &keys::VERSIONS)?
        }
    };
    let (keep, raw, grace) = (object.integer(cx, "keep"), object.integer(cx, "raw"), object.duration(cx, "grace"));
    Some(Versions { keep: keep?, raw: raw?, grace })
}

fn backups(cx: &mut Cx<'_>, object: &Object<'_>) -> Backups {
    let (full, increment) = sources::schedules(cx, object, ["full", "increment"]);
    let second = object.get("second").and_then(|_| object.text(cx, "second"));
    if let Some(empty) = second.as_ref().filter(|second| second.text.trim().is_empty()) {
        cx.problem(empty.at, &empty.path, "'second' is empty", "write a folder or a bucket, or leave the line out");
    }
    Backups { full, increment, keep: object.duration(cx, "keep"), second: second.map(|second| second.text) }
}

/// An empty mapping, through which a section's defaults are read where the section is missing.
fn nothing() -> yaml::Node {
    yaml::Node { at: yaml::Mark::default(), content: yaml::Content::Map(Vec::new()) }
}

/// What is not written is `inherited`, or else the table's default.
fn guard(cx: &mut Cx<'_>, object: Option<Object<'_>>, inherited: Option<&Guard>) -> Guard {
    let empty = nothing();
    let none = Value { node: &empty, at: yaml::Mark::default(), path: String::new() };
    let Some(object) = object.or_else(|| cx.object(&none, &keys::GUARD)) else {
        unreachable!("an empty mapping lacks no key of a guard")
    };
    let relations = match (object.get("relations"), inherited) {
        (None, Some(inherited)) => inherited.relations,
        _ => match object.choice(cx, "relations") {
            Some(word) if word.text == "block" => RelationsGuard::Block,
            _ => RelationsGuard::Report,
        },
    };
    Guard {
        max_shrink: object.percent(cx, "max_shrink", inherited.map(|g| g.max_shrink)),
        max_rejected: object.percent(cx, "max_rejected", inherited.map(|g| g.max_rejected)),
        relations,
    }
}

/// Where a record or body says which of two states is newer.
fn provider_order(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<ProviderOrder> {
    let path = path(cx, object, "path").and_then(|(path, text)| grounded(cx, path, &text));
    let kind = object.choice(cx, "type")?;
    let kind = if kind.text == "sequence" {
        if let Some(format) = object.get("format") {
            cx.problem(
                format.at,
                &format.path,
                "a sequence has no format",
                "remove 'format', or write type: timestamp",
            );
        }
        OrderKind::Sequence
    } else {
        OrderKind::Time(time_format(cx, object)?)
    };
    Some(ProviderOrder { path: path?, kind })
}

fn time_format(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<TimeFormat> {
    const HELP: &str = "write rfc3339, unix-seconds, unix-millis, or a pattern such as \"%d/%m/%Y\"";
    let text = object.text(cx, "format")?;
    Some(match text.text.as_str() {
        "rfc3339" => TimeFormat::Rfc3339,
        "unix-seconds" => TimeFormat::UnixSeconds,
        "unix-millis" => TimeFormat::UnixMillis,
        pattern if pattern.contains('%') => {
            let some_day = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
            if let Err(error) = jiff::fmt::strtime::format(pattern, &some_day) {
                cx.problem(text.at, &text.path, format!("'{pattern}' is not a time pattern: {error}"), HELP);
                return None;
            }
            TimeFormat::Pattern(pattern.to_owned())
        }
        other => {
            cx.problem(text.at, &text.path, format!("'{other}' is not a way to write times"), HELP);
            return None;
        }
    })
}

const PATH_HELP: &str = "write a path such as profile.name, media[0].url, ^.id or $.id; \
                         [\"any name\"] for a member with other characters";

/// The path under a key, with its text.
fn path(cx: &mut Cx<'_>, object: &Object<'_>, key: &str) -> Option<(Path, Text)> {
    let text = object.text(cx, key)?;
    Some((parse_path(cx, &text)?, text))
}

fn parse_path(cx: &mut Cx<'_>, text: &Text) -> Option<Path> {
    match Path::parse(&text.text) {
        Ok(path) => Some(path),
        Err(error) => {
            cx.problem(text.at, &text.path, error.to_string(), PATH_HELP);
            None
        }
    }
}

/// A path that starts at a record or body, above which there is nothing.
fn grounded(cx: &mut Cx<'_>, path: Path, text: &Text) -> Option<Path> {
    if matches!(path.base, Base::Up(_)) {
        let message = format!("'{}' goes up, and there is nothing above it", text.text);
        cx.problem(text.at, &text.path, message, "write a path without ^");
        return None;
    }
    Some(path)
}

fn check_name(cx: &mut Cx<'_>, name: &Text, what: &str) -> bool {
    if is_name(&name.text) {
        return true;
    }
    let message = if name.text.starts_with('_') {
        format!("'{}' can't be the name of {what}; names with _ in front are Teal's own", name.text)
    } else {
        format!("'{}' can't be the name of {what}", name.text)
    };
    let fixed: String = name
        .text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect::<String>()
        .trim_matches(|c: char| c == '_')
        .chars()
        .take(48)
        .collect();
    let rule = "lower-case letters, digits and _, a letter first, 48 at most";
    let help = if is_name(&fixed) { format!("write {fixed} ({rule})") } else { format!("use {rule}") };
    cx.problem(name.at, &name.path, message, help);
    false
}

/// A duration that must not be zero.
fn positive(cx: &mut Cx<'_>, object: &Object<'_>, key: &str) -> Duration {
    let before = cx.problems.len();
    let duration = object.duration(cx, key);
    if let (true, Some(value), true) = (duration.is_zero(), object.get(key), cx.problems.len() == before) {
        cx.problem(value.at, &value.path, format!("{key} can't be zero"), "write a duration such as 30s");
    }
    duration
}

#[cfg(test)]
mod tests;
