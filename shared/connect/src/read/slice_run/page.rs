//! What comes of an answer: the page's records, what the cursor saw of them, and where to go on.

use jiff::Timestamp;
use teal::ports::upstream::Response;

use super::SliceRun;
use crate::cursor::Point;
use crate::failure::Failure;
use crate::paginate::Facts;
use crate::properties;
use crate::read::Progress;
use crate::read::record::{Record, without};
use crate::read::selector;
use crate::read::simple::{self, Simple};
use crate::session::{Session, Shown};
use crate::value::{Map, Value};

/// How many records of a page a preview shows.
const SHOWN: usize = 3;

impl SliceRun {
    /// Takes the answer for one chunk of properties; a page when it was the last.
    pub(super) fn chunk(
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

    pub(super) fn page(
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
        let next = paginator.next(&facts, &scope)?;
        self.ends_by_headers = next.is_none() && paginator.needs_headers() && {
            let size = self.pos.sizes.current.map_or_else(|| paginator.size(&scope), |size| Ok(Some(size)))?;
            // A page with room left would hold what came after it.
            extracted >= size.unwrap_or(1)
        };
        match next {
            Some(token) => {
                self.pos.rounds.went(&token, &response.body, extracted == 0)?;
                self.pos.token = Some(token);
            }
            None => self.end_window(),
        }
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
