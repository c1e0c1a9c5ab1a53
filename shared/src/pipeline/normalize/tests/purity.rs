//! Whatever comes in, the same comes out, and never a panic.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(|x| json!(x)),
        "[0-9-]{0,4}|2026-0[1-9]-[0-3][0-9](T00:00:00Z)?|.{0,8}".prop_map(Json::from),
    ];
    let name = prop_oneof!["id", "no", "items", "name", "when", "flag", "v", "[a-c]"];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// Records that get past owner and order, so that the fields are tried too.
fn records() -> impl Strategy<Value = Json> {
    (any_json(), proptest::option::of(0i64..5), proptest::collection::vec(any_json(), 0..4)).prop_map(
        |(json, id, items)| match (json, id) {
            (Json::Object(mut members), Some(id)) => {
                members.insert("id".into(), id.into());
                members.insert("items".into(), items.into());
                Json::Object(members)
            }
            (json, _) => json,
        },
    )
}

fn with_everything(kind: FieldType, format: TimeFormat) -> Vec<Entity> {
    let fields = || {
        vec![
            field("no", FieldType::Integer),
            required(field("name", FieldType::String)),
            FieldRule { format: Some(format.clone()), ..field("when", kind) },
            FieldRule {
                lookup: lookup(&[("1", json!(true))], LookupMissing::Keep),
                ..field("flag", FieldType::Boolean)
            },
            field_at("up", FieldType::Json, "^^.v[0]"),
            FieldRule { from: FieldSource::Position, ..field("position", FieldType::Number) },
        ]
    };
    let each = entity_each("items[]", fields());
    let mapped = Entity { map: Some(program(".[]? // .")), only: Some(program(".flag != false")), ..each };
    vec![entity_each("items[].items[]", fields()), entity(fields()), mapped]
}

/// The same JSON, read from a text in which the members stand in reverse.
fn reversed(json: &Json) -> String {
    match json {
        Json::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .rev()
                .map(|(name, value)| format!("{}: {}", Json::from(name.as_str()), reversed(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(reversed).collect::<Vec<_>>().join(" ,")),
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn any_json_is_normalized_without_panic_and_the_counts_add_up(
        record in records(),
        kind in prop_oneof![Just(FieldType::Date), Just(FieldType::Timestamp), Just(FieldType::String)],
        format in prop_oneof![
            Just(TimeFormat::Rfc3339),
            Just(TimeFormat::UnixSeconds),
            Just(TimeFormat::UnixMillis),
            Just(TimeFormat::Pattern("%d/%m/%Y".into())),
        ],
    ) {
        for entity in with_everything(kind, format) {
            let out = run(&entity, &record);
            let mut keys: Vec<_> = rows(&out).iter().map(|row| row.key.clone()).collect();
            keys.sort();
            keys.dedup();
            prop_assert_eq!(keys.len(), rows(&out).len());
            for row in rows(&out) {
                prop_assert_eq!(row.values.len(), entity.schema.fields.len());
                prop_assert_eq!(entity.schema.key_of(&row.values), Some(row.key.clone()));
            }
        }
    }

    #[test]
    fn the_order_of_members_makes_no_difference(record in records()) {
        let other: Json = serde_json::from_str(&reversed(&record)).unwrap();
        prop_assert_eq!(record_hash(&record), record_hash(&other));
        for entity in with_everything(FieldType::Json, TimeFormat::Rfc3339) {
            prop_assert_eq!(run(&entity, &record), run(&entity, &other));
        }
    }

    #[test]
    fn every_time_that_is_read_shows_as_rfc_3339(seconds in prop_oneof![-63_000_000_000_i64..254_000_000_000, any::<i64>()]) {
        for format in [TimeFormat::UnixSeconds, TimeFormat::UnixMillis] {
            if let Ok(time) = read_time(&json!(seconds), &format) {
                prop_assert_eq!(read_time(&json!(time.to_string()), &TimeFormat::Rfc3339), Ok(time));
            }
        }
    }
}

#[test]
fn different_records_have_different_hashes() {
    assert_ne!(record_hash(&json!({"a": 1})), record_hash(&json!({"a": 2})));
    assert_ne!(record_hash(&json!({"a": [1, 2]})), record_hash(&json!({"a": [2, 1]})));
}
