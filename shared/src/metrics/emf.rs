//! Metrics as CloudWatch reads them out of a log: Embedded Metric Format, one JSON object a line. For functions,
//! which write what they collected at the end of each call.
//!
//! CloudWatch keeps the sums alone, because it charges for each combination of dimensions, and an idle system should
//! cost nothing to speak of; the other labels are beside them in the log, which can be asked.
//!
//! Always holds: a line has at most [`MOST_VALUES`] values, as CloudWatch asks; counters are what was added since
//! the last lines, so that sums over time are right.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use serde_json::{Map, Value as Json, json};

use super::{Kind, Meter, Metric, Series};
use crate::domain::Millis;

const NAMESPACE: &str = "Teal";
/// Of one metric in one line.
const MOST_VALUES: usize = 100;

/// Collects until the next [`Emf::lines`].
pub struct Emf {
    /// Of every metric: several systems and stages may share an account.
    of: Vec<(&'static str, String)>,
    series: Series<Vec<f64>>,
}

impl Emf {
    /// `of` says which deployment it is, as dimensions of every metric.
    #[must_use]
    pub fn new(of: Vec<(&'static str, String)>) -> Self {
        Self { of, series: Series::default() }
    }

    /// The lines to write for everything since the last time.
    #[must_use]
    pub fn lines(&self, now: Millis) -> Vec<String> {
        let all = std::mem::take(&mut *self.series.0.lock().unwrap_or_else(PoisonError::into_inner));
        let lines = all.iter().flat_map(|((_, labels), (metric, values))| {
            values.chunks(MOST_VALUES).map(move |values| self.line(metric, labels, values, now))
        });
        lines.collect()
    }

    fn line(&self, metric: &Metric, labels: &[String], values: &[f64], now: Millis) -> String {
        let dimensions: Vec<&str> =
            self.of.iter().map(|(name, _)| *name).chain(metric.summed.iter().copied()).collect();
        let mut out = Map::new();
        out.insert(
            "_aws".into(),
            json!({
                "Timestamp": now.0,
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [dimensions],
                    "Metrics": [{ "Name": metric.name, "Unit": metric.unit.as_str() }],
                }],
            }),
        );
        let labels: BTreeMap<&str, &String> = metric.labels.iter().copied().zip(labels).collect();
        out.extend(self.of.iter().map(|(name, value)| ((*name).to_owned(), Json::from(value.as_str()))));
        out.extend(labels.into_iter().map(|(name, value)| (name.to_owned(), Json::from(value.as_str()))));
        let value = if let [only] = values { json!(only) } else { json!(values) };
        out.insert(metric.name.into(), value);
        Json::Object(out).to_string()
    }
}

impl Meter for Emf {
    fn record(&self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.series.update(metric, labels, |values| match (metric.kind, values.first_mut()) {
            (Kind::Counter, Some(sum)) => *sum += value,
            (Kind::Gauge, Some(last)) => *last = value,
            _ => values.push(value),
        });
    }
}
