//! Partitions from the records of parent streams, which are read as far as needed.
//!
//! Always holds: of a parent's page only the values of partitions are kept, and only of those still to come.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Parent, Partition};
use crate::failure::Failure;
use crate::read::fetch::Answered;
use crate::read::reader::{Reader, Run};
use crate::read::{Progress, ready};
use crate::session::Session;
use crate::value::{Map, Value};

#[derive(Debug, Default)]
pub struct Substream {
    pub at: usize,
    pub reader: Option<Box<Reader>>,
    pub run: Option<Box<Run>>,
    pub pending: VecDeque<Partition>,
    /// States of parents that were read to their end.
    pub states: Map,
}

impl Substream {
    pub fn next(
        &mut self,
        parents: &[Arc<Parent>],
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Progress<Option<Partition>>, Failure> {
        loop {
            if let Some(partition) = self.pending.pop_front() {
                // The last partition of a parent's slice is served when that slice counts as read.
                if self.pending.is_empty() && self.run.as_ref().is_some_and(|run| run.is_finished()) {
                    self.close()?;
                }
                return Ok(Progress::Done(Some(partition)));
            }
            let Some(parent) = parents.get(self.at) else { return Ok(Progress::Done(None)) };
            if let Some(run) = &mut self.run {
                match ready!(run.step(session, now)?) {
                    Some(page) => {
                        let about = run.partition().clone();
                        for record in page {
                            self.pending.extend(partition_of(parent, &record.into_map()?, &about));
                        }
                        if !run.is_finished() || !self.pending.is_empty() {
                            continue;
                        }
                    }
                    None if !run.is_finished() => continue,
                    None => {}
                }
                self.close()?;
                continue;
            }
            if self.reader.is_none() {
                self.reader = Some(Box::new(Reader::new(parent.stream.clone(), &parent.state, session, now)?));
            }
            let Some(reader) = &mut self.reader else { continue };
            match ready!(reader.next(session, now)?) {
                Some(run) => self.run = Some(Box::new(run)),
                None => {
                    reader.finish(now);
                    if parent.is_dependency {
                        self.states.insert(parent.stream.name.clone(), reader.state());
                    }
                    self.reader = None;
                    self.at += 1;
                }
            }
        }
    }

    fn close(&mut self) -> Result<(), Failure> {
        if let (Some(run), Some(reader)) = (self.run.take(), &mut self.reader) {
            reader.close(&run)?;
        }
        Ok(())
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        match (&mut self.run, &mut self.reader) {
            (Some(run), _) => run.answer(session, now, answered),
            (None, Some(reader)) => reader.answer(session, now, answered),
            (None, None) => Ok(()),
        }
    }

    pub fn state(&self, parents: &[Arc<Parent>]) -> Map {
        let mut out = Map::new();
        for (index, parent) in parents.iter().enumerate().filter(|(_, parent)| parent.is_dependency) {
            let name = parent.stream.name.clone();
            let state = match (self.states.get(&name), &self.reader) {
                (Some(state), _) => state.clone(),
                (None, Some(reader)) if index == self.at => reader.state(),
                _ => match &parent.state {
                    Value::Null => Value::Object(Map::new()),
                    state => state.clone(),
                },
            };
            out.insert(name, state);
        }
        out
    }
}

fn partition_of(parent: &Parent, record: &Map, about: &Map) -> Option<Partition> {
    let find = |path: &[String]| {
        let (first, rest) = path.split_first()?;
        crate::lookup::get(record.get(first)?, rest)
    };
    let value = find(&parent.key).filter(|value| !value.is_null())?;
    let mut extra = Map::new();
    for path in &parent.extra_fields {
        extra.insert(path.join("."), find(path).cloned().unwrap_or(Value::Null));
    }
    let values = Map::from_iter([
        (parent.field.clone(), value.clone()),
        ("parent_slice".to_owned(), Value::Object(about.clone())),
    ]);
    let answer = match parent.answer_at.is_empty() {
        true => None,
        false => Some(find(&parent.answer_at).cloned().unwrap_or_else(|| Value::Array(Vec::new()))),
    };
    Some(Partition { values, extra, answer })
}
