//! Durations and bounds; formats are compared with the reference elsewhere.

use std::sync::Arc;

use crate::value::{Value, json};

use super::*;
use crate::interpolate::Context;

fn moment(text: &str) -> Moment {
    parse(text, "%Y-%m-%dT%H:%M:%S%z").unwrap()
}

#[test]
fn months_count_by_the_calendar_and_days_do_not() {
    let end = moment("2024-01-31T12:00:00Z");
    for (duration, after) in [
        ("P1M", "2024-02-29"),
        ("P1Y1M", "2025-02-28"),
        ("P1D", "2024-02-01"),
        ("P1W", "2024-02-07"),
        ("PT36H", "2024-02-02"),
    ] {
        assert_eq!(
            strftime(&IsoDuration::parse(duration).unwrap().after(&end).unwrap(), "%Y-%m-%d"),
            after,
            "{duration}"
        );
    }
    assert_eq!(strftime(&IsoDuration::parse("P11M").unwrap().before(&end).unwrap(), "%Y-%m-%d"), "2023-02-28");
    assert!(!IsoDuration::parse("P1M").unwrap().is_fixed());
    assert_eq!(IsoDuration::parse("-PT0.000001S").unwrap().microseconds, -1);
}

#[test]
fn what_is_no_duration_or_lies_beyond_all_years_is_an_error() {
    for text in ["", "P", "1D", "P1", "PD", "P1H", "PT1D", "P1D2Y", "P1.5M", "P1DT1H1D", "P99999999999D", "PT1e5S"] {
        assert!(IsoDuration::parse(text).is_err(), "{text}");
    }
    let late = moment("9999-12-31T23:59:59Z");
    assert_eq!(IsoDuration::parse("PT1S").unwrap().after(&late), Err(DatetimeError::Range));
    assert!(parse("999999999999999999999", "%s").is_err());
}

#[test]
fn a_moment_is_kept_between_its_bounds() {
    let config = json!({ "start": "2024-06-01T00:00:00Z", "none": "" });
    let context = Context::new("2026-11-25T10:20:30Z".parse().unwrap()).with("config", &config);
    let none = Arc::new(json!({}));
    let read = |component: Value| {
        MinMaxDatetime::compile(&component, Some("%Y-%m-%dT%H:%M:%SZ"), &none).unwrap().moment(&context).unwrap()
    };
    let component =
        |min: &str, max: &str| json!({ "datetime": "{{ config.start }}", "min_datetime": min, "max_datetime": max });
    let shown = |component: Value| format(&read(component), "%Y-%m-%d");
    assert_eq!(shown(json!("{{ config.start }}")), "2024-06-01");
    assert_eq!(shown(component("2024-07-01T00:00:00Z", "")), "2024-07-01");
    assert_eq!(shown(component("", "2024-05-01T00:00:00Z")), "2024-05-01");
    assert_eq!(shown(component("{{ config.none }}", "{{ now_utc().strftime('%Y-%m-%dT%H:%M:%SZ') }}")), "2024-06-01");
    assert_eq!(shown(json!({ "datetime": "2024-03-05", "datetime_format": "%Y-%m-%d" })), "2024-03-05");
}
