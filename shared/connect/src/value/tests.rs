//! Tests of ordered values.

use super::*;

fn names(map: &Map) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

#[test]
fn members_keep_their_order_whatever_is_done_to_others() {
    let text = r#"{"z":1,"a":{"y":null,"b":[true,-3,1.5]},"m":"x"}"#;
    let mut value: Value = text.parse().unwrap();
    assert_eq!(value.to_string(), text);
    assert_eq!(value.pointer("/a/b/1"), Some(&json!(-3)));
    let map = value.as_object_mut().unwrap();
    map.insert("a".to_owned(), json!(2));
    map.entry("n").or_insert(json!([]));
    map.remove("z");
    assert_eq!(names(map), ["a", "m", "n"]);
}

#[test]
fn a_large_object_finds_what_a_small_one_finds() {
    let mut map: Map = (0..1000).map(|i| (format!("k{i}"), Value::from(i))).collect();
    assert_eq!(map.get("k999"), Some(&json!(999)));
    assert_eq!(map.remove("k3"), Some(json!(3)));
    assert_eq!((map.get("k3"), map.get("k4"), map.get("k999")), (None, Some(&json!(4)), Some(&json!(999))));
    map.retain(|name, _| name.ends_with('7'));
    assert_eq!((map.len(), map.get("k17"), map.get("k18")), (100, Some(&json!(17)), None));
    map.insert("k17".to_owned(), Value::Null);
    assert_eq!(names(&map)[..3], ["k7", "k17", "k27"]);
    map.retain(|name, _| name == "k7");
    assert_eq!((names(&map), map.contains_key("k17")), (vec!["k7"], false));
}

#[test]
fn equal_objects_are_equal_in_any_order() {
    assert_eq!(json!({"a": 1, "b": [null, {}]}), json!({"b": [null, {}], "a": 1}));
    assert_ne!(json!({"a": 1}), json!({"a": 1.0}));
}

#[test]
fn of_equal_names_the_last_counts_and_the_first_place_stays() {
    let value: Value = r#"{"a":1,"b":2,"a":3}"#.parse().unwrap();
    assert_eq!(value.to_string(), r#"{"a":3,"b":2}"#);
}

#[test]
fn numbers_stay_exact() {
    for text in ["18446744073709551615", "-9223372036854775808", "0.1", "1e300", "123456789.12345679", "1.0", "-0.0"] {
        let value: Value = text.parse().unwrap();
        let theirs: serde_json::Value = text.parse().unwrap();
        assert_eq!(value.to_string(), theirs.to_string());
    }
}

#[test]
fn values_cross_the_border_and_come_back() {
    let value = json!({"b": [1, "x", null], "a": {"c": 0.5, "d": true}});
    let theirs = serde_json::Value::from(value.clone());
    assert_eq!(Value::from(&theirs), value);
}

#[test]
fn a_hostile_object_takes_time_by_its_size_alone() {
    let mut text = String::from("{");
    (0..200_000).for_each(|i| text.push_str(&format!("\"{i}\":0,")));
    text.push_str("\"end\":1}");
    let value: Value = text.parse().unwrap();
    assert_eq!(value["end"], 1);
}
