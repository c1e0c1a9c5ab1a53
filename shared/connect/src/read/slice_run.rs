//! One slice of a stream, page by page.
//!
//! Always holds: a page is passed on whole, and the position moves behind it at the same moment.

use std::sync::Arc;
use std::time::Duration;

use crate::value::{Map, Value};
use indexmap::IndexMap;
use jiff::Timestamp;
use teal::ports::upstream::Response;

use super::fetch::{Answered, Fetch, Fetched};
use super::position::SlicePosition;
use super::reader::Sample;
use super::record::{Record, without};
use super::selector;
use super::simple::{self, Simple};
use super::{Need, Progress, ready};
use crate::cursor::Point;
use crate::failure::Failure;
use crate::http::Parts;
use crate::interpolate::StreamSlice;
use crate::paginate::Facts;
use crate::properties;
use crate::session::{Level, Session, Shown};
use crate::source::stream::Stream;

/// How often a window is halved.
const DEEPEST_SPLIT: u32 = 10;
/// How many records of a page a preview shows.
const SHOWN: usize = 3;

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

    pub fn reads_parts(&self) -> bool {
        self.chunks.is_some()
    }

    /// Sets what requests of the current window are made with.
    fn look(&mut self, properties: Option<&[String]>) {
        let pos = &self.pos;
        let window = pos.narrowed.as_ref().or(pos.windows.last().map(|(window, _)| window)).unwrap_or(&pos.cursor);
        let mut extra = pos.partition.extra.clone();
        if let Some(properties) = properties {
            extra.insert("query_properties".to_owned(), properties.to_vec().into());
        }
        self.slice = Arc::new(StreamSlice::new(pos.partition.values.clone(), window.clone(), extra));
    }

    fn window(&self) -> &Map {
        let pos = &self.pos;
        pos.narrowed.as_ref().or(pos.windows.last().map(|(window, _)| window)).unwrap_or(&pos.cursor)
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

    /// Takes the answer for one chunk of properties; a page when it was the last.
    fn chunk(
        &mut self,
        plan: &Simple,
        response: Response,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Option<Vec<Record>>, Failure> {
        let Some(chunks) = &mut self.chunks else { return self.page(plan, response, session, now).map(Some) };
        chunks.next += 1;
        let is_last = chunks.next >= chunks.all.len();
        if is_last {
            chunks.next = 0;
            return self.page(plan, response, session, now).map(Some);
        }
        self.collect(plan, &response, session, now)?;
        Ok(None)
    }

    /// Takes the records of an answer.
    fn collect(
        &mut self,
        plan: &Simple,
        response: &Response,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if response.status >= 400 {
            return Ok(());
        }
        let token = match &self.pos.token {
            Some(token) => simple::member("next_page_token", token.clone()).into(),
            None => Value::Null,
        };
        let seen = selector::seen(session, &self.slice, &token, now);
        let (records, extracted) = plan.selector.extract(response, &seen)?;
        self.partial.extracted += extracted;
        let missed = if extracted == 0 { plan.selector.missed(response, &seen) } else { None };
        let schema = if plan.selector.normalizes() { self.stream.schema.known(session) } else { None };
        let before: Vec<Value> = match session.shown {
            Some(_) => records.iter().take(SHOWN).map(Record::to_value).collect(),
            None => Vec::new(),
        };
        let mut records = plan.selector.select(records, schema.as_deref(), &seen)?;
        if let Some(cursor) = self.stream.cursor.as_ref().filter(|cursor| cursor.is_client_side && !cursor.is_data_feed)
        {
            let end = cursor.end(now, &seen)?;
            records.retain(|record| self.is_wanted(record, end.as_ref()));
        }
        if let Some(shown) = &session.shown {
            let after = records.iter().take(SHOWN).map(Record::to_value).collect();
            let missed = missed.clone();
            shown.borrow_mut().push(Shown { extracted, kept: records.len(), before, after, missed });
        }
        if let Some(missed) = missed {
            session.missed(&self.stream.name, &missed);
        }
        match &plan.properties {
            Some(query) => {
                for record in records {
                    let record = record.into_map()?;
                    match query.merge_key(&record) {
                        Some(key) => properties::merge(self.partial.merged.entry(key).or_default(), record),
                        None => self.partial.records.push(Record::Tree(record)),
                    }
                }
            }
            None if self.partial.records.is_empty() => self.partial.records = records,
            None => self.partial.records.extend(records),
        }
        Ok(())
    }

    /// The records of the answers that a page was made of, without going on to where it leads.
    pub fn records_of(
        &mut self,
        plan: &Simple,
        answers: &[Response],
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Vec<Record>, Failure> {
        if let Progress::Need(_) = self.prepare(plan, session, now)? {
            return Err(Failure::system("the page's position does not hold what its records are read with"));
        }
        for response in answers {
            if let Some(chunks) = &mut self.chunks {
                let properties = chunks.all.get(chunks.next).cloned().unwrap_or_default();
                chunks.next += 1;
                self.look(Some(&properties));
            }
            self.collect(plan, response, session, now)?;
        }
        let partial = std::mem::take(&mut self.partial);
        let mut records = partial.records;
        records.extend(partial.merged.into_values().map(Record::Tree));
        if let Some(cursor) = self.stream.cursor.as_ref().filter(|cursor| cursor.is_data_feed) {
            let end = cursor.end(now, &session.scope(now, None, &Value::Null))?;
            records.retain(|record| self.is_wanted(record, end.as_ref()));
        }
        Ok(records)
    }

    /// Whether a record lies within what this sync wants; one without a cursor does.
    fn is_wanted(&self, record: &Record, end: Option<&Point>) -> bool {
        let Some(cursor) = &self.stream.cursor else { return true };
        let Some(point) = record.field(&cursor.field).and_then(|value| cursor.parse(&value).ok()) else { return true };
        self.pos.lowest.as_ref().is_none_or(|lowest| *lowest <= point) && end.is_none_or(|end| point <= *end)
    }

    fn page(
        &mut self,
        plan: &Simple,
        response: Response,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Vec<Record>, Failure> {
        self.pos.begun = true;
        self.collect(plan, &response, session, now)?;
        let partial = std::mem::take(&mut self.partial);
        let mut records = partial.records;
        records.extend(partial.merged.into_values().map(Record::Tree));
        self.pos.sizes.attempts = 0;
        self.pos.sizes.at_least = 0;
        if plan.reduction.as_ref().is_some_and(|reduction| reduction.is_restored) {
            self.pos.sizes.current = None;
        }
        if let Some(reset) = &plan.reset {
            self.pos.resets.records += records.len() as u64;
            if reset.splits {
                let newest = self.newest_of(&records);
                self.pos.resets.newest = newest.max(self.pos.resets.newest.take());
            }
        }
        let reset_due = (plan.reset.as_ref())
            .is_some_and(|reset| reset.limit.is_some_and(|limit| self.pos.resets.records >= limit));
        if response.status >= 400 {
            self.end_window();
        } else if reset_due {
            self.reset(plan, session)?;
        } else {
            self.turn(plan, &response, &records, partial.extracted, session, now)?;
        }
        if let Some(cursor) = self.stream.cursor.as_ref().filter(|cursor| cursor.is_data_feed) {
            let end = cursor.end(now, &session.scope(now, None, &Value::Null))?;
            records.retain(|record| self.is_wanted(record, end.as_ref()));
        }
        let newest = self.newest_of(&records);
        self.pos.newest = newest.max(self.pos.newest.take());
        Ok(records)
    }

    /// The greatest cursor of the records that have one.
    fn newest_of(&mut self, records: &[Record]) -> Option<Point> {
        let cursor = self.stream.cursor.as_ref()?;
        let mut newest: Option<Point> = None;
        for record in records {
            let Some(value) = record.field(&cursor.field) else { continue };
            if let Some(text) = value.as_str() {
                if self.last_cursor.as_deref() == Some(text) && newest.is_some() {
                    continue;
                }
                self.last_cursor = Some(text.to_owned());
            }
            if let Ok(point) = cursor.parse(&value)
                && newest.as_ref().is_none_or(|known| *known < point)
            {
                newest = Some(point);
            }
        }
        newest
    }

    /// Goes on to the next page, or to the end.
    fn turn(
        &mut self,
        plan: &Simple,
        response: &Response,
        records: &[Record],
        extracted: i64,
        session: &Session,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let Some(paginator) = &plan.paginator else {
            self.end_window();
            return Ok(());
        };
        let scope = session.scope(now, Some(&self.slice), &Value::Null);
        if let (Some(cursor), Some(last)) = (self.stream.cursor.as_ref().filter(|c| c.is_data_feed), records.last()) {
            let end = cursor.end(now, &scope)?;
            if !self.is_wanted(last, end.as_ref()) {
                self.end_window();
                return Ok(());
            }
        }
        let last_record = match paginator.needs_last_record() {
            true => records.last().map_or(Value::Null, Record::to_value),
            false => Value::Null,
        };
        let body = match paginator.needs_response() {
            true => tree_of(plan, paginator, response)?,
            false => Value::Null,
        };
        let headers = match paginator.needs_headers() {
            true => crate::http::headers_value(response, true),
            false => Value::Null,
        };
        let facts = Facts {
            extracted,
            kept: i64::try_from(records.len()).unwrap_or(i64::MAX),
            last_record: &last_record,
            response: &body,
            headers: &headers,
            token: self.pos.token.as_ref(),
            size: self.pos.sizes.current,
        };
        match paginator.next(&facts, &scope)? {
            Some(token) => {
                self.pos.rounds.went(&token, &response.body, extracted == 0)?;
                self.pos.token = Some(token);
            }
            None => self.end_window(),
        }
        Ok(())
    }

    /// The window was read to its end; perhaps others that it was split into are left.
    fn end_window(&mut self) {
        self.pos.windows.pop();
        self.pos.narrowed = None;
        self.pos.finished = self.pos.windows.is_empty();
        self.again();
    }

    /// Begins with the first page of the current window.
    fn again(&mut self) {
        self.pos.token = None;
        self.pos.begun = false;
        self.pos.rounds = Default::default();
        self.pos.resets.records = 0;
        self.look(None);
    }

    fn reset(&mut self, plan: &Simple, session: &mut Session) -> Result<(), Failure> {
        let splits = plan.reset.as_ref().is_some_and(|reset| reset.splits);
        let cursor = self.stream.cursor.as_ref().filter(|_| splits);
        let before = self.window().clone();
        let narrowed = match (cursor, &self.pos.resets.newest) {
            (Some(cursor), Some(newest)) => cursor.restart(&self.pos.cursor, newest),
            _ => before.clone(),
        };
        if narrowed == before {
            self.pos.resets.same += 1;
            if self.pos.resets.same >= if cursor.is_some() { 1 } else { 2 } {
                return Err(Failure::system("the pagination began anew, and came no further than before"));
            }
        } else {
            self.pos.resets.same = 0;
        }
        session.log(Level::Info, format!("{}: the pagination begins anew", self.stream.name));
        self.pos.narrowed = Some(narrowed);
        self.again();
        Ok(())
    }

    fn split(&mut self, plan: &Simple, why: Option<String>, session: &mut Session) -> Result<(), Failure> {
        let (Some(splitting), Some(cursor)) = (&plan.splitting, &self.stream.cursor) else {
            return Err(Failure::config("the manifest splits windows, and has no 'request_window_splitting'"));
        };
        let depth = self.pos.windows.last().map_or(0, |(_, depth)| *depth);
        let halves = match depth < DEEPEST_SPLIT {
            true => cursor.halve(self.window(), splitting.least.as_ref())?,
            false => None,
        };
        let Some([first, second]) = halves else {
            let why = why.map_or(String::new(), |why| format!(" It says: {why}."));
            let said = splitting.message.as_deref().unwrap_or_default();
            return Err(Failure::transient(format!("the source rejects even the smallest window.{why} {said}")));
        };
        session.log(Level::Info, format!("{}: a window was rejected and is read in halves", self.stream.name));
        self.pos.windows.pop();
        self.pos.windows.push((second, depth + 1));
        self.pos.windows.push((first, depth + 1));
        self.again();
        Ok(())
    }
}

/// The answer as a template of the pagination sees it, without what it can't look at.
fn tree_of(plan: &Simple, paginator: &crate::paginate::Paginator, response: &Response) -> Result<Value, Failure> {
    if let Some([first, ..]) = plan.selector.straight.as_deref()
        && !paginator.looks_at(first)
        && let Ok(tree) = without(&response.body, first)
    {
        return Ok(tree);
    }
    let headers = crate::http::header_map(response);
    let first = match response.body.is_empty() {
        true => None,
        false => plan.selector.decoder.decode(&response.body, &headers)?.next().transpose()?,
    };
    Ok(first.unwrap_or_else(|| Value::Object(Map::new())))
}
