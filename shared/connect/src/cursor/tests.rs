//! Windows, states and their migration: what a cursor asks for, and what it remembers of the answers.

use std::sync::Arc;

use crate::value::{Map, Value, json};
use jiff::Timestamp;

use super::partitioned::Partitioned;
use super::{Cursor, Intervals, Point};
use crate::node::{Compiler, NoFiles, Node};

fn cursor(component: Value) -> Cursor {
    let config = Arc::new(json!({}));
    let (catalog, states) = Default::default();
    let now: Timestamp = "2024-03-15T12:00:00Z".parse().unwrap();
    let mut cx =
        Compiler { config: &config, now, files: &NoFiles, catalog: &catalog, states: &states, problems: Vec::new() };
    let compiled = Cursor::compile(&Node::root(&component), "s", &mut cx);
    assert!(cx.problems.is_empty(), "{:?}", cx.problems);
    compiled.unwrap()
}

fn stepped(more: Value) -> Cursor {
    let mut component = json!({
        "type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%Y-%m-%d",
        "start_datetime": "2024-01-01", "step": "P10D", "cursor_granularity": "P1D",
    });
    component.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    cursor(component)
}

fn day(cursor: &Cursor, text: &str) -> Point {
    cursor.parse(&json!(text)).unwrap()
}

fn texts(cursor: &Cursor, state: Value, end: &str) -> Vec<String> {
    let origin = day(cursor, "2024-01-01");
    let intervals = Intervals::of_state(cursor, state.as_object().unwrap(), origin, 0).unwrap();
    let windows = cursor.windows(&intervals, Some(&day(cursor, end))).unwrap();
    windows
        .iter()
        .map(|(from, to)| {
            let text = |point| crate::python::text_of(&cursor.format(point));
            format!("{}..{}", text(from), text(to.as_ref().unwrap()))
        })
        .collect()
}

#[test]
fn windows_follow_each_other_without_gap_or_overlap() {
    let cursor = stepped(json!({}));
    assert_eq!(
        texts(&cursor, json!({}), "2024-01-25"),
        ["2024-01-01..2024-01-10", "2024-01-11..2024-01-20", "2024-01-21..2024-01-25"]
    );
}

#[test]
fn a_state_is_gone_on_from_with_the_lookback_before_it() {
    let cursor = stepped(json!({"lookback_window": "P2D"}));
    assert_eq!(texts(&cursor, json!({"at": "2024-01-20"}), "2024-01-22"), ["2024-01-18..2024-01-22"]);
}

#[test]
fn what_lies_between_intervals_is_read_first() {
    let cursor = stepped(json!({}));
    let state = json!({"state_type": "date-range", "slices": [
        {"start": "2024-01-01", "end": "2024-01-05"}, {"start": "2024-01-10", "end": "2024-01-20"},
    ]});
    assert_eq!(texts(&cursor, state, "2024-01-22"), ["2024-01-06..2024-01-09", "2024-01-20..2024-01-22"]);
}

#[test]
fn windows_can_be_clamped_to_months() {
    let cursor = stepped(json!({"step": "P1M", "clamping": {"target": "MONTH"}}));
    let end =
        cursor.end("2024-03-15T12:00:00Z".parse().unwrap(), &crate::interpolate::Context::new(Timestamp::UNIX_EPOCH));
    assert_eq!(cursor.format(&end.unwrap().unwrap()), "2024-02-29");
    assert_eq!(texts(&cursor, json!({}), "2024-02-29"), ["2024-01-01..2024-01-31", "2024-02-01..2024-02-29"]);
}

#[test]
fn closed_windows_merge_and_only_what_is_whole_counts() {
    let cursor = stepped(json!({}));
    let mut intervals = Intervals::of_state(&cursor, &Map::new(), day(&cursor, "2024-01-01"), 0).unwrap();
    let slice = |from: &str, to: &str| cursor.slice(&day(&cursor, from), Some(&day(&cursor, to)));
    intervals.close(&cursor, &slice("2024-01-11", "2024-01-20"), Some(day(&cursor, "2024-01-19"))).unwrap();
    assert_eq!(Value::from(intervals.state(&cursor)), json!({"at": "2024-01-01"}), "the window before it is open");
    intervals.close(&cursor, &slice("2024-01-01", "2024-01-10"), Some(day(&cursor, "2024-01-09"))).unwrap();
    assert_eq!(Value::from(intervals.state(&cursor)), json!({"at": "2024-01-19"}));
}

#[test]
fn a_window_that_is_too_large_is_halved_down_to_a_grain() {
    let cursor = stepped(json!({}));
    let slice = cursor.slice(&day(&cursor, "2024-01-01"), Some(&day(&cursor, "2024-01-04")));
    let [first, second] = cursor.halve(&slice, None).unwrap().unwrap();
    assert_eq!((first["start_time"].clone(), first["end_time"].clone()), (json!("2024-01-01"), json!("2024-01-02")));
    assert_eq!((second["start_time"].clone(), second["end_time"].clone()), (json!("2024-01-03"), json!("2024-01-04")));
    let grain = cursor.slice(&day(&cursor, "2024-01-01"), Some(&day(&cursor, "2024-01-01")));
    assert!(cursor.halve(&grain, None).unwrap().is_none());
}

#[test]
fn a_partition_whose_slice_is_open_keeps_the_global_cursor_back() {
    let cursor = stepped(json!({}));
    let origin = day(&cursor, "2024-01-01");
    let mut all = Partitioned::of_state(&cursor, &Map::new(), false, &origin).unwrap();
    let partition = |id: i64| Map::from_iter([("id".to_owned(), json!(id))]);
    let slice = cursor.slice(&origin, Some(&day(&cursor, "2024-01-10")));
    for id in [1, 2] {
        all.begin(&cursor, &partition(id), None, &origin).unwrap().unwrap();
        all.slice_begun(&partition(id), true);
    }
    let newest = day(&cursor, "2024-01-07");
    all.observe(&cursor, &newest);
    all.close(&cursor, &partition(1), &slice, Some(newest.clone())).unwrap();
    let now = Timestamp::UNIX_EPOCH;
    all.finish(now, now, None);
    assert!(all.state(&cursor).get("state").is_none(), "partition 2 is not read");
    all.close(&cursor, &partition(2), &slice, None).unwrap();
    all.finish(now, now, None);
    assert_eq!(all.state(&cursor)["state"], json!({"at": "2024-01-07"}));
}

#[test]
fn parents_states_pass_only_when_every_partition_before_is_read() {
    let cursor = stepped(json!({}));
    let origin = day(&cursor, "2024-01-01");
    let mut all = Partitioned::of_state(&cursor, &Map::new(), false, &origin).unwrap();
    let partition = |id: i64| Map::from_iter([("id".to_owned(), json!(id))]);
    let slice = cursor.slice(&origin, Some(&day(&cursor, "2024-01-10")));
    for (id, parents) in [(1, json!({"p": 1})), (2, json!({"p": 2}))] {
        all.begin(&cursor, &partition(id), Some(parents), &origin).unwrap().unwrap();
        all.slice_begun(&partition(id), true);
    }
    all.close(&cursor, &partition(2), &slice, None).unwrap();
    assert_eq!(all.parent_state, None);
    all.close(&cursor, &partition(1), &slice, None).unwrap();
    assert_eq!(all.parent_state, Some(json!({"p": 2})));
}
