//! Where a stream is being read: the machine that reads it, what was answered and not yet handed back, and the position
//! that goes with it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value as Json;
use teal::domain::{Millis, StreamName};
use teal::ports::connector::{Answered, Step};
use teal::ports::upstream::Response;

use super::edge::held_back;
use super::position::Position;
use super::{Plan, taken_up};
use crate::failure::Failure;
use crate::http::Purpose;
use crate::read::reader::{Reader, Run};
use crate::read::{Need, Progress};
use crate::session::Session;
use crate::source::stream::Stream;
use crate::source::{Building, Source};
use crate::value::Value;

/// Where a stream is being read.
pub(super) struct Place {
    pub(super) name: StreamName,
    /// As it was stored last.
    pub(super) known: Json,
    pub(super) from: Position,
    pub(super) building: Option<Building<Arc<Source>>>,
    pub(super) machine: Option<Machine>,
    /// What comes next, when it is known already.
    pub(super) ahead: Option<Need>,
    pub(super) sent: Option<Sent>,
    /// The answer that was given last, until it is clear what it was.
    pub(super) answered: Option<Given>,
    /// Answers of the page that is being read.
    pub(super) parts: Vec<Answered>,
    /// Something was done that is in no stored position yet.
    pub(super) stirred: bool,
    pub(super) retried: bool,
    pub(super) over: Option<Step>,
}

pub(super) struct Machine {
    pub(super) reader: Reader,
    pub(super) run: Option<Run>,
}

pub(super) struct Sent {
    pub(super) purpose: Purpose,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) asked: Millis,
}

pub(super) struct Given {
    pub(super) status: u16,
    pub(super) url: String,
    pub(super) body: Bytes,
    pub(super) after: Option<Duration>,
    /// Set when the answer may become part of a page.
    pub(super) page: Option<Answered>,
    pub(super) is_job: bool,
}

pub(super) enum Stepped {
    On,
    Need(Need),
    Page,
    End(Option<Value>),
}

impl Place {
    pub(super) fn step(&mut self, plan: &Plan, session: &mut Session, now: Timestamp) -> Result<Stepped, Failure> {
        let Some(machine) = &mut self.machine else {
            let stream = match self.describe(plan, session, now)? {
                Progress::Need(need) => return Ok(Stepped::Need(need)),
                Progress::Done(stream) => stream,
            };
            self.machine = Some(Machine::at(stream, &self.from, session)?);
            (self.stirred, self.answered) = (true, None);
            return Ok(Stepped::On);
        };
        session.served = None;
        let Some(run) = &mut machine.run else {
            // It is a parent's.
            let by_body = !machine.reader.stream.has_parents_by_headers();
            return Ok(match machine.reader.next(session, now)? {
                Progress::Need(Need::Wait(wait)) => Stepped::Need(Need::Wait(wait)),
                Progress::Need(need) => match self.take_page(by_body) {
                    true => {
                        self.ahead = Some(need);
                        Stepped::Page
                    }
                    false => Stepped::Need(need),
                },
                Progress::Done(Some(run)) => {
                    self.stirred |= session.served.is_some();
                    machine.run = Some(run);
                    if self.take_page(by_body) { Stepped::Page } else { Stepped::On }
                }
                Progress::Done(None) => {
                    machine.reader.finish(now);
                    if self.take_page(by_body) { Stepped::Page } else { Stepped::End(self.cursor()) }
                }
            });
        };
        if run.is_finished() {
            self.answered = None;
            machine.close(self.from.floor.unwrap_or(self.from.started))?;
            return Ok(Stepped::On);
        }
        let embedded = run.embedded();
        match run.step(session, now)? {
            Progress::Need(need) => Ok(Stepped::Need(need)),
            Progress::Done(None) => Ok(Stepped::On),
            Progress::Done(Some(_)) => {
                let by_body = !run.ends_by_headers();
                if !self.take_page(by_body) {
                    // Nobody had to be asked for it.
                    let (method, url, response) = match (embedded, session.served.take()) {
                        (Some(body), _) => {
                            let response = Response { status: 200, headers: Vec::new(), body: body.into() };
                            ("GET".to_owned(), String::new(), response)
                        }
                        (None, Some((ask, response))) => {
                            let url = plan.secrets.redact(&ask.request.url);
                            (ask.request.method.to_string(), url, response)
                        }
                        (None, None) => return Err(Failure::system("a page came of no answer")),
                    };
                    let asked = Millis(self.from.started.as_millisecond());
                    self.parts.push(Answered { method, url, asked, response, by_body: false });
                }
                Ok(Stepped::Page)
            }
        }
    }

    /// What was answered last is part of a page, the last of its parts. `by_body`: whether the bodies say all of it.
    pub(super) fn take_page(&mut self, by_body: bool) -> bool {
        let page = self.answered.take().and_then(|given| given.page);
        let is_one = page.is_some();
        self.parts.extend(page);
        self.parts.iter_mut().for_each(|part| part.by_body &= by_body);
        is_one
    }

    /// Closes what is read to its end, to learn whether anything is left: `Some` with the cursor if not.
    pub(super) fn look_ahead(
        &mut self,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Option<Option<Value>>, Failure> {
        let Some(machine) = &mut self.machine else { return Ok(None) };
        if self.ahead.is_some() {
            return Ok(None);
        }
        loop {
            match &machine.run {
                Some(run) if run.is_finished() => machine.close(self.from.floor.unwrap_or(self.from.started))?,
                Some(_) => return Ok(None),
                None => match machine.reader.next(session, now)? {
                    Progress::Need(need) => {
                        self.ahead = Some(need);
                        return Ok(None);
                    }
                    Progress::Done(Some(run)) => machine.run = Some(run),
                    Progress::Done(None) => {
                        machine.reader.finish(now);
                        return Ok(Some(self.cursor()));
                    }
                },
            }
        }
    }

    pub(super) fn cursor(&self) -> Option<Value> {
        let reader = self.machine.as_ref().map(|machine| &machine.reader)?;
        reader.has_cursor().then(|| reader.state())
    }

    /// Asks the source what the stream is.
    fn describe(
        &mut self,
        plan: &Plan,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Progress<Arc<Stream>>, Failure> {
        let wanted = self.name.to_string();
        let building = match &mut self.building {
            Some(building) => building,
            None => self.building.insert(Building::of(plan.source.clone(), Some(vec![wanted.clone()]))?),
        };
        let built = match building.step(session, now)? {
            Progress::Need(need) => return Ok(Progress::Need(need)),
            Progress::Done(built) => built,
        };
        self.building = None;
        let found = built.into_iter().find(|built| built.name == wanted);
        let found = found.ok_or_else(|| Failure::config(format!("the source describes no stream '{wanted}'")))?;
        self.from.component = Some(found.component);
        let stream = found.stream.map_err(|problems| Failure::config(crate::source::listed(&problems)))?;
        Ok(Progress::Done(stream))
    }

    pub(super) fn encoded(&self, facts: &std::collections::BTreeMap<String, Value>) -> Json {
        let mut position = self.from.clone();
        position.facts.clone_from(facts);
        if let Some(machine) = &self.machine {
            position.state = Value::Null;
            position.reader = Some(machine.reader.position());
            position.slice = machine.run.as_ref().map(Run::position);
        }
        serde_json::to_value(position).expect("a position has only string keys")
    }
}

impl Machine {
    pub(super) fn at(stream: Arc<Stream>, position: &Position, session: &Session) -> Result<Self, Failure> {
        let (reader, run) = taken_up(stream, position, session)?;
        Ok(Self { reader, run })
    }

    /// What was read of a slice counts. Its newest record is no newer than the listing: one that changed while
    /// others were read already must not hide what they became.
    fn close(&mut self, floor: Timestamp) -> Result<(), Failure> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let mut position = run.position();
        if let (Some(cursor), Some(newest)) = (&self.reader.stream.cursor, position.newest.take()) {
            position.newest = Some(held_back(cursor, newest, floor)?);
            return self.reader.close(&self.reader.run_at(position)?);
        }
        self.reader.close(&run)
    }
}
