//! Partitions one after the other, reading parents as far as needed.
//!
//! Always holds: of a parent's page only the values of partitions are kept, and only of those still to come.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::value::{Map, Value};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Parent, Partition, Router};
use crate::failure::Failure;
use crate::read::fetch::Answered;
use crate::read::position::{ReaderPosition, SlicePosition};
use crate::read::reader::{Reader, Run};
use crate::read::{Progress, ready};
use crate::session::Session;

#[derive(Debug)]
pub enum RouterRun {
    Single {
        is_done: bool,
    },
    List {
        at: usize,
    },
    Substream(Box<Substream>),
    Grouping {
        inner: Box<RouterRun>,
        batch: Vec<Partition>,
        seen: BTreeSet<String>,
        state: Option<Value>,
        is_done: bool,
    },
    Union {
        at: usize,
        inner: Box<RouterRun>,
        seen: BTreeSet<String>,
    },
    Product {
        outer: Box<RouterRun>,
        filling: Option<Box<RouterRun>>,
        rest: Vec<Vec<Partition>>,
        at: u64,
        current: Option<Partition>,
    },
}

#[derive(Debug)]
pub struct Substream {
    at: usize,
    reader: Option<Box<Reader>>,
    run: Option<Box<Run>>,
    pending: VecDeque<Partition>,
    /// States of parents that were read to their end.
    states: Map,
}

/// What can be written down of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "router", rename_all = "snake_case")]
pub enum RouterPosition {
    Single {
        is_done: bool,
    },
    List {
        at: usize,
    },
    Substream {
        at: usize,
        reader: Option<Box<ReaderPosition>>,
        slice: Option<Box<SlicePosition>>,
        pending: Vec<Partition>,
        states: Map,
    },
    Grouping {
        inner: Box<RouterPosition>,
        batch: Vec<Partition>,
        seen: BTreeSet<String>,
        is_done: bool,
    },
    Union {
        at: usize,
        inner: Box<RouterPosition>,
        seen: BTreeSet<String>,
    },
    Product {
        outer: Box<RouterPosition>,
        filling: Option<Box<RouterPosition>>,
        rest: Vec<Vec<Partition>>,
        at: u64,
        current: Option<Partition>,
    },
}

impl RouterRun {
    pub fn new(router: &Router) -> Self {
        match router {
            Router::Single => Self::Single { is_done: false },
            Router::List { .. } => Self::List { at: 0 },
            Router::Substream { .. } => Self::Substream(Box::new(Substream {
                at: 0,
                reader: None,
                run: None,
                pending: VecDeque::new(),
                states: Map::new(),
            })),
            Router::Grouping { inner, .. } => Self::Grouping {
                inner: Box::new(Self::new(inner)),
                batch: Vec::new(),
                seen: BTreeSet::new(),
                state: None,
                is_done: false,
            },
            Router::Union { routers, .. } => {
                Self::Union { at: 0, inner: Box::new(Self::new(&routers[0])), seen: BTreeSet::new() }
            }
            Router::Product(routers) => Self::Product {
                outer: Box::new(Self::new(&routers[0])),
                filling: None,
                rest: Vec::new(),
                at: 0,
                current: None,
            },
        }
    }

    pub fn next(
        &mut self,
        router: &Router,
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Progress<Option<Partition>>, Failure> {
        match (self, router) {
            (Self::Single { is_done }, _) => {
                let is_first = !std::mem::replace(is_done, true);
                Ok(Progress::Done(is_first.then(Partition::default)))
            }
            (Self::List { at }, Router::List { field, values, .. }) => {
                let value = values.get(*at);
                *at += 1;
                Ok(Progress::Done(value.map(|value| Partition {
                    values: Map::from_iter([(field.clone(), value.clone())]),
                    ..Partition::default()
                })))
            }
            (Self::Substream(run), Router::Substream { parents }) => run.next(parents, session, now),
            (
                Self::Grouping { inner, batch, seen, state, is_done },
                Router::Grouping { size, deduplicates, inner: router },
            ) => {
                while !*is_done && batch.len() < *size {
                    match ready!(inner.next(router, session, now)?) {
                        None => *is_done = true,
                        Some(partition) => {
                            let mut values = partition.values.iter().filter(|(name, _)| *name != "parent_slice");
                            let (Some((_, value)), None) = (values.next(), values.next()) else {
                                return Err(Failure::system(
                                    "GroupingPartitionRouter takes partitions of one field only",
                                ));
                            };
                            if *deduplicates && !seen.insert(value.to_string()) {
                                continue;
                            }
                            batch.push(partition);
                        }
                    }
                }
                *state = inner.state(router);
                if batch.is_empty() {
                    return Ok(Progress::Done(None));
                }
                Ok(Progress::Done(Some(group(&std::mem::take(batch)))))
            }
            (Self::Union { at, inner, seen }, Router::Union { field, routers }) => loop {
                let Some(router) = routers.get(*at) else { return Ok(Progress::Done(None)) };
                let Some(partition) = ready!(inner.next(router, session, now)?) else {
                    *at += 1;
                    if let Some(router) = routers.get(*at) {
                        **inner = Self::new(router);
                    }
                    continue;
                };
                let mut extra = partition.extra;
                let mut values = partition.values;
                let Some(value) = values.remove(field) else {
                    return Err(Failure::system(format!("a router of a UnionPartitionRouter gave no '{field}'")));
                };
                if !seen.insert(value.to_string()) {
                    continue;
                }
                extra.extend(values);
                let values = Map::from_iter([(field.clone(), value)]);
                return Ok(Progress::Done(Some(Partition { values, extra, answer: None })));
            },
            (Self::Product { outer, filling, rest, at, current }, Router::Product(routers)) => {
                while rest.len() + 1 < routers.len() || filling.is_some() {
                    if filling.is_none() {
                        rest.push(Vec::new());
                        *filling = Some(Box::new(Self::new(&routers[rest.len()])));
                    }
                    let router = &routers[rest.len()];
                    if let Some(run) = filling {
                        match ready!(run.next(router, session, now)?) {
                            Some(partition) => {
                                rest.last_mut().into_iter().for_each(|list| list.push(partition.clone()))
                            }
                            None => *filling = None,
                        }
                    }
                }
                let each: u64 = rest.iter().map(|list| list.len() as u64).product();
                if each == 0 {
                    return Ok(Progress::Done(None));
                }
                if current.is_none() || *at >= each {
                    *current = ready!(outer.next(&routers[0], session, now)?);
                    *at = 0;
                }
                let Some(first) = current.clone() else { return Ok(Progress::Done(None)) };
                let combined = combine(first, rest, *at);
                *at += 1;
                Ok(Progress::Done(Some(combined)))
            }
            _ => Err(Failure::system("the position belongs to another manifest; begin again")),
        }
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        match self {
            Self::Single { .. } | Self::List { .. } => Ok(()),
            Self::Substream(run) => run.answer(session, now, answered),
            Self::Grouping { inner, .. } | Self::Union { inner, .. } => inner.answer(session, now, answered),
            Self::Product { outer, filling, .. } => match filling {
                Some(run) => run.answer(session, now, answered),
                None => outer.answer(session, now, answered),
            },
        }
    }

    /// The states of parents that the child's state depends on; `None` for routers without parents.
    pub fn state(&self, router: &Router) -> Option<Value> {
        match (self, router) {
            (Self::Substream(run), Router::Substream { parents }) => Some(run.state(parents).into()),
            (Self::Grouping { state, .. }, _) => Some(state.clone().unwrap_or_else(|| Value::Object(Map::new()))),
            (Self::Union { at, inner, .. }, Router::Union { routers, .. }) => {
                let state = routers.get(*at).and_then(|router| inner.state(router));
                Some(state.unwrap_or_else(|| Value::Object(Map::new())))
            }
            _ => None,
        }
    }

    pub fn position(&self) -> RouterPosition {
        match self {
            Self::Single { is_done } => RouterPosition::Single { is_done: *is_done },
            Self::List { at } => RouterPosition::List { at: *at },
            Self::Substream(run) => RouterPosition::Substream {
                at: run.at,
                reader: run.reader.as_ref().map(|reader| Box::new(reader.position())),
                slice: run.run.as_ref().map(|run| Box::new(run.position())),
                pending: run.pending.iter().cloned().collect(),
                states: run.states.clone(),
            },
            Self::Grouping { inner, batch, seen, is_done, .. } => RouterPosition::Grouping {
                inner: Box::new(inner.position()),
                batch: batch.clone(),
                seen: seen.clone(),
                is_done: *is_done,
            },
            Self::Union { at, inner, seen } => {
                RouterPosition::Union { at: *at, inner: Box::new(inner.position()), seen: seen.clone() }
            }
            Self::Product { outer, filling, rest, at, current } => RouterPosition::Product {
                outer: Box::new(outer.position()),
                filling: filling.as_ref().map(|run| Box::new(run.position())),
                rest: rest.clone(),
                at: *at,
                current: current.clone(),
            },
        }
    }

    pub fn at(router: &Router, position: RouterPosition) -> Result<Self, Failure> {
        let stale = || Failure::system("the position belongs to another manifest; begin again");
        Ok(match (position, router) {
            (RouterPosition::Single { is_done }, Router::Single) => Self::Single { is_done },
            (RouterPosition::List { at }, Router::List { .. }) => Self::List { at },
            (RouterPosition::Substream { at, reader, slice, pending, states }, Router::Substream { parents }) => {
                let parent = parents.get(at);
                let reader = match (reader, parent) {
                    (Some(reader), Some(parent)) => Some(Box::new(Reader::at(parent.stream.clone(), *reader)?)),
                    (Some(_), None) => return Err(stale()),
                    (None, _) => None,
                };
                let run = match (slice, &reader) {
                    (Some(slice), Some(reader)) => Some(Box::new(reader.run_at(*slice)?)),
                    (Some(_), None) => return Err(stale()),
                    (None, _) => None,
                };
                Self::Substream(Box::new(Substream { at, reader, run, pending: pending.into(), states }))
            }
            (RouterPosition::Grouping { inner, batch, seen, is_done }, Router::Grouping { inner: router, .. }) => {
                Self::Grouping { inner: Box::new(Self::at(router, *inner)?), batch, seen, state: None, is_done }
            }
            (RouterPosition::Union { at, inner, seen }, Router::Union { routers, .. }) => {
                let router = routers.get(at).or(routers.last()).ok_or_else(stale)?;
                Self::Union { at, inner: Box::new(Self::at(router, *inner)?), seen }
            }
            (RouterPosition::Product { outer, filling, rest, at, current }, Router::Product(routers)) => {
                let filling = match filling {
                    Some(run) => Some(Box::new(Self::at(routers.get(rest.len()).ok_or_else(stale)?, *run)?)),
                    None => None,
                };
                Self::Product { outer: Box::new(Self::at(&routers[0], *outer)?), filling, rest, at, current }
            }
            _ => return Err(stale()),
        })
    }
}

impl Substream {
    fn next(
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

    fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        match (&mut self.run, &mut self.reader) {
            (Some(run), _) => run.answer(session, now, answered),
            (None, Some(reader)) => reader.answer(session, now, answered),
            (None, None) => Ok(()),
        }
    }

    fn state(&self, parents: &[Arc<Parent>]) -> Map {
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

/// Lists of what the partitions of a group have.
fn group(batch: &[Partition]) -> Partition {
    let gather = |part: fn(&Partition) -> &Map, names: Vec<String>| -> Map {
        names
            .into_iter()
            .map(|name| {
                let values = batch.iter().map(|p| part(p).get(&name).cloned().unwrap_or(Value::Null)).collect();
                (name, Value::Array(values))
            })
            .collect()
    };
    let values = gather(|p| &p.values, batch[0].values.keys().cloned().collect());
    let mut names: Vec<String> = batch.iter().flat_map(|p| p.extra.keys().cloned()).collect();
    names.sort();
    names.dedup();
    Partition { values, extra: gather(|p| &p.extra, names), answer: None }
}

/// One of the combinations of a partition with those of the other routers; the last router's change fastest.
fn combine(first: Partition, rest: &[Vec<Partition>], mut at: u64) -> Partition {
    let mut chosen = Vec::with_capacity(rest.len());
    for list in rest.iter().rev() {
        let count = list.len() as u64;
        chosen.push(&list[usize::try_from(at % count).unwrap_or(0)]);
        at /= count;
    }
    let mut out = Partition::default();
    for partition in chosen.into_iter().chain([&first]) {
        out.values.extend(partition.values.clone());
        out.extra.extend(partition.extra.clone());
    }
    out
}
