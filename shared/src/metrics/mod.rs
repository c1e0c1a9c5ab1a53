//! What is measured, what it is called, and how it is shown: to Prometheus and to CloudWatch, under the same
//! names, from one table.
//!
//! Owns the table, collecting, and the two renderings. Owns no clock and no place to send anything to: hosts
//! bring both. Stages get a [`Meter`] and tell it what happened, so that they stay as pure as they were.
//!
//! Always holds: recording takes a lock and a map look-up, does no I/O and can't fail; what is shown is sorted,
//! so that the same events give the same text; values of labels are data of the operator's, never of a source.

mod emf;
mod prometheus;
pub mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use emf::Emf;
pub use prometheus::Prometheus;
pub use table::*;

/// One row of the table.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub labels: &'static [&'static str],
    /// The labels that are left in the sum over all others which CloudWatch gets: each combination costs there, and
    /// an alarm names its dimensions exactly, which a template can't for sources.
    pub summed: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Grows by what is recorded.
    Counter,
    /// Is what was recorded last.
    Gauge,
    /// How often which values were recorded, by upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Seconds,
}

impl Unit {
    /// As CloudWatch calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
        }
    }
}

/// What stages tell what happened.
pub trait Meter: Send + Sync {
    /// `labels` are values in the order of the metric's labels.
    fn record(&self, metric: &'static Metric, labels: &[&str], value: f64);
}

/// For hosts that show no metrics.
pub struct NoMeter;

impl Meter for NoMeter {
    fn record(&self, _: &'static Metric, _: &[&str], _: f64) {}
}

/// The meter of whoever shows none.
#[must_use]
pub fn none() -> Arc<dyn Meter> {
    Arc::new(NoMeter)
}

impl dyn Meter + '_ {
    pub fn count(&self, metric: &'static Metric, labels: &[&str], n: u64) {
        if n > 0 {
            #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
            self.record(metric, labels, n as f64);
        }
    }

    pub fn seconds(&self, metric: &'static Metric, labels: &[&str], span: std::time::Duration) {
        self.record(metric, labels, span.as_secs_f64());
    }
}

/// `2xx` to `5xx`.
#[must_use]
pub fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// A metric's name, and the values of its labels.
type Labelled = (&'static str, Vec<String>);

/// Everything recorded, by metric and labels.
struct Series<T>(Mutex<BTreeMap<Labelled, (&'static Metric, T)>>);

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Series<T> {
    fn update(&self, metric: &'static Metric, labels: &[&str], change: impl FnOnce(&mut T)) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{} has labels {:?}", metric.name, metric.labels);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = all.range_mut((metric.name, Vec::new())..).take_while(|((name, _), _)| *name == metric.name);
        let known = |series: &&Labelled| series.1.iter().map(String::as_str).eq(labels.iter().copied());
        if let Some((_, (_, value))) = of_it.into_iter().find(|(series, _)| known(series)) {
            return change(value);
        }
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        change(&mut all.entry((metric.name, labels)).or_insert_with(|| (metric, T::default())).1);
    }
}
