//! Versions, runs and rejects as tables.

use serde_json::Value as Json;

use super::{count, cut, entries, items, number, run, table, text, time, version};

pub fn versions(versions: &Json) -> String {
    let rows: Vec<Vec<String>> = items(&versions["versions"])
        .iter()
        .map(|v| {
            let rows: Vec<String> = entries(&v["rows"])
                .filter_map(|(entity, rows)| Some(format!("{entity} {}", number(rows.as_u64()?))))
                .collect();
            let mark = if v["state"] == "active" { "*" } else { "" };
            vec![
                format!("{}{mark}", version(&v["version"])),
                text(&v["state"]).to_owned(),
                time(&v["created"]),
                text(&v["run"]).to_owned(),
                rows.join(", "),
            ]
        })
        .collect();
    table(&["version", "state", "made", "run", "rows"], &[], &rows)
}

pub fn runs(runs: &Json) -> String {
    let rows: Vec<Vec<String>> = items(&runs["runs"])
        .iter()
        .map(|r| {
            let outcome = r["outcome"].as_str().unwrap_or(text(&r["state"]));
            vec![
                text(&r["id"]).to_owned(),
                run::name(r),
                time(&r["started"]),
                outcome.to_owned(),
                number(count(&r["counts"]["records"]["fetched"])),
                text(&r["cause"]).to_owned(),
                cut(r["reason"].as_str().unwrap_or(""), 80),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "nothing ran yet; `teal sync` starts".to_owned();
    }
    table(&["run", "what", "started", "outcome", "read", "asked by", "reason"], &[4], &rows)
}

pub fn rejects(rejects: &Json) -> String {
    let mut lines = Vec::new();
    for reject in items(&rejects["rejects"]) {
        let entity = reject["entity"].as_str().unwrap_or(text(&reject["stream"]));
        let key = reject["key"].as_str().map(|key| format!(" {key}")).unwrap_or_default();
        let message = cut(text(&reject["message"]), 160);
        lines.push(format!("{} {entity}{key}: {message}", text(&reject["code"])));
        lines.push(format!("  {}", text(&reject["id"])));
    }
    if lines.is_empty() {
        return "no rejects".to_owned();
    }
    if rejects["more"] == true {
        lines.push("there are more; narrow it down, or raise --limit".to_owned());
    }
    lines.join("\n")
}

pub fn backups(backups: &Json) -> String {
    let mut lines = Vec::new();
    for backup in items(&backups["backups"]) {
        let (id, places) = (text(&backup["id"]), items(&backup["places"]));
        let places: Vec<&str> = places.iter().map(text).collect();
        lines.push(match backup["damaged"].as_str() {
            Some(why) => format!("{id}  damaged: {why}"),
            None => {
                let (parts, bytes) = (number(count(&backup["parts"])), number(count(&backup["bytes"])));
                format!("{id}  {}  {parts} parts, {bytes} bytes  {}", version(&backup["version"]), places.join(", "))
            }
        });
    }
    if lines.is_empty() { "no backups; `teal backup now` makes one".to_owned() } else { lines.join("\n") }
}

pub fn reject(reject: &Json) -> String {
    let mut lines = vec![rejects(&serde_json::json!({ "rejects": [reject] }))];
    let mut tell = |name: &str, value: &str| lines.push(format!("{name:<8}{value}"));
    tell("source", &format!("{}.{}", text(&reject["source"]), text(&reject["stream"])));
    tell("at", &time(&reject["at"]));
    if let Some(run) = reject["run"].as_str() {
        tell("run", run);
    }
    tell("raw", text(&reject["raw"]));
    if let Some(url) = reject["raw_object"]["from"]["url"].as_str() {
        tell("from", &cut(url, 200));
    }
    if !reject["record_json"].is_null() {
        tell("record", &format!("{} of its raw object", count(&reject["record"])));
        lines.push(serde_json::to_string_pretty(&reject["record_json"]).unwrap_or_default());
    } else if let Some(excerpt) = reject["raw_object"]["excerpt"].as_str() {
        lines.push(cut(excerpt, 4000));
    } else {
        lines.push("its raw object is gone".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_show_their_state_and_rows_and_mark_the_active_one() {
        let shown = versions(&json!({ "active": 2, "versions": [
            { "version": 2, "state": "active", "created": "2030-01-01T00:00:00.000Z", "run": "r2",
              "rows": { "boards": 3, "talents": 1200 } },
            { "version": 1, "state": "retired", "created": "2029-12-31T00:00:00.000Z", "run": null,
              "rows": { "talents": null } },
        ] }));
        let expected = "\
version  state    made                  run  rows
v2*      active   2030-01-01 00:00:00Z  r2   boards 3, talents 1,200
v1       retired  2029-12-31 00:00:00Z  -";
        assert_eq!(shown, expected);
    }

    #[test]
    fn runs_show_how_they_ended_and_why() {
        let shown = runs(&json!({ "runs": [
            { "id": "r2", "mode": "full", "sources": ["blue"], "state": "ended", "outcome": "partial-quota",
              "started": "2030-01-01T00:00:00.000Z", "cause": "schedule", "reason": "too many requests",
              "counts": { "records": { "fetched": 1000 } } },
            { "id": "r1", "mode": "rebuild", "sources": ["blue"], "state": "fetching", "outcome": null,
              "started": "2030-01-01T00:00:00.000Z", "cause": "cli ada", "reason": null, "counts": {} },
        ] }));
        let expected = "\
run  what       started               outcome         read  asked by  reason
r2   blue full  2030-01-01 00:00:00Z  partial-quota  1,000  schedule  too many requests
r1   rebuild    2030-01-01 00:00:00Z  fetching           0  cli ada";
        assert_eq!(shown, expected);
        assert!(runs(&json!({ "runs": [] })).contains("teal sync"));
    }

    fn one() -> Json {
        json!({
            "id": "raw/-/-/blue/hook/7#talents#4c7ab7943b80#000000#0", "code": "TEAL-R003", "field": "name",
            "message": "field 'name': found 7; expected a string", "source": "blue", "stream": "talents", "entity": "talents",
            "key": "4", "record": 0, "raw": "raw/-/-/blue/hook/7", "run": null, "at": "2030-01-01T00:00:00.000Z",
        })
    }

    #[test]
    fn a_reject_names_its_row_its_field_and_its_id() {
        let expected = "\
TEAL-R003 talents 4: field 'name': found 7; expected a string
  raw/-/-/blue/hook/7#talents#4c7ab7943b80#000000#0
there are more; narrow it down, or raise --limit";
        assert_eq!(rejects(&json!({ "rejects": [one()], "more": true })), expected);
        assert_eq!(rejects(&json!({ "rejects": [], "more": false })), "no rejects");
    }

    #[test]
    fn a_reject_is_shown_with_its_record_or_says_that_it_is_gone() {
        let mut known = one();
        known["record_json"] = json!({ "name": 7 });
        assert!(reject(&known).ends_with("record  0 of its raw object\n{\n  \"name\": 7\n}"), "{}", reject(&known));
        assert!(reject(&one()).ends_with("its raw object is gone"));
    }
}
