//! Whatever a source answers, a stream is read to an end or a failure: nothing panics, a record is one line of JSON,
//! and what stands between two pages can be written down and taken up again.
//!
//! An input's first two bytes choose a manifest and a stream. The rest is answers, one after the other, with a byte
//! 0x1E between them: a byte for the status, a byte for the headers, the body.
#![no_main]

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use teal::ports::upstream::Response;
use teal_connect::failure::Failure;
use teal_connect::node::NoFiles;
use teal_connect::read::fetch::Answered;
use teal_connect::read::reader::{Reader, Run};
use teal_connect::read::{Need, Progress};
use teal_connect::session::Session;
use teal_connect::source::Source;
use teal_connect::source::catalog::Catalog;
use teal_connect::source::stream::Stream;
use teal_connect::value::{Value, json};

const MANIFESTS: &[&str] = &[
    include_str!("answers.yaml"),
    include_str!("../../connectors/airtable.yaml"),
    include_str!("../../connectors/apify.yaml"),
    include_str!("../../connectors/generic-rest.yaml"),
    include_str!("../../connectors/github.yaml"),
    include_str!("../../connectors/google-calendar.yaml"),
    include_str!("../../connectors/mailchimp.yaml"),
    include_str!("../../connectors/notion.yaml"),
    include_str!("../../connectors/nowrep-blue.yaml"),
    include_str!("../../connectors/youtube.yaml"),
];

const STATUSES: &[u16] = &[200, 200, 200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 410, 429, 500, 503];

const HEADERS: &[&[(&str, &str)]] = &[
    &[],
    &[("content-type", "application/json; charset=utf-16")],
    &[("link", "<https://api.example.com/next?a=1>; rel=\"next\", <x>; rel=last")],
    &[("retry-after", "1e400"), ("x-reset", "99999999999999")],
    &[("retry-after", "-1"), ("x-reset", "2026"), ("date", "Thu, 01 Jan 1970 00:00:00 GMT")],
    &[("content-encoding", "gzip")],
    &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767312001")],
];

/// More requests than this make an input slow, and find nothing more.
const MOST: usize = 64;

struct Answers<'a> {
    rest: std::slice::Split<'a, u8, fn(&u8) -> bool>,
    given: usize,
}

impl Answers<'_> {
    /// A token first, so that what comes after it is reached; nothing when all were given.
    fn next(&mut self, url: &str) -> Option<Answered> {
        self.given += 1;
        if self.given > MOST {
            return None;
        }
        if url.contains("token") {
            let body = br#"{"access_token": "t", "expires_in": 3600}"#;
            return Some(Ok(Response { status: 200, headers: Vec::new(), body: body.to_vec().into() }));
        }
        let (status, headers, body) = match self.rest.next()? {
            [] => (200, HEADERS[0], &[][..]),
            [status] => (STATUSES[usize::from(*status) % STATUSES.len()], HEADERS[0], &[][..]),
            [status, headers, body @ ..] => {
                let status = STATUSES[usize::from(*status) % STATUSES.len()];
                (status, HEADERS[usize::from(*headers) % HEADERS.len()], body)
            }
        };
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Some(Ok(Response { status, headers, body: body.to_vec().into() }))
    }
}

/// A machine until it is done; `None` when there is no answer left.
macro_rules! drive {
    ($machine:expr, $step:ident, $session:expr, $now:expr, $answers:expr) => {
        loop {
            match $machine.$step($session, *$now)? {
                Progress::Done(done) => break done,
                Progress::Need(Need::Ask(ask)) => match $answers.next(&ask.request.url) {
                    Some(answered) => $machine.answer($session, *$now, answered)?,
                    None => return Ok(()),
                },
                Progress::Need(Need::Wait(wait)) => {
                    let Ok(later) = $now.checked_add(wait) else { return Ok(()) };
                    *$now = later;
                }
                Progress::Need(Need::Blocked) => panic!("one alone waits for another"),
            }
        }
    };
}

fn written(run: &Run, reader: &Reader) -> Result<Run, Failure> {
    let text = serde_json::to_string(&run.position()).expect("a position can be written");
    let again = serde_json::from_str(&text).expect("a position can be read");
    reader.run_at(again)
}

fn read(stream: Arc<Stream>, session: &mut Session, now: &mut Timestamp, answers: &mut Answers) -> Result<(), Failure> {
    let mut reader = Reader::new(stream.clone(), &Value::Null, session, *now)?;
    while let Some(mut run) = drive!(reader, next, session, now, answers) {
        while let Some(page) = drive!(run, step, session, now, answers) {
            for record in page {
                let mut line = Vec::new();
                record.write(&mut line);
                assert!(!line.contains(&b'\n'), "more than a line: {record:?}");
                serde_json::from_slice::<IgnoredAny>(&line).expect("a record is JSON");
            }
            if !run.is_finished() {
                run = written(&run, &reader)?;
            }
        }
        reader.close(&run)?;
        let text = serde_json::to_string(&reader.position()).expect("a position can be written");
        reader = Reader::at(stream.clone(), serde_json::from_str(&text).expect("a position can be read"))?;
        let _ = reader.state();
    }
    reader.finish(*now);
    let _ = reader.state();
    Ok(())
}

/// A manifest and its streams, which take far longer to compile than to read.
struct Compiled {
    source: Source,
    streams: Vec<Arc<Stream>>,
}

/// 2026-01-02.
const NOW: Timestamp = Timestamp::constant(1_767_312_000, 0);

thread_local! {
    static COMPILED: [OnceCell<Compiled>; MANIFESTS.len()] = const { [const { OnceCell::new() }; MANIFESTS.len()] };
}

fn compiled(text: &str) -> Compiled {
    let config = json!({
        "base_url": "https://api.example.com", "api_key": "k-us1", "token": "t", "repositories": ["a/b", "c/d"],
        "channels": ["UC1"], "client_id": "a", "client_secret": "b", "refresh_token": "c",
    });
    let source = Source::new(text, Some(config), Arc::new(NoFiles), Catalog::default(), BTreeMap::new(), NOW)
        .expect("the manifests are right");
    let mut session = source.session(Arc::new(|| 0)).expect("the manifests are right");
    let mut building = source.building(None).expect("the manifests are right");
    let built = loop {
        match building.step(&mut session, NOW).expect("the manifests are right") {
            Progress::Done(built) => break built,
            // Streams that the source describes: it has none.
            Progress::Need(_) => {
                let answer = Response { status: 200, headers: Vec::new(), body: b"{}".to_vec().into() };
                building.answer(&mut session, NOW, Ok(answer)).expect("the manifests are right");
            }
        }
    };
    let streams = built.into_iter().map(|built| built.stream.expect("the manifests are right")).collect();
    Compiled { source, streams }
}

fuzz_target!(|input: &[u8]| {
    let [manifest, stream, rest @ ..] = input else { return };
    let at = usize::from(*manifest) % MANIFESTS.len();
    COMPILED.with(|all| {
        let Compiled { source, streams } = all[at].get_or_init(|| compiled(MANIFESTS[at]));
        let mut session = source.session(Arc::new(|| 0)).expect("the manifests are right");
        let mut answers = Answers { rest: rest.split((|byte| *byte == 0x1E) as fn(&u8) -> bool), given: 0 };
        let stream = streams[usize::from(*stream) % streams.len()].clone();
        let _ = read(stream, &mut session, &mut { NOW }, &mut answers);
    });
});
