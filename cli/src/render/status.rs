//! The status on one screen.

use serde_json::Value as Json;

use super::{count, entries, items, number, run, table, text, time, version};

pub fn status(status: &Json) -> String {
    let since = time(&status["since"]);
    let mut lines =
        vec![format!("{}: {} is active since {since}", text(&status["system"]), version(&status["version"]))];
    if let Some(building) = status["building"].as_object() {
        lines.push(format!("{} is being built by run {}", version(&building["version"]), text(&building["run"])));
    }
    let rows: Vec<Vec<String>> = entries(&status["entities"])
        .map(|(entity, e)| vec![entity.clone(), number(count(&e["rows"])), version(&e["generation"])])
        .collect();
    lines.push(String::new());
    lines.push(table(&["entity", "rows", "from"], &[1], &rows));
    let rows: Vec<Vec<String>> = entries(&status["sources"])
        .map(|(source, s)| {
            let last = match s["last_run"].as_object() {
                Some(_) => {
                    let last = &s["last_run"];
                    format!("{} {} {}", text(&last["mode"]), text(&last["outcome"]), time(&last["ended"]))
                }
                None => "never".to_owned(),
            };
            let now = match s["running"]["state"].as_str() {
                Some("waiting-quota") => format!("waiting for quota until {}", time(&s["running"]["until"])),
                Some(state) => format!("{} {state}", text(&s["running"]["mode"])),
                None => "-".to_owned(),
            };
            vec![source.clone(), last, now, next(s)]
        })
        .collect();
    lines.push(String::new());
    lines.push(table(&["source", "last run", "now", "next"], &[], &rows));
    lines.push(String::new());
    for parked in items(&status["parked"]) {
        lines.push(format!("parked: {} until {}", run::name(parked), time(&parked["until"])));
    }
    for (source, s) in entries(&status["sources"]) {
        lines.extend(webhook(source, &s["deliveries"]));
    }
    for (queue, depth) in entries(&status["queues"]) {
        let waiting = count(&depth["visible"]) + count(&depth["delayed"]) + count(&depth["in_flight"]);
        if waiting + count(&depth["dead"]) > 0 {
            let (waiting, dead) = (number(waiting), number(count(&depth["dead"])));
            lines.push(format!("queue {queue}: {waiting} waiting, {dead} dead letters"));
        }
    }
    lines.push(match count(&status["rejects"]) {
        0 => "no rejects".to_owned(),
        n => format!("{} rejects; `teal rejects list` shows them", number(n)),
    });
    lines.join("\n")
}

/// What has to be said of a source's webhook.
fn webhook(source: &str, webhook: &Json) -> Vec<String> {
    let mut lines = Vec::new();
    let lease = &webhook["lease"];
    if lease["valid"] == true {
        lines.push(format!("lease of {source}: until {}", time(&lease["until"])));
    } else if lease["valid"] == false {
        lines.push(format!("lease of {source}: none; it is polled meanwhile. `teal leases` shows why"));
    }
    if webhook["silence"]["silent"] == true {
        let usual = number(count(&webhook["silence"]["usual_gap_seconds"]));
        let last = time(&webhook["silence"]["last"]);
        lines.push(format!("{source} is silent: nothing came since {last}, usually after {usual} s"));
    }
    if let Some(why) = webhook["gaps"]["why"].as_str() {
        lines.push(format!("what {source} sent could not be looked through: {why}"));
    }
    if let Some(why) = webhook["failing_errand"]["why"].as_str() {
        lines.push(format!("{source} could not be asked for {}: {why}", text(&webhook["failing_errand"]["path"])));
    }
    lines
}

/// The earlier of the next scheduled runs.
fn next(source: &Json) -> String {
    let times = [("full", &source["next_full"]), ("incremental", &source["next_incremental"])];
    let first = times.into_iter().filter(|(_, at)| at.is_string()).min_by_key(|(_, at)| text(at));
    first.map_or_else(|| "-".to_owned(), |(mode, at)| format!("{mode} {}", time(at)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_shows_what_is_read_what_runs_and_what_comes_next() {
        let shown = status(&json!({
            "system": "nowrep", "version": 3, "previous": 2, "since": "2030-01-01T00:00:00.000Z",
            "building": { "version": 4, "run": "r9" },
            "entities": { "boards": { "rows": 3, "generation": 1 }, "talents": { "rows": 1200, "generation": 3 } },
            "sources": { "blue": {
                "last_run": { "mode": "full", "outcome": "complete", "ended": "2030-01-01T00:00:00.000Z" },
                "running": { "mode": "full", "state": "waiting-quota", "until": "2030-01-01T05:00:00.000Z" },
                "next_full": "2030-01-02T03:00:00.000Z", "next_incremental": "2030-01-01T06:00:00.000Z",
            }, "green": { "last_run": null, "running": null } },
            "parked": [{ "mode": "full", "sources": ["blue"], "until": "2030-01-01T05:00:00.000Z" }],
            "queues": { "poll": { "visible": 0, "delayed": 1, "in_flight": 0, "dead": 2 }, "switch": {} },
            "rejects": 2,
        }));
        let expected = "\
nowrep: v3 is active since 2030-01-01 00:00:00Z
v4 is being built by run r9

entity    rows  from
boards       3  v1
talents  1,200  v3

source  last run                             now                                      next
blue    full complete 2030-01-01 00:00:00Z   waiting for quota until 2030-01-01 05:00:00Z  incremental 2030-01-01 06:00:00Z
green   never                                -                                        -

parked: blue full until 2030-01-01 05:00:00Z
queue poll: 1 waiting, 2 dead letters
2 rejects; `teal rejects list` shows them";
        let squeeze = |text: &str| {
            let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(squeeze(&shown), squeeze(expected));
    }
}
