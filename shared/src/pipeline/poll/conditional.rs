//! Asking only whether a page changed: what a source gave with its pages to recognise them by, request by request.
//!
//! Owns which answer stands for "not modified". Only pages are known here: tokens and what else is asked on the way
//! are stored nowhere. Nor are pages whose headers say what their body does not.
//!
//! Always holds: an entry names the raw object whose body goes with it; an answer that was confirmed is stored anew, so
//! that no run's raw objects hang on another run's; whoever can't find that body, whole, asks as if nothing were known.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Poll;
use super::lanes::Lanes;
use crate::domain::{Raw, RawKey, RunId, StreamName};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;
use crate::ports::connector::{Answered, answers_of};
use crate::ports::upstream::{HeaderValue, Request, Response};
use crate::ports::{BlobError, Fault, ItemKey, Precondition};

/// Pages that are remembered of a stream; others are asked for as ever.
const MOST: usize = 500;
/// Longest mark that is remembered: all of a stream have to fit into one item.
const LONGEST: usize = 200;
/// A time of change is believed once it is so old that the page can't change twice within its second.
const SETTLED: Duration = Duration::from_secs(60);
/// Says of an answer, until it is stored, which request it answers.
const ASKED: &str = "teal-asked";
/// Says of a stored answer in which raw object its body came.
const CONFIRMED: &str = "teal-not-modified";
/// Stored headers that said something about their moment only, by how they begin.
const OF_THE_MOMENT: [&str; 5] = ["date", "ratelimit", "x-ratelimit", "x-rate-limit", "retry-after"];
/// What an answer without a body says of its body.
const OF_THE_BODY: [&str; 3] = ["content-length", "content-type", "content-encoding"];

/// What is known of a stream's pages.
#[derive(Default)]
pub(super) struct Conditional {
    /// `None` where the source is not to be asked so.
    key: Option<ItemKey>,
    run: Option<RunId>,
    known: BTreeMap<String, Known>,
    is_changed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    mark: Mark,
    raw: RawKey,
    /// Which of the raw object's answers.
    part: usize,
    /// Who asked last.
    run: RunId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mark {
    Etag(String),
    Modified(String),
}

impl Conditional {
    /// Remembers the answers of a page that is being stored, and takes off what was noted for that.
    pub fn store(&mut self, raw: &RawKey, answers: &mut [Answered]) {
        for (part, answer) in answers.iter_mut().enumerate() {
            let headers = &mut answer.response.headers;
            let Some(at) = headers.iter().position(|(name, _)| name == ASKED) else { continue };
            let (_, request) = headers.remove(at);
            let mark = Mark::of(&answer.response).filter(|_| answer.by_body);
            let (Some(mark), Some(run)) = (mark, &self.run) else { continue };
            if self.known.len() < MOST || self.known.contains_key(&request) {
                self.known.insert(request, Known { mark, raw: raw.clone(), part, run: run.clone() });
                self.is_changed = true;
            }
        }
    }

    /// The stream was read to its end: what was not asked for is not there any more, or not asked for so.
    pub fn ended(&mut self) {
        let (run, before) = (self.run.as_ref(), self.known.len());
        self.known.retain(|_, known| Some(&known.run) == run);
        self.is_changed |= self.known.len() != before;
    }
}

impl Mark {
    fn of(answer: &Response) -> Option<Self> {
        let short = |name: &str| answer.header(name).filter(|value| value.len() <= LONGEST).map(str::to_owned);
        let modified = || short("last-modified").filter(|modified| is_settled(modified, answer.header("date")));
        short("etag").map(Self::Etag).or_else(|| modified().map(Self::Modified))
    }

    fn condition(&self) -> (String, HeaderValue) {
        let (name, value) = match self {
            Self::Etag(etag) => ("if-none-match", etag),
            Self::Modified(time) => ("if-modified-since", time),
        };
        (name.to_owned(), HeaderValue::Plain(value.clone()))
    }

    /// Whether a "not modified" is about what has this mark.
    fn is_meant_by(&self, answer: &Response) -> bool {
        let text = |etag: &str| etag.trim_start_matches("W/").to_owned();
        match (self, answer.header("etag")) {
            (Self::Etag(known), Some(etag)) => text(known) == text(etag),
            _ => true,
        }
    }
}

fn is_settled(modified: &str, date: Option<&str>) -> bool {
    let time = |text: &str| httpdate::parse_http_date(text).ok();
    let (Some(modified), Some(date)) = (time(modified), date.and_then(time)) else { return false };
    date.duration_since(modified).is_ok_and(|age| age >= SETTLED)
}

/// A request by all that its answer depends on but for secrets, which change and mean the same.
fn name_of(request: &Request) -> Option<String> {
    let mut text = request.url.clone();
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase();
        if ["if-none-match", "if-modified-since", "range"].contains(&name.as_str()) {
            return None;
        }
        if let HeaderValue::Plain(value) = value {
            text.extend(["\n", &name, ": ", value]);
        }
    }
    let is_plain = request.method == http::Method::GET && request.body.is_empty();
    is_plain.then(|| format!("{:x}", Sha256::digest(&text))[..24].to_owned())
}

impl Poll {
    pub(super) async fn conditional(&self, lanes: &Lanes<'_>, stream: &StreamName) -> Result<Conditional, StageError> {
        let (run, source) = (&lanes.at.run.value, &lanes.at.source);
        if !lanes.source.limits.conditional {
            return Ok(Conditional::default());
        }
        let key = ledger::pages_known_key(source, stream, run.mode);
        let known = ledger::read(self.ledger.as_ref(), &key).await?.map(|stored| stored.value).unwrap_or_default();
        Ok(Conditional { key: Some(key), run: Some(run.id.clone()), known, is_changed: false })
    }

    /// Keeps what is known for the next time. Of two that do, either is right: each entry is. Where it fails, the next
    /// run asks for whole pages.
    pub(super) async fn remember(&self, pages: Conditional) {
        let Some(key) = pages.key.filter(|_| pages.is_changed) else { return };
        if let Err(error) = self.ledger.transact(vec![ledger::put(key, &pages.known, Precondition::None)]).await {
            tracing::warn!(%error, "what pages are known by could not be kept");
        }
    }

    /// Sends a request; of a page that is known, asks whether it changed.
    pub(super) async fn ask_for_page(
        &self,
        lanes: &Lanes<'_>,
        pages: &mut Conditional,
        request: Request,
    ) -> Result<Result<Response, Fault>, StageError> {
        let Some(name) = pages.key.as_ref().and_then(|_| name_of(&request)) else {
            return self.send(lanes.at, lanes.source, request).await;
        };
        if let Some(known) = pages.known.get(&name) {
            let mut asked = request.clone();
            asked.headers.push(known.mark.condition());
            let answer = self.send(lanes.at, lanes.source, asked).await?;
            match answer {
                Ok(answer) if answer.status == 304 => {
                    if let Some(page) = self.confirmed(known, answer).await? {
                        return Ok(Ok(noted(page, name)));
                    }
                    pages.known.remove(&name);
                    pages.is_changed = true;
                }
                answer => return Ok(answer.map(|answer| noted(answer, name))),
            }
        }
        Ok(self.send(lanes.at, lanes.source, request).await?.map(|answer| noted(answer, name)))
    }

    /// The answer that a "not modified" stands for, with the headers that are new; `None` where it can't be had.
    async fn confirmed(&self, known: &Known, mut answer: Response) -> Result<Option<Response>, StageError> {
        if !known.mark.is_meant_by(&answer) {
            return Ok(None);
        }
        let bytes = match self.raws.get(&known.raw.0).await {
            Err(BlobError::Missing(_)) => return Ok(None),
            bytes => bytes?,
        };
        let raw = Raw::decode(&bytes).ok().filter(|raw| format!("{:x}", Sha256::digest(&raw.body)) == raw.head.sha256);
        let Some(mut page) = raw.and_then(|raw| answers_of(&raw).into_iter().nth(known.part)) else {
            return Ok(None);
        };
        answer.headers.retain(|(name, _)| !OF_THE_BODY.contains(&name.as_str()));
        page.headers.retain(|(name, _)| {
            let is_newer = answer.headers.iter().any(|(new, _)| new == name);
            !is_newer && name != CONFIRMED && !OF_THE_MOMENT.iter().any(|prefix| name.starts_with(prefix))
        });
        page.headers.append(&mut answer.headers);
        page.headers.push((CONFIRMED.to_owned(), known.raw.0.clone()));
        Ok(Some(page))
    }
}

fn noted(mut answer: Response, request: String) -> Response {
    if answer.status == 200 {
        answer.headers.push((ASKED.to_owned(), request));
    }
    answer
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::Millis;

    fn answered(all: &[(&str, &str)]) -> Answered {
        let headers = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let response = Response { status: 200, headers, body: Bytes::new() };
        Answered { method: "GET".into(), url: String::new(), asked: Millis(0), response, by_body: true }
    }

    fn reading(run: &str, known: BTreeMap<String, Known>) -> Conditional {
        Conditional { key: None, run: Some(RunId::new(run)), known, is_changed: false }
    }

    fn stored(pages: &mut Conditional, mut answer: Answered) -> Answered {
        pages.store(&RawKey("raw/1".into()), std::slice::from_mut(&mut answer));
        answer
    }

    #[test]
    fn a_time_of_change_counts_once_it_is_old_enough() {
        let date = "Tue, 01 Jan 2030 00:02:00 GMT";
        for (modified, is_known) in [
            ("Tue, 01 Jan 2030 00:01:00 GMT", true),
            ("Tue, 01 Jan 2030 00:01:01 GMT", false),
            ("Tue, 01 Jan 2030 00:03:00 GMT", false),
            ("yesterday", false),
        ] {
            let mut pages = reading("1", BTreeMap::new());
            let answer = stored(&mut pages, answered(&[(ASKED, "r"), ("last-modified", modified), ("date", date)]));
            assert_eq!(pages.known.contains_key("r"), is_known, "{modified}");
            assert_eq!(answer.response.header(ASKED), None, "it is not stored");
        }
    }

    #[test]
    fn a_page_is_known_only_by_a_short_mark_that_covers_all_of_it() {
        let mut pages = reading("1", BTreeMap::new());
        stored(&mut pages, answered(&[(ASKED, "long"), ("etag", &"x".repeat(LONGEST + 1))]));
        stored(&mut pages, Answered { by_body: false, ..answered(&[(ASKED, "by headers"), ("etag", "x")]) });
        stored(&mut pages, answered(&[("etag", "not asked for so")]));
        assert!(pages.known.is_empty() && !pages.is_changed);
    }

    #[test]
    fn what_a_whole_run_did_not_ask_for_is_forgotten_and_there_is_a_bound() {
        let mut pages = reading("1", BTreeMap::new());
        stored(&mut pages, answered(&[(ASKED, "a"), ("etag", "x")]));
        pages = reading("2", pages.known);
        stored(&mut pages, answered(&[(ASKED, "b"), ("etag", "x")]));
        assert_eq!(pages.known.len(), 2, "the run may come to it yet");
        pages.ended();
        assert_eq!(pages.known.keys().collect::<Vec<_>>(), ["b"]);
        for nth in 0..MOST + 9 {
            stored(&mut pages, answered(&[(ASKED, &format!("page {nth}")), ("etag", "x")]));
        }
        stored(&mut pages, answered(&[(ASKED, "b"), ("etag", "y")]));
        assert_eq!((pages.known.len(), &pages.known["b"].mark), (MOST, &Mark::Etag("y".into())));
    }

    #[test]
    fn requests_are_told_apart_by_what_their_answer_depends_on() {
        let request = |url: &str, headers: &[(&str, HeaderValue)]| Request {
            method: http::Method::GET,
            url: url.into(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: Bytes::new(),
            timeout: Duration::ZERO,
            max_body: 0,
        };
        let plain = |value: &str| HeaderValue::Plain(value.into());
        let secret = |value: &str| HeaderValue::Secret(crate::domain::Secret::new(value));
        let a = name_of(&request("https://a/x", &[("X-Tenant", plain("1")), ("authorization", secret("s"))]));
        let same = name_of(&request("https://a/x", &[("x-tenant", plain("1")), ("authorization", secret("t"))]));
        assert!(a.is_some() && a == same);
        assert_ne!(a, name_of(&request("https://a/x", &[("x-tenant", plain("2"))])));
        assert_ne!(a, name_of(&request("https://a/y", &[("x-tenant", plain("1"))])));
        assert_eq!(name_of(&request("https://a/x", &[("If-None-Match", plain("*"))])), None, "it has its own");
        assert_eq!(name_of(&Request { method: http::Method::POST, ..request("https://a/x", &[]) }), None);
    }
}
