//! What the demo says, as data and as text.
//!
//! Owns wording around the numbers and how it looks; knows nothing of how they came about. Rendering is a
//! pure function of what is shown and of [`Style`].

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;

/// How text is made to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
    /// Lines are broken after so many characters; `None` leaves them whole.
    pub width: Option<usize>,
}

/// What a step is about, known before it is played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Title {
    pub step: usize,
    pub title: String,
    /// What is done, in a sentence or two.
    pub did: String,
}

/// A step that was played.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    #[serde(flatten)]
    pub title: Title,
    /// What was seen, in sentences.
    pub saw: Vec<String>,
    /// The same and more, for programs.
    pub facts: BTreeMap<&'static str, Json>,
    /// What was not as promised; empty when all was well.
    pub wrong: Vec<String>,
    pub ok: bool,
    pub ms: u64,
}

/// What the readers saw over the whole demo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reading {
    pub readers: usize,
    pub pages: u64,
    pub listings: u64,
    /// Listings that ended in a version that was not the active one any more.
    pub across_a_switch: u64,
    pub errors: u64,
    pub mixtures: u64,
    pub slowest_ms: u64,
    /// The first thing that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_trouble: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub ok: bool,
    pub steps: usize,
    pub reading: Reading,
    pub requests: u64,
    pub gates_closed_at_most_ms: u64,
    pub ms: u64,
    /// Why the demo failed, where no step says it.
    pub wrong: Vec<String>,
    /// What was done, and the command for it.
    pub next: Vec<(String, String)>,
}

impl Reading {
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors == 0 && self.mixtures == 0
    }
}

/// What stands over a step while it is played.
#[must_use]
pub fn announce(style: Style, title: &Title) -> String {
    let mut out = String::new();
    let heading = format!("{:>2}  {}", title.step, title.title);
    let _ = writeln!(out, "\n{}", style.paint(BOLD, &heading));
    paragraph(&mut out, style, "    ", &title.did, DIM);
    out
}

/// What stands under it when it is over.
#[must_use]
pub fn finish(style: Style, step: &Step) -> String {
    let mut out = String::new();
    for line in &step.saw {
        bullet(&mut out, style, GREEN, "✓", line);
    }
    for line in &step.wrong {
        bullet(&mut out, style, RED, "✗", line);
    }
    let _ = writeln!(out, "    {}", style.paint(DIM, &seconds(step.ms)));
    out
}

#[must_use]
pub fn close(style: Style, summary: &Summary) -> String {
    let mut out = String::new();
    let Summary { reading, .. } = summary;
    let verdict = if summary.ok {
        style.paint(GREEN_BOLD, &format!("All {} steps went as promised.", summary.steps))
    } else {
        style.paint(RED_BOLD, "Something was not as promised; the lines with ✗ say what.")
    };
    let _ = writeln!(out, "\n{verdict}");
    for line in &summary.wrong {
        bullet(&mut out, style, RED, "✗", line);
    }
    let (color, mark) = if reading.is_clean() { (GREEN, "✓") } else { (RED, "✗") };
    let reads = format!(
        "Meanwhile {} readers read {} pages of {} listings. Errors: {}. Mixtures of versions: {}.",
        reading.readers,
        grouped(reading.pages),
        grouped(reading.listings),
        grouped(reading.errors),
        grouped(reading.mixtures),
    );
    bullet(&mut out, style, color, mark, &reads);
    if let Some(trouble) = &reading.first_trouble {
        bullet(&mut out, style, RED, "✗", &format!("The first: {trouble}"));
    }
    let across = format!(
        "Listings that began before a switch and ended after it, in the version that they began in: {}. Slowest page: \
         {} ms.",
        grouped(reading.across_a_switch),
        grouped(reading.slowest_ms)
    );
    let whole = format!(
        "{} to the source; at most {} ms in which changes had to wait for a switch; {} in all.",
        count(summary.requests, "request"),
        summary.gates_closed_at_most_ms,
        seconds(summary.ms)
    );
    for line in [across, whole] {
        bullet(&mut out, style, DIM, "·", &line);
    }
    if !summary.next.is_empty() {
        let _ = writeln!(out, "\n{}", style.paint(BOLD, "Try next"));
        for (what, command) in &summary.next {
            // Never broken: a command is there to be copied.
            let _ = writeln!(out, "    {}\n      {command}", style.paint(DIM, &format!("# {what}")));
        }
    }
    out
}

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31";
const GREEN_BOLD: &str = "1;32";
const RED_BOLD: &str = "1;31";

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn bullet(out: &mut String, style: Style, color: &str, mark: &str, text: &str) {
    let mut lines = wrap(text, style.width, 6).into_iter();
    let _ = writeln!(out, "    {} {}", style.paint(color, mark), lines.next().unwrap_or_default());
    for line in lines {
        let _ = writeln!(out, "      {line}");
    }
}

fn paragraph(out: &mut String, style: Style, indent: &str, text: &str, code: &str) {
    for line in wrap(text, style.width, indent.len()) {
        let _ = writeln!(out, "{indent}{}", style.paint(code, &line));
    }
}

/// Breaks at spaces so that a line with its indent fits. A longer word stays whole.
fn wrap(text: &str, width: Option<usize>, indent: usize) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let room = width.saturating_sub(indent);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `12,345`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 row`, `2,000 rows`.
#[must_use]
pub fn count(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `1.2 s`.
#[must_use]
pub fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}
