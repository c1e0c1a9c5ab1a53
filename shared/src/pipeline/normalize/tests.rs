//! Each file a promise of normalizing; here, the mappings that they are tried with.

mod fields;
mod purity;
mod records;
mod rows;

use std::sync::Arc;

use serde_json::Value as Json;

use super::*;
use crate::config::jq::Program;
use crate::config::path::Path;
use crate::config::{
    Bounds, FieldRule, FieldSource, Guard, Lookup, LookupMissing, OrderKind, ProviderOrder, RelationsGuard, TimeFormat,
};
use crate::domain::{Field, FieldType, Row, Schema};

const STATED: Millis = Millis(1_700_000_000_000);

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn program(text: &str) -> Program {
    Program::compile(text).unwrap()
}

/// A field read from the member of the same name.
fn field(name: &str, kind: FieldType) -> FieldRule {
    field_at(name, kind, name)
}

fn field_at(name: &str, kind: FieldType, at: &str) -> FieldRule {
    FieldRule {
        name: name.into(),
        kind,
        from: FieldSource::Path(path(at)),
        required: false,
        default: None,
        lookup: None,
        format: None,
        bounds: Bounds::default(),
    }
}

fn required(rule: FieldRule) -> FieldRule {
    FieldRule { required: true, ..rule }
}

fn lookup(pairs: &[(&str, Json)], missing: LookupMissing) -> Option<Lookup> {
    let table = pairs.iter().map(|(from, to)| ((*from).to_owned(), to.clone())).collect();
    Some(Lookup { table, missing })
}

/// An entity of records whose key is `id`, with these fields, the first of which is the row's key.
fn entity(fields: Vec<FieldRule>) -> Entity {
    let shown =
        |rule: &FieldRule| Field { name: rule.name.clone(), kind: rule.kind, required: rule.required, index: false };
    let schema = Schema {
        entity: "things".into(),
        fields: fields.iter().map(shown).collect(),
        key: vec![fields[0].name.clone()],
        relations: Vec::new(),
    };
    Entity {
        name: "things".into(),
        source: "example".into(),
        stream: "things".into(),
        schema: Arc::new(schema),
        owner: vec![path("id")],
        owner_is_key: false,
        each: Vec::new(),
        only: None,
        map: None,
        fields,
        order: None,
        guard: Guard { max_shrink: 0.2, max_rejected: 0.1, relations: RelationsGuard::Report },
    }
}

/// An entity with a row for each item of a list.
fn entity_each(each: &str, fields: Vec<FieldRule>) -> Entity {
    Entity { each: Path::parse_each(each).unwrap(), ..entity(fields) }
}

fn run(entity: &Entity, record: &Json) -> Normalized {
    let out = normalize(entity, &Record::new(record, STATED));
    assert_eq!(out.mapped, rows(&out).len() as u64 + out.duplicates + out.rejected_rows, "the counts add up: {out:?}");
    assert_eq!(out.rejected_rows == 0, out.rejects.is_empty());
    for rejected in &out.rejects {
        let message = &rejected.reason.message;
        assert!(message.contains("expected") || rejected.reason.code == "TEAL-R004", "{message}");
    }
    out
}

fn rows(out: &Normalized) -> &[Row] {
    match &out.change {
        Some(RecordChange { effect: Effect::Upsert { rows, .. }, .. }) => rows,
        _ => &[],
    }
}

fn is_complete(out: &Normalized) -> bool {
    match &out.change {
        Some(RecordChange { effect: Effect::Upsert { complete, .. }, .. }) => *complete,
        _ => panic!("no upsert: {out:?}"),
    }
}

/// The rows as readers would see them.
fn shown(entity: &Entity, out: &Normalized) -> Vec<Json> {
    rows(out).iter().map(|row| row.to_json(&entity.schema)).collect()
}

fn codes(out: &Normalized) -> Vec<&str> {
    out.rejects.iter().map(|rejected| rejected.reason.code.as_str()).collect()
}
