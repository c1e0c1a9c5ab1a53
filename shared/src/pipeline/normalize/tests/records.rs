//! What becomes of a whole record: its owner, its order, deletes.

use serde_json::json;

use super::*;

fn ids() -> Entity {
    entity(vec![field("id", FieldType::Integer)])
}

fn owner(entity: &Entity, record: &Json) -> Result<Key, String> {
    owner_key(entity, record).map_err(|reason| reason.code)
}

#[test]
fn a_record_without_its_key_changes_nothing_and_is_rejected() {
    for record in [json!({}), json!({"id": null}), json!({"id": ""}), json!({"id": [1]}), json!({"id": true}), json!(5)]
    {
        let out = run(&ids(), &record);
        assert_eq!((codes(&out), out.change.is_none()), (vec!["TEAL-R001"], true), "{record}");
        assert_eq!((out.mapped, out.rejected_rows, out.filtered), (1, 1, false));
    }
}

#[test]
fn an_owner_is_the_same_however_the_source_writes_it() {
    let loose = ids();
    assert_eq!(owner(&loose, &json!({"id": 42})), Ok(Key::int(42)));
    assert_eq!(owner(&loose, &json!({"id": "42"})), Ok(Key::int(42)));
    assert_eq!(owner(&loose, &json!({"id": 42.0})), Ok(Key::int(42)));
    assert_eq!(owner(&loose, &json!({"id": "042"})), Ok(Key::text("042")));
    assert_eq!(owner(&loose, &json!({"id": "a:1"})), Ok(Key::text("a:1")));
    assert_eq!(owner(&loose, &json!({"id": 1.5})), Ok(Key::text("1.5")));
}

#[test]
fn an_owner_that_is_the_rows_key_has_the_keys_types() {
    let number = Entity { owner_is_key: true, ..ids() };
    assert_eq!(owner(&number, &json!({"id": "042"})), Ok(Key::int(42)));
    assert_eq!(owner(&number, &json!({"id": "x"})), Err("TEAL-R001".into()));
    let text = Entity { owner_is_key: true, ..entity(vec![field("id", FieldType::String)]) };
    assert_eq!(owner(&text, &json!({"id": 42})), Ok(Key::text("42")));
    for (entity, record) in [(number, json!({"id": "042"})), (text, json!({"id": 42}))] {
        let out = run(&entity, &record);
        assert_eq!(rows(&out)[0].key, out.change.clone().unwrap().owner);
    }
}

#[test]
fn an_owner_may_have_several_parts() {
    let entity = Entity { owner: vec![path("region"), path("no")], ..ids() };
    let parts = owner_key(&entity, &json!({"region": "eu", "no": 3})).unwrap();
    assert_eq!(parts.to_string(), "eu:3");
    assert_eq!(owner(&entity, &json!({"region": "eu"})), Err("TEAL-R001".into()));
}

#[test]
fn a_change_carries_the_providers_order_the_stated_time_and_the_hash() {
    let by = |kind| Entity { order: Some(ProviderOrder { path: path("v"), kind }), ..ids() };
    let order = |entity: &Entity, record: &Json| match run(entity, record).change.map(|change| change.effect) {
        Some(Effect::Upsert { order, .. }) => Ok((order.provider, order.stated, order.hash)),
        _ => Err(codes(&run(entity, record)).join(",")),
    };
    let hash = |record: &Json| record_hash(record);
    let plain = json!({"id": 1});
    assert_eq!(order(&ids(), &plain), Ok((None, STATED, hash(&plain))));
    let record = json!({"id": 1, "v": "17"});
    assert_eq!(order(&by(OrderKind::Sequence), &record), Ok((Some(17), STATED, hash(&record))));
    let record = json!({"id": 1, "v": "1970-01-01T00:00:01Z"});
    assert_eq!(order(&by(OrderKind::Time(TimeFormat::Rfc3339)), &record), Ok((Some(1000), STATED, hash(&record))));
    for bad in [json!({"id": 1}), json!({"id": 1, "v": null}), json!({"id": 1, "v": "soon"}), json!({"id": 1, "v": []})]
    {
        assert_eq!(order(&by(OrderKind::Sequence), &bad), Err("TEAL-R002".into()), "{bad}");
        assert_eq!(order(&by(OrderKind::Time(TimeFormat::UnixSeconds)), &bad), Err("TEAL-R002".into()), "{bad}");
    }
}

#[test]
fn a_record_that_has_nothing_for_the_entity_takes_its_rows_away() {
    let each = entity_each("tags[]", vec![field_at("tag", FieldType::String, ".")]);
    let only = Entity { only: Some(program(".kind == \"a\"")), ..ids() };
    let map = Entity { map: Some(program("empty")), ..ids() };
    for (entity, record) in [
        (&each, json!({"id": 1})),
        (&each, json!({"id": 1, "tags": null})),
        (&each, json!({"id": 1, "tags": []})),
        (&only, json!({"id": 1, "kind": "b"})),
        (&map, json!({"id": 1})),
    ] {
        let out = run(entity, &record);
        assert!(out.filtered && is_complete(&out) && rows(&out).is_empty() && out.mapped == 0, "{record}");
    }
}

#[test]
fn a_delete_is_read_from_a_body_like_the_owner_from_a_record() {
    let entity = ids();
    let read = |entity: &Entity, order: Option<&ProviderOrder>, body: Json| {
        read_delete(entity, &path("data.id"), order, &body).map_err(|reason| reason.code)
    };
    let order = ProviderOrder { path: path("v"), kind: OrderKind::Sequence };
    assert_eq!(read(&entity, None, json!({"data": {"id": "42"}})), Ok((Key::int(42), None)));
    assert_eq!(read(&entity, Some(&order), json!({"data": {"id": 42}, "v": 9})), Ok((Key::int(42), Some(9))));
    assert_eq!(read(&entity, Some(&order), json!({"data": {"id": 42}})), Err("TEAL-R002".into()));
    for bad in [json!({}), json!({"data": {"id": {}}}), json!({"data": {"id": [1, 2]}}), json!({"data": {"id": []}})] {
        assert_eq!(read(&entity, None, bad.clone()), Err("TEAL-R001".into()), "{bad}");
    }
    let pair = Entity { owner: vec![path("region"), path("no")], ..ids() };
    assert_eq!(read(&pair, None, json!({"data": {"id": ["eu", 3]}})).unwrap().0.to_string(), "eu:3");
    let change = delete_change(Key::int(42), Some(9), STATED);
    assert_eq!(change.effect, Effect::Delete { provider: Some(9), stated: STATED });
}

#[test]
fn every_code_has_a_title_and_a_page() {
    for code in Code::ALL {
        let page = format!("{}/../docs/errors/{}.md", env!("CARGO_MANIFEST_DIR"), code.code());
        let text = std::fs::read_to_string(&page).expect(&page);
        let title = format!("# {}: {}", code.code(), code.title());
        assert_eq!(text.lines().next(), Some(title.as_str()));
        for heading in ["## What happened", "## Why", "## What to do"] {
            assert!(text.contains(heading), "{page} lacks '{heading}'");
        }
    }
}
