//! Deliveries and leases of webhooks in words.

use serde_json::Value as Json;

use super::{count, cut, entries, items, number, table, text, time};

pub fn list(deliveries: &Json) -> String {
    let rows: Vec<Vec<String>> = items(&deliveries["deliveries"])
        .iter()
        .map(|one| {
            vec![
                time(&one["received"]),
                text(&one["source"]).to_owned(),
                text(&one["state"]).to_owned(),
                cut(text(&one["id"]), 60),
                cut(&came_of(one), 100),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no deliveries; `teal status` shows where webhooks are taken in".to_owned();
    }
    let more = if deliveries["more"] == true { "\nthere are more; narrow it down, or raise --limit" } else { "" };
    format!("{}{more}", table(&["received", "source", "state", "id", "came of it"], &[], &rows))
}

/// What a delivery caused, or why nothing.
fn came_of(one: &Json) -> String {
    let mut parts = Vec::new();
    if let Some(repeats) = one["repeats"].as_str() {
        let differs = if one["differs"] == true { " with other bytes" } else { "" };
        parts.push(format!("repeats {repeats}{differs}"));
    }
    if let Some(why) = one["why"].as_str() {
        parts.push(why.to_owned());
    }
    let events = count(&one["events"]);
    if events > 0 {
        parts.push(format!("{} events", number(events)));
    }
    for (entity, rows) in entries(&one["rows"]) {
        let fates = ["new", "changed", "deleted", "superseded", "unchanged"];
        let fates = fates.iter().filter(|fate| count(&rows[**fate]) > 0);
        parts.extend(fates.map(|fate| format!("{entity} {} {fate}", number(count(&rows[*fate])))));
    }
    parts.extend(items(&one["syncs"]).iter().map(|mode| format!("{} sync", text(mode))));
    parts.extend(items(&one["errands"]).iter().map(|path| format!("asks {}", text(path))));
    if count(&one["rejects"]) > 0 {
        parts.push(format!("{} rejected", number(count(&one["rejects"]))));
    }
    if count(&one["again"]) > 0 {
        parts.push(format!("came {} times more", number(count(&one["again"]))));
    }
    parts.join(", ")
}

pub fn one(one: &Json) -> String {
    let mut lines = vec![format!("{} {}", text(&one["source"]), text(&one["id"]))];
    let mut tell = |name: &str, value: &str| lines.push(format!("{name:<9}{value}"));
    tell("state", text(&one["state"]));
    let came = came_of(one);
    if !came.is_empty() {
        tell("came of", &cut(&came, 400));
    }
    for name in ["received", "handled"] {
        if one[name].is_string() {
            tell(name, &time(&one[name]));
        }
    }
    for name in ["of", "trace"] {
        if let Some(value) = one[name].as_str() {
            tell(name, value);
        }
    }
    for run in items(&one["runs"]) {
        tell("run", &format!("{} {}", text(&run["id"]), run["outcome"].as_str().unwrap_or("is at work")));
    }
    let raw = &one["raw_object"];
    if raw.is_null() {
        tell("raw", "is gone");
        return lines.join("\n");
    }
    tell("stated", &time(&raw["stated"]));
    tell("bytes", &number(count(&raw["bytes"])));
    tell("sha256", text(&raw["sha256"]));
    for header in items(&raw["headers"]) {
        tell("header", &cut(&format!("{}: {}", text(&header[0]), text(&header[1])), 200));
    }
    match raw["excerpt"].as_str() {
        Some(excerpt) => lines.push(cut(excerpt, 4000)),
        None => lines.push(serde_json::to_string_pretty(&raw["body"]).unwrap_or_default()),
    }
    lines.join("\n")
}

pub fn leases(leases: &Json) -> String {
    let rows: Vec<Vec<String>> = items(&leases["leases"])
        .iter()
        .map(|one| {
            let left = if one["valid"] == true { span(count(&one["left_seconds"])) } else { "none".to_owned() };
            let polled = one["polled_until"].as_str().map_or_else(String::new, |_| "polled meanwhile".to_owned());
            let trouble = one["why"].as_str().map_or(polled.clone(), |why| {
                let tries = count(&one["failures"]);
                format!("{why} ({tries} tries, the next {}) {polled}", time(&one["next_try"]))
            });
            vec![text(&one["source"]).to_owned(), left, time(&one["until"]), cut(&trouble, 120)]
        })
        .collect();
    if rows.is_empty() {
        return "no webhook has a lease; `lease` in teal.yaml declares one".to_owned();
    }
    table(&["source", "left", "until", ""], &[], &rows)
}

fn span(seconds: u64) -> String {
    match (seconds / 86_400, seconds % 86_400 / 3600, seconds % 3600 / 60) {
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deliveries_show_what_came_of_them() {
        let shown = list(&json!({ "more": true, "deliveries": [
            { "received": "2030-01-01T00:00:09.000Z", "source": "blue", "state": "duplicate", "id": "d2-00ff",
              "repeats": "d1-00aa", "differs": true },
            { "received": "2030-01-01T00:00:00.000Z", "source": "blue", "state": "applied", "id": "d1-00aa", "again": 2,
              "rows": { "talents": { "changed": 1 } }, "syncs": ["incremental"], "errands": ["/v1/pages/7"] },
        ] }));
        let expected = "\
received              source  state      id       came of it
2030-01-01 00:00:09Z  blue    duplicate  d2-00ff  repeats d1-00aa with other bytes
2030-01-01 00:00:00Z  blue    applied    d1-00aa  talents 1 changed, incremental sync, asks /v1/pages/7, came 2 times more
there are more; narrow it down, or raise --limit";
        assert_eq!(shown, expected);
        assert!(list(&json!({ "deliveries": [] })).contains("teal status"));
    }

    #[test]
    fn leases_show_what_is_left_and_what_is_in_the_way() {
        let shown = leases(&json!({ "leases": [
            { "source": "calendar", "valid": true, "left_seconds": 273_600, "until": "2030-01-05T00:00:00.000Z" },
            { "source": "videos", "valid": false, "left_seconds": 0, "until": null, "why": "it was answered with 503",
              "failures": 3, "next_try": "2030-01-01T01:00:00.000Z", "polled_until": "2030-01-01T00:15:00.000Z" },
        ] }));
        let expected = "\
source    left   until
calendar  3d 4h  2030-01-05 00:00:00Z
videos    none   -                     it was answered with 503 (3 tries, the next 2030-01-01 01:00:00Z) polled meanwhile";
        assert_eq!(shown, expected);
    }
}
