//! What a router is at, written down and taken up.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::run::RouterRun;
use super::substream::Substream;
use super::{Partition, Router};
use crate::failure::Failure;
use crate::read::position::{ReaderPosition, SlicePosition};
use crate::read::reader::Reader;
use crate::value::Map;

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
