//! A system's schedules are what its `teal.yaml` says, and reconciling makes them so.

use std::collections::BTreeSet;

use serde_json::json;
use teal::config::{Bundle, System, load};
use teal::pipeline::schedules::{Reconciled, reconcile, wanted};
use teal::ports::Schedules;
use teal_conformance::memory::MemorySchedules;

fn system(blue: &str) -> System {
    let text = format!(
        "system: nowrep
sources:
  blue: {{ connector: blue.yaml, schedule: {blue} }}
  green: {{ connector: blue.yaml, schedule: {{ full: \"rate(1 day)\" }} }}
entities:
  talents: {{ from: blue.talents, key: id, fields: {{ id: {{ path: id, type: integer, required: true }} }} }}
  teams: {{ from: green.teams, key: id, fields: {{ id: {{ path: id, type: integer, required: true }} }} }}
"
    );
    let files = [("teal.yaml".to_owned(), text), ("blue.yaml".to_owned(), "a manifest".to_owned())];
    load(&Bundle { files: files.into(), env: [].into() }).unwrap_or_else(|problems| panic!("{problems}"))
}

const BOTH: &str = r#"{ full: "cron(0 3 * * ? *)", incremental: "rate(1 hour)" }"#;

#[tokio::test]
async fn schedules_are_made_changed_paused_and_removed_as_the_configuration_says() {
    let schedules = MemorySchedules::default();
    let nobody = BTreeSet::new();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();

    let done = reconcile(&schedules, wanted(&system(BOTH), &nobody)).await.unwrap();
    let created = names(&["blue.full", "blue.incremental", "green.full"]);
    assert_eq!(done, Reconciled { created, ..Reconciled::default() });
    let blue = &schedules.list().await.unwrap()[1];
    assert_eq!((blue.expression.as_str(), blue.zone.as_str()), ("rate(1 hour)", "UTC"));
    assert_eq!((&blue.input, blue.paused), (&json!({"source": "blue", "mode": "incremental"}), false));

    let again = reconcile(&schedules, wanted(&system(BOTH), &nobody)).await.unwrap();
    assert_eq!(again, Reconciled::default(), "what is so already is left alone");

    let later = system(r#"{ full: "cron(0 4 * * ? *)" }"#);
    let done = reconcile(&schedules, wanted(&later, &BTreeSet::from(["green".into()]))).await.unwrap();
    let (changed, removed) = (names(&["blue.full", "green.full"]), names(&["blue.incremental"]));
    assert_eq!(done, Reconciled { changed, removed, ..Reconciled::default() });
    let paused: Vec<bool> = schedules.list().await.unwrap().iter().map(|schedule| schedule.paused).collect();
    assert_eq!(paused, [false, true]);
}
