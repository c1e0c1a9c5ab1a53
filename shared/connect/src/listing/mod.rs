//! Manifests of Airbyte's format in the pipeline: readers behind the port.
//!
//! Owns compiling, and taking records out of stored pages. What asks is a session of its own.

mod edge;
mod place;
mod position;
mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value as Json;
use teal::domain::{Millis, Mode, StreamName};
use teal::ports::Entropy;
use teal::ports::connector::{self, Connector, ConnectorConfig, ConnectorError, Taken};
use teal::ports::upstream::Response;

use crate::budget::Budget;
use crate::failure::Failure;
use crate::node::NoFiles;
use crate::problem::Problem;
use crate::read::Progress;
use crate::read::reader::{Reader, Run};
use crate::session::Session;
use crate::source::secrets::Secrets;
use crate::source::stream::Stream;
use crate::source::{Source, catalog::Catalog};
use crate::value::Value;
use position::{Masks, Position};

pub struct Declarative {
    plan: Arc<Plan>,
}

/// What sessions share.
struct Plan {
    source: Arc<Source>,
    streams: BTreeMap<StreamName, Arc<Stream>>,
    describes_more: bool,
    secrets: Secrets,
    masks: Masks,
    /// What a session begins with: nothing was sent yet.
    budget: Budget,
    most_jobs: usize,
}

impl Declarative {
    pub fn compile(text: &str, config: &ConnectorConfig) -> Result<Self, ConnectorError> {
        let mut whole = Value::from(&config.plain);
        let (mut secrets, mut masks) = (Secrets::default(), Masks::default());
        for (name, secret) in &config.secrets {
            secrets.add_text(secret.expose());
            masks.add(name, secret.expose());
            whole[name.as_str()] = secret.expose().into();
        }
        let listed = |problems: Vec<Problem>| {
            ConnectorError::Manifest(problems.iter().map(|problem| secrets.redact(&problem.to_string())).collect())
        };
        let refused = |failure: Failure| ConnectorError::Manifest(vec![secrets.redact(&failure.message)]);
        // What templates take for now when a manifest is compiled decides nothing: readers evaluate again.
        let now = Timestamp::UNIX_EPOCH;
        let source = Source::new(text, Some(whole), Arc::new(NoFiles), Catalog::default(), BTreeMap::new(), now);
        let source = source.map_err(listed)?;
        source.validate().map_err(refused)?;
        if has_member(source.root(), "refresh_token_updater") {
            let text = "the source replaces its refresh token at each use ('refresh_token_updater'), and teal.yaml's \
                        secrets can't be written; use a client whose refresh token lasts";
            return Err(ConnectorError::Manifest(vec![text.to_owned()]));
        }
        let mut session = source.session(Arc::new(|| 0)).map_err(listed)?;
        let (budget, most_jobs) = (session.budget.clone(), session.most_jobs);
        let all = source.building(None).and_then(|mut building| building.step(&mut session, now)).map_err(refused)?;
        let (built, describes_more) = match all {
            Progress::Done(built) => (built, false),
            // The source must be asked what it has; what is written out is known all the same.
            Progress::Need(_) => {
                let names = source.names().map_err(refused)?;
                match source.building(Some(names)).and_then(|mut b| b.step(&mut session, now)).map_err(refused)? {
                    Progress::Done(built) => (built, true),
                    Progress::Need(_) => (Vec::new(), true),
                }
            }
        };
        let mut streams = BTreeMap::new();
        let mut problems = Vec::new();
        for built in built {
            match built.stream {
                Ok(stream) => drop(streams.insert(StreamName::new(&built.name), stream)),
                Err(mut why) => problems.append(&mut why),
            }
        }
        if !problems.is_empty() {
            return Err(listed(problems));
        }
        if let Some(spec) = source.spec.as_ref() {
            let connection = spec.message.get("connectionSpecification").unwrap_or(&Value::Null);
            secrets.add_all(&Secrets::of(connection, &source.config));
        }
        let source = Arc::new(source);
        let plan = Plan { source, streams, describes_more, secrets, masks, budget, most_jobs };
        Ok(Self { plan: Arc::new(plan) })
    }
}

impl Plan {
    fn known(&self, name: &StreamName, component: Option<&Value>) -> Result<Option<Arc<Stream>>, ConnectorError> {
        if let Some(stream) = self.streams.get(name) {
            return Ok(Some(stream.clone()));
        }
        match component {
            Some(component) => self.source.described(component).stream.map(Some).map_err(|problems| {
                ConnectorError::Manifest(problems.iter().map(|p| self.secrets.redact(&p.to_string())).collect())
            }),
            None if self.describes_more => Ok(None),
            None => Err(ConnectorError::NoStream(name.clone())),
        }
    }

    fn failed(&self, failure: &Failure) -> ConnectorError {
        ConnectorError::Body(self.secrets.redact(&failure.message))
    }

    fn position(&self, value: &Json, masks: &Masks) -> Result<Position, ConnectorError> {
        let mut value = value.clone();
        masks.put_in(&mut value);
        Position::deserialize(value).map_err(|error| {
            ConnectorError::Body(format!("the position was not made by this connector's manifest: {error}"))
        })
    }

    fn session(&self, entropy: crate::session::Entropy) -> Session {
        Session::new(self.source.config.clone(), self.budget.clone(), self.most_jobs, entropy)
    }
}

/// A reader, and the slice that it is in, as a position has them.
fn taken_up(stream: Arc<Stream>, position: &Position, session: &Session) -> Result<(Reader, Option<Run>), Failure> {
    let reader = match &position.reader {
        Some(reader) => Reader::at(stream, reader.clone())?,
        None => Reader::new(stream, &position.state, session, position.started)?,
    };
    let run = position.slice.clone().map(|slice| reader.run_at(slice)).transpose()?;
    Ok((reader, run))
}

fn has_member(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(key, value)| key == name || has_member(value, name)),
        Value::Array(items) => items.iter().any(|item| has_member(item, name)),
        _ => false,
    }
}

impl Connector for Declarative {
    fn streams(&self) -> Vec<StreamName> {
        self.plan.streams.keys().cloned().collect()
    }

    fn describes_more(&self) -> bool {
        self.plan.describes_more
    }

    fn incremental(&self, stream: &StreamName) -> bool {
        self.plan.streams.get(stream).map_or(self.plan.describes_more, |stream| stream.cursor.is_some())
    }

    fn begin(
        &self,
        stream: &StreamName,
        mode: Mode,
        cursor: Option<&Json>,
        now: Millis,
    ) -> Result<Json, ConnectorError> {
        let started = Timestamp::from_millisecond(now.0)
            .map_err(|_| ConnectorError::Body("the clock is outside the years that can be counted".to_owned()))?;
        self.plan.known(stream, None)?;
        let state = cursor.filter(|_| mode == Mode::Incremental).map_or(Value::Null, Value::from);
        let facts = BTreeMap::new();
        let position = Position { started, floor: None, state, reader: None, slice: None, component: None, facts };
        Ok(serde_json::to_value(position).expect("a position has only string keys"))
    }

    fn concurrency(&self) -> usize {
        // The engine's command reads two slices at once where a manifest says nothing; here that is one after the other.
        let is_said = self.plan.source.root().get("concurrency_level").is_some();
        if is_said { self.plan.source.concurrency() } else { 1 }
    }

    fn apart(&self) -> Vec<Vec<StreamName>> {
        let groups = self.plan.source.groups();
        groups.into_iter().map(|names| names.iter().map(StreamName::new).collect()).collect()
    }

    fn session(&self, entropy: Arc<dyn Entropy>) -> Result<Box<dyn connector::Session>, ConnectorError> {
        Ok(Box::new(reading::Reading::new(self.plan.clone(), entropy)))
    }

    fn records(&self, stream: &StreamName, position: &Json, page: &[Response]) -> Result<Vec<Taken>, ConnectorError> {
        let plan = &self.plan;
        let position = plan.position(position, &plan.masks)?;
        let Some(stream) = plan.known(stream, position.component.as_ref())? else {
            return Err(ConnectorError::NoStream(stream.clone()));
        };
        // Nothing here may be random: the same page gives the same records.
        let mut session = plan.session(Arc::new(|| 0));
        session.facts.clone_from(&position.facts);
        let records = |session: &mut Session| -> Result<Vec<Taken>, Failure> {
            let now = position.started;
            let (mut reader, mut run) = taken_up(stream, &position, session)?;
            loop {
                match &mut run {
                    Some(open) if open.is_finished() => {
                        reader.close(open)?;
                        run = None;
                    }
                    Some(open) => {
                        let records = open.records_of(page, session, now)?;
                        let is_late = edge::is_late(&reader);
                        return Ok((records.iter())
                            .map(|record| Taken { record: Ok(record.to_value().into()), late: is_late(record) })
                            .collect());
                    }
                    None => match reader.next(session, now)? {
                        Progress::Done(Some(next)) => run = Some(next),
                        // A parent's page has no records of its own.
                        Progress::Done(None) | Progress::Need(_) => return Ok(Vec::new()),
                    },
                }
            }
        };
        records(&mut session).map_err(|failure| plan.failed(&failure))
    }
}
