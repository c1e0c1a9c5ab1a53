//! What refers to what among entities: relations, junctions, and the order in which entities come.

use std::collections::BTreeMap;

use super::entities::{Draft, Kind};
use super::reader::{Cx, Text};
use crate::config::problem::nearest;
use crate::domain::FieldType;

/// The drafts' positions, each after everything that it refers to; the file's order otherwise.
pub fn order(cx: &mut Cx<'_>, drafts: &[Draft<'_>]) -> Vec<usize> {
    let position: BTreeMap<&str, usize> =
        drafts.iter().enumerate().map(|(at, draft)| (draft.name.text.as_str(), at)).collect();
    let links = |at: usize| {
        let links = drafts[at].relations.iter().chain(&drafts[at].junction);
        links.filter_map(|(_, to)| Some((to, *position.get(to.text.as_str())?))).filter(move |(_, to)| *to != at)
    };
    let mut left: Vec<usize> = (0..drafts.len()).collect();
    let mut out = Vec::with_capacity(drafts.len());
    while !left.is_empty() {
        let ready = left.iter().position(|at| links(*at).all(|(_, to)| out.contains(&to)));
        if let Some(ready) = ready {
            out.push(left.remove(ready));
            continue;
        }
        // Everything left waits for something left; so following the links comes back somewhere.
        let mut way: Vec<usize> = vec![left[0]];
        let mut names: Vec<&Text> = Vec::new();
        let start = loop {
            let last = way[way.len() - 1];
            let Some((text, to)) = links(last).find(|(_, to)| !out.contains(to)) else { break 0 };
            names.push(text);
            if let Some(start) = way.iter().position(|at| *at == to) {
                break start;
            }
            way.push(to);
        };
        let mut circle: Vec<&str> = way[start..].iter().map(|at| drafts[*at].name.text.as_str()).collect();
        circle.push(circle[0]);
        if let Some(last) = names.last() {
            cx.problem(
                last.at,
                &last.path,
                format!("relations go in a circle: {}", circle.join(" → ")),
                "remove one of these relations; its field can stay without one",
            );
        }
        // The circle is reported; what hangs on it is not to be reported as well.
        let broken = way[way.len() - 1];
        left.retain(|at| *at != broken);
        out.push(broken);
    }
    out
}

/// Gives a junction's fields the type of the keys that they hold. `order` puts targets first.
pub fn type_junctions(cx: &mut Cx<'_>, drafts: &mut [Draft<'_>], order: &[usize]) {
    for at in order {
        for (field, to) in drafts[*at].junction.clone() {
            let target = target_key(cx, drafts, &to);
            let Some(own) = drafts[*at].fields.iter_mut().find(|own| own.name.text == field.text) else { continue };
            match (own.kind, target) {
                (Kind::Missing, Some(kind)) => own.kind = Kind::Known(kind),
                (Kind::Missing, None) => own.kind = Kind::Bad,
                (Kind::Known(kind), Some(wanted)) if kind != wanted => mismatch(cx, &field, kind, &to, wanted),
                _ => {}
            }
        }
    }
}

/// Checks that relations begin at a field and end at a key of the same type.
pub fn check(cx: &mut Cx<'_>, drafts: &[Draft<'_>]) {
    for draft in drafts {
        for (field, to) in &draft.relations {
            let target = target_key(cx, drafts, to);
            match draft.fields.iter().find(|own| own.name.text == field.text) {
                None => unknown_field(cx, field, draft),
                Some(own) => {
                    if let (Kind::Known(kind), Some(wanted)) = (own.kind, target)
                        && kind != wanted
                    {
                        mismatch(cx, field, kind, to, wanted);
                    }
                }
            }
        }
    }
}

pub fn unknown_field(cx: &mut Cx<'_>, field: &Text, draft: &Draft<'_>) {
    let help = match nearest(&field.text, draft.fields.iter().map(|own| own.name.text.as_str())) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("declare '{}' under fields, or write the name of one that is", field.text),
    };
    cx.problem(field.at, &field.path, format!("'{}' has no field '{}'", draft.name.text, field.text), help);
}

fn mismatch(cx: &mut Cx<'_>, field: &Text, kind: FieldType, to: &Text, wanted: FieldType) {
    cx.problem(
        field.at,
        &field.path,
        format!("'{}' is of type {}, and the key of '{}' is of type {}", field.text, word(kind), to.text, word(wanted)),
        format!("give both one type: write type: {} for '{}'", word(wanted), field.text),
    );
}

/// The type of an entity's key, if it is known and has one part. Reports what can't be a target.
fn target_key(cx: &mut Cx<'_>, drafts: &[Draft<'_>], to: &Text) -> Option<FieldType> {
    let Some(target) = drafts.iter().find(|draft| draft.name.text == to.text) else {
        let help = match nearest(&to.text, drafts.iter().map(|draft| draft.name.text.as_str())) {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => "write the name of an entity of this file".to_owned(),
        };
        cx.problem(to.at, &to.path, format!("there is no entity '{}'", to.text), help);
        return None;
    };
    match &target.key[..] {
        [] => None,
        [key] => match target.fields.iter().find(|field| field.name.text == key.text)?.kind {
            Kind::Known(kind) => Some(kind),
            Kind::Missing | Kind::Bad => None,
        },
        parts => {
            let message = format!("the key of '{}' has {} fields, and a relation is one field", to.text, parts.len());
            cx.problem(to.at, &to.path, message, "relate to an entity whose key is one field");
            None
        }
    }
}

pub fn word(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Integer => "integer",
        FieldType::Number => "number",
        FieldType::String => "string",
        FieldType::Boolean => "boolean",
        FieldType::Date => "date",
        FieldType::Timestamp => "timestamp",
        FieldType::Json => "json",
    }
}
