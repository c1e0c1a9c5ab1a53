//! Manifests of Airbyte's format in the pipeline: readers behind the port, one request a call.
//!
//! Positions are `{"started": …, "reader": …, "slice": …?}`: a reader and the slice that it is in, as they were
//! before the request. A parent's page is a page without records of its own.
//!
//! Owns no token: a manifest whose authenticator has to ask for one is refused when it is compiled, until the port
//! has a way to ask for what must not be stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use teal::domain::{Millis, Mode, StreamName};
use teal::ports::connector::{Answer, Connector, ConnectorConfig, ConnectorError, Next, RetryAfter};
use teal::ports::upstream::{Request, Response};

use crate::budget::Budget;
use crate::failure::Failure;
use crate::http::{Ask, Purpose};
use crate::node::NoFiles;
use crate::problem::Problem;
use crate::read::position::{ReaderPosition, SlicePosition};
use crate::read::reader::{Reader, Run};
use crate::read::{Need, Progress};
use crate::session::{Notice, Session};
use crate::source::secrets::Secrets;
use crate::source::stream::Stream;
use crate::source::{Source, catalog::Catalog};
use crate::value;

pub struct Declarative {
    streams: BTreeMap<StreamName, Arc<Stream>>,
    config: Arc<value::Value>,
    secrets: Secrets,
}

#[derive(Serialize, Deserialize)]
struct Position {
    started: Timestamp,
    reader: ReaderPosition,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slice: Option<SlicePosition>,
}

/// A reader, the slice that it is in, and the request that comes next.
struct Place {
    reader: Reader,
    run: Option<Run>,
    session: Session,
    now: Timestamp,
    ask: Box<Ask>,
}

/// What comes next.
enum Ahead {
    Ask(Box<Place>),
    End(Box<Reader>),
}

impl Declarative {
    pub fn compile(text: &str, config: &ConnectorConfig) -> Result<Self, ConnectorError> {
        let mut whole = config.plain.clone();
        let mut secrets = Secrets::default();
        for (name, secret) in &config.secrets {
            secrets.add_text(secret.expose());
            whole[name.as_str()] = secret.expose().into();
        }
        let listed = |problems: Vec<Problem>| {
            ConnectorError::Manifest(problems.iter().map(|problem| secrets.redact(&problem.to_string())).collect())
        };
        let refused = |failure: Failure| ConnectorError::Manifest(vec![secrets.redact(&failure.message)]);
        // What templates take for now when a manifest is compiled decides nothing: readers evaluate again.
        let now = Timestamp::UNIX_EPOCH;
        let source =
            Source::new(text, Some((&whole).into()), Arc::new(NoFiles), Catalog::default(), BTreeMap::new(), now);
        let source = source.map_err(listed)?;
        source.validate().map_err(refused)?;
        let mut session = session(&source.config);
        let Progress::Done(built) =
            source.building(None).and_then(|mut b| b.step(&mut session, now)).map_err(refused)?
        else {
            let text = "streams that the source itself describes can't be used in teal.yaml; write them out";
            return Err(ConnectorError::Manifest(vec![text.to_owned()]));
        };
        let mut streams = BTreeMap::new();
        let mut problems = Vec::new();
        for built in built {
            match built.stream {
                Ok(stream) if stream.asks_for_tokens() => problems.push(Problem::manifest(
                    built.name,
                    "its authenticator asks for tokens, which teal.yaml can't use yet; use a key that lasts",
                )),
                Ok(stream) => drop(streams.insert(StreamName::new(&built.name), stream)),
                Err(mut why) => problems.append(&mut why),
            }
        }
        match problems.is_empty() {
            true => Ok(Self { streams, config: source.config.clone(), secrets }),
            false => Err(listed(problems)),
        }
    }

    fn stream(&self, name: &StreamName) -> Result<&Arc<Stream>, ConnectorError> {
        self.streams.get(name).ok_or_else(|| ConnectorError::NoStream(name.clone()))
    }

    fn failed(&self, failure: &Failure) -> ConnectorError {
        ConnectorError::Body(self.secrets.redact(&failure.message))
    }

    /// The place that a position names.
    fn place(&self, name: &StreamName, position: &Value) -> Result<Place, ConnectorError> {
        let stream = self.stream(name)?.clone();
        let position = Position::deserialize(position).map_err(|error| {
            ConnectorError::Body(format!("the position was not made by this connector's manifest: {error}"))
        })?;
        let at = || -> Result<Ahead, Failure> {
            let reader = Reader::at(stream, position.reader)?;
            let run = position.slice.map(|slice| reader.run_at(slice)).transpose()?;
            ahead(reader, run, session(&self.config), position.started)
        };
        match at().map_err(|failure| self.failed(&failure))? {
            Ahead::Ask(place) => Ok(*place),
            Ahead::End(_) => Err(ConnectorError::Body("the listing has nothing to ask for".to_owned())),
        }
    }

    fn judge(&self, mut place: Place, response: &Response) -> Result<Answer, Failure> {
        let status = response.status;
        let result = match &mut place.run {
            Some(run) => run.answer(&mut place.session, place.now, Ok(response.clone())),
            None => place.reader.answer(&mut place.session, place.now, Ok(response.clone())),
        };
        if let Err(failure) = result {
            return Ok(Answer::Refused { why: self.secrets.redact(&failure.message) });
        }
        let Place { mut reader, mut run, mut session, now, .. } = place;
        // One step takes the answer in; what it needs then tells what the answer meant.
        let need = match &mut run {
            Some(run) => match run.step(&mut session, now)? {
                Progress::Need(need) => Some(need),
                Progress::Done(_) => None,
            },
            None => match reader.next(&mut session, now)? {
                Progress::Need(need) => Some(need),
                Progress::Done(next) => {
                    run = next;
                    None
                }
            },
        };
        if let Some(Need::Wait(wait)) = need {
            let quota = status == 429 || session.notices.iter().any(|n| matches!(n, Notice::RateLimited { .. }));
            let after = Some(RetryAfter::Seconds(wait.as_secs_f64().ceil() as u64));
            return Ok(Answer::Retry { after, quota, why: format!("the source answered with status {status}") });
        }
        let next = match ahead(reader, run, session, now)? {
            Ahead::Ask(place) => Next::Page(encode(&place.reader, place.run.as_ref(), now)),
            Ahead::End(reader) => Next::End { cursor: reader.has_cursor().then(|| reader.state().into()) },
        };
        Ok(Answer::Page { next })
    }
}

/// Goes on to the next request.
fn ahead(mut reader: Reader, mut run: Option<Run>, mut session: Session, now: Timestamp) -> Result<Ahead, Failure> {
    let ask = |need: Need| match need {
        Need::Ask(ask) if ask.purpose == Purpose::Page => Ok(Some(ask)),
        Need::Ask(_) => {
            Err(Failure::config("this request starts something or asks for a token; teal.yaml can't use it yet"))
        }
        Need::Wait(_) => Ok(None),
        Need::Blocked => Err(Failure::system("a request waits for another one that nobody sends")),
    };
    loop {
        let need = match &mut run {
            Some(running) if running.is_finished() => {
                reader.close(running)?;
                run = None;
                continue;
            }
            Some(running) => match running.step(&mut session, now)? {
                Progress::Need(need) => need,
                Progress::Done(_) => continue,
            },
            None => match reader.next(&mut session, now)? {
                Progress::Need(need) => need,
                Progress::Done(Some(next)) => {
                    run = Some(next);
                    continue;
                }
                Progress::Done(None) => {
                    reader.finish(now);
                    return Ok(Ahead::End(Box::new(reader)));
                }
            },
        };
        if let Some(ask) = ask(need)? {
            return Ok(Ahead::Ask(Box::new(Place { reader, run, session, now, ask })));
        }
    }
}

fn session(config: &Arc<value::Value>) -> Session {
    // Limits are the pipeline's, and nothing here may be random: one seed gives one trace.
    Session::new(config.clone(), Budget::default(), 1, Arc::new(|| 0))
}

fn encode(reader: &Reader, run: Option<&Run>, started: Timestamp) -> Value {
    let position = Position { started, reader: reader.position(), slice: run.map(Run::position) };
    serde_json::to_value(position).expect("a position has only string keys")
}

impl Connector for Declarative {
    fn streams(&self) -> Vec<StreamName> {
        self.streams.keys().cloned().collect()
    }

    fn incremental(&self, stream: &StreamName) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.cursor.is_some())
    }

    fn begin(
        &self,
        stream: &StreamName,
        mode: Mode,
        cursor: Option<&Value>,
        now: Millis,
    ) -> Result<Value, ConnectorError> {
        let now = Timestamp::from_millisecond(now.0)
            .map_err(|_| ConnectorError::Body("the clock is outside the years that can be counted".to_owned()))?;
        let state = cursor.filter(|_| mode == Mode::Incremental).into();
        let reader = Reader::new(self.stream(stream)?.clone(), &state, &session(&self.config), now);
        let reader = reader.map_err(|failure| self.failed(&failure))?;
        Ok(encode(&reader, None, now))
    }

    fn request(&self, stream: &StreamName, position: &Value) -> Result<Request, ConnectorError> {
        Ok(self.place(stream, position)?.ask.request)
    }

    fn read(&self, stream: &StreamName, position: &Value, response: &Response) -> Answer {
        let place = match self.place(stream, position) {
            Ok(place) => place,
            Err(error) => return Answer::Refused { why: error.to_string() },
        };
        self.judge(place, response)
            .unwrap_or_else(|failure| Answer::Refused { why: self.secrets.redact(&failure.message) })
    }

    fn records(&self, stream: &StreamName, position: &Value, body: &Bytes) -> Result<Vec<Value>, ConnectorError> {
        let Place { run, session, now, .. } = self.place(stream, position)?;
        let Some(mut run) = run else { return Ok(Vec::new()) };
        let response = Response { status: 200, headers: Vec::new(), body: body.clone() };
        let records = run.records_of(&response, &session, now).map_err(|failure| self.failed(&failure))?;
        Ok(records.iter().map(|record| record.to_value().into()).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MANIFEST: &str = "
type: DeclarativeSource
version: 7.0.0
check: {type: CheckStream, stream_names: [things]}
spec: {type: Spec, connection_specification: {type: object, properties: {key: {type: string, airbyte_secret: true}}}}
streams:
  - type: DeclarativeStream
    name: things
    retriever:
      requester:
        url_base: https://api.example.com
        path: things
        authenticator: {type: BearerAuthenticator, api_token: \"{{ config['key'] }}\"}
      record_selector: {extractor: {field_path: [data]}}
      paginator:
        type: DefaultPaginator
        page_token_option: {inject_into: request_parameter, field_name: page, type: RequestOption}
        pagination_strategy: {type: PageIncrement, page_size: 2, start_from_page: 1}
    incremental_sync:
      type: DatetimeBasedCursor
      cursor_field: at
      datetime_format: '%Y-%m-%d'
      start_datetime: '2024-01-01'
      start_time_option: {inject_into: request_parameter, field_name: since}
";

    fn connector() -> Declarative {
        let secrets = BTreeMap::from([("key".to_owned(), teal::domain::Secret::new("canary-4711".to_owned()))]);
        Declarative::compile(MANIFEST, &ConnectorConfig { plain: json!({}), secrets }).unwrap()
    }

    fn answer(status: u16, body: &Value) -> Response {
        Response { status, headers: Vec::new(), body: body.to_string().into() }
    }

    #[test]
    fn a_listing_goes_from_position_to_position_and_leaves_a_cursor() {
        let (connector, name) = (connector(), StreamName::new("things"));
        let now = Millis("2024-03-15T12:00:00Z".parse::<Timestamp>().unwrap().as_millisecond());
        let mut position = connector.begin(&name, Mode::Full, None, now).unwrap();
        let pages = [
            json!({"data": [{"id": 1, "at": "2024-02-01"}, {"id": 2, "at": "2024-02-02"}]}),
            json!({"data": [{"id": 3, "at": "2024-02-03"}]}),
        ];
        let mut seen = Vec::new();
        for (index, page) in pages.iter().enumerate() {
            let request = connector.request(&name, &position).unwrap();
            assert!(request.url.contains("since=2024-01-01"), "{}", request.url);
            assert_eq!(request.url.contains("page=2"), index == 1, "{}", request.url);
            let response = answer(200, page);
            seen.extend(connector.records(&name, &position, &response.body).unwrap());
            match connector.read(&name, &position, &response) {
                Answer::Page { next: Next::Page(next) } if index == 0 => position = next,
                Answer::Page { next: Next::End { cursor } } if index == 1 => {
                    assert_eq!(cursor, Some(json!({"at": "2024-02-03"})));
                    let again = connector.begin(&name, Mode::Incremental, cursor.as_ref(), now).unwrap();
                    assert!(connector.request(&name, &again).unwrap().url.contains("since=2024-02-03"));
                }
                other => panic!("{other:?}"),
            }
            assert!(!position.to_string().contains("canary"), "{position}");
        }
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_refusal_is_final_and_a_limit_is_not() {
        let (connector, name) = (connector(), StreamName::new("things"));
        let position = connector.begin(&name, Mode::Full, None, Millis(1_710_504_000_000)).unwrap();
        let limited = connector.read(&name, &position, &answer(429, &json!({})));
        assert!(matches!(limited, Answer::Retry { quota: true, .. }), "{limited:?}");
        let refused = connector.read(&name, &position, &answer(403, &json!({})));
        assert!(matches!(refused, Answer::Refused { .. }), "{refused:?}");
    }

    #[test]
    fn an_authenticator_that_asks_for_tokens_is_refused() {
        let text = MANIFEST.replace(
            "{type: BearerAuthenticator, api_token: \"{{ config['key'] }}\"}",
            "{type: OAuthAuthenticator, token_refresh_endpoint: 'https://x.example.com', client_id: a, client_secret: b, refresh_token: c}",
        );
        let refused = Declarative::compile(&text, &ConnectorConfig { plain: json!({}), secrets: BTreeMap::new() });
        assert!(matches!(refused, Err(ConnectorError::Manifest(why)) if why[0].contains("tokens")));
    }
}
