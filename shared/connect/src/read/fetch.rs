//! One request until it is answered for good: tokens before it, rates, and asking again.

use std::sync::Arc;
use std::time::Duration;

use crate::value::Value;
use jiff::Timestamp;
use teal::ports::Fault;
use teal::ports::upstream::Response;

use super::{Need, Progress};
use crate::auth::{Auth, Need as AuthNeed, TokenRun};
use crate::failure::filter::{Action, Judged, Resolution};
use crate::failure::{Failure, FailureKind};
use crate::http::{Ask, Parts, shown};
use crate::interpolate::StreamSlice;
use crate::requester::Requester;
use crate::session::{Level, Notice, Session};

pub type Answered = Result<Response, Fault>;

/// How long a request is tried again, as a whole.
const PATIENCE: Duration = Duration::from_secs(600);
/// The wait before another token is tried.
const ROTATION: f64 = 0.1;

#[derive(Debug)]
pub struct Fetch {
    requester: Arc<Requester>,
    slice: Option<Arc<StreamSlice>>,
    token: Value,
    extra: Parts,
    path: Option<String>,
    token_run: Option<Box<TokenRun>>,
    token_fetched: bool,
    sent: Option<Box<Ask>>,
    answered: Option<Fetched>,
    wait: Option<Duration>,
    first: Option<Timestamp>,
    attempts: u32,
    tries: Tries,
    /// A token was renewed because the source refused it.
    renewed: Option<bool>,
}

/// How often the request failed since the last failure of a graver kind.
#[derive(Debug, Default)]
struct Tries {
    named: i64,
    limited: i64,
    other: i64,
}

/// How a request ended.
#[derive(Debug)]
pub enum Fetched {
    Page(Box<Response>),
    ResetPagination,
    ReducePageSize(Option<String>),
    SplitWindow(Option<String>),
}

impl Fetch {
    pub fn new(requester: Arc<Requester>, slice: Option<Arc<StreamSlice>>) -> Self {
        Self {
            requester,
            slice,
            token: Value::Null,
            extra: Parts::default(),
            path: None,
            token_run: None,
            token_fetched: false,
            sent: None,
            answered: None,
            wait: None,
            first: None,
            attempts: 0,
            tries: Tries::default(),
            renewed: None,
        }
    }

    /// What a paginator and a slicer add.
    #[must_use]
    pub fn with(mut self, token: Value, extra: Parts, path: Option<String>) -> Self {
        self.token = token;
        self.extra = extra;
        self.path = path;
        self
    }

    pub fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<Fetched>, Failure> {
        if let Some(answered) = self.answered.take() {
            return Ok(Progress::Done(answered));
        }
        if let Some(wait) = self.wait.take() {
            return Ok(Progress::Need(Need::Wait(wait)));
        }
        loop {
            if let Some(run) = &mut self.token_run {
                match run.step(session, now) {
                    Ok(Progress::Need(need)) => return Ok(Progress::Need(need)),
                    Ok(Progress::Done(())) => {
                        self.token_run = None;
                        self.token_fetched = true;
                    }
                    Err(failure) => {
                        run.release(session);
                        return Err(failure);
                    }
                }
            }
            match self.requester.auth.run(session, now, self.token_fetched)? {
                AuthNeed::Nothing => break,
                AuthNeed::Token(run) => self.token_run = Some(run),
                AuthNeed::Blocked => return Ok(Progress::Need(Need::Blocked)),
                AuthNeed::Wait(wait) => return Ok(Progress::Need(Need::Wait(wait))),
            }
        }
        let ask = match self.sent.take() {
            Some(ask) => ask,
            None => {
                let slice = self.slice.as_ref();
                let extra = self.extra.clone();
                Box::new(self.requester.ask(session, now, slice, &self.token, extra, self.path.as_deref())?)
            }
        };
        if let Some(response) = session.kept(&ask) {
            session.served = Some((ask, response.clone()));
            return Ok(Progress::Done(Fetched::Page(Box::new(response))));
        }
        let wait = session.budget.acquire(&ask.request, now);
        self.sent = Some(ask.clone());
        if let Some(wait) = wait {
            return Ok(Progress::Need(Need::Wait(wait)));
        }
        self.first.get_or_insert(now);
        Ok(Progress::Need(Need::Ask(ask)))
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        if let Some(run) = &mut self.token_run {
            let result = run.answer(session, now, answered);
            if result.is_err() {
                run.release(session);
            }
            return result;
        }
        let Some(ask) = self.sent.take() else { return Ok(()) };
        self.attempts += 1;
        self.token_fetched = false;
        let mut rotates = false;
        let (resolution, response) = match answered {
            Err(fault) => {
                let message = Some(fault.to_string());
                (Resolution { action: Action::Retry, kind: FailureKind::System, message }, None)
            }
            Ok(response) => {
                session.budget.observe(&ask.request, &response, now);
                if let Auth::Many(auth) = &self.requester.auth {
                    rotates = auth.clone().observe(&ask, &response, session);
                }
                let resolution = {
                    let cx = session.scope(now, self.slice.as_deref(), &self.token);
                    let judged = Judged::new(&response, &ask.request.url);
                    self.requester.handler.judge(&judged, &session.config, &cx)?
                };
                (resolution, Some(response))
            }
        };
        match (resolution.action, response) {
            (Action::Success | Action::Ignore, Some(response)) => {
                if resolution.action == Action::Ignore {
                    let what = shown(&ask.request.url);
                    let said = format!("ignoring the answer of {what} with status {}", response.status);
                    session.log(Level::Info, resolution.message.unwrap_or(said));
                } else {
                    session.keep(&ask, &response);
                }
                self.answered = Some(Fetched::Page(Box::new(response)));
                Ok(())
            }
            (Action::ResetPagination, _) => self.done(Fetched::ResetPagination),
            (Action::ReducePageSize, _) => self.done(Fetched::ReducePageSize(resolution.message)),
            (Action::SplitWindow, _) => self.done(Fetched::SplitWindow(resolution.message)),
            (Action::Fail, response) => Err(self.fail(resolution, &ask, response.as_ref())),
            (action, response) => {
                if action == Action::RateLimited {
                    session.notices.push(Notice::RateLimited { stream: self.requester.name.clone() });
                }
                if action == Action::RefreshToken {
                    self.renew(session)?;
                }
                let wait = match rotates && action == Action::RateLimited {
                    true => Some(ROTATION),
                    false => self.named_wait(session, response.as_ref(), now)?,
                };
                self.again(session, now, wait, resolution, &ask, response.as_ref())
            }
        }
    }

    fn done(&mut self, fetched: Fetched) -> Result<(), Failure> {
        self.answered = Some(fetched);
        Ok(())
    }

    fn fail(&self, resolution: Resolution, ask: &Ask, response: Option<&Response>) -> Failure {
        let url = shown(&ask.request.url);
        let status = response.map_or(String::new(), |response| format!(" with status {}", response.status));
        let message = resolution.message.unwrap_or_else(|| "the error handler of the manifest says so".to_owned());
        Failure { kind: resolution.kind, message: format!("{message} ({} {url} failed{status})", ask.request.method) }
    }

    fn renew(&mut self, session: &mut Session) -> Result<(), Failure> {
        match self.renewed {
            Some(true) => Err(Failure::config("the source refuses the access token right after it was renewed")),
            Some(false) => Err(Failure::transient("the source refuses the access token, and it can't be renewed")),
            None => {
                self.renewed = Some(self.requester.auth.renew(session));
                Ok(())
            }
        }
    }

    /// The wait that a backoff strategy names.
    fn named_wait(
        &self,
        session: &Session,
        response: Option<&Response>,
        now: Timestamp,
    ) -> Result<Option<f64>, Failure> {
        let cx = session.scope(now, self.slice.as_deref(), &self.token);
        for backoff in self.requester.handler.backoffs() {
            let wait = backoff.wait(response, self.attempts, now, &mut || session.random(), &cx)?;
            if wait.is_some() {
                return Ok(wait);
            }
        }
        Ok(None)
    }

    fn again(
        &mut self,
        session: &mut Session,
        now: Timestamp,
        named: Option<f64>,
        resolution: Resolution,
        ask: &Ask,
        response: Option<&Response>,
    ) -> Result<(), Failure> {
        let retries = self.requester.handler.retries();
        let is_limited = resolution.action == Action::RateLimited;
        let elapsed =
            self.first.map_or(Duration::ZERO, |first| now.duration_since(first).try_into().unwrap_or_default());
        let (tries, wait) = if let Some(named) = named {
            self.tries.named += 1;
            (self.tries.named, named + 1.0)
        } else if is_limited {
            self.tries.named = 0;
            self.tries.limited += 1;
            (self.tries.limited, 2f64.powi((self.tries.limited - 1).min(20) as i32))
        } else {
            self.tries.named = 0;
            self.tries.limited = 0;
            self.tries.other += 1;
            (self.tries.other, 2f64.powi((self.tries.other - 1).min(20) as i32))
        };
        let is_late = elapsed >= PATIENCE && (named.is_some() || !is_limited);
        if tries > retries || is_late {
            let url = shown(&ask.request.url);
            if response.is_some_and(|response| response.status == 429) {
                return Err(Failure::transient(format!("the source's rate limit is used up for {url}")));
            }
            let message = resolution.message.unwrap_or_default();
            let message =
                format!("{} {url} failed {} times, the last time so: {message}", ask.request.method, self.attempts);
            return Err(Failure { kind: resolution.kind, message });
        }
        let what = response.map_or("a fault".to_owned(), |response| format!("status {}", response.status));
        session.log(Level::Info, format!("{} met {what}; trying again in {wait} seconds", self.requester.name));
        self.wait = Some(Duration::from_secs_f64(wait.clamp(0.0, 1e9)));
        Ok(())
    }
}
