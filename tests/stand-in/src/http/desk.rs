//! What happens to a request on its way to a source and back: counted, limited, checked, spoiled, answered.
//!
//! Owns the decision; whether the answer then goes over a socket or into a variable is somebody else's. So
//! whoever asks offline meets the same key, limit, faults and counters as whoever asks over HTTP.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::counters::InFlight;
use super::{Asked, Clock, Counters, Distortion, Fault, FaultRule, Faults, Reply, RetryHint, Source, Spot};

pub struct DeskOptions {
    /// What `Authorization: Bearer …` must say.
    pub key: String,
    /// Most requests in any second; the ones beyond get 429.
    pub per_second: Option<u32>,
    pub clock: Clock,
}

pub struct Desk<S> {
    pub source: S,
    options: DeskOptions,
    pub counters: Counters,
    pub faults: Faults,
}

/// An answer, and how much of it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Whole, also where only a part of it arrives.
    pub body: Bytes,
    pub arrives: Arrives,
    /// How much later it comes.
    pub wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrives {
    Whole,
    /// Half of the body; then the connection goes.
    Half,
    /// Not a byte.
    Nothing,
}

/// A request that was counted; in flight until it is dropped.
pub struct Visit<'d> {
    spot: Option<Spot>,
    /// Requests of the last second, this one included.
    within: u64,
    _in_flight: InFlight<'d>,
}

impl<S: Source> Desk<S> {
    pub fn new(source: S, options: DeskOptions) -> Self {
        Self { source, options, counters: Counters::default(), faults: Faults::default() }
    }

    pub fn enter(&self, asked: &Asked) -> Visit<'_> {
        let spot = self.source.spot(asked);
        let (in_flight, within) = self.counters.enter(spot.as_ref(), (self.options.clock)());
        Visit { spot, within, _in_flight: in_flight }
    }

    pub fn answer(&self, visit: &Visit<'_>, asked: &Asked) -> Answered {
        if self.options.per_second.is_some_and(|limit| visit.within > u64::from(limit)) {
            self.counters.note(|counts| counts.limited += 1);
            return self.too_many(RetryHint::Seconds(1));
        }
        if let Some(refusal) = self.source.refuse(asked, &self.options.key) {
            self.counters.note(|counts| counts.unauthorized += 1);
            return whole(&refusal);
        }
        let fault = self.faults.strike(visit.spot.as_ref());
        if fault.as_ref().is_some_and(|fault| !matches!(fault, Fault::Slow(_))) {
            self.counters.note(|counts| counts.faulted += 1);
        }
        let Some(spot) = &visit.spot else {
            return whole(&Reply::error(404, format!("nothing lives at {}", asked.path)));
        };
        if !self.source.takes(asked) {
            return whole(&Reply::error(405, format!("{} is no method for this path", asked.method)));
        }
        match fault {
            None => self.serve(asked, spot),
            Some(fault) => self.spoil(fault, asked, spot),
        }
    }

    fn serve(&self, asked: &Asked, spot: &Spot) -> Answered {
        let reply = self.source.answer(asked, spot, None);
        if reply.status == 200 {
            self.counters.served(spot);
        }
        whole(&reply)
    }

    fn spoil(&self, fault: Fault, asked: &Asked, spot: &Spot) -> Answered {
        let answer = |distortion| self.source.answer(asked, spot, distortion);
        match fault {
            Fault::Status(status) => whole(&Reply::error(status, "something went wrong on our side")),
            Fault::TooMany(hint) => self.too_many(hint),
            Fault::Truncated => Answered { arrives: Arrives::Half, ..whole(&answer(None)) },
            Fault::ErrorInside => {
                whole(&Reply { status: 200, ..Reply::error(200, "the listing is not available now") })
            }
            Fault::EmptyPage => whole(&answer(Some(Distortion::EmptyPage))),
            Fault::Endless => whole(&answer(Some(Distortion::Endless))),
            Fault::InvalidJson => {
                let text = answer(None).body.to_string();
                Answered { body: half(&text), ..whole(&Reply::ok(Value::Null)) }
            }
            Fault::Slow(millis) => Answered { wait: Duration::from_millis(millis), ..self.serve(asked, spot) },
            Fault::Drop => Answered { arrives: Arrives::Nothing, ..whole(&Reply::error(503, "dropped")) },
        }
    }

    fn too_many(&self, hint: RetryHint) -> Answered {
        let header = match hint {
            RetryHint::Missing => None,
            RetryHint::Seconds(seconds) => Some(seconds.to_string()),
            RetryHint::Date(seconds) => {
                let at = (self.options.clock)().saturating_add(seconds.saturating_mul(1000));
                let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0));
                Some(httpdate::fmt_http_date(at))
            }
        };
        let mut answered = whole(&Reply::error(429, "too many requests; slow down"));
        answered.headers.extend(header.map(|value| ("retry-after", value)));
        answered
    }

    pub fn control(&self, method: &Method, name: &str, body: &Bytes) -> Reply {
        let body: Value = match body.is_empty() {
            true => json!({}),
            false => match serde_json::from_slice(body) {
                Ok(body) => body,
                Err(error) => return Reply::error(400, format!("the body is not JSON: {error}")),
            },
        };
        match (method, name) {
            (&Method::GET, "counters") => Reply::ok(json!(self.counters.get())),
            (&Method::DELETE, "counters") => {
                self.counters.reset();
                Reply::ok(json!({}))
            }
            (&Method::GET, "faults") => Reply::ok(json!(self.faults.rules())),
            (&Method::DELETE, "faults") => {
                self.faults.clear();
                Reply::ok(json!([]))
            }
            (&Method::POST, "faults") => match serde_json::from_value::<FaultRule>(body) {
                Ok(rule) => {
                    self.faults.add(rule);
                    Reply::ok(json!(self.faults.rules()))
                }
                Err(error) => Reply::error(400, format!("that is no fault rule: {error}")),
            },
            (&Method::POST, _) => self
                .source
                .control(name, &body)
                .unwrap_or_else(|| Reply::error(404, format!("there is no command '{name}'"))),
            _ => Reply::error(405, "commands are sent with POST"),
        }
    }
}

impl Asked {
    /// Reads `/path?name=value&…` as a request line has it.
    #[must_use]
    pub fn read(path_and_query: &str) -> Self {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { path: path.to_owned(), query, ..Self::default() }
    }
}

pub fn whole(reply: &Reply) -> Answered {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.extend(reply.headers.iter().cloned());
    Answered {
        status: reply.status,
        headers,
        body: reply.body.to_string().into(),
        arrives: Arrives::Whole,
        wait: Duration::ZERO,
    }
}

/// The first half of a text, cut between two characters.
pub fn half(text: &str) -> Bytes {
    let mut end = text.len() / 2;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Bytes::copy_from_slice(&text.as_bytes()[..end])
}
