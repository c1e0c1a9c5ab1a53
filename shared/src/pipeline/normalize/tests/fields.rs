//! What becomes of one field's value.

use serde_json::json;

use super::*;

/// What a record `{"id": 1, "x": value}` has as `x`; the code and message if that is rejected.
fn read(rule: FieldRule, value: Json) -> Result<Json, (String, String)> {
    let entity = entity(vec![field("id", FieldType::Integer), rule]);
    let out = run(&entity, &json!({"id": 1, "x": value}));
    match out.rejects.first() {
        None => Ok(shown(&entity, &out)[0]["x"].clone()),
        Some(rejected) => {
            assert_eq!(rejected.reason.field.as_deref(), Some("x"));
            assert!(rejected.reason.message.starts_with("field 'x': found "), "{}", rejected.reason.message);
            Err((rejected.reason.code.clone(), rejected.reason.message.clone()))
        }
    }
}

fn x(kind: FieldType) -> FieldRule {
    field("x", kind)
}

fn x_as(kind: FieldType, format: TimeFormat) -> FieldRule {
    FieldRule { format: Some(format), ..x(kind) }
}

fn pattern(text: &str) -> TimeFormat {
    TimeFormat::Pattern(text.into())
}

#[test]
fn each_type_takes_what_is_surely_meant() {
    use FieldType::{Boolean, Integer, Json, Number, String};
    for (kind, value, expected) in [
        (Integer, json!(42), json!(42)),
        (Integer, json!(-3.0), json!(-3)),
        (Integer, json!("42"), json!(42)),
        (Integer, json!("-9223372036854775808"), json!(i64::MIN)),
        (Number, json!(1.5), json!(1.5)),
        (Number, json!(2), json!(2.0)),
        (Number, json!("1.50"), json!(1.5)),
        (Number, json!("-1e3"), json!(-1000.0)),
        (String, json!("text"), json!("text")),
        (String, json!(""), json!("")),
        (String, json!(42), json!("42")),
        (String, json!(1.5), json!("1.5")),
        (String, json!(true), json!("true")),
        (Boolean, json!(false), json!(false)),
        (Boolean, json!("true"), json!(true)),
        (Boolean, json!(0), json!(false)),
        (Boolean, json!(1.0), json!(true)),
        (Json, json!({"a": [1, null]}), json!({"a": [1, null]})),
        (Json, json!("text"), json!("text")),
        (Json, json!(null), json!(null)),
    ] {
        assert_eq!(read(x(kind), value.clone()), Ok(expected), "{kind:?} from {value}");
    }
}

#[test]
fn each_type_refuses_what_would_be_a_guess() {
    use FieldType::{Boolean, Integer, Number, String};
    for (kind, value) in [
        (Integer, json!(1.5)),
        (Integer, json!(1e300)),
        (Integer, json!(u64::MAX)),
        (Integer, json!("1.0")),
        (Integer, json!(" 1")),
        (Integer, json!("")),
        (Integer, json!(true)),
        (Integer, json!([1])),
        (Number, json!("nan")),
        (Number, json!("inf")),
        (Number, json!("1e999")),
        (Number, json!("1,5")),
        (Number, json!("")),
        (Number, json!({})),
        (String, json!([])),
        (String, json!({"a": 1})),
        (Boolean, json!("yes")),
        (Boolean, json!("1")),
        (Boolean, json!(2)),
        (Boolean, json!([])),
    ] {
        let error = read(x(kind), value.clone()).expect_err(&format!("{kind:?} from {value}"));
        assert_eq!(error.0, "TEAL-R006", "{error:?}");
    }
}

#[test]
fn negative_zero_is_zero() {
    let entity = entity(vec![field("id", FieldType::Integer), x(FieldType::Number)]);
    let hash = |value: Json| rows(&run(&entity, &json!({"id": 1, "x": value})))[0].hash();
    assert_eq!(hash(json!(-0.0)), hash(json!(0)));
    assert_eq!(hash(json!("-0")), hash(json!(0)));
}

#[test]
fn dates_are_the_day_as_written() {
    use FieldType::Date;
    for (rule, value, expected) in [
        (x(Date), json!("2026-01-02"), "2026-01-02"),
        (x(Date), json!("2026-01-02T23:30:00-05:00"), "2026-01-02"),
        (x(Date), json!("2026-01-02T03:04:05"), "2026-01-02"),
        (x_as(Date, pattern("%d/%m/%Y")), json!("02/01/2026"), "2026-01-02"),
        (x_as(Date, pattern("%d.%m.%y")), json!("02.01.99"), "1999-01-02"),
        (x_as(Date, pattern("%Y-%m-%d %H:%M")), json!("2026-01-02 23:59"), "2026-01-02"),
        (x_as(Date, TimeFormat::UnixSeconds), json!(1_767_323_045), "2026-01-02"),
        (x_as(Date, TimeFormat::UnixMillis), json!("1767323045678"), "2026-01-02"),
        (x_as(Date, TimeFormat::UnixSeconds), json!(-1), "1969-12-31"),
    ] {
        assert_eq!(read(rule, value.clone()), Ok(json!(expected)), "{value}");
    }
    for (rule, value) in [
        (x(Date), json!("2026-02-30")),
        (x(Date), json!("20260102")),
        (x(Date), json!("2026-01-02 or so")),
        (x(Date), json!("02/01/2026")),
        (x(Date), json!("")),
        (x(Date), json!(2026)),
        (x(Date), json!(["2026-01-02"])),
        (x_as(Date, pattern("%d/%m/%Y")), json!("2026-01-02")),
        (x_as(Date, pattern("%d/%m/%Y")), json!("31/02/2026")),
        (x_as(Date, pattern("%d/%m/%Y")), json!("02/01/2026 x")),
        (x_as(Date, pattern("%d/%m/%Y")), json!(5)),
        (x_as(Date, TimeFormat::UnixSeconds), json!(1e18)),
    ] {
        let error = read(rule, value.clone()).expect_err(&value.to_string());
        assert_eq!(error.0, "TEAL-R007", "{error:?}");
    }
}

#[test]
fn timestamps_are_utc_with_milliseconds() {
    use FieldType::Timestamp;
    for (rule, value, expected) in [
        (x(Timestamp), json!("2026-01-02T03:04:05.6789Z"), "2026-01-02T03:04:05.678Z"),
        (x(Timestamp), json!("2026-01-02T03:04:05+02:00"), "2026-01-02T01:04:05.000Z"),
        (x(Timestamp), json!("2026-01-02 03:04:05Z"), "2026-01-02T03:04:05.000Z"),
        (x_as(Timestamp, TimeFormat::UnixSeconds), json!(1_767_323_045), "2026-01-02T03:04:05.000Z"),
        (x_as(Timestamp, TimeFormat::UnixSeconds), json!(1_767_323_045.25), "2026-01-02T03:04:05.250Z"),
        (x_as(Timestamp, TimeFormat::UnixSeconds), json!("1767323045.5"), "2026-01-02T03:04:05.500Z"),
        (x_as(Timestamp, TimeFormat::UnixMillis), json!(1_767_323_045_678_i64), "2026-01-02T03:04:05.678Z"),
        (x_as(Timestamp, pattern("%d/%m/%Y %H:%M")), json!("02/01/2026 03:04"), "2026-01-02T03:04:00.000Z"),
        (x_as(Timestamp, pattern("%Y-%m-%d %H:%M %z")), json!("2026-01-02 03:04 +0100"), "2026-01-02T02:04:00.000Z"),
        (x_as(Timestamp, pattern("%d/%m/%Y")), json!("02/01/2026"), "2026-01-02T00:00:00.000Z"),
    ] {
        assert_eq!(read(rule, value.clone()), Ok(json!(expected)), "{value}");
    }
    for (rule, value) in [
        (x(Timestamp), json!("2026-01-02T03:04:05")),
        (x(Timestamp), json!("2026-01-02")),
        (x(Timestamp), json!(1_767_323_045)),
        (x(Timestamp), json!("-000001-01-01T00:00:00Z")),
        (x_as(Timestamp, TimeFormat::UnixMillis), json!("soon")),
        (x_as(Timestamp, TimeFormat::UnixMillis), json!(i64::MAX)),
        (x_as(Timestamp, TimeFormat::UnixSeconds), json!(i64::MAX)),
        (x_as(Timestamp, TimeFormat::UnixSeconds), json!(-62_167_219_201_i64)),
        (x_as(Timestamp, TimeFormat::UnixSeconds), json!(true)),
        (x_as(Timestamp, pattern("%H:%M")), json!("03:04")),
    ] {
        let error = read(rule, value.clone()).expect_err(&value.to_string());
        assert_eq!(error.0, "TEAL-R007", "{error:?}");
    }
}

#[test]
fn a_required_field_must_be_there_and_another_may_be_null() {
    assert_eq!(read(x(FieldType::Integer), json!(null)), Ok(json!(null)));
    let error = read(required(x(FieldType::Integer)), json!(null)).unwrap_err();
    assert_eq!(error.0, "TEAL-R005");
    assert!(error.1.contains("nothing at 'x'"), "{}", error.1);
}

#[test]
fn a_default_stands_for_nothing_and_null_only() {
    let with_default = |kind, default| FieldRule { default: Some(default), ..required(x(kind)) };
    assert_eq!(read(with_default(FieldType::Integer, json!(7)), json!(null)), Ok(json!(7)));
    assert_eq!(read(with_default(FieldType::Integer, json!(7)), json!(0)), Ok(json!(0)));
    assert_eq!(read(with_default(FieldType::String, json!("-")), json!("")), Ok(json!("")));
    assert_eq!(read(with_default(FieldType::Integer, json!(7)), json!("?")).unwrap_err().0, "TEAL-R006");
}

#[test]
fn a_default_is_neither_looked_up_nor_read_by_the_sources_format() {
    let rule = FieldRule {
        default: Some(json!("unknown")),
        lookup: lookup(&[("A", json!("active"))], LookupMissing::Reject),
        ..x(FieldType::String)
    };
    assert_eq!(read(rule, json!(null)), Ok(json!("unknown")));
    let rule = FieldRule { default: Some(json!("2000-01-31")), ..x_as(FieldType::Date, pattern("%d/%m/%Y")) };
    assert_eq!(read(rule, json!(null)), Ok(json!("2000-01-31")));
}

#[test]
fn a_lookup_replaces_values_by_their_text() {
    let pairs = [("A", json!("active")), ("1", json!("one")), ("true", json!("yes")), ("", json!(null))];
    let rule = |missing| FieldRule { lookup: lookup(&pairs, missing), ..x(FieldType::String) };
    for (value, expected) in [
        (json!("A"), json!("active")),
        (json!(1), json!("one")),
        (json!("1"), json!("one")),
        (json!(true), json!("yes")),
        (json!(""), json!(null)),
    ] {
        assert_eq!(read(rule(LookupMissing::Reject), value.clone()), Ok(expected), "{value}");
    }
    assert_eq!(read(rule(LookupMissing::Keep), json!("B")), Ok(json!("B")));
    assert_eq!(read(rule(LookupMissing::Use(json!("other"))), json!("B")), Ok(json!("other")));
    assert_eq!(read(rule(LookupMissing::Reject), json!("B")).unwrap_err().0, "TEAL-R009");
    assert_eq!(read(rule(LookupMissing::Keep), json!(["A"])).unwrap_err().0, "TEAL-R006");
    let required = required(rule(LookupMissing::Reject));
    assert_eq!(read(required, json!("")).unwrap_err().0, "TEAL-R005");
}

#[test]
fn bounds_include_their_ends() {
    let bounded = |kind, bounds| FieldRule { bounds, ..x(kind) };
    let length = || Bounds { min_length: Some(2), max_length: Some(3), ..Bounds::default() };
    let range = || Bounds { min: Some(-1.0), max: Some(2.5), ..Bounds::default() };
    let one_of = || Bounds { one_of: Some(vec![json!("a"), json!(2), json!(true)]), ..Bounds::default() };
    use FieldType::{Boolean, Integer, Number, String};
    for (rule, value, fits) in [
        (bounded(String, length()), json!("é"), false),
        (bounded(String, length()), json!("éé"), true),
        (bounded(String, length()), json!("ééé"), true),
        (bounded(String, length()), json!("éééé"), false),
        (bounded(Integer, range()), json!(-2), false),
        (bounded(Integer, range()), json!(-1), true),
        (bounded(Integer, range()), json!(3), false),
        (bounded(Number, range()), json!(2.5), true),
        (bounded(Number, range()), json!(2.500_1), false),
        (bounded(String, one_of()), json!("a"), true),
        (bounded(String, one_of()), json!("b"), false),
        (bounded(Integer, one_of()), json!("2"), true),
        (bounded(Integer, one_of()), json!(3), false),
        (bounded(Number, one_of()), json!(2), true),
        (bounded(Boolean, one_of()), json!(false), false),
        (bounded(String, length()), json!(null), true),
    ] {
        let result = read(rule, value.clone());
        assert_eq!(result.is_ok(), fits, "{value}: {result:?}");
        if let Err((code, _)) = result {
            assert_eq!(code, "TEAL-R008");
        }
    }
}

#[test]
fn a_message_shows_no_more_than_the_start_of_a_value() {
    let long = "é".repeat(100_000);
    for rule in [x(FieldType::Integer), x(FieldType::Date)] {
        let error = read(rule, json!(long)).unwrap_err();
        assert!(error.1.chars().count() < 200, "{}", error.1);
        assert!(error.1.contains("éé") && error.1.contains('…'), "{}", error.1);
    }
    let rule = FieldRule { bounds: Bounds { max_length: Some(2), ..Bounds::default() }, ..x(FieldType::String) };
    assert!(read(rule, json!(long)).unwrap_err().1.chars().count() < 200);
}
