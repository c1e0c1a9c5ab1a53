//! A folder of Markdown files as a source: one stream `files`, a record a file.
//!
//! Owns the order in which files are asked for, and the record that one becomes. Touches no file: the host's
//! upstream does (see `teal::ports::folder`).
//!
//! Always holds: a listing ends only after every file that the folder had was asked for, so that what a full one
//! lacks is gone; a file that can't be read is one record that can't, and nothing else comes to harm.

mod file;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use teal::domain::{Millis, Mode, StreamName};
use teal::ports::Entropy;
use teal::ports::connector::{Answered, Connector, ConnectorConfig, ConnectorError, Next, Session, Step, Taken};
use teal::ports::folder::{AFTER, Entry, LIST, Listed, PATH, PROBLEM, READ, SCHEME, SINCE};
use teal::ports::upstream::{HeaderValue, Request, Response};

use crate::manifest_yaml;

const KIND: &str = "MarkdownFolder";
const STREAM: &str = "files";
/// Files that changed this long before a listing began are asked for once more by the next one: file systems round
/// times, and a file may be written while it is listed.
const LOOKBACK: Duration = Duration::from_secs(10);

/// Whether a manifest is one for a folder.
pub fn is_meant(manifest: &str) -> bool {
    let kind = manifest.lines().find_map(|line| line.strip_prefix("type:"));
    kind.is_some_and(|kind| kind.split('#').next().unwrap_or_default().trim() == KIND)
}

pub struct MarkdownFolder {
    folder: String,
}

/// Where a listing is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Position {
    started: Millis,
    /// `None`: all files.
    #[serde(default)]
    since: Option<Millis>,
    /// The last path that was listed.
    #[serde(default)]
    after: String,
}

impl MarkdownFolder {
    pub fn compile(manifest: &str, config: &ConnectorConfig) -> Result<Self, ConnectorError> {
        let wrong = |why: String| ConnectorError::Manifest(vec![why]);
        let manifest = manifest_yaml::load(manifest).map_err(|error| wrong(error.to_string()))?.value;
        let members = manifest.as_object().map(|members| members.iter().map(|(name, _)| name.to_string()));
        let mut problems: Vec<String> = members
            .into_iter()
            .flatten()
            .filter(|name| name != "type")
            .map(|name| {
                format!("a manifest of the type {KIND} has no '{name}'; what differs is in the source's config")
            })
            .collect();
        let unknown = config.plain.as_object().into_iter().flatten().map(|(name, _)| name).filter(|n| *n != "folder");
        problems.extend(
            unknown.chain(config.secrets.keys()).map(|name| format!("config has no '{name}' here; it has 'folder'")),
        );
        let folder = config.plain["folder"].as_str().unwrap_or_default();
        if folder.is_empty() {
            let why = "config needs 'folder': the folder of the Markdown files, relative to teal.yaml";
            problems.push(why.to_owned());
        }
        if problems.is_empty() {
            Ok(Self { folder: folder.to_owned() })
        } else {
            Err(ConnectorError::Manifest(problems))
        }
    }

    fn known(stream: &StreamName) -> Result<(), ConnectorError> {
        if stream.as_str() == STREAM { Ok(()) } else { Err(ConnectorError::NoStream(stream.clone())) }
    }
}

impl Connector for MarkdownFolder {
    fn streams(&self) -> Vec<StreamName> {
        vec![StreamName::new(STREAM)]
    }

    fn folder(&self) -> Option<&str> {
        Some(&self.folder)
    }

    fn incremental(&self, _: &StreamName) -> bool {
        true
    }

    fn begin(
        &self,
        stream: &StreamName,
        mode: Mode,
        cursor: Option<&Json>,
        now: Millis,
    ) -> Result<Json, ConnectorError> {
        Self::known(stream)?;
        let since =
            cursor.filter(|_| mode == Mode::Incremental).and_then(|cursor| cursor["since"].as_i64()).map(Millis);
        Ok(json!(Position { started: now, since, after: String::new() }))
    }

    fn session(&self, _: Arc<dyn Entropy>) -> Result<Box<dyn Session>, ConnectorError> {
        let position = Position { started: Millis(0), since: None, after: String::new() };
        Ok(Box::new(Reading { url: format!("{SCHEME}{}", self.folder), position, listed: None, answers: Vec::new() }))
    }

    fn records(&self, stream: &StreamName, _: &Json, page: &[Response]) -> Result<Vec<Taken>, ConnectorError> {
        Self::known(stream)?;
        Ok(page.iter().map(|answer| file::record(answer).into()).collect())
    }
}

struct Reading {
    url: String,
    position: Position,
    /// What is still to be read of a part of the listing, last first, with its last path, and whether that was all.
    listed: Option<(Vec<Entry>, String, bool)>,
    answers: Vec<Answered>,
}

impl Reading {
    fn request(&self, method: &str, headers: Vec<(&str, String)>) -> Step {
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), HeaderValue::Plain(value))).collect();
        Step::Ask(Request {
            method: http::Method::from_bytes(method.as_bytes()).expect("both methods are tokens"),
            url: self.url.clone(),
            headers,
            body: Bytes::new(),
            timeout: Duration::ZERO,
            max_body: 0,
        })
    }

    fn answered(&self, method: &str, path: &str, asked: Millis, response: Response) -> Answered {
        Answered { method: method.to_owned(), url: format!("{}/{path}", self.url), asked, response, by_body: false }
    }
}

impl Session for Reading {
    fn open(&mut self, stream: &StreamName, position: &Json) -> Result<(), ConnectorError> {
        MarkdownFolder::known(stream)?;
        self.position = Position::deserialize(position)
            .map_err(|error| ConnectorError::Body(format!("the position was not made by a {KIND}: {error}")))?;
        (self.listed, self.answers) = (None, Vec::new());
        Ok(())
    }

    fn step(&mut self, now: Millis) -> Result<Step, ConnectorError> {
        let Some((files, ..)) = &mut self.listed else {
            let mut headers = vec![(AFTER, self.position.after.clone())];
            headers.extend(self.position.since.map(|since| (SINCE, since.0.to_string())));
            return Ok(self.request(LIST, headers));
        };
        while let Some(entry) = files.last() {
            let Some(problem) = &entry.problem else {
                let path = entry.path.clone();
                return Ok(self.request(READ, vec![(PATH, path)]));
            };
            let headers = vec![(PATH.to_owned(), entry.path.clone()), (PROBLEM.to_owned(), problem.clone())];
            let (path, response) = (entry.path.clone(), Response { status: 422, headers, body: Bytes::new() });
            files.pop();
            let url = format!("{}/{path}", self.url);
            self.answers.push(Answered { method: READ.to_owned(), url, asked: now, response, by_body: false });
        }
        let (_, after, more) = self.listed.take().expect("it was there above");
        let answers = std::mem::take(&mut self.answers);
        let next = if more {
            self.position.after = after;
            Next::Page(json!(self.position))
        } else {
            let since = self.position.started.0 - i64::try_from(LOOKBACK.as_millis()).unwrap_or(0);
            Next::End { cursor: Some(json!({ "since": since })) }
        };
        Ok(match (answers.is_empty(), next) {
            (false, next) => Step::Page { answers, next },
            (true, Next::Page(position)) => Step::Moved(position),
            (true, Next::End { cursor }) => Step::End { cursor },
        })
    }

    fn answer(&mut self, now: Millis, response: Response) -> Result<(), ConnectorError> {
        let Some((files, ..)) = &mut self.listed else {
            let Listed { mut files, more } = serde_json::from_slice(&response.body)
                .map_err(|error| ConnectorError::Body(format!("the folder's listing can't be read: {error}")))?;
            let after = files.last().map(|entry| entry.path.clone()).unwrap_or_default();
            files.reverse();
            self.listed = Some((files, after, more));
            return Ok(());
        };
        // A file that went since it was listed is not in the listing.
        if let Some(entry) = files.pop()
            && response.status != 404
        {
            let answered = self.answered(READ, &entry.path, now, response);
            self.answers.push(answered);
        }
        Ok(())
    }
}
