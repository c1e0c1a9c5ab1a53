//! A run in words: its name, its counts, what came of it and what happens next.

use serde_json::Value as Json;

use super::{count, entries, items, number, text, time, version};

/// `blue full`.
pub fn name(run: &Json) -> String {
    let sources: Vec<&str> = items(&run["sources"]).iter().map(text).collect();
    let mode = text(&run["mode"]);
    if matches!(mode, "rebuild" | "restore") { mode.to_owned() } else { format!("{} {mode}", sources.join(", ")) }
}

/// Counts of rows, over all entities or of one.
#[derive(Default)]
struct Rows {
    new: u64,
    changed: u64,
    unchanged: u64,
    deleted: u64,
    rejected: u64,
    superseded: u64,
    duplicate: u64,
    late: u64,
}

impl Rows {
    fn add(&mut self, rows: &Json) {
        self.new += count(&rows["new"]);
        self.changed += count(&rows["changed"]);
        self.unchanged += count(&rows["unchanged"]);
        self.deleted += count(&rows["deleted"]);
        self.rejected += count(&rows["rejected"]);
        self.superseded += count(&rows["superseded"]);
        self.duplicate += count(&rows["duplicate"]);
        self.late += count(&rows["late"]);
    }

    fn words(&self) -> String {
        let mut out: Vec<String> = [
            ("new", self.new),
            ("changed", self.changed),
            ("unchanged", self.unchanged),
            ("deleted", self.deleted),
            ("rejected", self.rejected),
        ]
        .map(|(what, n)| format!("{what} {}", number(n)))
        .into();
        for (what, n) in [("superseded", self.superseded), ("duplicate", self.duplicate), ("late", self.late)] {
            if n > 0 {
                out.push(format!("{what} {}", number(n)));
            }
        }
        out.join(", ")
    }
}

/// The block that ends a sync or a rebuild. Its last line says it all.
pub fn summary(run: &Json) -> String {
    let mut lines = Vec::new();
    let mut all = Rows::default();
    let entities: Vec<_> = entries(&run["counts"]["entities"]).collect();
    let width = entities.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (entity, counts) in &entities {
        let mut rows = Rows::default();
        rows.add(counts);
        all.add(counts);
        if entities.len() > 1 {
            lines.push(format!("  {entity:<width$}  {}", rows.words()));
        }
    }
    let records = &run["counts"]["records"];
    all.rejected = all.rejected.max(count(&records["rejected"]));
    let outcome = run["outcome"].as_str().unwrap_or(text(&run["state"]));
    lines.push(format!(
        "{} {outcome}: read {}, {} ({}, {}); {}",
        name(run),
        number(count(&records["fetched"])),
        all.words(),
        counted(count(&run["counts"]["requests"]), "request"),
        counted(count(&run["counts"]["pages"]), "page"),
        next(run),
    ));
    lines.join("\n")
}

pub fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" })
}

/// What the run led to, and what happens next.
pub fn next(run: &Json) -> String {
    let active = version(&run["active"]);
    if text(&run["state"]) == "waiting-quota" {
        return format!("waiting for quota until {}", time(&run["until"]));
    }
    let reason = run["reason"].as_str();
    match (run["outcome"].as_str(), text(&run["version"]["state"])) {
        (Some("complete" | "complete-empty"), _) if run["builds"].is_null() => format!("it is in {active}"),
        (Some("complete" | "complete-empty"), "active") => {
            let built = version(&run["builds"]);
            match run["version"]["previous"].as_u64() {
                Some(previous) => format!("{built} is active, v{previous} kept for rollback"),
                None => format!("{built} is active"),
            }
        }
        (Some("complete" | "complete-empty"), "ready") => {
            let built = version(&run["builds"]);
            format!("{built} is ready beside {active}; `teal switch {built}` makes it active")
        }
        (Some("complete" | "complete-empty"), "previous") => {
            format!("{} was active and is kept for rollback, {active} is active", version(&run["builds"]))
        }
        (Some("complete" | "complete-empty"), "dropped") if reason.is_some() => text(&run["reason"]).to_owned(),
        (Some("complete" | "complete-empty"), state) => {
            format!("{} is {state}, {active} is active", version(&run["builds"]))
        }
        (Some(_), _) if items(&run["verdict"]["blocked"]).is_empty() => {
            let why = reason.unwrap_or("no reason was given");
            if run["builds"].is_null() {
                format!("{why}; what was read is in {active}")
            } else {
                format!("{why}; readers still see {active}")
            }
        }
        (Some(_), _) => reason.unwrap_or("the guard stopped it").to_owned(),
        (None, _) => "it goes on".to_owned(),
    }
}

/// Everything that is known of a run.
pub fn detail(run: &Json) -> String {
    let mut lines = vec![
        format!("run       {}", text(&run["id"])),
        format!("what      {}, asked for by {}", name(run), text(&run["cause"])),
        format!("state     {}", text(&run["state"])),
        format!("started   {}", time(&run["started"])),
    ];
    if !run["ended"].is_null() {
        lines.push(format!("ended     {}", time(&run["ended"])));
    }
    if !run["builds"].is_null() {
        lines.push(format!("builds    {} ({})", version(&run["builds"]), text(&run["version"]["state"])));
    }
    for stream in items(&run["streams"]) {
        let end = if stream["ended"] == true { "to its end" } else { "not to its end" };
        let pages = counted(count(&stream["pages"]), "page");
        lines.push(format!("stream    {}.{}: {pages}, {end}", text(&stream["source"]), text(&stream["stream"])));
    }
    for (entity, rows) in entries(&run["verdict"]["entities"]) {
        let (before, after) = (count(&rows["before"]), count(&rows["after"]));
        lines.push(format!("verified  {entity}: {} rows before, {} after", number(before), number(after)));
    }
    for (relation, found) in entries(&run["verdict"]["relations"]) {
        let examples: Vec<&str> = items(&found["examples"]).iter().map(text).take(3).collect();
        lines.push(format!(
            "dangling  {relation}: {} rows lead to no row of {} ({})",
            number(count(&found["dangling"])),
            text(&found["to"]),
            examples.join(", ")
        ));
    }
    for why in items(&run["verdict"]["blocked"]) {
        lines.push(format!("guard     {}", text(why)));
    }
    lines.push(summary(run));
    lines.join("\n")
}

#[cfg(test)]
mod tests;
