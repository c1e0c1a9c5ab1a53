//! Runs as people see them: outcome, counts and reason, in words.

use serde_json::{Value as Json, json};

use super::*;

fn complete() -> Json {
    json!({
        "id": "20300101000000000-00abcd", "mode": "full", "sources": ["blue"], "state": "ended", "until": null,
        "builds": 3, "outcome": "complete", "reason": null, "pages": 13, "cause": "cli ada", "active": 3,
        "started": "2030-01-01T00:00:00.000Z", "ended": "2030-01-01T00:00:02.500Z",
        "version": { "version": 3, "state": "active", "previous": 2 },
        "verdict": { "entities": { "talents": { "before": 1201, "after": 1213 } }, "relations": {}, "blocked": [] },
        "streams": [{ "source": "blue", "stream": "talents", "pages": 13, "ended": true }],
        "counts": {
            "requests": 14, "pages": 13,
            "records": { "fetched": 1234, "mapped": 1229, "filtered": 3, "rejected": 2 },
            "entities": {
                "boards": { "new": 0, "changed": 0, "unchanged": 20, "deleted": 0, "rejected": 0 },
                "talents": {
                    "new": 10, "changed": 3, "unchanged": 1200, "deleted": 1, "rejected": 2, "superseded": 4,
                },
            },
        },
    })
}

#[test]
fn the_last_line_says_what_was_read_what_changed_and_what_comes_next() {
    let expected = "  boards   new 0, changed 0, unchanged 20, deleted 0, rejected 0
  talents  new 10, changed 3, unchanged 1,200, deleted 1, rejected 2, superseded 4
blue full complete: read 1,234, new 10, changed 3, unchanged 1,220, deleted 1, rejected 2, superseded 4 \
(14 requests, 13 pages); v3 is active, v2 kept for rollback";
    assert_eq!(summary(&complete()), expected);
}

#[test]
fn one_entity_needs_no_table() {
    let mut run = complete();
    run["counts"]["entities"] = json!({ "talents": { "new": 1 } });
    assert_eq!(summary(&run).lines().count(), 1);
}

#[test]
fn what_comes_next_depends_on_how_it_ended() {
    let with = |changes: Json| {
        let mut run = complete();
        for (name, value) in changes.as_object().unwrap() {
            run[name] = value.clone();
        }
        next(&run)
    };
    assert_eq!(with(json!({ "builds": null, "version": null })), "it is in v3");
    assert_eq!(
        with(json!({ "active": 2, "version": { "state": "ready", "previous": 1 } })),
        "v3 is ready beside v2; `teal switch v3` makes it active"
    );
    let same = "the source has what v3 shows; nothing was built, and v3 stays";
    assert_eq!(with(json!({ "builds": 4, "version": { "state": "dropped" }, "reason": same })), same);
    assert_eq!(
        with(json!({ "state": "waiting-quota", "outcome": null, "until": "2030-01-01T14:38:00.000Z" })),
        "waiting for quota until 2030-01-01 14:38:00Z"
    );
    assert_eq!(
        with(json!({ "active": 2, "outcome": "partial-error", "reason": "stream 'talents': status 500" })),
        "stream 'talents': status 500; readers still see v2"
    );
    assert_eq!(
        with(json!({
            "outcome": "failed", "reason": "the guard stopped v3: talents would shrink",
            "verdict": { "blocked": ["talents would shrink"] },
        })),
        "the guard stopped v3: talents would shrink"
    );
}

#[test]
fn the_details_of_a_run_hold_its_verdict() {
    let mut run = complete();
    run["verdict"]["relations"] =
        json!({ "talents.mentor_id": { "to": "talents", "dangling": 1, "examples": ["4 -> 99"] } });
    let expected = "\
run       20300101000000000-00abcd
what      blue full, asked for by cli ada
state     ended
started   2030-01-01 00:00:00Z
ended     2030-01-01 00:00:02Z
builds    v3 (active)
stream    blue.talents: 13 pages, to its end
verified  talents: 1,201 rows before, 1,213 after
dangling  talents.mentor_id: 1 rows lead to no row of talents (4 -> 99)
";
    assert!(detail(&run).starts_with(expected), "{}", detail(&run));
}
