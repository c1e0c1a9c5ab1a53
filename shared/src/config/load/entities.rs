//! The entities: first what each is called, has and refers to, then, once they are in order, the rest.

use std::sync::Arc;

use super::fields::{self, FieldDraft};
use super::reader::{Cx, Object, Text, Value};
use super::sources::program;
use super::{PATH_HELP, check_name, grounded, guard, parse_path, provider_order, relations};
use crate::config::keys;
use crate::config::model::{Entity, FieldRule, FieldSource, Guard};
use crate::config::path::Path;
use crate::config::problem::nearest;
use crate::config::yaml::Content;
use crate::domain::schema::Relation;
use crate::domain::{EntityName, Field, FieldType, Schema};

/// What is known of an entity before its relations are resolved.
#[derive(Debug)]
pub struct Draft<'a> {
    pub name: Text,
    pub object: Object<'a>,
    pub fields: Vec<FieldDraft<'a>>,
    /// The junction's fields, where it is one.
    pub key: Vec<Text>,
    pub relations: Vec<(Text, Text)>,
    pub junction: Vec<(Text, Text)>,
}

/// What is known of a field's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Known(FieldType),
    Missing,
    /// Reported already.
    Bad,
}

pub fn read(cx: &mut Cx<'_>, declared: &[(Text, Value<'_>)], sources: &[&str], inherited: &Guard) -> Vec<Entity> {
    let mut drafts: Vec<Draft<'_>> = declared.iter().filter_map(|(name, value)| draft(cx, name, value)).collect();
    let order = relations::order(cx, &drafts);
    relations::type_junctions(cx, &mut drafts, &order);
    relations::check(cx, &drafts);
    order.iter().filter_map(|at| entity(cx, &drafts[*at], sources, inherited)).collect()
}

/// What entities are made from, as they say it, right or wrong.
pub fn streams<'a>(declared: &[(Text, Value<'a>)]) -> Vec<(&'a str, &'a str)> {
    let mut out = Vec::new();
    for (_, value) in declared {
        let Content::Map(members) = &value.node.content else { continue };
        for from in members.iter().filter(|entry| entry.key == "from") {
            if let Content::Scalar(scalar) = &from.value.content {
                out.extend(scalar.text.split_once('.'));
            }
        }
    }
    out
}

fn draft<'a>(cx: &mut Cx<'_>, name: &Text, value: &Value<'a>) -> Option<Draft<'a>> {
    if check_name(cx, name, "an entity") {
        check_suffix(cx, name);
    }
    let object = cx.object(value, &keys::ENTITY)?;
    let mut fields = object.get("fields").map(|value| fields::drafts(cx, &value)).unwrap_or_default();
    let relations = links(cx, &object, "relations");
    let junction = links(cx, &object, "junction");
    let mut key = key_names(cx, &object);
    match (object.get("key"), object.get("junction")) {
        (None, None) => object.missing(cx, "key"),
        (Some(value), Some(_)) => cx.problem(
            value.at,
            &value.path,
            "a junction's fields are its key",
            "remove 'key', or write 'relations' instead of 'junction'",
        ),
        _ => {}
    }
    for (field, to) in &junction {
        match fields.iter_mut().find(|own| own.name.text == field.text) {
            Some(own) => own.required = true,
            None if check_name(cx, field, "a field") => fields.push(FieldDraft::undeclared(field)),
            None => {}
        }
        if to.text == name.text {
            cx.problem(to.at, &to.path, "a junction can't lead to itself", "name another entity");
        }
    }
    if object.get("junction").is_some() {
        key = junction.iter().map(|(field, _)| field.clone()).collect();
    }
    Some(Draft { name: name.clone(), object, fields, key, relations, junction })
}

/// Names that stores use for what belongs to an entity.
fn check_suffix(cx: &mut Cx<'_>, name: &Text) {
    let numbered =
        name.text.rsplit_once("_v").is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let own = ["_current", "_owners"].into_iter().find(|suffix| name.text.ends_with(suffix));
    if numbered || own.is_some() {
        let suffix = own.unwrap_or("_v and a number");
        let message =
            format!("'{}' can't be the name of an entity; names ending in {suffix} are Teal's own", name.text);
        cx.problem(name.at, &name.path, message, "choose another ending");
    }
}

fn links(cx: &mut Cx<'_>, object: &Object<'_>, key: &str) -> Vec<(Text, Text)> {
    let Some(value) = object.get(key) else { return Vec::new() };
    let members = cx.members(&value);
    if key == "junction" && members.is_empty() && matches!(value.node.content, Content::Map(_)) {
        cx.problem(value.at, &value.path, "a junction needs fields", "write { a_id: a_entity, b_id: b_entity }");
    }
    members
        .into_iter()
        .filter_map(|(field, to)| Some((field, cx.text_of(&to, "the name of an entity", "write field: entity")?)))
        .collect()
}

/// A text, or each text of a list.
fn texts(cx: &mut Cx<'_>, value: &Value<'_>, wanted: &str, help: &str) -> Vec<Text> {
    match &value.node.content {
        Content::List(items) if items.is_empty() => {
            cx.problem(value.at, &value.path, format!("the list is empty; {wanted} is wanted"), help);
            Vec::new()
        }
        Content::List(_) => cx.items(value, help).iter().filter_map(|item| cx.text_of(item, wanted, help)).collect(),
        _ => cx.text_of(value, wanted, help).into_iter().collect(),
    }
}

fn key_names(cx: &mut Cx<'_>, object: &Object<'_>) -> Vec<Text> {
    let Some(value) = object.get("key") else { return Vec::new() };
    let names = texts(cx, &value, "the name of a field", "write key: id, or key: [year, number]");
    for (index, name) in names.iter().enumerate() {
        if names[..index].iter().any(|before| before.text == name.text) {
            let message = format!("'{}' is in the key twice", name.text);
            cx.problem(name.at, &name.path, message, "name each field once");
        }
    }
    names
}

fn entity(cx: &mut Cx<'_>, draft: &Draft<'_>, sources: &[&str], inherited: &Guard) -> Option<Entity> {
    let object = &draft.object;
    let from = object.get("from").and_then(|_| from(cx, object, sources));
    let owner = owner(cx, object);
    let each = each(cx, object);
    let (only, map) = (program(cx, object, "only"), program(cx, object, "map"));
    let order = object.section(cx, "order").and_then(|order| provider_order(cx, &order));
    let own_guard = object.section(cx, "guard");
    let guard = guard(cx, own_guard, Some(inherited));
    check_key(cx, draft);
    let mut columns = Vec::with_capacity(draft.fields.len());
    let mut rules = Vec::with_capacity(draft.fields.len());
    for field in &draft.fields {
        if let Some((column, rule)) = fields::rule(cx, field, each.as_ref().map_or(usize::MAX, Vec::len)) {
            columns.push(column);
            rules.push(rule);
        }
    }
    let ((source, stream), owner, each) = (from?, owner?, each?);
    let schema = schema(draft, columns);
    let owner_is_key = each.is_empty() && map.is_none() && key_is(&schema, &rules, &owner);
    Some(Entity {
        name: schema.entity.clone(),
        source: source.as_str().into(),
        stream: stream.as_str().into(),
        schema: Arc::new(schema),
        owner,
        owner_is_key,
        each,
        only,
        map,
        fields: rules,
        order,
        guard,
    })
}

fn schema(draft: &Draft<'_>, fields: Vec<Field>) -> Schema {
    let mut relations: Vec<Relation> = Vec::new();
    for (field, to) in draft.junction.iter().chain(&draft.relations) {
        let relation = Relation { field: field.text.clone(), to: EntityName::new(&to.text) };
        if !relations.contains(&relation) {
            relations.push(relation);
        }
    }
    Schema {
        entity: EntityName::new(&draft.name.text),
        fields,
        key: draft.key.iter().map(|name| name.text.clone()).collect(),
        relations,
    }
}

/// Whether each part of the key is read, as it is, from where the record's own key stands.
fn key_is(schema: &Schema, rules: &[FieldRule], owner: &[Path]) -> bool {
    schema.key.len() == owner.len()
        && schema.key.iter().zip(owner).all(|(name, owner)| {
            rules.iter().any(|rule| {
                rule.name == *name
                    && rule.lookup.is_none()
                    && rule.default.is_none()
                    && matches!(&rule.from, FieldSource::Path(path) if path == owner)
            })
        })
}

fn from(cx: &mut Cx<'_>, object: &Object<'_>, sources: &[&str]) -> Option<(String, String)> {
    let text = object.text(cx, "from")?;
    let good =
        |stream: &str| !stream.is_empty() && stream.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let Some((source, stream)) = text.text.split_once('.').filter(|(_, stream)| good(stream)) else {
        let example = sources.first().unwrap_or(&"source");
        let message = format!("'{}' does not name a source and a stream", text.text);
        cx.problem(text.at, &text.path, message, format!("write source.stream, such as {example}.items"));
        return None;
    };
    if !sources.contains(&source) {
        let help = match nearest(source, sources.iter().copied()) {
            Some(meant) => format!("did you mean '{meant}.{stream}'?"),
            None => format!("declare '{source}' under sources, or write one of {}", sources.join(", ")),
        };
        cx.problem(text.at, &text.path, format!("there is no source '{source}'"), help);
        return None;
    }
    Some((source.to_owned(), stream.to_owned()))
}

fn owner(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<Vec<Path>> {
    let Some(value) = object.get("record") else {
        let id = object.text(cx, "record")?;
        return Some(vec![parse_path(cx, &id)?]);
    };
    let names = texts(cx, &value, "a path", PATH_HELP);
    let mut out = Vec::new();
    for text in &names {
        let path = parse_path(cx, text)?;
        out.push(grounded(cx, path, text)?);
    }
    (!out.is_empty()).then_some(out)
}

fn each(cx: &mut Cx<'_>, object: &Object<'_>) -> Option<Vec<Path>> {
    if object.get("each").is_none() {
        return Some(Vec::new());
    }
    let text = object.text(cx, "each")?;
    match Path::parse_each(&text.text) {
        Ok(each) => Some(each),
        Err(error) => {
            let help = "write the path of a list, such as portfolios[] or portfolios[].media[]";
            cx.problem(text.at, &text.path, error.to_string(), help);
            None
        }
    }
}

fn check_key(cx: &mut Cx<'_>, draft: &Draft<'_>) {
    for name in &draft.key {
        let Some(field) = draft.fields.iter().find(|field| field.name.text == name.text) else {
            if draft.junction.is_empty() {
                relations::unknown_field(cx, name, draft);
            }
            continue;
        };
        if !field.required {
            cx.problem(
                name.at,
                &name.path,
                format!("the key's field '{}' is not required", name.text),
                format!("add required: true to '{}'; a row without its key can't be kept", name.text),
            );
        }
        if let Kind::Known(kind) = field.kind
            && !matches!(kind, FieldType::Integer | FieldType::String)
        {
            cx.problem(
                name.at,
                &name.path,
                format!("the key's field '{}' is of type {}", name.text, relations::word(kind)),
                "make it integer or string, or choose another key",
            );
        }
    }
}
