//! What a source says about a failure, made fit for a message: short, one line.

use serde_json::Value;

const LONGEST: usize = 200;

/// The source's own words in an answer that is no page: the usual members only, because anything else may
/// be data.
pub fn of_body(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    ["message", "detail", "title", "error_description", "error"]
        .iter()
        .find_map(|name| body.get(name).filter(|said| !said.is_null()))
        .map(of_value)
}

fn of_value(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(object) => match object.get("message") {
            Some(Value::String(text)) => text.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    };
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &one_line[..end]),
        None => one_line,
    }
}
