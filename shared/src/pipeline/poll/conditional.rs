//! Asking only whether a page changed: what a source gave with its pages to recognise them by, request by request.
//!
//! Owns which answer stands for "not modified". Only pages are known here: tokens and what else is asked on the way
//! are stored nowhere.
//!
//! Always holds: an entry names the raw object whose body goes with it; an answer that was confirmed is stored anew, so
//! that no run's raw objects hang on another run's; whoever can't find that body asks as if nothing were known.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Poll;
use super::lanes::Lanes;
use crate::domain::{Raw, RawKey, RunId, StreamName};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger;
use crate::ports::connector::answers_of;
use crate::ports::upstream::{HeaderValue, Request, Response};
use crate::ports::{BlobError, Fault, ItemKey, Precondition};

/// Pages that are remembered of a stream; those after them are asked for as ever.
const MOST: usize = 500;
/// A time of change is believed once it is so old that the page can't change twice within its second.
const SETTLED: Duration = Duration::from_secs(60);
/// Says of an answer, until it is stored, which request it answers.
const ASKED: &str = "teal-asked";
/// Says of a stored answer in which raw object its body came.
const CONFIRMED: &str = "teal-not-modified";
/// Stored headers that said something about their moment only.
const OF_THE_MOMENT: [&str; 4] = ["ratelimit", "x-ratelimit", "x-rate-limit", "retry-after"];

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    raw: RawKey,
    /// Which of the raw object's answers.
    part: usize,
    /// Who asked last.
    run: RunId,
}

impl Conditional {
    /// Remembers the answers of a page that is being stored, and takes off what was noted for that.
    pub fn store<'a>(&mut self, raw: &RawKey, answers: impl Iterator<Item = &'a mut Vec<(String, String)>>) {
        for (part, headers) in answers.enumerate() {
            let Some(at) = headers.iter().position(|(name, _)| name == ASKED) else { continue };
            let (_, request) = headers.swap_remove(at);
            let Some(run) = self.run.clone() else { continue };
            let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
            let (etag, date) = (header("etag"), header("date"));
            let modified = header("last-modified").filter(|modified| is_settled(modified, date.as_deref()));
            if etag.is_some() || modified.is_some() {
                self.known.insert(request, Known { etag, modified, raw: raw.clone(), part, run });
                self.is_changed = true;
            }
        }
    }

    /// What was asked for neither now nor the last time is forgotten.
    fn forget(&mut self) {
        let Some(this) = &self.run else { return };
        let before = self.known.values().map(|known| &known.run).filter(|run| *run != this).max().cloned();
        self.known.retain(|_, known| known.run == *this || Some(&known.run) == before.as_ref());
        let mut runs: Vec<(RunId, String)> =
            self.known.iter().map(|(request, known)| (known.run.clone(), request.clone())).collect();
        runs.sort();
        for (_, request) in runs.iter().take(self.known.len().saturating_sub(MOST)) {
            self.known.remove(request);
        }
    }
}

fn is_settled(modified: &str, date: Option<&str>) -> bool {
    let time = |text: &str| httpdate::parse_http_date(text).ok();
    let (Some(modified), Some(date)) = (time(modified), date.and_then(time)) else { return false };
    date.duration_since(modified).is_ok_and(|age| age >= SETTLED)
}

/// A request by all that its answer depends on but for its headers: those the source's own mark covers.
fn name_of(request: &Request) -> Option<String> {
    let conditions = ["if-none-match", "if-modified-since", "range"];
    let has_own = request.headers.iter().any(|(name, _)| conditions.contains(&name.to_ascii_lowercase().as_str()));
    let is_plain = request.method == http::Method::GET && request.body.is_empty() && !has_own;
    is_plain.then(|| format!("{:x}", Sha256::digest(&request.url))[..24].to_owned())
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

    /// Keeps what is known for the next time. Of two that do, either is right: each entry is.
    pub(super) async fn remember(&self, mut pages: Conditional) -> Result<(), StageError> {
        let Some(key) = pages.key.take().filter(|_| pages.is_changed) else { return Ok(()) };
        pages.forget();
        Ok(self.ledger.transact(vec![ledger::put(key, &pages.known, Precondition::None)]).await?)
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
            let conditions = [("if-none-match", &known.etag), ("if-modified-since", &known.modified)];
            asked.headers.extend(
                conditions
                    .into_iter()
                    .filter_map(|(condition, value)| Some((condition.to_owned(), HeaderValue::Plain(value.clone()?)))),
            );
            let answer = self.send(lanes.at, lanes.source, asked).await?;
            match answer {
                Ok(answer) if answer.status == 304 => {
                    if let Some(page) = self.confirmed(known, answer).await? {
                        return Ok(Ok(noted(page, name)));
                    }
                    pages.known.remove(&name);
                }
                answer => return Ok(answer.map(|answer| noted(answer, name))),
            }
        }
        Ok(self.send(lanes.at, lanes.source, request).await?.map(|answer| noted(answer, name)))
    }

    /// The answer that a "not modified" stands for, with the headers that are new.
    async fn confirmed(&self, known: &Known, answer: Response) -> Result<Option<Response>, StageError> {
        let bytes = match self.raws.get(&known.raw.0).await {
            Err(BlobError::Missing(_)) => return Ok(None),
            bytes => bytes?,
        };
        let raw = Raw::decode(&bytes)?;
        let Some(mut page) = answers_of(&raw).into_iter().nth(known.part) else { return Ok(None) };
        page.headers.retain(|(name, _)| {
            let is_newer = answer.headers.iter().any(|(new, _)| new == name);
            !is_newer && name != CONFIRMED && !OF_THE_MOMENT.iter().any(|prefix| name.starts_with(prefix))
        });
        page.headers.extend(answer.headers.into_iter().filter(|(name, _)| name != "content-length"));
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
    use super::*;

    fn headers(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn reading(run: &str) -> Conditional {
        Conditional { key: None, run: Some(RunId::new(run)), ..Conditional::default() }
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
            let mut pages = reading("1");
            let mut answer = headers(&[(ASKED, "r"), ("last-modified", modified), ("date", date)]);
            pages.store(&RawKey("raw/1".into()), std::iter::once(&mut answer));
            assert_eq!(pages.known.contains_key("r"), is_known, "{modified}");
            assert!(answer.iter().all(|(name, _)| name != ASKED), "it is not stored");
        }
    }

    #[test]
    fn what_two_runs_did_not_ask_for_is_forgotten_and_there_is_a_bound() {
        let mut pages = Conditional::default();
        for run in ["1", "2", "3"] {
            pages = Conditional { known: pages.known, ..reading(run) };
            let mut answer = headers(&[(ASKED, run), ("etag", "x")]);
            pages.store(&RawKey("raw/1".into()), std::iter::once(&mut answer));
            pages.forget();
        }
        assert_eq!(pages.known.keys().collect::<Vec<_>>(), ["2", "3"]);
        for nth in 0..MOST + 9 {
            let mut answer = headers(&[(ASKED, &format!("page {nth}")), ("etag", "x")]);
            pages.store(&RawKey("raw/1".into()), std::iter::once(&mut answer));
        }
        pages.forget();
        assert_eq!(pages.known.len(), MOST);
    }
}
