//! Partitions one after the other, of every kind of router.

use std::collections::BTreeSet;

use crate::value::{Map, Value};
use jiff::Timestamp;

use super::substream::Substream;
use super::{Partition, Router};
use crate::failure::Failure;
use crate::read::fetch::Answered;
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

impl RouterRun {
    pub fn new(router: &Router) -> Self {
        match router {
            Router::Single => Self::Single { is_done: false },
            Router::List { .. } => Self::List { at: 0 },
            Router::Substream { .. } => Self::Substream(Box::default()),
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
