//! Fires what is due, as EventBridge does: at least when it was due, at most once a due time.
//!
//! Owns the waiting; what is due when is a function that each entry brings. Always holds:
//!
//! - One entry's firings never overlap; what falls due during one, or while the machine sleeps, is one
//!   firing afterwards.
//! - A clock that is set back fires nothing twice.
//! - A stop lets a firing at hand finish.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use teal::domain::Millis;
use teal::ports::Clock;
use tokio::task::JoinSet;

use super::panic_message;
use super::stop::Stop;

/// Longest sleep without a look at the clock, which may have been set or have slept with the machine.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

pub struct Entry {
    pub name: String,
    /// From where the first due time is looked for: the last firing before Teal stopped, so that one missed
    /// since is made up for; `None` for now.
    pub since: Option<Millis>,
    /// The first due time that is later than the given one; `None` when there is no more.
    pub next: Box<dyn Fn(Millis) -> Option<Millis> + Send + Sync>,
    /// Gets the due time, the latest one if several were missed.
    pub action: Box<dyn Fn(Millis) -> BoxFuture<'static, ()> + Send + Sync>,
}

#[must_use = "the scheduler ends when this is dropped"]
#[derive(Debug)]
pub struct Scheduler(JoinSet<()>);

impl Scheduler {
    pub fn start(entries: Vec<Entry>, clock: &Arc<dyn Clock>, stop: &Stop) -> Self {
        let mut all = JoinSet::new();
        for entry in entries {
            let (clock, stop) = (Arc::clone(clock), stop.clone());
            all.spawn(async move { run(&entry, &*clock, &stop).await });
        }
        Self(all)
    }

    /// Returns when stopped and done with what is at hand, or when nothing will be due any more.
    pub async fn finished(self) {
        self.0.join_all().await;
    }
}

async fn run(entry: &Entry, clock: &dyn Clock, stop: &Stop) {
    let mut last = entry.since.unwrap_or_else(|| clock.now());
    while let Some(due) = next(entry, last) {
        if !wait_until(due, clock, stop).await {
            return;
        }
        last = latest(entry, due, clock.now());
        let fired = AssertUnwindSafe(async { (entry.action)(last).await }).catch_unwind().await;
        if let Err(panic) = fired {
            tracing::error!(schedule = entry.name, message = panic_message(&*panic), "a scheduled action panicked");
        }
    }
}

/// Of all that was due until now, the last.
fn latest(entry: &Entry, due: Millis, now: Millis) -> Millis {
    let mut latest = due;
    while let Some(later) = next(entry, latest)
        && later <= now
    {
        latest = later;
    }
    latest
}

/// A due time that is not later would fire for ever.
fn next(entry: &Entry, after: Millis) -> Option<Millis> {
    let due = (entry.next)(after)?;
    if due <= after {
        tracing::error!(schedule = entry.name, %due, %after, "the next due time is not later than the last; it ends here");
        return None;
    }
    Some(due)
}

/// Whether the time came before the stop.
async fn wait_until(due: Millis, clock: &dyn Clock, stop: &Stop) -> bool {
    loop {
        if stop.is_stopped() {
            return false;
        }
        let left = due.since(clock.now());
        if left.is_zero() {
            return true;
        }
        stop.or(clock.sleep(left.min(LONGEST_SLEEP))).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{self, UnboundedReceiver};

    use super::super::stop::{Stopper, stop};
    use super::*;
    use crate::test_clock::TestClock;

    const MINUTE: i64 = 60_000;

    fn every(span: i64) -> Box<dyn Fn(Millis) -> Option<Millis> + Send + Sync> {
        Box::new(move |after| Some(Millis((after.0.div_euclid(span) + 1) * span)))
    }

    fn start(
        clock: &Arc<TestClock>,
        since: Option<i64>,
        next: Box<dyn Fn(Millis) -> Option<Millis> + Send + Sync>,
        panics_at: Option<i64>,
    ) -> (Scheduler, Stopper, UnboundedReceiver<i64>) {
        let (fired, firings) = mpsc::unbounded_channel();
        let action = Box::new(move |due: Millis| -> BoxFuture<'static, ()> {
            fired.send(due.0).unwrap();
            assert_ne!(Some(due.0), panics_at, "an action of this test");
            Box::pin(async {})
        });
        let entry = Entry { name: "test".into(), since: since.map(Millis), next, action };
        let (stopper, stop) = stop();
        let clock: Arc<dyn Clock> = clock.clone();
        (Scheduler::start(vec![entry], &clock, &stop), stopper, firings)
    }

    #[tokio::test]
    async fn it_fires_at_the_due_time_not_before_and_goes_on_after_a_panic() {
        let clock = TestClock::at(10);
        let (scheduler, stopper, mut firings) = start(&clock, None, every(MINUTE), Some(MINUTE));
        for n in 1..=3 {
            clock.sleepers(1).await;
            clock.set(n * MINUTE - 1);
            clock.sleepers(1).await;
            assert!(firings.try_recv().is_err());
            clock.set(n * MINUTE);
            assert_eq!(firings.recv().await, Some(n * MINUTE));
        }
        stopper.stop();
        scheduler.finished().await;
        assert_eq!(firings.recv().await, None);
    }

    #[tokio::test]
    async fn missed_firings_become_one_with_the_latest_due_time() {
        let clock = TestClock::at(10);
        let (_scheduler, _stopper, mut firings) = start(&clock, None, every(MINUTE), None);
        clock.sleepers(1).await;
        clock.set(7 * MINUTE + 5);
        assert_eq!(firings.recv().await, Some(7 * MINUTE));
        clock.sleepers(1).await;
        assert!(firings.try_recv().is_err());
        clock.set(8 * MINUTE);
        assert_eq!(firings.recv().await, Some(8 * MINUTE));
    }

    #[tokio::test]
    async fn what_was_missed_while_teal_was_down_is_made_up_for_once() {
        let clock = TestClock::at(10 * MINUTE + 1);
        let (_scheduler, _stopper, mut firings) = start(&clock, Some(2 * MINUTE), every(MINUTE), None);
        assert_eq!(firings.recv().await, Some(10 * MINUTE));
        clock.sleepers(1).await;
        assert!(firings.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_fires_nothing_twice() {
        let clock = TestClock::at(10);
        let (_scheduler, _stopper, mut firings) = start(&clock, None, every(MINUTE), None);
        clock.sleepers(1).await;
        clock.set(MINUTE);
        assert_eq!(firings.recv().await, Some(MINUTE));
        clock.sleepers(1).await;
        clock.set(MINUTE - 500);
        clock.set(MINUTE + 500);
        clock.sleepers(1).await;
        assert!(firings.try_recv().is_err());
    }

    #[tokio::test]
    async fn an_entry_ends_with_its_last_due_time_or_when_it_goes_in_circles() {
        let clock = TestClock::at(10);
        let (scheduler, _stopper, mut firings) =
            start(&clock, Some(0), Box::new(|after| (after.0 < 5).then_some(Millis(5))), None);
        scheduler.finished().await;
        assert_eq!((firings.recv().await, firings.recv().await), (Some(5), None));
        let (scheduler, _stopper, mut firings) = start(&clock, None, Box::new(Some), None);
        scheduler.finished().await;
        assert_eq!(firings.recv().await, None);
    }
}
