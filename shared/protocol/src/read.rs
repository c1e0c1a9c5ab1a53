//! `read`: streams, several slices at once, as messages.
//!
//! Always holds: a state is printed after the records that it counts as read.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use teal_connect::failure::{Failure, FailureKind};
use teal_connect::read::fetch::Answered;
use teal_connect::read::reader::{Reader, Run};
use teal_connect::read::{Need, Progress};
use teal_connect::session::Level;
use teal_connect::source::{Built, listed};
use teal_connect::value::Value;

use crate::messages::Messages;
use crate::{Stop, Work};

/// States of streams with partitions are large: they are printed this often at most.
const BETWEEN_STATES: SignedDuration = SignedDuration::from_secs(600);

struct Active {
    reader: Reader,
    frame: Vec<u8>,
    namespace: Option<String>,
    /// Slices at work.
    open: usize,
    generator: Generator,
    records: u64,
    since_state: u64,
    last_state: Option<Timestamp>,
    has_failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Generator {
    Ready,
    Waiting,
    Blocked,
    Exhausted,
}

#[derive(Clone, Copy)]
enum Who {
    Generator(usize),
    Slice(usize),
}

/// What came of a need: an answer, or time that passed.
type Event = (Who, Option<Answered>);

struct Slice {
    stream: usize,
    run: Run,
}

impl<W: Write> Work<'_, W> {
    pub async fn read(&mut self) -> Result<u8, Stop> {
        let wanted: Vec<String> =
            self.source.catalog.streams.iter().map(|configured| configured.name.clone()).collect();
        let built = self.build(Some(wanted)).await?;
        let mut by_name: BTreeMap<String, Built> = built.into_iter().map(|built| (built.name.clone(), built)).collect();
        let mut queue = VecDeque::new();
        for configured in self.source.catalog.streams.clone() {
            match by_name.remove(&configured.name) {
                Some(built) => queue.push_back((built, configured.namespace)),
                None => {
                    let name = &configured.name;
                    self.out
                        .log(Level::Warn, &format!("the source has no stream '{name}'; take it out of the catalog"))?;
                    self.out.status(name, "INCOMPLETE", None, Timestamp::now())?;
                }
            }
        }
        let failed = self.read_all(queue).await?;
        if failed.is_empty() {
            return Ok(0);
        }
        let message = format!("these streams could not be read whole: {}", failed.join(", "));
        self.out.error(&Failure { kind: FailureKind::Config, message }, None, Timestamp::now())?;
        Ok(1)
    }

    async fn read_all(&mut self, mut queue: VecDeque<(Built, Option<String>)>) -> Result<Vec<String>, Stop> {
        let most = self.source.concurrency().max(2);
        let groups = self.source.groups();
        let mut active: BTreeMap<usize, Active> = BTreeMap::new();
        let mut slices: BTreeMap<usize, Slice> = BTreeMap::new();
        let mut blocked: Vec<usize> = Vec::new();
        let mut ready: VecDeque<usize> = VecDeque::new();
        let mut pending: FuturesUnordered<LocalBoxFuture<'static, Event>> = FuturesUnordered::new();
        let mut next_id = 0;
        let mut failed = Vec::new();
        loop {
            // Slices first: what they hold is the most advanced.
            while let Some(id) = ready.pop_front() {
                let Some(slice) = slices.get_mut(&id) else { continue };
                let stream = slice.stream;
                loop {
                    let now = Timestamp::now();
                    let stepped = slice.run.step(&mut self.session, now);
                    self.notices(now)?;
                    match stepped {
                        Ok(Progress::Done(Some(page))) => {
                            if let Some(active) = active.get_mut(&stream) {
                                self.page(active, &page, now)?;
                            }
                        }
                        Ok(Progress::Done(None)) => {
                            if let (Some(active), Some(slice)) = (active.get_mut(&stream), slices.remove(&id)) {
                                active.open -= 1;
                                let closed = active.reader.close(&slice.run);
                                self.closed(active, closed, now)?;
                            }
                            break;
                        }
                        Ok(Progress::Need(Need::Blocked)) => {
                            blocked.push(id);
                            break;
                        }
                        Ok(Progress::Need(need)) => {
                            pending.push(self.future(Who::Slice(id), need));
                            break;
                        }
                        Err(failure) => {
                            slices.remove(&id);
                            if let Some(active) = active.get_mut(&stream) {
                                active.open -= 1;
                                self.failed(active, &failure, now)?;
                            }
                            break;
                        }
                    }
                }
            }
            // Then more slices, of streams in the order of the catalog.
            let mut moved = false;
            let ids: Vec<usize> = active.keys().copied().collect();
            for id in ids {
                let Some(stream) = active.get_mut(&id) else { continue };
                while slices.len() < most && stream.generator == Generator::Ready {
                    moved = true;
                    let now = Timestamp::now();
                    let stepped = stream.reader.next(&mut self.session, now);
                    self.notices(now)?;
                    match stepped {
                        Ok(Progress::Done(Some(run))) => {
                            next_id += 1;
                            stream.open += 1;
                            slices.insert(next_id, Slice { stream: id, run });
                            ready.push_back(next_id);
                        }
                        Ok(Progress::Done(None)) => stream.generator = Generator::Exhausted,
                        Ok(Progress::Need(Need::Blocked)) => stream.generator = Generator::Blocked,
                        Ok(Progress::Need(need)) => {
                            stream.generator = Generator::Waiting;
                            pending.push(self.future(Who::Generator(id), need));
                        }
                        Err(failure) => {
                            stream.generator = Generator::Exhausted;
                            self.failed(stream, &failure, now)?;
                        }
                    }
                }
                if stream.generator == Generator::Exhausted && stream.open == 0 {
                    let name = stream.reader.stream.name.clone();
                    let has_failed = stream.has_failed;
                    if let Some(mut stream) = active.remove(&id) {
                        self.finish(&mut stream)?;
                    }
                    if has_failed {
                        failed.push(name);
                    }
                    moved = true;
                }
            }
            if !ready.is_empty() {
                continue;
            }
            let is_busy = active.values().any(|stream| stream.generator != Generator::Exhausted);
            if slices.len() < most
                && !is_busy
                && let Some(position) = startable(&queue, &active, &groups)
            {
                if let Some((built, namespace)) = queue.remove(position) {
                    next_id += 1;
                    match self.start(built, namespace)? {
                        Ok(stream) => drop(active.insert(next_id, stream)),
                        Err(name) => failed.push(name),
                    }
                }
                continue;
            }
            if moved {
                continue;
            }
            let Some((who, answered)) = pending.next().await else {
                if active.is_empty() && queue.is_empty() {
                    return Ok(failed);
                }
                return Err(Failure::system("reading waits for nothing; this is a defect of Teal").into());
            };
            let now = Timestamp::now();
            match who {
                Who::Generator(id) => {
                    if let Some(stream) = active.get_mut(&id) {
                        stream.generator = Generator::Ready;
                        let result = answered.map_or(Ok(()), |a| stream.reader.answer(&mut self.session, now, a));
                        if let Err(failure) = result {
                            stream.generator = Generator::Exhausted;
                            self.failed(stream, &failure, now)?;
                        }
                    }
                }
                Who::Slice(id) => {
                    let result = match (slices.get_mut(&id), answered) {
                        (Some(slice), Some(answered)) => slice.run.answer(&mut self.session, now, answered),
                        _ => Ok(()),
                    };
                    match result {
                        Ok(()) => ready.push_back(id),
                        Err(failure) => {
                            if let Some(slice) = slices.remove(&id)
                                && let Some(stream) = active.get_mut(&slice.stream)
                            {
                                stream.open -= 1;
                                self.failed(stream, &failure, now)?;
                            }
                        }
                    }
                }
            }
            // Whoever waited for another may go on now.
            ready.extend(blocked.drain(..));
            active
                .values_mut()
                .filter(|s| s.generator == Generator::Blocked)
                .for_each(|s| s.generator = Generator::Ready);
        }
    }

    fn future(&mut self, who: Who, need: Need) -> LocalBoxFuture<'static, Event> {
        match need {
            Need::Ask(ask) => {
                self.out.secrets.add_request(&ask.request);
                let client = self.client.clone();
                Box::pin(async move { (who, Some(client.send(&ask).await)) })
            }
            Need::Wait(wait) => {
                let pace = self.pace.clone();
                Box::pin(async move {
                    pace.wait(wait).await;
                    (who, None)
                })
            }
            Need::Blocked => Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                (who, None)
            }),
        }
    }

    fn start(&mut self, built: Built, namespace: Option<String>) -> Result<Result<Active, String>, Stop> {
        let now = Timestamp::now();
        let name = built.name;
        self.out.status(&name, "STARTED", None, now)?;
        let state = self.source.states.get(&name).cloned().unwrap_or(Value::Null);
        let reader = match built.stream {
            Err(problems) => Err(Failure::config(listed(&problems))),
            Ok(stream) => match stream.schema.failure() {
                Some(failure) => Err(failure),
                None => {
                    let state = if stream.discards_state { Value::Null } else { state };
                    if stream.discards_state {
                        self.out.state(&name, namespace.as_deref(), &Value::Object(Default::default()), 0)?;
                    }
                    Reader::new(stream, &state, &self.session, now)
                }
            },
        };
        match reader {
            Ok(reader) => Ok(Ok(Active {
                frame: Messages::<W>::frame(&name, namespace.as_deref()),
                reader,
                namespace,
                open: 0,
                generator: Generator::Ready,
                records: 0,
                since_state: 0,
                last_state: None,
                has_failed: false,
            })),
            Err(failure) => {
                self.out.error(&failure, Some(&name), now)?;
                self.out.status(&name, "INCOMPLETE", None, now)?;
                Ok(Err(name))
            }
        }
    }

    fn page(
        &mut self,
        stream: &mut Active,
        page: &[teal_connect::read::record::Record],
        now: Timestamp,
    ) -> Result<(), Stop> {
        if page.is_empty() {
            return Ok(());
        }
        if stream.records == 0 {
            self.out.status(&stream.reader.stream.name, "RUNNING", None, now)?;
        }
        let tail = Messages::<W>::tail(now);
        for record in page {
            self.out.record(&stream.frame, record, &tail)?;
        }
        stream.records += page.len() as u64;
        stream.since_state += page.len() as u64;
        self.out.flush()?;
        Ok(())
    }

    fn closed(&mut self, stream: &mut Active, closed: Result<(), Failure>, now: Timestamp) -> Result<(), Stop> {
        if let Err(failure) = closed {
            return self.failed(stream, &failure, now);
        }
        let is_due = match stream.reader.has_partitions() {
            true => stream.last_state.is_none_or(|last| now.duration_since(last) > BETWEEN_STATES),
            false => stream.reader.has_cursor(),
        };
        if is_due {
            self.state(stream, now)?;
        }
        Ok(())
    }

    fn state(&mut self, stream: &mut Active, now: Timestamp) -> Result<(), Stop> {
        let name = &stream.reader.stream.name;
        self.out.state(name, stream.namespace.as_deref(), &stream.reader.state(), stream.since_state)?;
        stream.since_state = 0;
        stream.last_state = Some(now);
        Ok(())
    }

    fn failed(&mut self, stream: &mut Active, failure: &Failure, now: Timestamp) -> Result<(), Stop> {
        stream.has_failed = true;
        self.out.error(failure, Some(&stream.reader.stream.name), now)?;
        Ok(())
    }

    fn finish(&mut self, stream: &mut Active) -> Result<(), Stop> {
        let now = Timestamp::now();
        if !stream.has_failed {
            stream.reader.finish(now);
        }
        self.state(stream, now)?;
        let name = stream.reader.stream.name.clone();
        self.out.log(Level::Info, &format!("read {} records of stream '{name}'", stream.records))?;
        self.out.status(&name, if stream.has_failed { "INCOMPLETE" } else { "COMPLETE" }, None, now)?;
        self.out.flush()?;
        Ok(())
    }
}

/// The first stream that may start: none of its group, or of what it is read by, is at work.
fn startable(
    queue: &VecDeque<(Built, Option<String>)>,
    active: &BTreeMap<usize, Active>,
    groups: &[Vec<String>],
) -> Option<usize> {
    let family = |name: &str, stream: Option<&teal_connect::source::stream::Stream>| {
        let mut names = stream.map(|stream| stream.router().ancestors()).unwrap_or_default();
        names.push(name.to_owned());
        names
    };
    queue.iter().position(|(built, _)| {
        let own = family(&built.name, built.stream.as_ref().ok().map(AsRef::as_ref));
        !groups.iter().any(|group| {
            own.iter().any(|name| group.contains(name))
                && active.values().any(|active| {
                    let stream = &active.reader.stream;
                    family(&stream.name, Some(stream)).iter().any(|name| group.contains(name))
                })
        })
    })
}
