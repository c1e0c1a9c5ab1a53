//! The asynchronous retriever: a job is created at the source, asked after until it is done, and its results are
//! downloaded. One job at a time; `plan` is what the manifest says of all.

use std::sync::Arc;
use std::time::Duration;

use crate::value::{Map, Value};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use teal::ports::upstream::Response;

mod plan;

pub use plan::Async;

use plan::Status;

use super::fetch::{Answered, Fetch, Fetched};
use super::position::SlicePosition;
use super::record::Record;
use super::selector::seen;
use super::simple::member;
use super::{Need, Progress, ready};
use crate::failure::{Failure, FailureKind};
use crate::http::{Parts, headers_value};
use crate::interpolate::StreamSlice;
use crate::paginate::Facts;
use crate::requester::Requester;
use crate::session::{Level, Session};
use crate::source::stream::{Retriever, Stream};

/// Between two questions after a job.
const BETWEEN: Duration = Duration::from_secs(5);
/// How often a job is created for one slice.
const ATTEMPTS: u32 = 3;

/// Where a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    phase: Phase,
    attempts: u32,
    #[serde(default)]
    creation: Value,
    #[serde(default)]
    polled: Value,
    #[serde(default)]
    since: Option<Timestamp>,
    #[serde(default)]
    targets: Vec<Value>,
    #[serde(default)]
    target: usize,
    #[serde(default)]
    token: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Create,
    Poll,
    Abort,
    Target,
    Download,
    Delete,
}

#[derive(Debug)]
pub struct JobRun {
    stream: Arc<Stream>,
    pos: SlicePosition,
    job: Job,
    fetch: Option<Box<Fetch>>,
    wait: Option<Duration>,
    has_slot: bool,
    sample: Option<Box<super::reader::Sample>>,
}

impl JobRun {
    pub fn new(stream: Arc<Stream>, pos: SlicePosition) -> Self {
        let fresh = Job {
            phase: Phase::Create,
            attempts: 0,
            creation: Value::Null,
            polled: Value::Null,
            since: None,
            targets: Vec::new(),
            target: 0,
            token: None,
        };
        let job = pos.job.clone().map_or(fresh, |job| *job);
        Self { stream, pos, job, fetch: None, wait: None, has_slot: false, sample: None }
    }

    pub fn pos(&self) -> &SlicePosition {
        &self.pos
    }

    pub fn asks_for_page(&self) -> bool {
        self.sample.is_none() && self.job.phase == Phase::Download
    }

    fn plan(&self) -> Result<&Async, Failure> {
        match &self.stream.retriever {
            Retriever::Async(plan) => Ok(plan),
            Retriever::Simple(_) => Err(Failure::system("the position belongs to another manifest; begin again")),
        }
    }

    fn slice(&self, session: &Session, now: Timestamp) -> Result<Arc<StreamSlice>, Failure> {
        let plan = self.plan()?;
        let slice = |extra| StreamSlice::new(self.pos.partition.values.clone(), self.pos.cursor.clone(), extra);
        // An answer is seen with its request's headers. Those aren't kept with the job: they may hold secrets.
        let with_request = |answer: &Value, requester: &Requester, extra: &Map| -> Result<Value, Failure> {
            let slice = slice(extra.clone());
            let headers = requester.headers(&session.scope(now, Some(&slice), &Value::Null))?;
            let mut members = answer.as_object().cloned().unwrap_or_default();
            members.entry("request").or_insert_with(|| member("headers", headers.into()).into());
            Ok(members.into())
        };
        let mut extra = self.pos.partition.extra.clone();
        if self.job.phase != Phase::Create {
            extra.insert("creation_response".to_owned(), with_request(&self.job.creation, &plan.creation, &extra)?);
        }
        if matches!(self.job.phase, Phase::Download | Phase::Target) {
            extra.insert("polling_response".to_owned(), with_request(&self.job.polled, &plan.polling, &extra)?);
        }
        if self.job.phase == Phase::Download {
            let target = self.job.targets.get(self.job.target).cloned().unwrap_or_else(|| "".into());
            extra.insert("download_target".to_owned(), target);
        }
        Ok(Arc::new(slice(extra)))
    }

    pub fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<Option<Vec<Record>>>, Failure> {
        let stepped = self.go_on(session, now);
        if stepped.is_err() {
            self.release(session);
        }
        stepped
    }

    fn go_on(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<Option<Vec<Record>>>, Failure> {
        if self.stream.needs_schema() {
            let stream = self.stream.clone();
            ready!(stream.schema.prepare(&mut self.sample, session, now)?);
        }
        loop {
            if let Some(wait) = self.wait.take() {
                return Ok(Progress::Need(Need::Wait(wait)));
            }
            if self.pos.finished {
                return Ok(Progress::Done(None));
            }
            // A job that is complete is no longer at work at the source.
            if !self.has_slot && matches!(self.job.phase, Phase::Create | Phase::Poll | Phase::Abort) {
                if session.jobs >= session.most_jobs {
                    return Ok(Progress::Need(Need::Blocked));
                }
                session.jobs += 1;
                self.has_slot = true;
            }
            let Some(fetch) = &mut self.fetch else {
                self.begin(session, now)?;
                continue;
            };
            let fetched = match fetch.step(session, now) {
                Ok(Progress::Need(need)) => return Ok(Progress::Need(need)),
                Ok(Progress::Done(fetched)) => fetched,
                Err(failure) => {
                    self.failed(failure, session)?;
                    continue;
                }
            };
            self.fetch = None;
            let Fetched::Page(response) = fetched else {
                return Err(Failure::config("requests of a job can't ask for another pagination, page size or window"));
            };
            if let Some(page) = self.accept(*response, session, now)? {
                self.pos.job = Some(Box::new(self.job.clone()));
                return Ok(Progress::Done(Some(page)));
            }
            self.pos.job = Some(Box::new(self.job.clone()));
        }
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        if let Some(sample) = &mut self.sample {
            return sample.answer(session, now, answered);
        }
        let Some(fetch) = &mut self.fetch else { return Ok(()) };
        match fetch.answer(session, now, answered) {
            Err(failure) => self.failed(failure, session),
            Ok(()) => Ok(()),
        }
    }

    /// A job that could not be created is created again, a few times.
    fn failed(&mut self, failure: Failure, session: &mut Session) -> Result<(), Failure> {
        self.fetch = None;
        if self.job.phase != Phase::Create || failure.kind == FailureKind::Config {
            self.release(session);
            return Err(failure);
        }
        session.log(Level::Warn, format!("{}: a job could not be created: {failure}", self.stream.name));
        self.retry(session, BETWEEN)
    }

    fn retry(&mut self, session: &mut Session, wait: Duration) -> Result<(), Failure> {
        self.job.attempts += 1;
        if self.job.attempts >= ATTEMPTS {
            self.release(session);
            return Err(Failure::system(format!("the source's job failed {ATTEMPTS} times")));
        }
        self.job.phase = Phase::Create;
        self.job.since = None;
        self.wait = Some(wait);
        Ok(())
    }

    fn release(&mut self, session: &mut Session) {
        if std::mem::replace(&mut self.has_slot, false) {
            session.jobs = session.jobs.saturating_sub(1);
        }
    }

    fn begin(&mut self, session: &mut Session, now: Timestamp) -> Result<(), Failure> {
        if self.job.phase == Phase::Delete && self.plan()?.delete.is_none() {
            self.pos.finished = true;
            return Ok(());
        }
        if self.job.phase == Phase::Abort && self.plan()?.abort.is_none() {
            return self.retry(session, BETWEEN);
        }
        let plan = self.plan()?;
        let requester = match self.job.phase {
            Phase::Create => Some(&plan.creation),
            Phase::Poll => Some(&plan.polling),
            Phase::Abort => plan.abort.as_ref(),
            Phase::Target => plan.target.as_ref(),
            Phase::Download => Some(&plan.download),
            Phase::Delete => plan.delete.as_ref(),
        };
        let Some(requester) = requester else { return Ok(()) };
        let mut fetch = Fetch::new(requester.clone(), Some(self.slice(session, now)?));
        if let (Phase::Download, Some(paginator)) = (self.job.phase, &plan.paginator) {
            let token = self.job.token.clone().or_else(|| paginator.first_token());
            let mut extra = Parts::default();
            paginator.inject(token.as_ref(), None, &mut extra, &session.scope(now, None, &Value::Null))?;
            let path = paginator.path(token.as_ref());
            let token = token.map_or(Value::Null, |token| member("next_page_token", token).into());
            fetch = fetch.with(token, extra, path);
        }
        self.fetch = Some(Box::new(fetch));
        Ok(())
    }

    fn accept(
        &mut self,
        response: Response,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Option<Vec<Record>>, Failure> {
        match self.job.phase {
            Phase::Create => {
                if response.status >= 400 {
                    self.failed(Failure::system("the source refused to create the job"), session)?;
                    return Ok(None);
                }
                self.job.creation = context_of(&response);
                self.job.since = Some(now);
                self.job.phase = Phase::Poll;
            }
            Phase::Poll => self.polled(response, session, now)?,
            Phase::Abort => self.retry(session, BETWEEN)?,
            Phase::Target => self.targeted(&response, session, now)?,
            Phase::Download => return self.downloaded(response, session, now).map(Some),
            Phase::Delete => self.pos.finished = true,
        }
        Ok(None)
    }

    fn polled(&mut self, response: Response, session: &mut Session, now: Timestamp) -> Result<(), Failure> {
        let said = {
            let cx = session.scope(now, None, &Value::Null);
            self.plan()?.status.extract_values(&response, &cx)?.into_iter().next()
        };
        let said = said.map_or("None".to_owned(), |status| crate::python::text_of(&status));
        let plan = self.plan()?;
        let known = plan.statuses.iter().find(|(name, _)| *name == said).map(|(_, status)| *status);
        let is_late = self.job.since.is_some_and(|since| now.duration_since(since) > plan.timeout);
        let retry_wait = plan.retry_wait;
        match known {
            None => {
                return Err(Failure::system(format!(
                    "the source's job has the status '{said}', which the manifest does not name"
                )));
            }
            Some(Status::Running) if !is_late => self.wait = Some(BETWEEN),
            Some(Status::Running | Status::TimedOut) => self.job.phase = Phase::Abort,
            Some(Status::Failed) => {
                let wait = retry_wait.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
                self.retry(session, BETWEEN.max(wait.unwrap_or_default()))?;
            }
            Some(Status::Skipped) => {
                self.release(session);
                self.pos.finished = true;
            }
            Some(Status::Completed) => {
                self.release(session);
                self.job.polled = context_of(&response);
                self.job.phase = Phase::Target;
                if self.plan()?.target.is_none() {
                    self.targeted(&response, session, now)?;
                }
            }
        }
        Ok(())
    }

    fn targeted(&mut self, response: &Response, session: &Session, now: Timestamp) -> Result<(), Failure> {
        let cx = session.scope(now, None, &Value::Null);
        self.job.targets = match &self.plan()?.targets {
            Some(selector) => selector.extract_values(response, &cx)?,
            None => vec!["".into()],
        };
        self.job.target = 0;
        self.job.token = None;
        self.job.phase = if self.job.targets.is_empty() { Phase::Delete } else { Phase::Download };
        Ok(())
    }

    /// The records of downloaded answers; the position stays.
    pub fn records_of(&self, answers: &[Response], session: &Session, now: Timestamp) -> Result<Vec<Record>, Failure> {
        let (slice, plan) = (self.slice(session, now)?, self.plan()?);
        let cx = seen(session, &slice, &Value::Null, now);
        let mut records = Vec::new();
        for response in answers {
            let (extracted, _) = plan.extract(response, &cx)?;
            records.extend(plan.select(extracted, &self.stream, session, &cx)?);
        }
        Ok(records)
    }

    fn downloaded(
        &mut self,
        response: Response,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Vec<Record>, Failure> {
        let slice = self.slice(session, now)?;
        let none = Value::Null;
        let cx = seen(session, &slice, &none, now);
        let plan = self.plan()?;
        let (extracted, count) = plan.extract(&response, &cx)?;
        let last_record = extracted.last().map_or(Value::Null, Record::to_value);
        let records = plan.select(extracted, &self.stream, session, &cx)?;
        let next = match &plan.paginator {
            Some(paginator) if response.status < 400 => {
                let body = match paginator.needs_response() {
                    true => serde_json::from_slice(&response.body).unwrap_or(Value::Object(Map::new())),
                    false => Value::Null,
                };
                let headers = headers_value(&response, true);
                let facts = Facts {
                    extracted: count,
                    kept: count,
                    last_record: &last_record,
                    response: &body,
                    headers: &headers,
                    token: self.job.token.as_ref(),
                    size: None,
                };
                paginator.next(&facts, &cx)?
            }
            _ => None,
        };
        if let Some(cursor) = &self.stream.cursor {
            let points = records.iter().filter_map(|record| cursor.parse(&*record.field(&cursor.field)?).ok());
            self.pos.newest = points.max().max(self.pos.newest.take());
        }
        if let Some(token) = next {
            self.pos.rounds.went(&token, &response.body, count == 0)?;
            self.job.token = Some(token);
        } else {
            self.job.token = None;
            self.job.target += 1;
            if self.job.target >= self.job.targets.len() {
                self.job.phase = Phase::Delete;
                let has_delete = self.plan()?.delete.is_some();
                self.pos.finished = !has_delete;
            }
        }
        Ok(records)
    }
}

/// An answer as later requests of the job see it.
fn context_of(response: &Response) -> Value {
    let body = serde_json::from_slice(&response.body).ok();
    let mut members = body.and_then(|body: Value| body.as_object().cloned()).unwrap_or_default();
    members.entry("headers").or_insert_with(|| headers_value(response, false));
    members.into()
}
