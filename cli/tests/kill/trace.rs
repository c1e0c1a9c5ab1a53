//! What a stage was about when its process died, and how often.
//!
//! A gap lies between two events of one stage that follow each other. Those that begin with an `after` lie
//! between two writes; one that begins with a `before` is the inside of a write.

use std::collections::{BTreeMap, BTreeSet};

/// Two events of a stage in a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    pub stage: String,
    pub last: String,
    pub next: String,
}

impl Gap {
    /// The stage, and what it did last.
    pub fn begins(&self) -> (&str, &str) {
        (self.stages(), &self.last)
    }

    /// The stages whose gap this is. A run is sent to be settled by whoever comes last, poll or transform, and
    /// the clock decides which of them that is: a death of either, right after it, is the same gap.
    pub fn stages(&self) -> &str {
        match (self.stage.as_str(), self.last.as_str()) {
            ("poll" | "transform", "queue.send(settle) after") => "poll|transform",
            (stage, _) => stage,
        }
    }

    /// Where to die to be in the `nth` gap that begins as this one does.
    pub fn die(&self, nth: u64) -> String {
        format!("{} {} {nth}", self.stages(), self.last)
    }
}

fn stage_and_event(line: &str) -> (&str, &str) {
    line.split_once(' ').expect("an event has a stage")
}

/// Every gap between two writes, where it came first: how often its last event had come by then.
pub fn gaps(events: &[String]) -> BTreeMap<Gap, u64> {
    let mut last: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let mut out = BTreeMap::new();
    let mut note = |stage: &str, last: &str, nth: u64, next: &str| {
        if last.ends_with(" after") {
            let gap = Gap { stage: stage.to_owned(), last: last.to_owned(), next: next.to_owned() };
            out.entry(gap).or_insert(nth);
        }
    };
    for line in events {
        let (stage, event) = stage_and_event(line);
        let nth = seen.entry(line).or_default();
        *nth += 1;
        if let Some((last, nth)) = last.insert(stage, (event, *nth)) {
            note(stage, last, nth, event);
        }
    }
    for (stage, (last, nth)) in last {
        note(stage, last, nth, "end");
    }
    out
}

/// Kills by stage and by the gap that the stage was in.
#[derive(Debug, Default)]
pub struct Table {
    kills: BTreeMap<(String, String), u64>,
    /// By the stage that wrote last.
    stages: BTreeMap<String, u64>,
}

impl Table {
    /// Counts a kill from what the killed process had done: for each stage the gap that it was in, which is
    /// named by the event that it begins with.
    pub fn count(&mut self, events: &[String]) {
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        for line in events {
            let (stage, event) = stage_and_event(line);
            last.insert(stage, event);
        }
        for (stage, event) in last {
            *self.kills.entry((stage.to_owned(), event.to_owned())).or_default() += 1;
        }
        let stage = events.last().map_or("none yet", |line| stage_and_event(line).0);
        *self.stages.entry(stage.to_owned()).or_default() += 1;
    }

    pub fn print(&self, title: &str) {
        println!("\n{title}\n  kills, by the stage that wrote last:");
        for (stage, kills) in &self.stages {
            println!("  {kills:5}  {stage}");
        }
        let gaps: BTreeSet<&(String, String)> = self.kills.keys().collect();
        println!("  gaps that a stage was in when the process died ({} different ones):", gaps.len());
        for ((stage, event), kills) in &self.kills {
            println!("  {kills:5}  {stage:<10} {event} …");
        }
    }
}
