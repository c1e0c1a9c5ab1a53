//! Places, and what is refused; what scalars mean is compared with the reference elsewhere.

use super::*;

#[test]
fn every_value_knows_where_it_was_written() {
    let document = load("a:\n  - x\n  - { k/l: 'v' }\nb: &x {c: 1}\nd: *x\n").unwrap();
    let place = |pointer: &str| document.places.of(pointer).map(|place| (place.line, place.column));
    assert_eq!(place("/a/0"), Some((2, 5)));
    assert_eq!(place("/a/1/k~1l"), Some((3, 12)));
    assert_eq!(place("/d/c"), Some((4, 11)), "an alias leads to what it names");
    assert_eq!(place("/a/1/nope/deeper"), Some((3, 5)), "the nearest around it");
    assert_eq!(place(""), Some((1, 1)));
}

#[test]
fn what_aliases_blow_up_is_refused_with_its_place() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    let mut tower = "a0: &a0 [x]\n".to_owned();
    let mut merges = "a0: &a0 {x: 1}\n".to_owned();
    for i in 1..200 {
        let before = i - 1;
        bomb.push_str(&format!("a{i}: &a{i} [*a{before}, *a{before}, *a{before}, *a{before}]\n"));
        tower.push_str(&format!("a{i}: &a{i} [*a{before}]\n"));
        merges.push_str(&format!("a{i}: &a{i} {{<<: [*a{before}, *a{before}, *a{before}], k{i}: 1}}\n"));
    }
    for text in [bomb, tower, merges, "[".repeat(5000), "{a: ".repeat(5000), "- ".repeat(5000), "a: &x [*x]".into()] {
        let error = load(&text).unwrap_err();
        assert!(error.at.line >= 1 && error.to_string().starts_with("line "), "{error}");
    }
}

#[test]
fn an_error_says_where_and_what_to_do() {
    let error = load("a: 1\nb: [1, 2\nc: 3\n").unwrap_err().to_string();
    assert!(error.starts_with("line ") && error.contains("check indentation"), "{error}");
    assert_eq!(load("a: 2024-02-30").unwrap_err().at, Place { line: 1, column: 4 });
    assert_eq!(load("").unwrap().value, Value::Null);
    assert_eq!(load("\u{feff}a: 1").unwrap().value, crate::json!({ "a": 1 }));
}
