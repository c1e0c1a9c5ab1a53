//! The windows of a slice: the one that is being read, and those left of one that the source found too large.

use std::sync::Arc;

use super::SliceRun;
use crate::failure::Failure;
use crate::interpolate::StreamSlice;
use crate::read::simple::Simple;
use crate::session::{Level, Session};
use crate::value::Map;

/// How often a window is halved.
const DEEPEST_SPLIT: u32 = 10;

impl SliceRun {
    /// Sets what requests of the current window are made with.
    pub(super) fn look(&mut self, properties: Option<&[String]>) {
        let pos = &self.pos;
        let window = pos.narrowed.as_ref().or(pos.windows.last().map(|(window, _)| window)).unwrap_or(&pos.cursor);
        let mut extra = pos.partition.extra.clone();
        if let Some(properties) = properties {
            extra.insert("query_properties".to_owned(), properties.to_vec().into());
        }
        self.slice = Arc::new(StreamSlice::new(pos.partition.values.clone(), window.clone(), extra));
    }

    pub(super) fn window(&self) -> &Map {
        let pos = &self.pos;
        pos.narrowed.as_ref().or(pos.windows.last().map(|(window, _)| window)).unwrap_or(&pos.cursor)
    }

    /// The window was read to its end; perhaps others that it was split into are left.
    pub(super) fn end_window(&mut self) {
        self.pos.windows.pop();
        self.pos.narrowed = None;
        self.pos.finished = self.pos.windows.is_empty();
        self.again();
    }

    /// Begins with the first page of the current window.
    pub(super) fn again(&mut self) {
        self.pos.token = None;
        self.pos.begun = false;
        self.pos.rounds = Default::default();
        self.pos.resets.records = 0;
        self.look(None);
    }

    pub(super) fn reset(&mut self, plan: &Simple, session: &mut Session) -> Result<(), Failure> {
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

    pub(super) fn split(&mut self, plan: &Simple, why: Option<String>, session: &mut Session) -> Result<(), Failure> {
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
