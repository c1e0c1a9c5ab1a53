//! The gate in words: refusals, explanations, proposed secrets, lines for curl.

use std::path::Path;

use serde_json::Value as Json;
use teal_gate::{Explanation, Signed};

use super::{items, table, text, time};

pub fn refused(refused: &Json) -> String {
    let rows: Vec<Vec<String>> = items(&refused["refused"])
        .iter()
        .map(|one| {
            vec![
                time(&one["received"]),
                text(&one["source"]["name"]).to_owned(),
                text(&one["reason"]).to_owned(),
                text(&one["id"]).to_owned(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "nothing was refused in the last day".to_owned();
    }
    let table = table(&["received", "source", "reason", "id"], &[], &rows);
    format!("{table}\n`teal deliveries explain ID` says which step is wrong")
}

pub fn token(answer: &Json) -> String {
    let source = text(&answer["source"]);
    match (answer["secret"].as_str(), &answer["until"]) {
        (Some(secret), _) => format!(
            "{secret}\nThis is shown once. Give it to the sender where it asks for it, and put it where the secrets of \
             '{source}' are kept: until then it proves nothing."
        ),
        (None, Json::Null) => {
            format!("no secret was proposed; `teal deliveries token {source} --await` begins to take one")
        }
        (None, until) => {
            format!("the next secret that '{source}' proposes until {} is taken as a candidate", time(until))
        }
    }
}

pub fn explanation(explanation: &Explanation) -> String {
    let mut lines = Vec::new();
    if let Some(Signed { pieces, length, sha256, begins }) = &explanation.signed {
        let pieces: Vec<String> = pieces.iter().map(|(piece, bytes)| format!("{piece} ({bytes})")).collect();
        lines.push(format!("signed: {}", pieces.join(" + ")));
        lines.push(format!("        {length} bytes, sha256 {sha256}"));
        lines.push(format!("        {begins}"));
    }
    for step in &explanation.steps {
        lines.push(format!("{} {}", if step.good { "ok   " } else { "WRONG" }, step.what));
    }
    lines.extend(explanation.hints.iter().map(|hint| format!("hint  {hint}")));
    lines.join("\n")
}

pub fn curl(path: &str, body: &Path, signed: &[(String, String)], in_address: bool) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let mut address = format!("http://127.0.0.1:8080/hooks/{path}");
    let mut line = "curl -i".to_owned();
    for (name, value) in signed {
        if in_address {
            address = format!("{address}?{name}={value}");
        } else {
            line += &format!(" -H {}", quoted(&format!("{name}: {value}")));
        }
    }
    format!("{line} --data-binary {} {}", quoted(&format!("@{}", body.display())), quoted(&address))
}
