//! How far a run is: a moving bar on a terminal, a line every few seconds in a pipe, nothing with `--quiet`.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value as Json;

use crate::output::Output;
use crate::render::number;

/// Between two lines in a pipe.
const EVERY: Duration = Duration::from_secs(3);

pub struct Progress {
    output: Output,
    bar: Option<ProgressBar>,
    /// Pages that the last complete run of this kind had: what this one will probably have.
    expected: Option<u64>,
    began: Instant,
    last_line: Instant,
}

impl Progress {
    pub fn new(output: Output, expected: Option<u64>) -> Self {
        let bar = output.live.then(|| {
            let bar = ProgressBar::with_draw_target(expected, ProgressDrawTarget::stderr());
            bar.set_style(style(expected.is_some()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let now = Instant::now();
        Self { output, bar, expected, began: now, last_line: now }
    }

    /// Shows the run as `GET /runs/{id}` tells it now.
    pub fn update(&mut self, run: &Json) {
        let at = At::of(run, self.expected, self.began.elapsed());
        if let Some(bar) = &self.bar {
            bar.set_style(style(at.total.is_some()));
            if let Some(total) = at.total {
                bar.set_length(total);
            }
            bar.set_position(at.done);
            bar.set_message(at.words());
        } else if self.last_line.elapsed() >= EVERY {
            self.last_line = Instant::now();
            self.output.remark(&at.line());
        }
    }

    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(known: bool) -> ProgressStyle {
    let template = if known {
        "{spinner} {msg} [{bar:24}] {pos}/{len} pages, {eta} left"
    } else {
        "{spinner} {msg}, {pos} pages, {elapsed}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// What is worth telling of a run that goes on.
#[derive(Debug, PartialEq)]
struct At {
    name: String,
    state: String,
    /// Pages applied.
    done: u64,
    total: Option<u64>,
    records: u64,
    per_second: u64,
    until: Option<String>,
}

impl At {
    fn of(run: &Json, expected: Option<u64>, elapsed: Duration) -> Self {
        let number = |pointer: &str| run.pointer(pointer).and_then(Json::as_u64);
        let done = number("/counts/pages").unwrap_or(0);
        let records = number("/counts/records/fetched").unwrap_or(0);
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let expected = expected.filter(|expected| *expected > done);
        Self {
            name: crate::render::run::name(run),
            state: run["state"].as_str().unwrap_or_default().to_owned(),
            done,
            total: number("/pages").or(expected),
            records,
            per_second: records.saturating_mul(1000) / millis,
            until: run["until"].as_str().map(str::to_owned),
        }
    }

    fn words(&self) -> String {
        match (self.state.as_str(), &self.until) {
            ("waiting-quota", Some(until)) => format!("{}: waiting for quota until {until}", self.name),
            ("settling", _) => format!("{}: verifying {} records", self.name, number(self.records)),
            _ => format!("{}: {} records, {}/s", self.name, number(self.records), number(self.per_second)),
        }
    }

    fn line(&self) -> String {
        let of = self.total.map(|total| format!(" of {}", number(total))).unwrap_or_default();
        format!("{}, {}{of} pages", self.words(), number(self.done))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> Json {
        json!({
            "mode": "full", "sources": ["blue"], "state": "fetching", "pages": null, "until": null,
            "counts": { "pages": 12, "records": { "fetched": 1200 } },
        })
    }

    #[test]
    fn a_line_tells_the_rate_and_what_is_known_of_the_rest() {
        let line = |run: &Json, expected| At::of(run, expected, Duration::from_secs(2)).line();
        assert_eq!(line(&run(), None), "blue full: 1,200 records, 600/s, 12 pages");
        assert_eq!(line(&run(), Some(40)), "blue full: 1,200 records, 600/s, 12 of 40 pages");
        assert_eq!(line(&run(), Some(10)), "blue full: 1,200 records, 600/s, 12 pages", "more than last time");
        let mut fetched = run();
        fetched["pages"] = json!(15);
        assert_eq!(line(&fetched, Some(40)), "blue full: 1,200 records, 600/s, 12 of 15 pages");
    }

    #[test]
    fn a_parked_run_says_until_when() {
        let mut parked = run();
        parked["state"] = json!("waiting-quota");
        parked["until"] = json!("2030-01-01T14:38:00.000Z");
        let words = At::of(&parked, None, Duration::from_secs(1)).words();
        assert_eq!(words, "blue full: waiting for quota until 2030-01-01T14:38:00.000Z");
    }
}
