//! A run's streams, several at a time.
//!
//! Owns who reads which stream, and what all of it comes to. What a page takes is `super::fetch`'s.
//!
//! Always holds: what must not be read at the same time is read by one lane, one after the other; when one stream
//! can't go on, the others stop before their next request; the run's lease and counts are in every write, so two lanes
//! never write at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use futures::lock;

use super::{Budget, Poll, Polled, Progress};
use crate::config::Source;
use crate::domain::{Millis, Outcome, StreamName};
use crate::pipeline::error::StageError;
use crate::pipeline::ledger::StreamProgress;
use crate::ports::connector::{Connector, Session};

pub(super) type Reading = (StreamName, StreamProgress);

/// What the lanes of one call share.
pub(super) struct Lanes<'a> {
    pub at: &'a Progress,
    pub source: &'a Source,
    pub connector: &'a dyn Connector,
    pub writing: lock::Mutex<()>,
    budget: &'a Budget,
    waiting: Mutex<VecDeque<Vec<Reading>>>,
    is_stopped: AtomicBool,
}

impl Lanes<'_> {
    /// Whether no request may be begun any more.
    pub fn are_over(&self, now: Millis) -> bool {
        self.is_stopped.load(Ordering::Relaxed) || self.budget.is_spent(now)
    }

    /// Whether time is up before a wait would be.
    pub fn end_within(&self, now: Millis, wait: Duration) -> bool {
        self.budget.deadline.is_some_and(|deadline| now.plus(wait) >= deadline)
    }

    fn next(&self) -> Option<Vec<Reading>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Why a stream is not read to its end.
pub(super) enum Halt {
    /// The host wants to stop, time is up, or it is not time yet for what comes next.
    Later(Duration),
    Quota {
        until: Millis,
        why: String,
    },
    GaveUp {
        outcome: Outcome,
        why: String,
    },
}

impl Poll {
    pub(super) async fn fetch(&self, at: Progress, budget: &Budget) -> Result<Polled, StageError> {
        let loaded = self.systems.get(&at.run.value.config).await?;
        let source = loaded.source(&at.source.name)?;
        let connector = loaded.connector(&at.source.name)?.as_ref();
        let mut streams = self.streams_of(&at.run.value, &at.source).await?;
        streams.retain(|(_, progress)| !progress.ended);
        let waiting = in_groups(streams, &connector.apart());
        let most = source.limits.concurrency.unwrap_or_else(|| connector.concurrency()).min(waiting.len());
        let mut sessions = vec![connector.session(self.entropy.clone())?];
        sessions.extend((1..most).map_while(|_| sessions[0].another()).collect::<Vec<_>>());
        let lanes = Lanes {
            at: &at,
            source,
            connector,
            writing: lock::Mutex::new(()),
            budget,
            waiting: Mutex::new(waiting),
            is_stopped: AtomicBool::new(false),
        };
        let ends = join_all(sessions.into_iter().map(|session| self.lane(&lanes, session))).await;

        let (mut wait, mut quota, mut failure) = (None::<Duration>, None, None);
        for halts in ends {
            for halt in halts? {
                match halt {
                    Halt::Later(longer) => wait = Some(wait.map_or(longer, |wait| wait.min(longer))),
                    Halt::Quota { until, why } => quota = quota.max(Some((until, why))),
                    Halt::GaveUp { outcome, why } => failure = failure.or(Some((outcome, why))),
                }
            }
        }
        match (failure, quota, wait) {
            (Some(failure), ..) => self.over(at, Some(failure)).await,
            (None, Some((until, why)), _) => self.park(at, &source.limits, until, why).await,
            (None, None, Some(wait)) => {
                self.ledger.transact(vec![at.requests_counted()]).await?;
                self.continue_later(&at.run.value, wait).await
            }
            (None, None, None) => self.over(at, None).await,
        }
    }

    /// Reads one stream after the other, until none waits or one says that all have to stop.
    async fn lane(&self, lanes: &Lanes<'_>, mut session: Box<dyn Session>) -> Result<Vec<Halt>, StageError> {
        let mut halts = Vec::new();
        while let Some(group) = lanes.next() {
            for (stream, progress) in group {
                let read = self.read(lanes, session.as_mut(), &stream, progress).await;
                if !matches!(read, Ok(None | Some(Halt::Later(_)))) {
                    lanes.is_stopped.store(true, Ordering::Relaxed);
                }
                let Some(halt) = read? else { continue };
                halts.push(halt);
                if lanes.are_over(self.clock.now()) {
                    return Ok(halts);
                }
                break;
            }
        }
        Ok(halts)
    }
}

/// Streams that must be read one after the other, together; each other one alone.
fn in_groups(streams: Vec<Reading>, apart: &[Vec<StreamName>]) -> VecDeque<Vec<Reading>> {
    let mut groups: BTreeMap<usize, Vec<Reading>> = BTreeMap::new();
    let mut first_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (nth, reading) in streams.into_iter().enumerate() {
        let group = apart.iter().position(|group| group.contains(&reading.0));
        let place = group.map_or(nth, |group| *first_of.entry(group).or_insert(nth));
        groups.entry(place).or_default().push(reading);
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_group_wait_for_each_other_and_no_others() {
        let stream = |name: &&str| (StreamName::new(name), StreamProgress::default());
        let names = |group: &[&str]| group.iter().map(StreamName::new).collect::<Vec<_>>();
        let apart = [names(&["b", "d"]), names(&["x", "e", "c"])];
        let groups = in_groups(["a", "b", "c", "d", "e", "f"].iter().map(stream).collect(), &apart);
        let named = groups.iter().map(|group| group.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
        assert_eq!(named.collect::<Vec<_>>(), [vec!["a"], vec!["b", "d"], vec!["c", "e"], vec!["f"]]);
    }
}
