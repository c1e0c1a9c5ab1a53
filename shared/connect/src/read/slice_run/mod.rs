//! One slice of a stream, page by page: from what is needed before a page to its request.
//!
//! Always holds: a page is passed on whole, and the position moves behind it at the same moment.

use std::sync::Arc;
use std::time::Duration;

use crate::value::{Map, Value};
use indexmap::IndexMap;
use jiff::Timestamp;
use teal::ports::upstream::Response;

mod page;
mod window;

use super::fetch::{Answered, Fetch, Fetched};
use super::position::SlicePosition;
use super::reader::Sample;
use super::record::Record;
use super::simple::{self, Simple};
use super::{Need, Progress, ready};
use crate::failure::Failure;
use crate::http::Parts;
use crate::interpolate::StreamSlice;
use crate::properties;
use crate::session::Session;
use crate::source::stream::Stream;

#[derive(Debug)]
pub struct SliceRun {
    stream: Arc<Stream>,
    pos: SlicePosition,
    slice: Arc<StreamSlice>,
    fetch: Option<Box<Fetch>>,
    wait: Option<Duration>,
    /// What has to be known before the first page.
    sample: Option<Box<Sample>>,
    chunks: Option<Chunks>,
    /// Records of chunks that were read, of the page that is being read.
    partial: Partial,
    /// The cursor of the last record, to spare reading the same again.
    last_cursor: Option<String>,
    ends_by_headers: bool,
}

#[derive(Debug)]
struct Chunks {
    all: Vec<Vec<String>>,
    next: usize,
}

#[derive(Debug, Default)]
struct Partial {
    records: Vec<Record>,
    merged: IndexMap<String, Map>,
    extracted: i64,
}

impl SliceRun {
    pub fn new(stream: Arc<Stream>, pos: SlicePosition) -> Self {
        let mut run = Self {
            stream,
            pos,
            slice: Arc::new(StreamSlice::default()),
            fetch: None,
            wait: None,
            sample: None,
            chunks: None,
            partial: Partial::default(),
            last_cursor: None,
            ends_by_headers: false,
        };
        run.look(None);
        run
    }

    pub fn pos(&self) -> &SlicePosition {
        &self.pos
    }

    pub fn asks_for_page(&self) -> bool {
        self.sample.is_none()
    }

    pub fn ends_by_headers(&self) -> bool {
        self.ends_by_headers
    }

    pub fn reads_parts(&self) -> bool {
        self.chunks.is_some()
    }

    pub fn step(
        &mut self,
        plan: &Simple,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Progress<Option<Vec<Record>>>, Failure> {
        if let Some(wait) = self.wait.take() {
            return Ok(Progress::Need(Need::Wait(wait)));
        }
        ready!(self.prepare(plan, session, now)?);
        loop {
            if self.pos.finished {
                return Ok(Progress::Done(None));
            }
            if let Some(answer) = self.pos.partition.answer.take().filter(|_| !self.pos.begun) {
                let body = answer.to_string().into_bytes().into();
                let response = Response { status: 200, headers: Vec::new(), body };
                return self.page(plan, response, session, now).map(|page| Progress::Done(Some(page)));
            }
            let Some(fetch) = &mut self.fetch else {
                self.begin(plan, session, now)?;
                continue;
            };
            let fetched = ready!(fetch.step(session, now)?);
            self.fetch = None;
            match fetched {
                Fetched::Page(response) => match self.chunk(plan, *response, session, now)? {
                    Some(page) => return Ok(Progress::Done(Some(page))),
                    None => continue,
                },
                Fetched::ResetPagination => self.reset(plan, session)?,
                Fetched::ReducePageSize(why) => {
                    let Some(reduction) = &plan.reduction else {
                        return Err(Failure::config(
                            "the manifest asks for smaller pages, and has no 'page_size_reduction'",
                        ));
                    };
                    let configured = {
                        let cx = session.scope(now, Some(&self.slice), &Value::Null);
                        plan.paginator.as_ref().map_or(Ok(None), |paginator| paginator.size(&cx))?
                    };
                    let wait = simple::reduce(reduction, &mut self.pos.sizes, configured, why.as_deref())?;
                    self.wait = Some(Duration::from_secs_f64(wait));
                }
                Fetched::SplitWindow(why) => self.split(plan, why, session)?,
            }
            if let Some(wait) = self.wait.take() {
                return Ok(Progress::Need(Need::Wait(wait)));
            }
        }
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        match (&mut self.sample, &mut self.fetch) {
            (Some(sample), _) => sample.answer(session, now, answered),
            (None, Some(fetch)) => fetch.answer(session, now, answered),
            (None, None) => Ok(()),
        }
    }

    /// Asks for properties, once for the whole source.
    fn prepare(&mut self, plan: &Simple, session: &mut Session, now: Timestamp) -> Result<Progress<()>, Failure> {
        if self.stream.needs_schema() {
            ready!(self.stream.schema.prepare(&mut self.sample, session, now)?);
        }
        let Some(query) = &plan.properties else { return Ok(Progress::Done(())) };
        if self.chunks.is_some() {
            return Ok(Progress::Done(()));
        }
        let fields = match &query.list {
            properties::List::Fixed(fields) => fields.clone(),
            properties::List::Endpoint { id, path, stream } => {
                if !session.facts.contains_key(id) {
                    if self.sample.is_none() {
                        self.sample = Some(Box::new(Sample::new(stream.clone(), None, session, now)?));
                    }
                    if let Some(sample) = &mut self.sample {
                        let records = ready!(sample.step(session, now)?);
                        let fields = records.iter().map(|record| properties::field_of(&record.to_value(), path));
                        let fields: Vec<String> = fields.collect::<Result<_, _>>()?;
                        session.facts.insert(id.clone(), fields.into());
                    }
                    self.sample = None;
                }
                let known = session.facts.get(id).and_then(Value::as_array).into_iter().flatten();
                known.map(crate::python::text_of).collect()
            }
        };
        self.chunks = Some(Chunks { all: query.chunks(&fields), next: 0 });
        Ok(Progress::Done(()))
    }

    fn begin(&mut self, plan: &Simple, session: &Session, now: Timestamp) -> Result<(), Failure> {
        if !self.pos.begun {
            self.pos.token = plan.paginator.as_ref().and_then(|paginator| paginator.first_token());
            self.pos.begun = true;
        }
        if let Some(chunks) = &self.chunks {
            let properties = chunks.all.get(chunks.next).cloned().unwrap_or_default();
            self.look(Some(&properties));
        }
        let token = match &self.pos.token {
            Some(token) => simple::member("next_page_token", token.clone()).into(),
            None => Value::Null,
        };
        let mut extra = Parts::default();
        let path = {
            let cx = session.scope(now, None, &Value::Null);
            if self.pos.token.is_none() || !plan.slices_only_first {
                if let Some(cursor) = &self.stream.cursor {
                    cursor.inject(&self.slice, &mut extra, &cx)?;
                }
                plan.router.inject(&self.slice, &mut extra, &cx)?;
            }
            let mut pages = Parts::default();
            if let Some(paginator) = &plan.paginator {
                paginator.inject(self.pos.token.as_ref(), self.pos.sizes.current, &mut pages, &cx)?;
            }
            let path = plan.paginator.as_ref().and_then(|paginator| paginator.path(self.pos.token.as_ref()));
            pages.add(std::mem::take(&mut extra))?;
            extra = pages;
            path
        };
        let fetch = Fetch::new(plan.requester.clone(), Some(self.slice.clone())).with(token, extra, path);
        self.fetch = Some(Box::new(fetch));
        Ok(())
    }
}
