//! A stream: its slices one after the other, and what was read of it.

use std::sync::Arc;

use crate::value::{Map, Value};
use jiff::Timestamp;
use teal::ports::upstream::Response;

use super::fetch::Answered;
use super::jobs::JobRun;
use super::position::{Current, CursorProgress, ReaderPosition, SlicePosition};
use super::record::Record;
use super::slice_run::SliceRun;
use super::{Progress, ready};
use crate::cursor::partitioned::Partitioned;
use crate::cursor::{Intervals, Point};
use crate::failure::Failure;
use crate::partition::{Partition, RouterRun};
use crate::session::Session;
use crate::source::stream::{NO_CURSOR, Retriever, Stream};

#[derive(Debug)]
pub struct Reader {
    pub stream: Arc<Stream>,
    started: Timestamp,
    origin: Option<Point>,
    progress: CursorProgress,
    router: RouterRun,
    current: Option<Current>,
    windows: Option<Vec<crate::cursor::Window>>,
    is_done: bool,
    is_finished: bool,
}

/// One slice at work.
#[derive(Debug)]
pub enum Run {
    Simple(Box<SliceRun>, Arc<Stream>),
    Job(Box<JobRun>),
}

impl Reader {
    pub fn new(stream: Arc<Stream>, state: &Value, session: &Session, now: Timestamp) -> Result<Self, Failure> {
        let state = stream.migrate(state.clone());
        let empty = Map::new();
        let members = state.as_object().filter(|members| !members.contains_key(NO_CURSOR)).unwrap_or(&empty);
        let router = stream.router();
        let (origin, progress) = match &stream.cursor {
            None => (None, CursorProgress::None),
            Some(cursor) => {
                let origin = cursor.start(&session.scope(now, None, &Value::Null))?;
                let progress = match router.is_single() {
                    true => {
                        let intervals = Intervals::of_state(cursor, members, origin.clone(), 0)?;
                        CursorProgress::Single { intervals }
                    }
                    false => {
                        let is_global = cursor.is_global || matches!(router, crate::partition::Router::Grouping { .. });
                        let partitioned = Partitioned::of_state(cursor, members, is_global, &origin)?;
                        CursorProgress::Partitioned { partitioned: Box::new(partitioned) }
                    }
                };
                (Some(origin), progress)
            }
        };
        let router = RouterRun::new(router);
        Ok(Self {
            stream,
            started: now,
            origin,
            progress,
            router,
            current: None,
            windows: None,
            is_done: false,
            is_finished: false,
        })
    }

    /// Goes on where another one was.
    pub fn at(stream: Arc<Stream>, position: ReaderPosition) -> Result<Self, Failure> {
        let router = RouterRun::at(stream.router(), position.router)?;
        Ok(Self {
            stream,
            started: position.started,
            origin: position.origin,
            progress: position.progress,
            router,
            current: position.current,
            windows: None,
            is_done: position.is_done,
            is_finished: position.is_finished,
        })
    }

    pub fn position(&self) -> ReaderPosition {
        ReaderPosition {
            started: self.started,
            origin: self.origin.clone(),
            progress: self.progress.clone(),
            router: self.router.position(),
            current: self.current.clone(),
            is_done: self.is_done,
            is_finished: self.is_finished,
        }
    }

    /// The next slice; `None` after the last.
    pub fn next(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<Option<Run>>, Failure> {
        loop {
            if let Some(current) = &mut self.current {
                let Some(cursor) = &self.stream.cursor else {
                    self.current = None;
                    continue;
                };
                if self.windows.is_none() {
                    let end = cursor.end(self.started, &session.scope(self.started, None, &Value::Null))?;
                    self.windows = Some(cursor.windows(&current.intervals, end.as_ref())?);
                }
                let windows = self.windows.as_deref().unwrap_or_default();
                if let Some((start, end)) = windows.get(current.next) {
                    current.next += 1;
                    let is_last = current.next >= windows.len();
                    if let CursorProgress::Partitioned { partitioned } = &mut self.progress {
                        partitioned.slice_begun(&current.partition.values, is_last);
                    }
                    let wants_lowest = cursor.is_client_side || cursor.is_data_feed;
                    let position = SlicePosition {
                        partition: current.partition.clone(),
                        cursor: cursor.slice(start, end.as_ref()),
                        lowest: wants_lowest.then(|| current.intervals.lowest(cursor)),
                        ..SlicePosition::default()
                    };
                    return self.run_at(position).map(|run| Progress::Done(Some(run)));
                }
                if windows.is_empty()
                    && let CursorProgress::Partitioned { partitioned } = &mut self.progress
                {
                    partitioned.no_slices(&current.partition.values);
                }
                self.current = None;
                self.windows = None;
                continue;
            }
            if self.is_done {
                return Ok(Progress::Done(None));
            }
            let stream = self.stream.clone();
            let Some(partition) = ready!(self.router.next(stream.router(), session, now)?) else {
                self.is_done = true;
                continue;
            };
            let parents = self.router.state(stream.router());
            let intervals = match (&mut self.progress, &stream.cursor, &self.origin) {
                (CursorProgress::Single { intervals }, Some(cursor), _) => {
                    intervals.merge(cursor)?;
                    Some(intervals.clone())
                }
                (CursorProgress::Partitioned { partitioned }, Some(cursor), Some(origin)) => {
                    match partitioned.begin(cursor, &partition.values, parents, origin)? {
                        Some(intervals) => Some(intervals),
                        None => continue,
                    }
                }
                _ => None,
            };
            match intervals {
                Some(intervals) => self.current = Some(Current { partition, intervals, next: 0 }),
                None => {
                    let position = SlicePosition { partition, ..SlicePosition::default() };
                    return self.run_at(position).map(|run| Progress::Done(Some(run)));
                }
            }
        }
    }

    /// A slice where another one was.
    pub fn run_at(&self, position: SlicePosition) -> Result<Run, Failure> {
        Ok(match &self.stream.retriever {
            Retriever::Simple(_) => {
                Run::Simple(Box::new(SliceRun::new(self.stream.clone(), position)), self.stream.clone())
            }
            Retriever::Async(_) => Run::Job(Box::new(JobRun::new(self.stream.clone(), position))),
        })
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        self.router.answer(session, now, answered)
    }

    /// A slice was read to its end: what was read counts.
    pub fn close(&mut self, run: &Run) -> Result<(), Failure> {
        let Some(cursor) = &self.stream.cursor else { return Ok(()) };
        let pos = run.pos();
        match &mut self.progress {
            CursorProgress::None => Ok(()),
            CursorProgress::Single { intervals } => intervals.close(cursor, &pos.cursor, pos.newest.clone()),
            CursorProgress::Partitioned { partitioned } => {
                if let Some(newest) = &pos.newest {
                    partitioned.observe(cursor, newest);
                }
                partitioned.close(cursor, &pos.partition.values, &pos.cursor, pos.newest.clone())
            }
        }
    }

    /// Every slice was given out; those that were closed are all that will be.
    pub fn finish(&mut self, now: Timestamp) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        if let CursorProgress::Partitioned { partitioned } = &mut self.progress {
            let parents = self.router.state(self.stream.router());
            partitioned.finish(self.started, now, parents);
        }
    }

    /// What listings before had come to in the partition that is being read, as it was kept.
    pub fn known(&self) -> Option<&Point> {
        let intervals = &self.current.as_ref()?.intervals;
        (intervals.start > intervals.origin).then_some(&intervals.start)
    }

    pub fn has_partitions(&self) -> bool {
        matches!(self.progress, CursorProgress::Partitioned { .. })
    }

    pub fn has_cursor(&self) -> bool {
        self.stream.cursor.is_some()
    }

    /// What to keep for the next sync.
    pub fn state(&self) -> Value {
        match (&self.progress, &self.stream.cursor) {
            (CursorProgress::Single { intervals }, Some(cursor)) => intervals.state(cursor).into(),
            (CursorProgress::Partitioned { partitioned }, Some(cursor)) => partitioned.state(cursor),
            _ => Map::from_iter([(NO_CURSOR.to_owned(), true.into())]).into(),
        }
    }
}

impl Run {
    /// The next page of records; `None` when there is none.
    pub fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<Option<Vec<Record>>>, Failure> {
        match self {
            Self::Simple(run, stream) => match &stream.retriever {
                Retriever::Simple(plan) => run.step(plan, session, now),
                Retriever::Async(_) => Ok(Progress::Done(None)),
            },
            Self::Job(run) => run.step(session, now),
        }
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        match self {
            Self::Simple(run, _) => run.answer(session, now, answered),
            Self::Job(run) => run.answer(session, now, answered),
        }
    }

    /// The records of a page that was asked for here; the position stays.
    pub fn records_of(
        &mut self,
        answers: &[Response],
        session: &mut Session,
        now: Timestamp,
    ) -> Result<Vec<Record>, Failure> {
        match self {
            Self::Simple(run, stream) => match &stream.retriever {
                Retriever::Simple(plan) => run.records_of(plan, answers, session, now),
                Retriever::Async(_) => Ok(Vec::new()),
            },
            Self::Job(run) => run.records_of(answers, session, now),
        }
    }

    /// Whether what is asked for now is a page, and not something that is needed before it.
    pub fn asks_for_page(&self) -> bool {
        match self {
            Self::Simple(run, _) => run.asks_for_page(),
            Self::Job(run) => run.asks_for_page(),
        }
    }

    /// Whether the page that was read last is the last because of its headers, and could be another one's neighbour
    /// without a change of its body.
    pub fn ends_by_headers(&self) -> bool {
        match self {
            Self::Simple(run, _) => run.ends_by_headers(),
            Self::Job(_) => true,
        }
    }

    /// Whether several answers make a page.
    pub fn reads_parts(&self) -> bool {
        matches!(self, Self::Simple(run, _) if run.reads_parts())
    }

    /// The answer that a parent's record holds, while it is still to be read.
    pub fn embedded(&self) -> Option<String> {
        let pos = self.pos();
        pos.partition.answer.as_ref().filter(|_| !pos.begun).map(ToString::to_string)
    }

    pub fn is_finished(&self) -> bool {
        self.pos().finished
    }

    fn pos(&self) -> &SlicePosition {
        match self {
            Self::Simple(run, _) => run.pos(),
            Self::Job(run) => run.pos(),
        }
    }

    pub fn position(&self) -> SlicePosition {
        self.pos().clone()
    }

    pub fn partition(&self) -> &Map {
        &self.pos().partition.values
    }
}

/// A listing that is read as a whole because something else depends on it: properties, a schema, components.
#[derive(Debug)]
pub struct Sample {
    reader: Reader,
    run: Option<Run>,
    records: Vec<Record>,
    /// How many records are enough.
    enough: Option<usize>,
    /// Slices of records, where somebody wants to know.
    pub partitions: Vec<Partition>,
}

impl Sample {
    pub fn new(stream: Arc<Stream>, enough: Option<usize>, session: &Session, now: Timestamp) -> Result<Self, Failure> {
        let reader = Reader::new(stream, &Value::Null, session, now)?;
        Ok(Self { reader, run: None, records: Vec::new(), enough, partitions: Vec::new() })
    }

    pub fn step(&mut self, session: &mut Session, now: Timestamp) -> Result<Progress<Vec<Record>>, Failure> {
        loop {
            if self.enough.is_some_and(|enough| self.records.len() >= enough) {
                return Ok(Progress::Done(std::mem::take(&mut self.records)));
            }
            if let Some(run) = &mut self.run {
                match ready!(run.step(session, now)?) {
                    Some(page) => {
                        self.partitions.extend(page.iter().map(|_| run.pos().partition.clone()));
                        self.records.extend(page);
                    }
                    None => {
                        let run = self.run.take();
                        run.map_or(Ok(()), |run| self.reader.close(&run))?;
                    }
                }
                continue;
            }
            match ready!(self.reader.next(session, now)?) {
                Some(run) => self.run = Some(run),
                None => return Ok(Progress::Done(std::mem::take(&mut self.records))),
            }
        }
    }

    pub fn answer(&mut self, session: &mut Session, now: Timestamp, answered: Answered) -> Result<(), Failure> {
        match &mut self.run {
            Some(run) => run.answer(session, now, answered),
            None => self.reader.answer(session, now, answered),
        }
    }
}
