//! Metrics as Prometheus, CloudWatch and the documentation show them, and the rules that names follow.

use std::time::Duration;

use super::*;
use crate::domain::Millis;

fn record(meter: &dyn Meter) {
    meter.count(&RUN_OUTCOME, &["blue", "full", "complete"], 1);
    meter.count(&RUN_OUTCOME, &["blue", "full", "complete"], 1);
    meter.count(&RUN_OUTCOME, &["blue", "incremental", "failed"], 1);
    meter.record(&SOURCE_LAG, &["blue"], 20.0);
    meter.record(&SOURCE_LAG, &["blue"], 12.5);
    meter.record(&LEASE_EXPIRY, &["a\"b"], -3.0);
    meter.seconds(&SWITCH_CLOSED, &[], Duration::from_millis(7));
    meter.seconds(&SWITCH_CLOSED, &[], Duration::from_secs(2));
    meter.count(&PAGES, &["blue", "full"], 0);
}

#[test]
fn prometheus_reads_every_metric_that_was_recorded() {
    let meter = Prometheus::default();
    record(&meter);
    assert_eq!(meter.render(), include_str!("golden.prom"));
}

#[test]
fn cloudwatch_reads_the_sums_and_nothing_twice() {
    let meter = Emf::new(vec![("system", "nowrep".into()), ("stage", "dev".into())]);
    record(&meter);
    let lines = meter.lines(Millis(1_893_456_000_000));
    assert_eq!(lines.join("\n") + "\n", include_str!("golden.emf"));
    assert!(meter.lines(Millis(0)).is_empty());
}

#[test]
fn a_line_has_no_more_values_than_cloudwatch_takes() {
    let meter = Emf::new(vec![("system", "nowrep".into()), ("stage", "dev".into())]);
    (0..250).for_each(|n| meter.record(&HTTP_WAIT, &["blue", "limit"], f64::from(n)));
    assert_eq!(meter.lines(Millis(0)).len(), 3);
}

#[test]
fn names_follow_the_rules() {
    let mut names = std::collections::BTreeSet::new();
    for metric in METRICS {
        let Metric { name, kind, unit, labels, summed, help } = metric;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("teal_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert_eq!(*unit == Unit::Seconds, name.ends_with("_seconds"), "{name}");
        assert!(summed.iter().all(|label| labels.contains(label)) && !labels.contains(&"system"), "{name}");
        assert!(help.ends_with('.') && !help.contains('\n'), "{name}");
    }
}

/// The table of `docs/metrics.md`.
fn documented() -> String {
    let mut out = String::from("| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n");
    for Metric { name, kind, labels, help, .. } in METRICS {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        out += &format!("| `{name}` | {} | {} | {help} |\n", kind.as_str(), labels.join(", "));
    }
    out
}

#[test]
fn the_documentation_has_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let page = std::fs::read_to_string(path).expect("docs/metrics.md can be read");
    let (_, rest) = page.split_once("<!-- metrics -->\n\n").expect("the page has its mark");
    let (table, _) = rest.split_once("\n<!-- end -->").expect("the page has its other mark");
    assert_eq!(table, documented(), "put this into docs/metrics.md:\n{}", documented());
}
