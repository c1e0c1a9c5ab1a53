//! How the demo looks, compared with a file that is reviewed: what people see changes only on purpose.

use serde_json::json;

use super::*;

fn played() -> (Title, Step, Step) {
    let title = Title {
        step: 4,
        title: "Deletes upstream, second full sync".into(),
        did: "25 talents leave. Only a complete listing proves that: version 2 is built beside v1, and everybody \
              moves over in one step."
            .into(),
    };
    let good = Step {
        title: title.clone(),
        saw: vec!["talents: 2,003 before, 1,978 after".into(), "v1 -> v2; gates were closed for 3 ms".into()],
        facts: BTreeMap::from([("rows", json!(1978))]),
        wrong: Vec::new(),
        ok: true,
        ms: 2345,
    };
    let bad = Step { wrong: vec!["talents: 1,977 rows, expected 1,978".into()], ok: false, ..good.clone() };
    (title, good, bad)
}

fn summary(ok: bool) -> Summary {
    let trouble = (!ok).then(|| "talents: the listing began in v1 and went on in v2".to_owned());
    Summary {
        ok,
        steps: 9,
        reading: Reading {
            readers: 4,
            pages: 12345,
            listings: 321,
            across_a_switch: 7,
            errors: 0,
            mixtures: u64::from(!ok),
            slowest_ms: 12,
            first_trouble: trouble,
        },
        requests: 61,
        gates_closed_at_most_ms: 4,
        ms: 18_765,
        wrong: Vec::new(),
        next: vec![(
            "Query what was kept".into(),
            "sqlite3 kept/teal.db 'SELECT count(*) FROM talents_current'".into(),
        )],
    }
}

#[test]
fn the_demo_looks_as_it_was_reviewed() {
    let (title, good, bad) = played();
    let mut shown = String::new();
    for (name, style) in
        [("in a pipe", Style { color: false, width: None }), ("on a terminal", Style { color: true, width: Some(72) })]
    {
        let _ = writeln!(shown, "==== {name}");
        for text in [
            announce(style, &title),
            finish(style, &good),
            finish(style, &bad),
            close(style, &summary(true)),
            close(style, &summary(false)),
        ] {
            shown.push_str(&text);
        }
    }
    let shown = shown.replace('\x1b', "ESC");
    if std::env::var_os("TEAL_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/report/golden.txt");
        std::fs::write(path, &shown).unwrap();
    }
    assert_eq!(shown, include_str!("golden.txt"), "if it is meant to look so, run it again with TEAL_BLESS=1");
}

#[test]
fn a_step_is_one_flat_json_object() {
    let (_, step, _) = played();
    let json = serde_json::to_value(step).unwrap();
    assert_eq!(json["step"], 4);
    assert_eq!(json["facts"]["rows"], 1978);
    assert_eq!(json["ok"], true);
    assert!(json["did"].is_string() && json["wrong"].as_array().unwrap().is_empty());
}

#[test]
fn numbers_are_grouped_and_words_counted() {
    assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!(count(1, "row"), "1 row");
    assert_eq!(count(2000, "row"), "2,000 rows");
    assert_eq!(seconds(2345), "2.3 s");
}

#[test]
fn wrapping_loses_no_word_and_keeps_long_ones_whole() {
    assert_eq!(wrap("a bb ccc", Some(6), 2), ["a bb", "ccc"]);
    assert_eq!(wrap("abcdefghij k", Some(6), 2), ["abcdefghij", "k"]);
    assert_eq!(wrap("a bb ccc", None, 2), ["a bb ccc"]);
}
