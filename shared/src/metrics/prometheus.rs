//! Metrics as Prometheus reads them: text, format 0.0.4. For hosts that live longer than a scrape.

use std::fmt::Write as _;
use std::sync::PoisonError;

use super::{Kind, METRICS, Meter, Metric, Series};

/// Collects for as long as the process lives.
#[derive(Default)]
pub struct Prometheus(Series<Value>);

#[derive(Default)]
struct Value {
    /// The counter, the gauge, or the sum of a histogram.
    value: f64,
    count: u64,
    /// Of a histogram: how many were at most each bound, and above the one before.
    buckets: Vec<u64>,
}

impl Meter for Prometheus {
    fn record(&self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.0.update(metric, labels, |series| match metric.kind {
            Kind::Counter => series.value += value,
            Kind::Gauge => series.value = value,
            Kind::Histogram(bounds) => {
                series.value += value;
                series.count += 1;
                series.buckets.resize(bounds.len(), 0);
                if let Some(at) = bounds.iter().position(|bound| value <= *bound) {
                    series.buckets[at] += 1;
                }
            }
        });
    }
}

impl Prometheus {
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Everything, in the order of the table, then of the labels' values. Metrics that nothing was recorded of are
    /// left out.
    #[must_use]
    pub fn render(&self) -> String {
        let all = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        for metric in METRICS {
            let of_it = all.range((metric.name, Vec::new())..).take_while(|((name, _), _)| *name == metric.name);
            for (nth, ((name, labels), (_, series))) in of_it.enumerate() {
                if nth == 0 {
                    let kind = metric.kind.as_str();
                    let help = metric.help.replace('\\', "\\\\");
                    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
                }
                match metric.kind {
                    Kind::Counter | Kind::Gauge => {
                        let _ = writeln!(out, "{name}{} {}", braces(metric, labels, None), series.value);
                    }
                    Kind::Histogram(bounds) => {
                        let mut below = 0;
                        for (bound, n) in bounds.iter().zip(&series.buckets) {
                            below += n;
                            let braces = braces(metric, labels, Some(&bound.to_string()));
                            let _ = writeln!(out, "{name}_bucket{braces} {below}");
                        }
                        let infinite = braces(metric, labels, Some("+Inf"));
                        let plain = braces(metric, labels, None);
                        let (count, sum) = (series.count, series.value);
                        let _ = write!(
                            out,
                            "{name}_bucket{infinite} {count}\n{name}_sum{plain} {sum}\n{name}_count{plain} {count}\n"
                        );
                    }
                }
            }
        }
        out
    }
}

fn braces(metric: &Metric, labels: &[String], bound: Option<&str>) -> String {
    let named = metric.labels.iter().copied().zip(labels.iter().map(String::as_str)).chain(bound.map(|le| ("le", le)));
    let text: Vec<String> = named.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if text.is_empty() { String::new() } else { format!("{{{}}}", text.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
