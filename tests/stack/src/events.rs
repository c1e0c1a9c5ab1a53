//! The files under `events/`, and what a function answers to each: `events/expected.json`, the same for every way
//! of handing them over.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::root;

/// What stands for the hash of the configuration in force, since the files can't know it.
pub const ANY_CONFIG: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The secrets that the files assume.
pub const SECRETS: [(&str, &str); 3] =
    [("sync-secret-key", "a-word-of-yours"), ("blue-api-key", "blue-key"), ("teal-admin-token", "a-token-of-yours")];

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Expected {
    /// An HTTP answer; of a problem, its code.
    Status { status: u16, code: Option<String> },
    /// An answer to a batch: which messages, counted from 1, come again.
    Failed { failed: Vec<usize> },
    /// An error, by its code.
    Error { error: String },
    /// An answer of another form.
    Ok { ok: bool },
}

/// One file.
pub struct Event {
    /// `function/variant`.
    pub name: String,
    pub function: String,
    pub json: Json,
    pub expected: Expected,
}

/// All of them, in the order in which `expected.json` has them: what a delivery needs was delivered before.
///
/// # Panics
/// When a file is missing or is not listed.
#[must_use]
pub fn all(config: &str) -> Vec<Event> {
    let folder = root().join("events");
    let text = std::fs::read_to_string(folder.join("expected.json")).expect("events/expected.json can be read");
    let expected: BTreeMap<String, Expected> = serde_json::from_str(&text).expect("every expectation has a known form");
    let mut listed: Vec<(usize, String, Expected)> = expected
        .into_iter()
        .map(|(name, expected)| (text.find(&format!("\"{name}\"")).unwrap_or_default(), name, expected))
        .collect();
    listed.sort_by_key(|(at, ..)| *at);
    let events = listed.into_iter().map(|(_, name, expected)| {
        let path = folder.join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json = serde_json::from_str(&text.replace(ANY_CONFIG, config)).expect("an event is JSON");
        let function = name.split('/').next().unwrap_or_default().to_owned();
        Event { name, function, json, expected }
    });
    events.collect()
}

/// What is wrong with an answer, in words. `Err` is the code of an error.
#[must_use]
pub fn judge(event: &Event, answer: &Result<Json, String>) -> Option<String> {
    let is_right = match (&event.expected, answer) {
        (Expected::Status { status, code }, Ok(answer)) => {
            let body: Json =
                answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
            answer["statusCode"] == *status && code.as_ref().is_none_or(|code| body["code"] == code.as_str())
        }
        (Expected::Failed { failed }, Ok(answer)) => answer["batchItemFailures"].as_array().is_some_and(|failures| {
            let ids: Vec<&Json> = failures.iter().map(|failure| &failure["itemIdentifier"]).collect();
            let wanted: Vec<&Json> =
                failed.iter().map(|number| &event.json["Records"][number - 1]["messageId"]).collect();
            ids == wanted
        }),
        (Expected::Error { error }, Err(code)) => error == code,
        (Expected::Ok { .. }, Ok(answer)) => answer.is_object(),
        _ => false,
    };
    (!is_right).then(|| format!("{}: expected {:?}, got {answer:?}", event.name, event.expected))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_file_is_listed_and_described() {
        let listed: Vec<String> = all(ANY_CONFIG).into_iter().map(|event| event.name).collect();
        let readme = std::fs::read_to_string(root().join("events/README.md")).unwrap();
        let mut found = Vec::new();
        for folder in std::fs::read_dir(root().join("events")).unwrap().flatten().filter(|e| e.path().is_dir()) {
            for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
                let name = file.path().file_stem().unwrap().to_string_lossy().into_owned();
                found.push(format!("{}/{name}", folder.file_name().to_string_lossy()));
            }
        }
        for name in &found {
            assert!(listed.contains(name), "{name} is not in expected.json");
            assert!(readme.contains(&format!("`{name}`")), "{name} is not in events/README.md");
        }
        assert_eq!(found.len(), listed.len());
    }

    #[test]
    fn an_answer_is_judged_by_what_was_expected() {
        let event = |expected| Event {
            name: "f/x".into(),
            function: "f".into(),
            json: json!({ "Records": [{ "messageId": "a" }, { "messageId": "b" }] }),
            expected,
        };
        let failed = event(Expected::Failed { failed: vec![2] });
        assert_eq!(judge(&failed, &Ok(json!({ "batchItemFailures": [{ "itemIdentifier": "b" }] }))), None);
        assert!(judge(&failed, &Ok(json!({ "batchItemFailures": [] }))).is_some());
        assert!(judge(&failed, &Err("TEAL-E001".into())).is_some());
        let status = event(Expected::Status { status: 404, code: Some("TEAL-S006".into()) });
        assert_eq!(judge(&status, &Ok(json!({ "statusCode": 404, "body": "{\"code\":\"TEAL-S006\"}" }))), None);
        assert!(judge(&status, &Ok(json!({ "statusCode": 404, "body": "{\"code\":\"TEAL-S005\"}" }))).is_some());
    }
}
