//! The manifest that ships behind the port, against strings: what is asked, how answers are judged.
//! `against_the_stand_in` lists a whole source over HTTP; `before_a_page` is for what is no page.

mod against_the_stand_in;
mod answers;
mod before_a_page;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use teal::domain::{Millis, Mode, Secret, StreamName};
use teal::ports::connector::{Connector, ConnectorConfig, ConnectorError, Connectors, Next, Session, Step};
use teal::ports::upstream::{Request, Response};

use crate::ManifestConnectors;

const KEY: &str = "k-secret-1";

/// 2026-01-02T00:00:00Z.
const NOW: Millis = Millis(1_767_312_000_000);

const MANIFEST: &str = include_str!("../../../../connectors/nowrep-blue.yaml");

struct Fixed;

impl teal::ports::Entropy for Fixed {
    fn next(&self) -> u64 {
        7
    }
}

fn config(base_url: &str) -> ConnectorConfig {
    ConnectorConfig {
        plain: json!({ "base_url": base_url }),
        secrets: BTreeMap::from([("api_key".to_owned(), Secret::new(KEY))]),
    }
}

fn connector() -> Arc<dyn Connector> {
    ManifestConnectors.compile(MANIFEST, &config("https://api.example.com")).unwrap()
}

fn response(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Response {
    Response {
        status,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Bytes::copy_from_slice(body.as_ref()),
    }
}

/// A stream that is being read, as poll reads it.
struct Listing {
    connector: Arc<dyn Connector>,
    stream: StreamName,
    position: Value,
    session: Box<dyn Session>,
    now: Millis,
    records: Vec<Value>,
    moves: usize,
}

impl Listing {
    fn of(connector: Arc<dyn Connector>, stream: &str, mode: Mode, cursor: Option<&Value>) -> Self {
        let stream = StreamName::new(stream);
        let position = connector.begin(&stream, mode, cursor, NOW).unwrap();
        Self::at(connector, stream, position)
    }

    fn at(connector: Arc<dyn Connector>, stream: StreamName, position: Value) -> Self {
        let mut session = connector.session(Arc::new(Fixed)).unwrap();
        session.open(&stream, &position).unwrap();
        Self { connector, stream, position, session, now: NOW, records: Vec::new(), moves: 0 }
    }

    /// As another process goes on.
    fn resumed(self) -> Self {
        let records = self.records;
        Self { records, now: self.now, ..Self::at(self.connector, self.stream, self.position) }
    }

    /// The next step that is of interest: positions are kept and records taken on the way.
    fn step(&mut self) -> Step {
        loop {
            let step = self.session.step(self.now).unwrap();
            match &step {
                Step::Moved(position) => {
                    self.moves += 1;
                    self.position = position.clone();
                }
                Step::Page { answers, next } => {
                    let page: Vec<Response> = answers.iter().map(|answer| answer.response.clone()).collect();
                    let records = self.connector.records(&self.stream, &self.position, &page).unwrap();
                    self.records.extend(records.into_iter().map(|taken| taken.record.unwrap()));
                    if let Next::Page(next) = next {
                        self.position = next.clone();
                    }
                    return step;
                }
                _ => return step,
            }
        }
    }

    fn asks(&mut self) -> Request {
        match self.step() {
            Step::Ask(request) => request,
            other => panic!("no request: {other:?}"),
        }
    }

    /// What an answer of the source to the next request means.
    fn answered(&mut self, response: Response) -> Step {
        self.asks();
        self.session.answer(self.now, response).unwrap();
        self.step()
    }

    /// Reads on to the end, every answer given by `source`; the cursor that is left.
    fn finish(&mut self, mut source: impl FnMut(&Request) -> Response) -> Option<Value> {
        for _ in 0..1000 {
            match self.step() {
                Step::Ask(request) => self.session.answer(self.now, source(&request)).unwrap(),
                Step::Page { next: Next::End { cursor }, .. } | Step::End { cursor } => return cursor,
                Step::Wait { wait, .. } => self.now = self.now.plus(wait),
                Step::Page { .. } | Step::Moved(_) => {}
                other => panic!("{other:?}"),
            }
        }
        panic!("no end");
    }
}

/// Judges an answer to the first request of a stream.
fn first(stream: &str, status: u16, headers: &[(&str, &str)], body: &str) -> Step {
    Listing::of(connector(), stream, Mode::Full, None).answered(response(status, headers, body))
}
