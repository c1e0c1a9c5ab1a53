//! A Markdown file as a record.

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use teal::ports::folder::{MODIFIED, PATH, PROBLEM};
use teal::ports::upstream::Response;

use crate::manifest_yaml;

/// Largest front matter. Reading it takes time that grows with it.
const MOST_FRONT_MATTER: usize = 64 * 1024;

/// Everything that is wrong with a file is the file's alone.
pub fn record(answer: &Response) -> Result<Json, String> {
    let path = answer.header(PATH).unwrap_or_default();
    let parsed = match answer.header(PROBLEM) {
        Some(problem) => Err(problem.to_owned()),
        None => read(path, &answer.body),
    };
    let mut record = parsed.map_err(|why| format!("{path}: {why}"))?;
    record["hash"] = format!("{:x}", Sha256::digest(&answer.body)).into();
    record["bytes"] = answer.body.len().into();
    record["modified"] = answer.header(MODIFIED).into();
    Ok(record)
}

fn read(path: &str, bytes: &[u8]) -> Result<Json, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("the file is not UTF-8 (byte {}); save it as UTF-8", error.valid_up_to()))?;
    let (front_matter, body) = parts(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let name = file.rsplit_once('.').map_or(file, |(name, _)| name);
    let title = match &front_matter["title"] {
        Json::String(title) if !title.trim().is_empty() => title.trim(),
        _ => heading(body).unwrap_or(name),
    };
    Ok(json!({
        "path": path, "folder": folder, "name": name, "title": title, "front_matter": front_matter, "body": body,
    }))
}

/// The front matter, an empty object without one, and what comes after it.
fn parts(text: &str) -> Result<(Json, &str), String> {
    let is = |line: &str, marks: &[&str]| marks.contains(&line.trim_end());
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| is(line, &["---"])) else { return Ok((json!({}), text)) };
    let mut end = first.len();
    for line in lines {
        if is(line, &["---", "..."]) {
            let front_matter = manifest_yaml::load(&text[first.len()..end]).map_err(|error| {
                // Lines are counted in the file, where the front matter begins on the second.
                let (line, column) = (error.at.line + 1, error.at.column);
                format!("the front matter is not YAML: line {line}, column {column}: {}", error.what)
            })?;
            let body = &text[end + line.len()..];
            return match Json::from(front_matter.value) {
                Json::Null => Ok((json!({}), body)),
                members @ Json::Object(_) => Ok((members, body)),
                _ => Err("the front matter is no list of 'name: value'; write one a line".to_owned()),
            };
        }
        end += line.len();
        if end > MOST_FRONT_MATTER {
            return Err(format!(
                "the front matter is larger than {} KB, or has no '---' at its end",
                MOST_FRONT_MATTER / 1024
            ));
        }
    }
    Err("the front matter has no '---' at its end; write one on a line by itself".to_owned())
}

/// The first heading of the first level that is no code.
fn heading(body: &str) -> Option<&str> {
    let mut in_code = false;
    body.lines().find_map(|line| {
        if line.starts_with("```") || line.starts_with("~~~") {
            in_code = !in_code;
        }
        let text = line.strip_prefix("# ").filter(|_| !in_code)?.trim().trim_end_matches('#').trim_end();
        (!text.is_empty()).then_some(text)
    })
}
