//! A session: one stream at a time, from request to request, with the tokens that it takes.
//!
//! Several of one source have tokens, rates and kept answers in common: whoever calls has them for that long.
//!
//! Always holds: an answer is handed back only as part of a page, and only if it was asked for as one; the position
//! that goes with a page is the one before its first request, and says all that its records are read with.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;
use teal::domain::{Millis, StreamName};
use teal::ports::Entropy;
use teal::ports::connector::{Answered, ConnectorError, Next, Session as Port, Step, Waiting};
use teal::ports::upstream::Response;

use super::Plan;
use super::place::{Given, Machine, Place, Sent, Stepped};
use super::position::Masks;
use crate::excerpt;
use crate::failure::{Failure, FailureKind};
use crate::http::{Purpose, shown};
use crate::read::Need;
use crate::read::reader::Run;
use crate::retry_after;
use crate::session::{Notice, Session};
use crate::source::secrets::Secrets;

/// How soon to look again whether another session has fetched the token that this one needs.
const SOON: Duration = Duration::from_millis(100);

pub struct Reading {
    plan: Arc<Plan>,
    shared: Arc<Mutex<Session>>,
    /// What is said of this one's requests, between two calls.
    notices: Vec<Notice>,
    /// Tokens that the others wait for, because this one is fetching them.
    fetching: BTreeSet<String>,
    secrets: Secrets,
    place: Option<Place>,
}

impl Reading {
    pub fn new(plan: Arc<Plan>, entropy: Arc<dyn Entropy>) -> Self {
        let entropy = move || u128::from(entropy.next()) << 64 | u128::from(entropy.next());
        let shared = Arc::new(Mutex::new(plan.session(Arc::new(entropy))));
        Self::on(plan, shared)
    }

    fn on(plan: Arc<Plan>, shared: Arc<Mutex<Session>>) -> Self {
        let secrets = plan.secrets.clone();
        Self { plan, shared, notices: Vec::new(), fetching: BTreeSet::new(), secrets, place: None }
    }

    /// One call, with what the sessions have in common.
    fn call<T>(&mut self, call: impl FnOnce(&mut Self, &mut Session) -> T) -> T {
        let shared = Arc::clone(&self.shared);
        let session = &mut *shared.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut session.notices, &mut self.notices);
        let others: BTreeSet<String> = session.fetching.difference(&self.fetching).cloned().collect();
        let called = call(self, session);
        std::mem::swap(&mut session.notices, &mut self.notices);
        self.fetching = session.fetching.difference(&others).cloned().collect();
        called
    }

    /// Whoever needs a token that this one was fetching fetches it now.
    fn let_others_fetch(&mut self, session: &mut Session) {
        for token in std::mem::take(&mut self.fetching) {
            session.fetching.remove(&token);
        }
    }

    fn masks(&self, session: &Session) -> Masks {
        let mut masks = self.plan.masks.clone();
        for (index, token) in session.tokens.values().enumerate() {
            masks.add(&format!("token {index}"), &token.value);
        }
        masks
    }

    fn place(&mut self) -> Result<&mut Place, ConnectorError> {
        self.place.as_mut().ok_or_else(|| ConnectorError::Body("no stream is open; this is a bug of Teal".to_owned()))
    }

    /// The position as it is to be stored.
    fn encoded(&mut self, session: &Session) -> Json {
        let masks = self.masks(session);
        let facts = &session.facts;
        let Some(place) = &mut self.place else { return Json::Null };
        let mut value = place.encoded(facts);
        masks.put_out(&mut value);
        place.known.clone_from(&value);
        value
    }

    fn advance(&mut self, session: &mut Session, now: Timestamp) -> Result<Step, Failure> {
        loop {
            let Some(place) = &mut self.place else { return Err(Failure::system("no stream is open")) };
            let need = match place.ahead.take() {
                Some(need) => need,
                None => match place.step(&self.plan, session, now)? {
                    Stepped::On => continue,
                    Stepped::Need(need) => need,
                    Stepped::Page => {
                        let answers = std::mem::take(&mut place.parts);
                        let end = place.look_ahead(session, now)?;
                        (place.stirred, place.retried) = (false, false);
                        let next = match end {
                            Some(cursor) => Next::End { cursor: cursor.map(Json::from) },
                            None => Next::Page(self.encoded(session)),
                        };
                        return Ok(Step::Page { answers, next });
                    }
                    Stepped::End(cursor) => return Ok(Step::End { cursor: cursor.map(Json::from) }),
                },
            };
            let given = place.answered.take();
            match need {
                Need::Ask(ask) => {
                    if let Some(Given { page: Some(page), .. }) = given {
                        // A page that is asked for in parts; any other answer only led on.
                        match place.machine.as_ref().and_then(|machine| machine.run.as_ref()) {
                            Some(run) if run.reads_parts() => place.parts.push(page),
                            _ => place.stirred = true,
                        }
                    }
                    if place.stirred && place.parts.is_empty() && ask.purpose != Purpose::Token {
                        place.stirred = false;
                        let before = place.known.clone();
                        place.ahead = Some(Need::Ask(ask));
                        let position = self.encoded(session);
                        if position != before {
                            return Ok(Step::Moved(position));
                        }
                        continue;
                    }
                    self.secrets.add_request(&ask.request);
                    place.sent = Some(Sent {
                        purpose: ask.purpose,
                        method: ask.request.method.to_string(),
                        url: self.secrets.redact(&ask.request.url),
                        asked: Millis(now.as_millisecond()),
                    });
                    let request = ask.request.clone();
                    place.ahead = Some(Need::Ask(ask));
                    return Ok(Step::Ask(request));
                }
                Need::Wait(wait) => {
                    let limited = (session.notices.iter()).any(|n| matches!(n, Notice::RateLimited { .. }));
                    session.notices.clear();
                    let busy = given.as_ref().is_none_or(|given| given.is_job && given.status < 400);
                    if busy {
                        if place.stirred {
                            place.stirred = false;
                            let before = place.known.clone();
                            place.ahead = Some(Need::Wait(wait));
                            let position = self.encoded(session);
                            if position != before {
                                return Ok(Step::Moved(position));
                            }
                            continue;
                        }
                        return Ok(Step::Wait { wait, why: Waiting::Busy });
                    }
                    let Some(given) = given else { continue };
                    place.parts.clear();
                    place.retried = true;
                    let wait = given.after.map_or(wait, |after| after.max(wait));
                    let said = match excerpt::of_body(&given.body) {
                        Some(said) => format!(" It says: {said}"),
                        None if given.status < 300 => " That can't be read as what the manifest says it is.".to_owned(),
                        None => String::new(),
                    };
                    let why = format!("{} answered {}.{said}", given.url, given.status);
                    let why = self.secrets.redact(&why);
                    let is_quota = limited || given.status == 429;
                    let why = if is_quota { Waiting::Quota(why) } else { Waiting::Ill(why) };
                    return Ok(Step::Wait { wait, why });
                }
                Need::Blocked if Arc::strong_count(&self.shared) > 1 => {
                    return Ok(Step::Wait { wait: SOON, why: Waiting::Busy });
                }
                Need::Blocked => return Err(Failure::system("a request waits for another one that nobody sends")),
            }
        }
    }

    /// What a failure means for whoever asks.
    fn over(&mut self, failure: &Failure) -> Step {
        let why = self.secrets.redact(&failure.message);
        let Some(place) = &mut self.place else { return Step::Refused { why } };
        let status = place.answered.take().map_or(0, |given| given.status);
        if failure.kind == FailureKind::Endless {
            return Step::Misled { why };
        }
        let quota = status == 429;
        let may_heal = failure.kind == FailureKind::Transient
            || (place.retried && matches!(status, 200..=299))
            || matches!(status, 408 | 425 | 500..);
        let step = if quota || may_heal { Step::Exhausted { quota, why } } else { Step::Refused { why } };
        place.over = Some(step.clone());
        step
    }
}

fn time(now: Millis) -> Result<Timestamp, ConnectorError> {
    Timestamp::from_millisecond(now.0)
        .map_err(|_| ConnectorError::Body("the clock is outside the years that can be counted".to_owned()))
}

impl Reading {
    fn go_to(&mut self, session: &mut Session, stream: &StreamName, position: &Json) -> Result<(), ConnectorError> {
        self.let_others_fetch(session);
        let from = self.plan.position(position, &self.masks(session))?;
        let known = self.plan.known(stream, from.component.as_ref())?;
        session.facts.extend(from.facts.clone());
        let machine = match known {
            Some(stream) => Some(Machine::at(stream, &from, session).map_err(|f| self.plan.failed(&f))?),
            None => None,
        };
        self.place = Some(Place {
            name: stream.clone(),
            known: position.clone(),
            from,
            building: None,
            machine,
            ahead: None,
            sent: None,
            answered: None,
            parts: Vec::new(),
            stirred: false,
            retried: false,
            over: None,
        });
        Ok(())
    }

    fn take(&mut self, session: &mut Session, now: Millis, response: Response) -> Result<(), ConnectorError> {
        let at = time(now)?;
        let place = self.place()?;
        place.ahead = None;
        let Some(sent) = place.sent.take() else { return Ok(()) };
        if let Some(date) = retry_after::date(&response).and_then(|date| Timestamp::from_millisecond(date.0).ok()) {
            let floor = place.from.floor.unwrap_or(place.from.started);
            place.from.floor = Some(floor.min(date));
        }
        let run = place.machine.as_ref().and_then(|machine| machine.run.as_ref());
        let is_page = sent.purpose == Purpose::Page && place.machine.is_some() && run.is_none_or(Run::asks_for_page);
        place.stirred |= sent.purpose != Purpose::Token && !is_page;
        place.answered = Some(Given {
            status: response.status,
            url: shown(&sent.url),
            body: response.body.clone(),
            after: retry_after::read(&response, now),
            page: is_page.then(|| Answered {
                method: sent.method,
                url: sent.url,
                asked: sent.asked,
                response: response.clone(),
                by_body: true,
            }),
            is_job: sent.purpose == Purpose::Job,
        });
        let Some(place) = &mut self.place else { return Ok(()) };
        let result = match (&mut place.building, &mut place.machine) {
            (Some(building), _) => building.answer(session, at, Ok(response)),
            (None, Some(Machine { run: Some(run), .. })) => run.answer(session, at, Ok(response)),
            (None, Some(machine)) => machine.reader.answer(session, at, Ok(response)),
            (None, None) => Ok(()),
        };
        for token in session.tokens.values() {
            self.secrets.add_text(&token.value);
        }
        if let Err(failure) = result {
            self.over(&failure);
        }
        Ok(())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.call(Self::let_others_fetch);
    }
}

impl Port for Reading {
    fn another(&self) -> Option<Box<dyn Port>> {
        Some(Box::new(Self::on(Arc::clone(&self.plan), Arc::clone(&self.shared))))
    }

    fn open(&mut self, stream: &StreamName, position: &Json) -> Result<(), ConnectorError> {
        self.call(|reading, session| reading.go_to(session, stream, position))
    }

    fn step(&mut self, now: Millis) -> Result<Step, ConnectorError> {
        let now = time(now)?;
        if let Some(over) = &self.place()?.over {
            return Ok(over.clone());
        }
        let advanced = self.call(|reading, session| reading.advance(session, now));
        Ok(advanced.unwrap_or_else(|failure| self.over(&failure)))
    }

    fn answer(&mut self, now: Millis, response: Response) -> Result<(), ConnectorError> {
        self.call(|reading, session| reading.take(session, now, response))
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
