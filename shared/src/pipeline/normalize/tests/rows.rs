//! Which rows a record has: items, filters, programs, keys.

use serde_json::json;

use super::*;
use FieldType::{Integer, String as Text};

#[test]
fn a_record_without_lists_makes_one_row() {
    let entity = entity(vec![field("id", Integer), field_at("name", Text, "profile.displayName")]);
    let out = run(&entity, &json!({"id": 7, "profile": {"displayName": "Ada"}, "other": 1}));
    assert_eq!(shown(&entity, &out), [json!({"id": 7, "name": "Ada"})]);
    assert!(is_complete(&out) && !out.filtered && out.mapped == 1);
}

#[test]
fn every_item_of_nested_lists_makes_a_row_that_can_look_up() {
    let entity = entity_each(
        "portfolios[].media[]",
        vec![
            field("id", Integer),
            field_at("portfolio", Integer, "^.id"),
            field_at("talent", Integer, "$.id"),
            field_at("again", Integer, "^^.id"),
            FieldRule { from: FieldSource::Position, ..field("position", Integer) },
        ],
    );
    let record = json!({"id": 1, "portfolios": [
        {"id": 10, "media": [{"id": 100}, {"id": 101}]},
        {"id": 11, "media": null},
        {"id": 12},
        {"id": 13, "media": [{"id": 102}]},
    ]});
    let out = run(&entity, &record);
    let row = |id, portfolio, position| json!({"id": id, "portfolio": portfolio, "talent": 1, "again": 1, "position": position});
    assert_eq!(shown(&entity, &out), [row(100, 10, 0), row(101, 10, 1), row(102, 13, 0)]);
    assert_eq!(out.mapped, 3);
}

#[test]
fn one_object_can_be_the_item() {
    let entity = entity_each("profile.address", vec![field_at("owner", Integer, "$.id"), field("city", Text)]);
    let out = run(&entity, &json!({"id": 1, "profile": {"address": {"city": "Ulm"}}}));
    assert_eq!(shown(&entity, &out), [json!({"owner": 1, "city": "Ulm"})]);
    assert!(run(&entity, &json!({"id": 1})).filtered);
}

#[test]
fn what_is_no_list_is_rejected_once_and_the_other_lists_go_on() {
    let entity = entity_each("groups[].tags[]", vec![field_at("tag", Text, ".")]);
    let out = run(&entity, &json!({"id": 1, "groups": [{"tags": {"tag": "a"}}, {"tags": ["b"]}, {"tags": "c"}]}));
    assert_eq!(codes(&out), ["TEAL-R003", "TEAL-R003"]);
    assert_eq!(shown(&entity, &out), [json!({"tag": "b"})]);
    assert_eq!((out.mapped, out.rejected_rows, is_complete(&out)), (3, 2, false));
    assert_eq!(codes(&run(&entity, &json!({"id": 1, "groups": 5}))), ["TEAL-R003"]);
}

#[test]
fn only_keeps_items_for_which_it_is_true() {
    let mut entity = entity_each("media[]", vec![field("id", Integer)]);
    entity.only = Some(program(".kind == \"photo\""));
    let out = run(&entity, &json!({"id": 1, "media": [{"id": 1, "kind": "photo"}, {"id": 2, "kind": "text"}]}));
    assert_eq!(shown(&entity, &out), [json!({"id": 1})]);
    assert!(is_complete(&out) && out.mapped == 1);
    entity.only = Some(program(".kind | startswith(\"p\")"));
    let out = run(&entity, &json!({"id": 1, "media": [{"id": 1, "kind": 5}, {"id": 2, "kind": "p"}]}));
    assert_eq!((codes(&out), shown(&entity, &out)), (vec!["TEAL-R004"], vec![json!({"id": 2})]));
    assert!(out.rejects[0].reason.message.starts_with("only: "));
}

#[test]
fn a_program_makes_any_number_of_rows_and_paths_still_lead_up() {
    let mut entity = entity_each(
        "groups[]",
        vec![field("id", Integer), field_at("record", Integer, "^.id"), field_at("same", Integer, "$.id")],
    );
    entity.map = Some(program(".ids[] | {id: (. * 10)}"));
    let out = run(&entity, &json!({"id": 1, "groups": [{"ids": [1, 2]}, {"ids": []}, {"ids": [3]}]}));
    let row = |id| json!({"id": id, "record": 1, "same": 1});
    assert_eq!(shown(&entity, &out), [row(10), row(20), row(30)]);
}

#[test]
fn a_program_that_fails_or_gives_no_object_rejects_its_item() {
    let mut entity = entity_each("items[]", vec![field("id", Integer)]);
    for (text, item) in [
        ("error(\"no\")", json!({})),
        (".a.b", json!({"a": 5})),
        ("null", json!({})),
        ("[{id: 1}]", json!({})),
        ("repeat({id: 1})", json!({})),
    ] {
        entity.map = Some(program(&format!("if .id then . else {text} end")));
        let out = run(&entity, &json!({"id": 1, "items": [item, {"id": 2}]}));
        assert_eq!(codes(&out), ["TEAL-R004"], "{text}");
        assert_eq!((shown(&entity, &out), out.mapped, is_complete(&out)), (vec![json!({"id": 2})], 2, false));
        assert_eq!(out.rejects[0].key.as_deref(), Some("1"));
    }
}

#[test]
fn everything_that_is_wrong_with_a_row_is_told_and_counts_as_one_row() {
    let entity = entity(vec![field("id", Integer), required(field("name", Text)), field("age", Integer)]);
    let out = run(&entity, &json!({"id": 7, "age": "old"}));
    assert_eq!(codes(&out), ["TEAL-R005", "TEAL-R006"]);
    let fields: Vec<_> = out.rejects.iter().map(|r| (r.key.as_deref(), r.reason.field.as_deref())).collect();
    assert_eq!(fields, [(Some("7"), Some("name")), (Some("7"), Some("age"))]);
    assert_eq!((out.mapped, out.rejected_rows, is_complete(&out), rows(&out).len()), (1, 1, false, 0));
    assert!(!out.filtered);
}

#[test]
fn a_reject_is_filed_under_the_records_key_where_the_row_has_none() {
    let entity = entity_each("items[]", vec![required(field("no", Integer))]);
    let out = run(&entity, &json!({"id": "rec", "items": [{"no": "x"}]}));
    assert_eq!(out.rejects[0].key.as_deref(), Some("rec"));
}

#[test]
fn equal_rows_with_one_key_are_duplicates_and_a_different_one_is_rejected() {
    let entity = entity_each("items[]", vec![field("no", Integer), field("name", Text)]);
    let item = |name: &str| json!({"no": 1, "name": name});
    let out = run(&entity, &json!({"id": 1, "items": [item("a"), item("a"), item("b"), item("a")]}));
    assert_eq!(shown(&entity, &out), [item("a")]);
    assert_eq!((out.mapped, out.duplicates, out.rejected_rows), (4, 2, 1));
    assert_eq!((codes(&out), is_complete(&out)), (vec!["TEAL-R010"], false));
    let message = &out.rejects[0].reason.message;
    assert!(message.contains("'name' is \"a\"") && message.contains("\"b\" in this one"), "{message}");
    let out = run(&entity, &json!({"id": 1, "items": [{"no": 2}, item("a"), item("a")]}));
    assert!(is_complete(&out) && out.duplicates == 1 && rows(&out).len() == 2);
}

#[test]
fn a_row_without_a_key_is_rejected() {
    let numbers = entity_each("items[]", vec![field("no", Integer)]);
    let texts = entity_each("items[]", vec![field("no", Text)]);
    for (entity, item) in [(&numbers, json!({})), (&numbers, json!(null)), (&texts, json!({"no": ""}))] {
        let out = run(entity, &json!({"id": 1, "items": [item]}));
        assert_eq!((codes(&out), is_complete(&out)), (vec!["TEAL-R011"], false));
    }
}

#[test]
fn a_row_that_no_store_of_aws_holds_is_rejected_by_its_key_and_the_others_stay() {
    let entity = entity_each("texts[]", vec![field("id", Integer), field("text", Text)]);
    let most = Row::MOST_BYTES - r#"[1,""]"#.len();
    let (fits, larger, escaped) = ("x".repeat(most), "x".repeat(most + 1), "\u{1}".repeat(most / 6 + 1));
    let out = run(
        &entity,
        &json!({"id": 1, "texts": [{"id": 1, "text": fits}, {"id": 2, "text": larger}, {"id": 3, "text": escaped}]}),
    );
    assert_eq!(codes(&out), ["TEAL-R016", "TEAL-R016"]);
    let keys: Vec<_> = out.rejects.iter().filter_map(|reject| reject.key.as_deref()).collect();
    assert_eq!((keys, out.rejected_rows, shown(&entity, &out).len()), (vec!["2", "3"], 2, 1));
}
